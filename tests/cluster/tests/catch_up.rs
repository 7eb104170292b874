//! What is first seen after its due time: every value of catch_up, for every cause of being late, for both kinds of
//! tasks; and what is older than catch_up_window.

use cluster::postgres::Client;
use cluster::{Cluster, Mode, Options, SOON, all, nothing_unaccounted, now, one};

/// Four occurrences a second apart, from `start` on, for one task of each kind and value of catch_up; and a pair of
/// tasks to which all of them are too old.
fn tasks(cluster: &Cluster, start: f64) {
    cluster.app_sql(&format!(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create table outbox (task text, nominal_at timestamptz);
         create function run() returns void language sql as $$ insert into outbox select task, nominal_at from jittask.current_run() $$;
         create function run(contract) returns void language sql as $$ insert into outbox select task, nominal_at from jittask.current_run() $$;
         select jittask.create_scheduled_task('s ' || c, to_timestamp({start}), 'run', catch_up => c, rule => '{FOUR}'),
                jittask.create_date_task('d ' || c, 'contract', 'due', 'run', catch_up => c, rule => '{FOUR}')
         from unnest(enum_range(null::jittask.catch_up)) c;
         select jittask.create_scheduled_task('s old', to_timestamp({start}), 'run', catch_up_window => '500 ms', rule => '{FOUR}'),
                jittask.create_date_task('d old', 'contract', 'due', 'run', catch_up_window => '500 ms', rule => '{FOUR}');"
    ));
}

const FOUR: &str = "FREQ=SECONDLY;COUNT=4";

/// Each task's ends in the order of the due times, of one row and of the scheduled tasks.
fn fates(session: &mut Client, row: i32) -> Vec<String> {
    let ends = format!(
        "select format('%s: %s', t.name, coalesce(nullif(string_agg(concat_ws(' ', r.status, r.reason), ', ' order by r.due_at), ''), 'nothing'))
         from jittask.tasks t left join jittask.records r on r.task = t.name and coalesce(row_key ->> 'id', '{row}') = '{row}'
         group by t.name order by t.name"
    );
    all(session, &ends)
}

const NONE: &str = "skipped catch_up, skipped catch_up, skipped catch_up, skipped catch_up";
const LAST: &str = "skipped catch_up, skipped catch_up, skipped catch_up, completed";
const ALL: &str = "completed, completed, completed, completed";

/// As each catch_up says, for tasks of these kinds; `rows` of them were late, this is the last.
fn as_told(cluster: &Cluster, kinds: &[&str], rows: i32) {
    let mut session = cluster.app();
    cluster.ended(12 * kinds.len() as i64 * i64::from(rows));
    let too_old = format!("select count(*) = {} from jittask.tasks where passed_over >= {rows}", kinds.len());
    cluster.wait_for(SOON, &too_old);
    let told = kinds.iter().flat_map(|kind| {
        [("all", ALL), ("last", LAST), ("none", NONE), ("old", "nothing")]
            .map(|(name, fate)| format!("{kind}_{name}: {fate}"))
    });
    let fates = fates(&mut session, rows);
    for line in told {
        assert!(fates.contains(&line), "\"{line}\" is not in {fates:#?}");
    }
    let in_order: bool = one(
        &mut session,
        "select coalesce(bool_and(started_at >= before), true) from (
             select started_at, lag(finished_at, 1, '-infinity') over (partition by task order by due_at) as before
             from jittask.records where status = 'completed' and kind = 'scheduled') r",
    );
    assert!(in_order, "a scheduled task's runs are not one after the other");
    let effects: i64 = one(&mut session, "select count(*) from outbox");
    assert_eq!(effects, one::<i64>(&mut session, "select count(*) from jittask.records where status = 'completed'"));
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    for kind in kinds {
        let name = format!("\"{kind}_old\"");
        assert!(problems.iter().any(|problem| problem.contains(&name)), "{name} is not in {problems:?}");
    }
    nothing_unaccounted(&mut session);
}

/// All that is due is in the agenda.
fn planned(cluster: &Cluster) {
    cluster.wait_for(SOON, "select count(*) = 32 from jittask.records where status = 'pending'");
}

#[test]
fn the_server_was_down() {
    let mut cluster = Cluster::ready(&[]);
    let start = now() + 4.0;
    tasks(&cluster, start);
    cluster.app_sql(&format!("insert into contract values (1, to_timestamp({start}))"));
    planned(&cluster);
    cluster.stop(Mode::Fast);
    assert!(now() < start, "too slow to stop before the first is due");
    cluster.wait_past(start + 4.0);
    cluster.start_again();
    as_told(&cluster, &["d", "s"], 1);
    let passed_over = "select passed_over from jittask.tasks where name = 's_old'";
    assert_eq!(one::<i64>(&mut cluster.app(), passed_over), 4);
}

/// Only the first of the occurrences was planned when the server stopped.
#[test]
fn the_server_was_down_for_weeks() {
    let mut cluster = Cluster::ready_with(Options { clock: true, ..Options::default() });
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task(c::text, 'contract', 'due', 'run', repeat => 'weekly', catch_up => c, catch_up_window => '60 days')
         from unnest(enum_range(null::jittask.catch_up)) c;
         insert into contract values (1, now() + interval '4 seconds')",
    );
    let start = now() + 4.0;
    cluster.wait_for(SOON, "select count(*) = 3 from jittask.records where status = 'pending'");
    cluster.stop(Mode::Fast);
    assert!(now() < start, "too slow to stop before the first is due");
    cluster.set_clock(22 * 86_400);
    cluster.start_again();
    cluster.ended(12);
    let mut session = cluster.app();
    assert_eq!(fates(&mut session, 1), [format!("all: {ALL}"), format!("last: {LAST}"), format!("none: {NONE}")]);
    nothing_unaccounted(&mut session);
}

#[test]
fn jittask_was_off() {
    let cluster = Cluster::ready(&[]);
    let start = now() + 4.0;
    tasks(&cluster, start);
    cluster.app_sql(&format!("insert into contract values (1, to_timestamp({start}))"));
    planned(&cluster);
    cluster.turn("jittask.enabled", "off");
    assert!(now() < start, "too slow to turn it off before the first is due");
    cluster.wait_past(start + 4.0);
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0, "something ran while it was off");
    cluster.turn("jittask.enabled", "on");
    as_told(&cluster, &["d", "s"], 1);
}

/// The scheduled tasks are for later, and out of the way.
fn rows_only(cluster: &Cluster) -> f64 {
    let start = now();
    tasks(cluster, start + 3600.0);
    cluster
        .app_sql("select jittask.drop_task(name, keep_records => false) from jittask.tasks where kind = 'scheduled'");
    now()
}

/// In the agenda of nobody: the row came while jittask was off, and was due before it was on again.
#[test]
fn a_row_was_written_while_jittask_was_off() {
    let cluster = Cluster::ready(&[]);
    rows_only(&cluster);
    cluster.turn("jittask.enabled", "off");
    cluster.wait_for(SOON, "select not exists (select from jittask.workers where kind = 'executor')");
    let start = now();
    cluster.app_sql(&format!("insert into contract values (1, to_timestamp({start}))"));
    cluster.wait_past(start + 4.0);
    cluster.turn("jittask.enabled", "on");
    as_told(&cluster, &["d"], 1);
}

#[test]
fn a_row_was_written_late() {
    let cluster = Cluster::ready(&[]);
    let start = rows_only(&cluster);
    cluster.wait_past(start + 4.0);
    cluster.app_sql(&format!("insert into contract values (1, to_timestamp({start})), (2, now() + interval '1 year')"));
    as_told(&cluster, &["d"], 1);
    // The other way of being late: moved into the past.
    cluster.app_sql(&format!("update contract set due = to_timestamp({start}) where id = 2"));
    as_told(&cluster, &["d"], 2);
}

/// Too old at the start counts as nothing that was missed.
#[test]
fn what_was_overdue_before_registration_is_not_passed_over() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function run(contract) returns void language sql as '';
         insert into contract values (1, now() - interval '10 days'), (2, now() - interval '2 hours'), (3, now() - interval '30 minutes'),
             (4, now() + interval '1 second');
         select jittask.create_date_task('from now', 'contract', 'due', 'run'),
             jittask.create_date_task('an hour', 'contract', 'due', 'run', existing_rows => '1 hour'),
             jittask.create_date_task('a day', 'contract', 'due', 'run', existing_rows => '1 day'),
             jittask.create_date_task('all', 'contract', 'due', 'run', existing_rows => '1 year')",
    );
    cluster.ended(1 + 2 + 3 + 4);
    let mut session = cluster.app();
    let ran: Vec<String> = all(
        &mut session,
        "select format('%s: %s', task, string_agg(row_key ->> 'id' || ' ' || status, ', ' order by row_key)) from jittask.records group by task order by task",
    );
    assert_eq!(
        ran,
        [
            "a_day: 2 completed, 3 completed, 4 completed",
            "all: 1 completed, 2 completed, 3 completed, 4 completed",
            "an_hour: 3 completed, 4 completed",
            "from_now: 4 completed"
        ]
    );
    assert_eq!(one::<i64>(&mut session, "select sum(passed_over)::bigint from jittask.tasks"), 0);
    nothing_unaccounted(&mut session);
}

/// A date that is too old when it is written is counted, whatever the task's age; one that was there already is not, nor what
/// a series had before the task.
#[test]
fn a_date_that_is_written_too_late_is_passed_over() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz, status text default 'active');
         create index on contract (due);
         create function run(contract) returns void language sql as '';
         insert into contract values (1, now() - interval '40 days', 'draft'), (2, now() + interval '1 year', 'active');
         select jittask.create_date_task('once', 'contract', 'due', 'run', filter => $$ status = 'active' $$),
             jittask.create_date_task('each year', 'contract', 'due', 'run', repeat => 'yearly')",
    );
    let passed_over = |once: i64| {
        let query = format!("select passed_over = {once} from jittask.tasks where name = 'once'");
        cluster.wait_for(SOON, &query);
        one::<i64>(&mut cluster.app(), "select passed_over from jittask.tasks where name = 'each_year'")
    };
    cluster
        .app_sql("insert into contract values (3, now() - interval '40 days'), (4, now() - interval '3 years 2 days')");
    passed_over(2);
    cluster.app_sql("update contract set due = now() - interval '50 days' where id = 2");
    passed_over(3);
    // Overdue before registration; what changes is something else.
    cluster.app_sql("update contract set status = 'active' where id = 1");
    cluster.app_sql("insert into contract values (5, now() - interval '60 days')");
    assert_eq!(passed_over(4), 0);
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records"), 0);
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    assert_eq!(problems, ["task \"once\": 4 occurrences were seen too late and passed over"]);
    nothing_unaccounted(&mut session);
}

/// Two hours of seconds are more than are planned at a time: yet only the last of them runs.
#[test]
fn the_last_of_very_many_runs() {
    let mut cluster = Cluster::ready_with(Options { clock: true, ..Options::default() });
    cluster.app_sql(
        "create table outbox (due_at timestamptz);
         create function run() returns void language sql as $$ insert into outbox select due_at from jittask.current_run() $$;
         select jittask.create_scheduled_task('second', now(), 'run', rule => 'every 1 second')",
    );
    cluster.wait_for(SOON, "select count(*) > 2 from outbox");
    cluster.stop(Mode::Fast);
    cluster.set_clock(7200);
    cluster.start_again();
    cluster.wait_for(SOON, "select max(due_at) > now() - interval '2 seconds' and count(*) > 6 from outbox");
    let mut session = cluster.app();
    let missed =
        "from jittask.records where due_at < now() - interval '1 minute' and due_at > now() - interval '119 minutes'";
    let ran: i64 = one(&mut session, &format!("select count(*) {missed} and status = 'completed'"));
    let skipped: i64 = one(&mut session, &format!("select count(*) {missed} and reason = 'catch_up'"));
    assert_eq!((ran, skipped > 7_000), (0, true), "{skipped} were skipped");
    nothing_unaccounted(&mut session);
}
