//! The live row decides: what is planned runs only if the row, as it is at that moment, is still due and meets the
//! filter; and an occurrence that was skipped for that is pending again when it comes back.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, all, one};

const SOON: Duration = Duration::from_secs(30);

/// `id status reason`, of the records of one due instant.
fn states(session: &mut Client, condition: &str) -> Vec<String> {
    all(
        session,
        &format!(
            "select concat_ws(' ', row_key ->> 'id', status, reason) from jittask.records where {condition} order by (row_key ->> 'id')::int"
        ),
    )
}

const CONTRACTS: &str = "
create table contract (id bigint primary key, due timestamptz, live boolean default true);
create index on contract (due);
create table outbox (id bigint, due_at timestamptz, record_id bigint);
create function run(contract) returns void language sql as
    $$ insert into outbox select $1.id, due_at, record_id from jittask.current_run() $$;";

#[test]
fn what_changed_is_skipped_and_comes_back_under_its_id() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql("select jittask.create_date_task('live', 'contract', 'due', 'run', filter => 'live')");
    cluster.app_sql("insert into contract select id, date_trunc('second', now()) + interval '3 seconds' from generate_series(1, 6) id");
    let mut session = cluster.app();
    let due = one::<String>(&mut session, "select format('timestamptz %L', min(due)) from contract");
    let here = format!("due_at = {due}");
    cluster.wait_for(SOON, &format!("select count(*) = 6 from jittask.records where {here}"));
    let ids: Vec<i64> =
        all(&mut session, &format!("select id from jittask.records where {here} order by (row_key ->> 'id')::int"));
    session
        .batch_execute(
            "update contract set due = due + interval '1 hour' where id = 1; delete from contract where id = 2;
             update contract set live = false where id = 3; update contract set live = null where id = 4;
             update contract set due = null where id = 5",
        )
        .unwrap();
    cluster.wait_for(
        SOON,
        &format!("select count(*) = 6 from jittask.records where {here} and status in ('completed', 'skipped')"),
    );
    assert_eq!(
        states(&mut session, &here),
        [
            "1 skipped row_changed",
            "2 skipped row_deleted",
            "3 skipped filter",
            "4 skipped filter",
            "5 skipped row_changed",
            "6 completed"
        ]
    );
    assert_eq!(all::<i64>(&mut session, "select id from outbox"), [6]);
    // They come back; the one that has run also moves away and back.
    session
        .batch_execute(&format!(
            "update contract set due = {due} where id in (1, 5); insert into contract values (2, {due});
             update contract set live = true where id in (3, 4);
             update contract set due = {due} + interval '1 day' where id = 6; update contract set due = {due} where id = 6"
        ))
        .unwrap();
    cluster.wait_for(SOON, &format!("select count(*) = 6 from jittask.records where {here} and status = 'completed'"));
    assert_eq!(
        all::<i64>(
            &mut session,
            &format!("select id from jittask.records where {here} order by (row_key ->> 'id')::int")
        ),
        ids,
        "the ids stay"
    );
    assert_eq!(all::<i64>(&mut session, "select id from outbox order by id"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(all::<i64>(&mut session, "select record_id from outbox order by id"), ids);
    // The occurrence an hour later was planned for row 1, and is not due any more: nothing is decided before that.
    assert_eq!(one::<i64>(&mut session, "select sum(abs(unaccounted))::bigint from jittask.accounts"), 0);
    let counts: String = one(&mut session, "select format('%s %s', completed, skipped) from jittask.tasks");
    assert_eq!(counts, "6 0");
}

#[test]
fn a_filter_that_reads_another_table_is_judged_when_the_row_runs() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create table allowed (id bigint);
         insert into allowed values (1), (2);
         select jittask.create_date_task('late', 'contract', 'due', 'run',
             filter => 'exists (select from allowed where allowed.id = contract.id) and live');
         insert into contract select id, date_trunc('second', now()) + interval '3 seconds' from generate_series(1, 4) id;",
    );
    // All of them are planned, whatever the other table says now.
    cluster.wait_for(SOON, "select count(*) = 4 from jittask.records where status = 'pending'");
    cluster.app_sql("delete from allowed where id = 2; insert into allowed values (3)");
    cluster.wait_for(SOON, "select count(*) = 4 from jittask.records where status in ('completed', 'skipped')");
    let mut session = cluster.app();
    assert_eq!(states(&mut session, "true"), ["1 completed", "2 skipped filter", "3 completed", "4 skipped filter"]);
    assert_eq!(all::<i64>(&mut session, "select id from outbox order by id"), [1, 3]);
}

#[test]
fn a_row_that_fails_its_first_judgement_leaves_no_record() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "500ms")]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('live', 'contract', 'due', 'run', filter => 'live');
         insert into contract select id, now() + interval '1 second', id = 1 from generate_series(1, 3) id;
         insert into contract values (4, now() - interval '25 hours'), (5, now() - interval '23 hours'), (6, 'infinity'), (7, null);",
        // Row 4 is older than the catch_up_window, row 5 is not.
    );
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    let mut session = cluster.app();
    assert_eq!(states(&mut session, "true"), ["1 completed", "5 completed"]);
}

/// A service function that changes other rows of its batch: each row is judged as it is when its turn comes.
#[test]
fn what_earlier_rows_of_the_batch_changed_is_seen() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create or replace function run(contract) returns void language sql as
             $$ insert into outbox values ($1.id); update contract set live = false where id <> $1.id $$;
         select jittask.create_date_task('live', 'contract', 'due', 'run', filter => 'live');
         insert into contract select id, now() + interval '1 second' from generate_series(1, 10) id;",
    );
    cluster.wait_for(SOON, "select count(*) = 10 from jittask.records where status in ('completed', 'skipped')");
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 1);
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where reason = 'filter'"), 9);
}
