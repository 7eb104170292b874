//! Entries of the agenda that are gone, but that somebody's snapshot keeps in its index: any role may hold a snapshot, and
//! make millions of them. Others do not pass them again and again. Counted in entries of the index, not by the clock.

mod attack;
mod fair;

use std::time::{Duration, Instant};

use attack::{cluster, number, session, wait_for};
use cluster::Cluster;
use cluster::postgres::Client;
use fair::{MALLORY, assert_in_time, fair, latest};

/// Entries that are gone.
const DEAD: i64 = 300_000;
/// Rows of bob's, one after the other.
const ROWS: usize = 60;

/// As if so many occurrences of this role's first task had been planned and withdrawn or run: from an hour ago to in an hour.
fn dead_entries(cluster: &Cluster, role: &str) {
    cluster.sql(
        "postgres",
        &format!(
            "begin;
             insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys)
             select nextval('jittask.occurrence_id'), t.owner, t.id, i.at, i.at, i.at, '{{\"\"}}'
             from (select * from jittask.task where owner = '{role}'::regrole order by id limit 1) t,
                  (select now() + (g - {DEAD} / 2) * interval '2 hours' / {DEAD} as at from generate_series(1, {DEAD}) g) i;
             delete from jittask.agenda where owner = '{role}'::regrole and keys = '{{\"\"}}';
             commit"
        ),
    );
}

/// So many entries of the index by which all look for what is due have been passed so far.
fn passed(admin: &mut Client) -> i64 {
    number(admin, "select idx_tup_read from pg_stat_all_indexes where indexrelid = 'jittask.agenda_claim'::regclass")
}

/// Runs rows of bob's; so many entries were passed meanwhile, and so many looks from the front were allowed.
fn rows(cluster: &Cluster, bob: &mut Client) -> (i64, i64) {
    let mut admin = cluster.connect("postgres");
    let (begun, before) = (Instant::now(), passed(&mut admin));
    // Not by the view, which looks through bob's part of the index too.
    let recorded = "select count(*) from jittask.record";
    let recorded_before = number(&mut admin, recorded);
    for row in 1..=ROWS as i64 {
        bob.batch_execute("insert into bob.t (due) values (clock_timestamp())").unwrap();
        cluster.wait_until("bob's row", fair::NEVER, || {
            (number(&mut admin, recorded) == recorded_before + row).then_some(())
        });
        // Beyond the moment after which a look used to begin at the front.
        std::thread::sleep(Duration::from_millis(120));
    }
    (passed(&mut admin) - before, 1 + begun.elapsed().as_secs() as i64 / 30)
}

fn a_snapshot(cluster: &Cluster, role: &str) -> Client {
    let mut holder = session(cluster, role);
    holder.batch_execute("begin isolation level repeatable read; select 1").unwrap();
    holder
}

/// Another's.
#[test]
fn anothers_dead_entries_are_passed_once() {
    let (cluster, mut bob) = fair(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory.batch_execute("select jittask.create_date_task('rows', 'mallory.t', 'due', 'mallory.run')").unwrap();
    let late_before = latest(&cluster, &mut bob);
    let (control, _) = rows(&cluster, &mut bob);
    let _holder = a_snapshot(&cluster, "mallory");
    dead_entries(&cluster, "mallory");
    let (count, fulls) = rows(&cluster, &mut bob);
    println!("{control} entries passed for {ROWS} rows without dead ones, {count} with {DEAD}");
    assert!(count < 20 * control + (1 + fulls) * DEAD, "{count} entries were passed, before it {control}");
    // Rows of hers come in before all of them, again and again.
    for _ in 0..4 {
        mallory
            .batch_execute(
                "insert into mallory.t (id, due) select count(*), now() - interval '55 minutes' from mallory.t",
            )
            .unwrap();
        assert_in_time(&cluster, &mut bob, late_before, "something early of another's");
    }
    wait_for(&cluster, "rows", "completed", 4);
}

/// One's own, that another's snapshot keeps.
#[test]
fn ones_own_dead_entries_are_passed_seldom() {
    let (cluster, mut bob) = fair(&[]);
    let late_before = latest(&cluster, &mut bob);
    let (control, _) = rows(&cluster, &mut bob);
    let _holder = a_snapshot(&cluster, "mallory");
    dead_entries(&cluster, "bob");
    let (count, fulls) = rows(&cluster, &mut bob);
    println!("{control} entries passed for {ROWS} rows without dead ones, {count} with {DEAD}");
    assert!(count < 20 * control + 2 * (1 + fulls) * DEAD, "{count} entries were passed, before it {control}");
    assert_in_time(&cluster, &mut bob, late_before, "dead entries of his own");
}

/// A superuser who writes into the agenda himself tells nobody, and it is found all the same.
#[test]
fn what_nobody_told_of_is_found() {
    let cluster = cluster(&[]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "select jittask.create_scheduled_task('far', now() + interval '1 day', body => 'null', repeat => 'daily');
         create table bob.t (id int primary key, due timestamptz);
         create function bob.run(bob.t) returns void language sql as '';
         select jittask.create_date_task('rows', 'bob.t', 'due', 'bob.run');
         insert into bob.t values (1, now())",
    )
    .unwrap();
    wait_for(&cluster, "rows", "completed", 1);
    cluster.sql(
        "postgres",
        "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, origin)
         select nextval('jittask.occurrence_id'), owner, id, now(), now(), now(), '{\"\"}', 'm' from jittask.task where name = 'far'",
    );
    cluster.wait_for(
        Duration::from_secs(180),
        "select count(*) = 1 from jittask.records where task = 'far' and status = 'completed'",
    );
}

/// Rows of the agenda that a query has read.
fn rows_read(session: &mut Client, query: &str) -> i64 {
    session.batch_execute("begin").unwrap();
    session.query(query, &[]).unwrap();
    let read = number(
        session,
        "select coalesce(seq_tup_read + idx_tup_fetch, seq_tup_read) from pg_stat_xact_all_tables where relid = 'jittask.agenda'::regclass",
    );
    session.batch_execute("rollback").unwrap();
    read
}

/// Who looks at his own records, tasks and accounts reads nothing of others' entries, however the table was analyzed.
#[test]
fn the_views_read_ones_own_entries() {
    let (cluster, mut bob) = fair(&[]);
    bob.batch_execute("insert into bob.t (due) select now() + interval '30 minutes' from generate_series(1, 50)")
        .unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute("select jittask.create_scheduled_task('far', now() + interval '1 day', body => 'null')")
        .unwrap();
    let mut admin = cluster.connect("postgres");
    cluster.wait_for(attack::SOON, "select sum(cardinality(keys)) = 51 from jittask.agenda");
    admin
        .batch_execute(
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys)
             select nextval('jittask.occurrence_id'), t.owner, t.id, i.at, i.at, i.at, '{\"\"}'
             from (select * from jittask.task where owner = 'mallory'::regrole) t,
                  (select now() + interval '1 day' + g * interval '1 second' as at from generate_series(1, 50000) g) i",
        )
        .unwrap();
    let views = [
        "select count(*) from jittask.records",
        "select * from jittask.records where task = 'victim' and status <> 'completed'",
        "select * from jittask.tasks",
        "select * from jittask.accounts",
        "select * from jittask.task_stats",
    ];
    for analyzed in ["", "analyze jittask.agenda, jittask.task"] {
        admin.batch_execute(analyzed).unwrap();
        for view in views {
            let read = rows_read(&mut bob, view);
            assert!(read < 1000, "{view} read {read} rows of the agenda, {analyzed}");
        }
    }
    let waiting = "select count(*) from jittask.records where status <> 'completed'";
    assert_eq!(number(&mut bob, waiting), 50);
    assert_eq!(number(&mut mallory, waiting), 50_001);
    assert_eq!(number(&mut admin, waiting), 50_051);
    admin.batch_execute("grant mallory to bob").unwrap();
    assert_eq!(number(&mut bob, waiting), 50_051);
}
