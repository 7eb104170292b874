//! Whatever one owner does, a single row of another runs in time. Each attack is measured against the same server before
//! it, so that a slow machine breaks nothing: at most a second later than three times what it was then.

mod attack;
mod fair;

use attack::{code, number, session};
use cluster::{Cluster, Load};
use fair::{MALLORY, NEVER, assert_in_time, fair, late, latest};

/// A condition of about so many bytes, that names a column as often as that allows.
fn long_filter(bytes: usize) -> String {
    format!("coalesce(n{}) is not null", ",n".repeat(bytes / 2))
}

/// 7a. A long filter holds up neither who renames a column nor the scheduler that finds what he left.
#[test]
fn a_long_filter_stops_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    let create =
        "select jittask.create_date_task('long', 'mallory.t', 'due', 'mallory.run', filter => $1, name => 'long')";
    let filter = long_filter(200_000);
    mallory.execute(create, &[&filter]).unwrap();
    let mut other = session(&cluster, "mallory");
    // Somebody has the task: the session does not follow, the scheduler will.
    other.batch_execute("begin; select jittask.pause_task('long')").unwrap();
    mallory.batch_execute("alter table mallory.t rename n to m").unwrap();
    other.batch_execute("rollback").unwrap();
    mallory.batch_execute("create table mallory.wakes_the_scheduler ()").unwrap();
    assert_in_time(&cluster, &mut bob, control, "a long filter in the scheduler");
    cluster
        .wait_for(NEVER, "select definition ->> 'filter' like 'coalesce(m,m%' from jittask.tasks where name = 'long'");
    let load = Load::watch();
    mallory.batch_execute("alter table mallory.t rename m to n").unwrap();
    load.assert_over_within(10.0, "the rename");
    assert_in_time(&cluster, &mut bob, control, "a long filter in a session");
    let renamed: bool = mallory
        .query_one("select definition ->> 'filter' = $1 from jittask.tasks where name = 'long'", &[&filter])
        .unwrap()
        .get(0);
    assert!(renamed, "the filter reads as it did at first");
}

/// 7a. What is stored of a task is bounded.
#[test]
fn a_definition_has_its_size() {
    let (cluster, _bob) = fair(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    let create = "select jittask.create_date_task('long', 'mallory.t', 'due', 'mallory.run', filter => $1)";
    assert_eq!(code(mallory.execute(create, &[&long_filter(300_000)])), "53400");
}

/// 7b. Very many tasks without their function, and a role that makes temporary tables.
#[test]
fn tasks_without_a_function_stop_nobody() {
    let (cluster, mut bob) = fair(&[("jittask.max_tasks_per_role", "10000")]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as '';
             do $$ begin for i in 1..3000 loop
                 perform jittask.create_scheduled_task('t', now() + interval '1 year', 'mallory.tick', name => 't' || i);
             end loop; end $$;
             drop function mallory.tick()",
        )
        .unwrap();
    for round in 0..3 {
        mallory
            .batch_execute(
                "create temp table if not exists x (); drop table x; create table mallory.x (); drop table mallory.x",
            )
            .unwrap();
        assert_in_time(&cluster, &mut bob, control, &format!("tasks without a function, round {round}"));
    }
    cluster.wait_for(NEVER, "select count(*) = 3000 from jittask.tasks where state = 'broken'");
    mallory.batch_execute("create function mallory.tick() returns void language sql as ''").unwrap();
    assert_in_time(&cluster, &mut bob, control, "tasks that have their function back");
    cluster.wait_for(NEVER, "select count(*) = 0 from jittask.tasks where state = 'broken'");
}

/// 7d. Very many tasks of one, that take their time to plan in the only executor: whoever else has work does not wait for
/// all of them.
#[test]
fn many_tasks_of_one_stop_nobody() {
    let (cluster, mut bob) = fair(&[
        ("jittask.max_tasks_per_role", "10000"),
        ("jittask.max_executors", "1"),
        ("jittask.scan_interval", "2s"),
    ]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(
            "drop index mallory.t_due_idx;
             insert into mallory.t select g, 'x', 'x', now() - interval '2 hours' from generate_series(1, 20000) g; analyze mallory.t;
             do $$ begin for i in 1..2000 loop
                 perform jittask.create_date_task('t', 'mallory.t', 'due', 'mallory.run', name => 't' || i, capture => 'scan', filter => 'note is null');
             end loop; end $$",
        )
        .unwrap();
    for round in 0..3 {
        // Something changed: all of them look through the table. With one executor alone, its owner has it for a second.
        mallory.batch_execute("update mallory.t set note = 'y' where id < 10").unwrap();
        assert_in_time(&cluster, &mut bob, control + 0.5, &format!("many tasks, round {round}"));
    }
}

/// Very many occurrences that were missed and are to be made up for.
#[test]
fn very_many_missed_occurrences_stop_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let load = Load::watch();
    bob.batch_execute("select jittask.create_scheduled_task('each', date_trunc('second', now()), body => 'null', rule => 'every 1 second')").unwrap();
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    for name in ["a", "b", "c"] {
        mallory
            .batch_execute(&format!(
                "select jittask.create_scheduled_task('{name}', now() - interval '60 days', body => 'null', rule => 'every 1 second', name => '{name}');
                 select jittask.pause_task('{name}'); select jittask.resume_task('{name}', make_up => '10 days')"
            ))
            .unwrap();
        assert_in_time(&cluster, &mut bob, control, "occurrences to make up for");
    }
    cluster.wait_for(NEVER, "select count(*) >= 5 from jittask.records where task = 'each' and status = 'completed'");
    let late: f64 = cluster
        .connect("postgres")
        .query_one("select extract(epoch from max(delay))::float8 from jittask.records where task = 'each' and status = 'completed'", &[])
        .unwrap()
        .get(0);
    load.assert_within(1.0 + 3.0 * control, late, "the lateness of the scheduled task");
}

/// 7d. The quota, and that a superuser has none.
#[test]
fn a_role_has_its_quota() {
    let (cluster, _bob) = fair(&[("jittask.max_tasks_per_role", "3")]);
    let mut mallory = session(&cluster, "mallory");
    let create = "select jittask.create_scheduled_task('t', now() + interval '1 year', body => 'null')";
    for _ in 0..3 {
        mallory.batch_execute(create).unwrap();
    }
    let refused = mallory.batch_execute(create).unwrap_err();
    let told = refused.as_db_error().unwrap();
    assert_eq!(told.code().code(), "53400");
    assert!(told.hint().unwrap_or_default().contains("jittask.max_tasks_per_role"), "{told:?}");
    assert_eq!(
        code(mallory.batch_execute("select jittask.import_task(jittask.export_task('t') || '{\"name\": \"u\"}')")),
        "53400"
    );
    assert_eq!(code(mallory.batch_execute("set jittask.max_tasks_per_role = 100")), "42501");
    mallory.batch_execute("select jittask.drop_task('t')").unwrap();
    mallory.batch_execute(create).unwrap();
    let mut admin = cluster.connect("postgres");
    for _ in 0..4 {
        admin.batch_execute(create).unwrap();
    }
    cluster.sql("postgres", "alter role mallory set jittask.max_tasks_per_role = 5");
    session(&cluster, "mallory").batch_execute(create).unwrap();
}

/// 8. Sleeping functions of two roles leave a slot for a third.
#[test]
fn sleepers_leave_a_slot() {
    let (cluster, mut bob) = fair(&[("jittask.executor_idle", "1s")]);
    let control = latest(&cluster, &mut bob);
    cluster.sql(
        "postgres",
        "create role carol login; create schema carol authorization carol; grant usage on schema jittask to carol",
    );
    // Bob's executor has gone, so that he has to find a slot.
    cluster.wait_for(NEVER, "select count(*) = 0 from jittask.workers where kind = 'executor'");
    for role in ["mallory", "carol"] {
        let mut sleeper = session(&cluster, role);
        for _ in 0..6 {
            sleeper
                .batch_execute("select jittask.create_scheduled_task('sleep', now(), body => 'perform pg_sleep(600)')")
                .unwrap();
        }
        cluster.wait_for(
            NEVER,
            &format!("select count(*) > 0 from jittask.records where status = 'executing' and owner = '{role}'"),
        );
    }
    assert_in_time(&cluster, &mut bob, control.max(0.2), "two sleepers");
    cluster.wait_for(NEVER, "select count(*) = 0 from jittask.workers where kind = 'executor' and role = 'bob'");
    assert_in_time(&cluster, &mut bob, control.max(0.2), "two sleepers, later");
}

/// 8. Nobody has a longer timeout than the superuser allows.
#[test]
fn a_timeout_has_its_limit() {
    let (cluster, _bob) = fair(&[]);
    let mut mallory = session(&cluster, "mallory");
    let create = |timeout: &str| {
        format!(
            "select jittask.create_scheduled_task('t', now() + interval '2 seconds', body => 'perform pg_sleep(60)', timeout => '{timeout}', max_attempts => 1)"
        )
    };
    assert_eq!(code(mallory.batch_execute(&create("100 days"))), "22023");
    assert_eq!(code(mallory.batch_execute("set jittask.max_timeout = '100 days'")), "42501");
    mallory.batch_execute(&create("1 hour")).unwrap();
    cluster.turn("jittask.max_timeout", "1s");
    cluster.wait_for(
        NEVER,
        "select count(*) = 1 from jittask.records where task = 't' and status = 'failed' and error_code = '57014'",
    );
}

/// 10. Who is changing a calendar keeps nobody waiting who uses it.
#[test]
fn a_calendar_that_is_being_changed_stops_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let load = Load::watch();
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("select jittask.create_calendar('c', weekend => '{}')").unwrap();
    bob.batch_execute(
        "select jittask.drop_task('victim');
         select jittask.create_date_task('victim', 'bob.t', 'due', 'bob.run', name => 'victim', skip_holidays => true, calendar => 'c', time_zone => 'UTC');
         select jittask.create_scheduled_task('each', date_trunc('second', now()), body => 'null', rule => 'every 1 second', skip_holidays => true, calendar => 'c', time_zone => 'UTC')",
    )
    .unwrap();
    late(&cluster, &mut bob);
    mallory.batch_execute("begin; select jittask.add_holiday('c', '2031-05-05', 'x')").unwrap();
    assert_in_time(&cluster, &mut bob, control, "a calendar in somebody's hands");
    let each = |cluster: &Cluster| {
        number(
            &mut cluster.connect("postgres"),
            "select count(*) from jittask.records where task = 'each' and status = 'completed'",
        )
    };
    let before = each(&cluster);
    cluster.wait_until("the scheduled task to go on", NEVER, || (each(&cluster) > before + 3).then_some(()));
    let late: f64 = cluster.connect("postgres").query_one("select extract(epoch from max(delay))::float8 from jittask.records where task = 'each' and status = 'completed'", &[]).unwrap().get(0);
    load.assert_within(1.0 + 3.0 * control, late, "the lateness of the scheduled task");
    // Nor does anything that only reads it.
    let load = Load::watch();
    bob.batch_execute(
        "set lock_timeout = 0;
         select * from jittask.preview('each');
         select jittask.is_working_day(current_date, 'c');
         select jittask.create_scheduled_task('late', now() + interval '1 year', body => 'null', skip_holidays => true, calendar => 'c');
         select jittask.alter_task('late', '{\"title\": \"Later\"}');
         select jittask.drop_task('late')",
    )
    .unwrap();
    load.assert_over_within(5.0, "what only reads the calendar");
    // What was changed counts when it is there: from today on all is holiday.
    mallory
        .batch_execute("rollback; select jittask.add_holiday('c', (now() at time zone 'UTC')::date + d, 'x') from generate_series(0, 3) d")
        .unwrap();
    cluster.wait_for(NEVER, "select count(*) = 1 from jittask.records where task = 'each' and status = 'pending' and due_at > now() + interval '2 days'");
}
