//! When a record cannot be written: a function is called as often as its task allows and no more, what is owed is named, and
//! written as soon as it can be.

mod attack;

use std::time::Duration;

use attack::{SOON, cluster, number, session, wait_for};
use cluster::postgres::Client;
use cluster::{Cluster, Mode, all, nothing_unaccounted, one};

/// Bob's functions count their calls in sequences, which no rollback undoes.
const FUNCTIONS: &str = "create sequence bob.calls;
    create table bob.t (id bigint primary key, due timestamptz);
    create function bob.tick() returns void language sql as $$ select nextval('bob.calls') $$;
    create function bob.run(bob.t) returns void language sql as $$ select nextval('bob.calls') $$;
    create function bob.fail() returns void language plpgsql as $$ begin perform nextval('bob.calls'); raise 'as it does' using errcode = 'P0042', detail = 'why'; end $$;";

fn begin(cluster: &Cluster) -> Client {
    let mut bob = session(cluster, "bob");
    bob.batch_execute(FUNCTIONS).unwrap();
    bob
}

fn calls(bob: &mut Client) -> i64 {
    number(bob, "select case when is_called then last_value else 0 end from bob.calls")
}

/// Waits until the owner is told that so many records are owed for good, or were refused.
fn wait_for_problem(bob: &mut Client, cluster: &Cluster, words: &str) {
    cluster.wait_until(words, SOON, || {
        let problems: Vec<String> = all(bob, "select unnest(problems) from jittask.status()");
        problems.iter().any(|problem| problem.contains(words)).then_some(())
    });
}

/// Nothing is called for so long.
fn is_quiet(bob: &mut Client, expected: i64) {
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(calls(bob), expected);
}

fn end_of(cluster: &Cluster) -> String {
    one(
        &mut cluster.connect("postgres"),
        "select concat_ws(' ', status, attempt, error_code, error, error_context) from jittask.records where status not in ('pending', 'executing', 'overdue')",
    )
}

fn owes(cluster: &Cluster, count: i64) {
    cluster.wait_for(SOON, &format!("select count(*) = {count} from jittask.agenda where owes is not null"));
}

/// Whatever refuses all records: what the function does is rolled back, and that is an attempt.
#[test]
fn attempts_are_counted_when_no_record_can_be_written() {
    let refusals = [
        ("alter table jittask.record add constraint no check (task_id is null)", "alter table jittask.record drop constraint no", "23514"),
        (
            "create function public.no() returns trigger language plpgsql as $$ begin raise 'no record' using errcode = 'P0777'; end $$;
             create trigger no before insert on jittask.record for each row execute function public.no()",
            "drop trigger no on jittask.record",
            "P0777",
        ),
        (
            "create constraint trigger later after insert on jittask.record deferrable initially deferred for each row execute function public.no()",
            "drop trigger later on jittask.record",
            "P0777",
        ),
        (
            "insert into jittask.record (id, nominal_at, finished_at, task_id, key) values (1, '2001-01-01', now(), 0, '');
             create unique index one on jittask.record ((1))",
            "drop index jittask.one; delete from jittask.record where id = 1",
            "23505",
        ),
    ];
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    for (i, (refuse, allow, code)) in refusals.iter().enumerate() {
        admin.batch_execute(refuse).unwrap();
        let before = calls(&mut bob);
        let create = format!(
            "select jittask.create_scheduled_task('refused', now(), 'bob.tick', name => 'refused_{i}', max_attempts => 3, retry_backoff => '300 ms')"
        );
        bob.batch_execute(&create).unwrap();
        owes(&cluster, 1);
        wait_for_problem(
            &mut bob,
            &cluster,
            &format!("task \"refused_{i}\": the record of an occurrence cannot be written: "),
        );
        wait_for_problem(&mut admin, &cluster, "cannot be written: ");
        let told: i64 =
            number(&mut session(&cluster, "mallory"), "select cardinality(problems)::bigint from jittask.status()");
        assert_eq!(told, 0);
        is_quiet(&mut bob, before + 3);
        admin.batch_execute(allow).unwrap();
        wait_for(&cluster, &format!("refused_{i}"), "failed", 1);
        let end = end_of(&cluster);
        assert!(end.starts_with(&format!("failed 3 {code} ")), "{end}");
        assert_eq!(calls(&mut bob), before + 3);
        nothing_unaccounted(&mut admin);
        let problems: i64 = number(&mut bob, "select cardinality(problems)::bigint from jittask.status()");
        assert_eq!(problems, 0);
        bob.batch_execute(&format!("select jittask.drop_task('refused_{i}', keep_records => false)")).unwrap();
    }
}

/// What the function itself failed by is in the record that comes late.
#[test]
fn the_functions_own_error_is_kept() {
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("alter table jittask.record add constraint no check (status is null)").unwrap();
    bob.batch_execute(
        "select jittask.create_scheduled_task('f', now(), 'bob.fail', max_attempts => 2, retry_backoff => '100 ms')",
    )
    .unwrap();
    owes(&cluster, 1);
    is_quiet(&mut bob, 2);
    let told: Vec<String> =
        all(&mut bob, "select concat_ws(' ', status, attempt, error_code, error) from jittask.records");
    assert_eq!(told, ["pending 2 P0042 as it does"]);
    // A pause holds it, as it does retries.
    bob.batch_execute("select jittask.pause_task('f'); select jittask.resume_task('f')").unwrap();
    admin.batch_execute("alter table jittask.record drop constraint no").unwrap();
    wait_for(&cluster, "f", "failed", 1);
    let end = end_of(&cluster);
    assert!(end.starts_with("failed 2 P0042 as it does DETAIL: why\nCONTEXT: PL/pgSQL function fail()"), "{end}");
    assert_eq!(calls(&mut bob), 2);
    nothing_unaccounted(&mut admin);
}

/// Only completed ones are refused: those are failed in the end, which can be written.
#[test]
fn what_cannot_be_recorded_as_completed_is_failed() {
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("alter table jittask.record add constraint no check (status is not null)").unwrap();
    bob.batch_execute(
        "select jittask.create_date_task('t', 'bob.t', 'due', 'bob.run', max_attempts => 2, retry_backoff => '200 ms');
         insert into bob.t select id, now() from generate_series(1, 50) id; insert into bob.t values (51, now())",
    )
    .unwrap();
    wait_for(&cluster, "t", "failed", 51);
    // Together, row by row, and then twice alone; halves of what ran in one transaction besides.
    let called = calls(&mut bob);
    assert!(called <= 51 * 8, "{called} calls");
    nothing_unaccounted(&mut admin);
}

/// Many rows whose records are all refused: each is called as often as it may, and they do not stop the others.
#[test]
fn rows_of_batches_are_counted_too() {
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    bob.batch_execute(
        "select jittask.create_date_task('t', 'bob.t', 'due', 'bob.run', max_attempts => 2, retry_backoff => '200 ms');
         select jittask.create_scheduled_task('other', now() + '1 day', body => 'null', name => 'other')",
    )
    .unwrap();
    let task = number(&mut admin, "select id::bigint from jittask.task where name = 't'");
    admin.batch_execute(&format!("alter table jittask.record add constraint no check (task_id <> {task})")).unwrap();
    bob.batch_execute("insert into bob.t select id, now() from generate_series(1, 50) id").unwrap();
    owes(&cluster, 50);
    wait_for_problem(&mut bob, &cluster, "task \"t\": the record of 50 occurrences cannot be written: ");
    let called = calls(&mut bob);
    assert!(called <= 50 * 8, "{called} calls");
    bob.batch_execute("select jittask.run_task('other')").unwrap();
    wait_for(&cluster, "other", "completed", 1);
    is_quiet(&mut bob, called);
    // It runs anew if a person wants it to.
    let id = number(&mut bob, "select min(id) from jittask.records where task = 't'");
    assert!(one::<bool>(&mut bob, &format!("select jittask.retry_record({id})")));
    cluster.wait_until("two more calls", SOON, || (calls(&mut bob) == called + 2).then_some(()));
    owes(&cluster, 50);
    admin.batch_execute("alter table jittask.record drop constraint no").unwrap();
    wait_for(&cluster, "t", "failed", 50);
    assert_eq!(calls(&mut bob), called + 2);
    nothing_unaccounted(&mut admin);
}

/// What is skipped, and cannot be recorded as skipped, waits; nothing is called, and no attempt is counted.
#[test]
fn what_does_not_run_waits_for_its_record() {
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("alter table jittask.record add constraint no check (status <> 'skipped')").unwrap();
    bob.batch_execute(
        "select jittask.create_date_task('t', 'bob.t', 'due', 'bob.run');
         insert into bob.t select id, now() + interval '2 seconds' from generate_series(1, 20) id",
    )
    .unwrap();
    cluster.wait_for(SOON, "select count(*) = 20 from jittask.records where status = 'pending'");
    bob.batch_execute("select jittask.pause_task('t')").unwrap();
    wait_for_problem(&mut bob, &cluster, "task \"t\": the record of 20 occurrences cannot be written: ");
    is_quiet(&mut bob, 0);
    admin.batch_execute("alter table jittask.record drop constraint no").unwrap();
    wait_for(&cluster, "t", "skipped", 20);
    assert_eq!(calls(&mut bob), 0);
    nothing_unaccounted(&mut admin);
}

/// The index that says whether something has run cannot be read.
#[test]
fn a_broken_index_is_no_endless_execution() {
    let mut cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let create =
        "select jittask.create_scheduled_task('b', now(), 'bob.tick', max_attempts => 2, retry_backoff => '200 ms')";
    bob.batch_execute(create).unwrap();
    wait_for(&cluster, "b", "completed", 1);
    let path: String =
        one(&mut cluster.connect("postgres"), "select pg_relation_filepath('jittask.record_occurrence')");
    let path = cluster.datadir().join(path);
    cluster.stop(Mode::Fast);
    std::fs::write(&path, vec![0; std::fs::metadata(&path).unwrap().len() as usize]).unwrap();
    cluster.start_again();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(create).unwrap();
    owes(&cluster, 1);
    // The second attempt ends where it looks whether it has run already.
    let called = calls(&mut bob);
    assert!((2..=3).contains(&called), "{called} calls");
    is_quiet(&mut bob, called);
    cluster.sql("postgres", "reindex index jittask.record_occurrence");
    wait_for(&cluster, "b_2", "failed", 1);
    assert_eq!(calls(&mut bob), called);
    nothing_unaccounted(&mut cluster.connect("postgres"));
}

/// Not even the attempt can be noted: until it can, there is no other.
#[test]
fn an_attempt_that_cannot_be_noted_is_the_last() {
    let cluster = cluster(&[]);
    let mut bob = begin(&cluster);
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(
            "create function public.no() returns trigger language plpgsql as $$ begin raise 'no agenda'; end $$;
             create trigger no before update or delete on jittask.agenda for each row execute function public.no()",
        )
        .unwrap();
    bob.batch_execute(
        "select jittask.create_scheduled_task('a', now(), 'bob.tick', max_attempts => 2, retry_backoff => '200 ms')",
    )
    .unwrap();
    cluster.wait_for_log("could not note a failed attempt");
    is_quiet(&mut bob, 1);
    admin.batch_execute("drop trigger no on jittask.agenda").unwrap();
    wait_for(&cluster, "a", "completed", 1);
    assert_eq!(calls(&mut bob), 2);
    nothing_unaccounted(&mut admin);
}
