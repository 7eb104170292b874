//! Very much of the past, of one task: it enters the agenda as it is worked off, others' rows run meanwhile, and whoever drops
//! or alters a task waits for nobody's backlog.

mod attack;
mod fair;

use std::time::{Duration, Instant};

use attack::{number, peopled, session, text};
use cluster::postgres::Client;
use cluster::{Cluster, Mode, Options, SOON, nothing_unaccounted};
use fair::{MALLORY, NEVER, assert_in_time, fair_on, latest};

/// `catalog::agenda::backlog::MOST`, what is entered in one go beyond it, and what is planned for the near future.
const MOST: i64 = 20_000 + 5_000 + 3_700;

/// What waits of a task, in entries.
fn waiting(admin: &mut Client, task: &str) -> i64 {
    number(
        admin,
        &format!(
            "select count(*) from jittask.agenda where task_id = (select id from jittask.task where name = '{task}')"
        ),
    )
}

/// Works for a while at what was missed, by bob's side; the most that waited at any time.
fn worked_off(cluster: &Cluster, bob: &mut Client, task: &str, control: f64, ended: i64) {
    let mut admin = cluster.connect("postgres");
    let (until, mut most) = (Instant::now() + 2 * NEVER, 0);
    let count = format!("select ended from jittask.accounts where task = '{task}'");
    let ended = ended + number(&mut admin, &count);
    while number(&mut admin, &count) < ended {
        most = most.max(waiting(&mut admin, task));
        assert!(most <= MOST, "{most} entries wait");
        assert!(Instant::now() < until, "after two minutes {} of {ended} have ended", number(&mut admin, &count));
        std::thread::sleep(Duration::from_millis(50));
    }
    // How much more than is run at a time, depends on the machine.
    assert!(most > 1_000, "{most} at most: nothing was worked off");
    assert_in_time(cluster, bob, control, "a task with a year of seconds to make up for");
}

/// Dropped, with what waits.
fn drop_is_quick(cluster: &Cluster, task: &str) {
    let (mut admin, mut mallory) = (cluster.connect("postgres"), session(cluster, "mallory"));
    // A run that has the table open is waited for.
    mallory.batch_execute("set lock_timeout = '20s'").unwrap();
    let (begun, before) = (Instant::now(), waiting(&mut admin, task));
    mallory.batch_execute(&format!("select jittask.drop_task('{task}')")).unwrap();
    assert!(begun.elapsed() < NEVER / 2, "{:?} for {before} entries", begun.elapsed());
    cluster.wait_for(SOON, "select not exists (select from jittask.agenda a join jittask.task t on t.id = a.task_id where t.dropped_at is not null)");
    let cancelled = "select count(*) from jittask.record where status = 'cancelled' and reason = 'dropped'";
    assert!(number(&mut admin, cancelled) > before / 2, "{before} waited");
    nothing_unaccounted(&mut admin);
}

/// What of the past has run lies dead in the index while somebody's snapshot keeps it: whoever looks how much waits, twice a
/// second, or whether an earlier occurrence does, before each run, does not pass all of it. Counted in entries of the index.
fn dead_past_is_passed_in_part(cluster: &Cluster, task: &str) {
    const DEAD: i64 = 400_000;
    const SECONDS: u64 = 5;
    let mut admin = cluster.connect("postgres");
    let mut holder = session(cluster, "mallory");
    holder.batch_execute("begin isolation level repeatable read; select 1").unwrap();
    cluster.sql(
        "postgres",
        &format!(
            "begin;
             insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys)
             select nextval('jittask.occurrence_id'), t.owner, t.id, 'infinity', i.at, i.at, '{{dead}}'
             from (select * from jittask.task where name = '{task}') t, (select now() - interval '2 years' + g * interval '1 second' as at
                 from generate_series(1, {DEAD}) g) i;
             delete from jittask.agenda where keys = '{{dead}}';
             commit"
        ),
    );
    let passed =
        "select idx_tup_read from pg_stat_all_indexes where indexrelid = 'jittask.agenda_occurrence'::regclass";
    let ended = format!("select ended from jittask.accounts where task = '{task}'");
    let before = (number(&mut admin, passed), number(&mut admin, &ended));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (passed, ended) = (number(&mut admin, passed) - before.0, number(&mut admin, &ended) - before.1);
    println!("{passed} entries were passed in {SECONDS} s, with {DEAD} dead ones, for {ended} runs");
    let most = 3 * DEAD + 150 * ended;
    assert!(passed < most, "{passed} entries were passed, not {most}, for {ended} runs with {DEAD} dead entries");
    assert!(ended > 200, "only {ended} ran in {SECONDS} s");
}

/// A year of seconds, of a scheduled task.
#[test]
fn a_year_of_seconds_of_a_scheduled_task() {
    let cluster = peopled(Cluster::with_options(&Options { clock: true, ..Options::default() }));
    let (mut cluster, mut bob) = fair_on(cluster);
    let control = latest(&cluster, &mut bob);
    session(&cluster, "mallory")
        .batch_execute(
            "create function mallory.tick() returns void language sql as '';
             select jittask.create_scheduled_task('flood', now(), 'mallory.tick', rule => 'every 1 second', catch_up => 'all',
                 catch_up_window => '1 year')",
        )
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'completed')");
    cluster.stop(Mode::Fast);
    cluster.set_clock(300 * 86_400);
    cluster.start_again();
    let mut bob = session(&cluster, "bob");
    worked_off(&cluster, &mut bob, "flood", control, 15_000);
    let mut admin = cluster.connect("postgres");
    let entered = number(&mut admin, "select entered from jittask.accounts where task = 'flood'");
    assert!(entered > 23_000, "only {entered} entered, though half of the first have run");
    // Oldest first.
    let gaps = "select count(*) from (
        select due_at - lag(due_at) over (order by due_at) as gap from jittask.record where task_id = (select id from jittask.task where name = 'flood')
        order by due_at limit 15000) x where gap > interval '1 second'";
    assert_eq!(number(&mut admin, gaps), 0);
    dead_past_is_passed_in_part(&cluster, "flood");
    drop_is_quick(&cluster, "flood");
}

/// Mallory's table, with a task for each way to come to very much of the past: rows that are there already, and one that is
/// written then.
fn rows_of_seconds(mallory: &mut Client, span: &str) {
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(&format!(
            "create function mallory.note(mallory.t) returns void language sql as '';
             insert into mallory.t (id, due) values (1, now() - interval '2 years');
             select jittask.create_date_task('swept', 'mallory.t', 'due', 'mallory.run', rule => 'every 1 second', catch_up => 'all',
                 existing_rows => '{span}', filter => 'id = 1'),
               jittask.create_date_task('captured', 'mallory.t', 'due', 'mallory.note', rule => 'every 1 second', catch_up => 'all',
                 catch_up_window => '{span}', filter => 'id = 2');
             insert into mallory.t (id, due) values (2, now() - interval '2 years')"
        ))
        .unwrap();
}

/// A year of seconds of one row.
#[test]
fn a_year_of_seconds_of_a_row() {
    let (cluster, mut bob) = fair_on(attack::cluster(&[("jittask.planning_horizon", "60s")]));
    let control = latest(&cluster, &mut bob);
    rows_of_seconds(&mut session(&cluster, "mallory"), "1 year");
    for task in ["swept", "captured"] {
        worked_off(&cluster, &mut bob, task, control, 25_000);
        drop_is_quick(&cluster, task);
    }
    let mut admin = cluster.connect("postgres");
    assert_eq!(number(&mut admin, "select count(*) from jittask.arrears"), 0);
}

/// More than may wait at a time, and all of it runs.
#[test]
fn what_is_entered_by_and_by_is_all_there_is() {
    let cluster = attack::cluster(&[("jittask.planning_horizon", "60s")]);
    rows_of_seconds(&mut session(&cluster, "mallory"), "9 hours");
    let mut admin = cluster.connect("postgres");
    let created = text(&mut admin, "select min(created_at)::text from jittask.task").unwrap();
    for task in ["swept", "captured"] {
        // Of each second one.
        let ended = format!(
            "select count(*) from jittask.record r join jittask.task t on t.id = r.task_id
             where t.name = '{task}' and r.status is null and r.nominal_at < '{created}' and r.nominal_at > '{created}'::timestamptz - interval '539 minutes'"
        );
        let until = Instant::now() + 2 * NEVER;
        loop {
            let (most, done) = (waiting(&mut admin, task), number(&mut admin, &ended));
            assert!(most <= MOST, "{most} entries wait");
            if done >= 32_340 {
                assert_eq!(done, 32_340);
                break;
            }
            assert!(Instant::now() < until, "{task}: {done} of 32340 ran\n{}", cluster.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    cluster.wait_for(SOON, "select bool_and(looks_from is null) from jittask.task");
    cluster.wait_for(SOON, "select not exists (select from jittask.arrears)");
    nothing_unaccounted(&mut admin);
}

/// Very much that is planned is planned anew after its calendar changed, portion by portion.
#[test]
fn a_changed_calendar_withdraws_in_portions() {
    let (cluster, mut bob) = fair_on(attack::cluster(&[]));
    let control = latest(&cluster, &mut bob);
    let (mut admin, mut mallory) = (cluster.connect("postgres"), session(&cluster, "mallory"));
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(
            "select jittask.create_calendar('mine', weekend => '{}');
             insert into mallory.t (id, due) select i, now() + interval '40 minutes' + i * interval '50 ms' from generate_series(1, 12000) i;
             select jittask.create_date_task('planned', 'mallory.t', 'due', 'mallory.run', skip_holidays => true, calendar => 'mine')",
        )
        .unwrap();
    cluster.wait_until("all to be planned", NEVER, || (waiting(&mut admin, "planned") == 12_000).then_some(()));
    admin
        .batch_execute(
            "create table public.withdrawn (entries bigint);
             create function public.withdrawn() returns trigger language plpgsql as
                 $$ begin insert into public.withdrawn select count(*) from gone; return null; end $$;
             create trigger withdrawn after delete on jittask.agenda referencing old table as gone
                 for each statement execute function public.withdrawn()",
        )
        .unwrap();
    let oldest = "select coalesce(min(id), 0) from jittask.agenda";
    let before = number(&mut admin, oldest);
    mallory.batch_execute("select jittask.add_holiday('mine', '2001-01-01', 'long ago')").unwrap();
    cluster.wait_until("all to be planned anew", NEVER, || {
        (waiting(&mut admin, "planned") == 12_000 && number(&mut admin, oldest) > before).then_some(())
    });
    let withdrawn = "select coalesce(sum(entries), 0)::bigint from public.withdrawn where entries > ";
    assert!(number(&mut admin, &format!("{withdrawn} 0")) >= 12_000);
    assert_eq!(number(&mut admin, &format!("{withdrawn} 5000")), 0);
    assert_in_time(&cluster, &mut bob, control, "planning anew");
    nothing_unaccounted(&mut admin);
}

/// What is planned is committed before the rest of a pass, and its locks end there.
#[test]
fn a_pass_that_is_held_up_holds_no_series() {
    let cluster = attack::cluster(&[("jittask.planning_horizon", "10s")]);
    session(&cluster, "mallory")
        .batch_execute(
            "create function mallory.tick() returns void language sql as '';
             select jittask.create_scheduled_task('ticks', now(), 'mallory.tick', rule => 'every 1 second')",
        )
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'completed')");
    let mut holder = cluster.connect("postgres");
    // A new scheduler looks there for candidates, late in its pass.
    holder.batch_execute("begin; lock table jittask.capture in access exclusive mode").unwrap();
    cluster.sql("postgres", "select pg_terminate_backend(pid) from jittask.workers where kind = 'scheduler'");
    let planned = text(&mut holder, "select due_at::text from jittask.series").unwrap();
    cluster.wait_for(
        NEVER,
        &format!("select due_at > '{planned}'::timestamptz + interval '12 seconds' from jittask.series"),
    );
    holder.batch_execute("rollback").unwrap();
    nothing_unaccounted(&mut cluster.connect("postgres"));
}
