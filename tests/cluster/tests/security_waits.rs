//! What somebody has not committed yet keeps others waiting for a second, and no longer: names, rows, calendars, tables.

mod attack;

use std::time::{Duration, Instant};

use attack::{SOON, cluster, number, session};
use cluster::postgres::Client;

/// The first session leaves its transaction open, the second one gets 55P03, and a hint.
fn waits_a_second(holder: &mut Client, other: &mut Client, held: &str, wanted: &str) {
    holder.batch_execute(&format!("begin; {held}")).unwrap_or_else(|error| panic!("{held}: {error:?}"));
    let begun = Instant::now();
    let error = match other.batch_execute(&format!("set statement_timeout = '30s'; {wanted}")) {
        Ok(()) => panic!("{wanted} beside {held} did not wait"),
        Err(error) => error,
    };
    let error = error.as_db_error().unwrap_or_else(|| panic!("{wanted}: {error:?}"));
    assert_eq!(error.code().code(), "55P03", "{wanted} beside {held}: {error:?}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{wanted}: {error:?} has no hint");
    assert!(begun.elapsed() < Duration::from_secs(20), "{wanted} waited for {:?}", begun.elapsed());
    holder.batch_execute("rollback").unwrap();
}

#[test]
fn what_is_not_committed_is_waited_for_a_second() {
    let cluster = cluster(&[]);
    let (mut one, mut other) = (session(&cluster, "mallory"), session(&cluster, "mallory"));
    one.batch_execute(
        "create table mallory.t (id int primary key, due timestamptz); create index on mallory.t (due);
         create function mallory.run(mallory.t) returns void language sql as '';
         create function mallory.tick() returns void language sql as '';
         select jittask.create_date_task('rows', 'mallory.t', 'due', 'mallory.run', enabled => false);
         select jittask.create_scheduled_task('ticks', now(), 'mallory.tick', repeat => 'yearly');
         select jittask.create_calendar('mine');",
    )
    .unwrap();
    let fails = "create function mallory.fails() returns void language plpgsql as $$ begin raise 'no'; end $$;
        select jittask.create_scheduled_task('fails', now(), 'mallory.fails', repeat => 'yearly', max_attempts => 1)";
    one.batch_execute(fails).unwrap();
    let failed = "select id from jittask.records where task = 'fails' and status = 'failed'";
    let id: i64 =
        cluster.wait_until("a failed run", attack::SOON, || one.query_opt(failed, &[]).unwrap().map(|row| row.get(0)));
    let retry = format!("select jittask.retry_record({id})");
    let new_task = "select jittask.create_scheduled_task('t', now() + interval '1 day', 'mallory.tick', name => 'new')";
    let rename = "select jittask.alter_task('rows', '{\"name\": \"new\"}')";
    let document = r#"select jittask.import_task('{"version": 1, "kind": "scheduled", "title": "t", "name": "new", "start_at": "2100-01-01", "service_function": "mallory.tick"}')"#;
    let calendar = "select jittask.create_calendar('new')";
    let holiday = "select jittask.add_holiday('mine', '2030-05-05', 'mine')";
    let pause = "select jittask.pause_task('ticks')";
    for (held, wanted) in [
        (calendar, calendar),
        (calendar, "select jittask.create_calendar('new', 'DE')"),
        (holiday, holiday),
        (holiday, "select jittask.remove_day('mine', '2030-05-05')"),
        (holiday, "select jittask.add_workday('mine', '2031-05-05', 'mine')"),
        (holiday, "select jittask.load_holidays('mine', 'DE')"),
        (holiday, "select jittask.drop_calendar('mine')"),
        (new_task, new_task),
        (new_task, rename),
        (new_task, document),
        (rename, new_task),
        (document, document),
        (pause, pause),
        (pause, "select jittask.drop_task('ticks')"),
        (pause, "select jittask.alter_task('ticks', '{\"repeat\": \"daily\"}')"),
        (retry.as_str(), retry.as_str()),
    ] {
        waits_a_second(&mut one, &mut other, held, wanted);
    }
}

/// A copy is activated as soon as nobody is at its tasks, and nobody keeps its owner waiting.
#[test]
fn activation_waits_for_nobody_for_long() {
    let cluster = cluster(&[]);
    let (mut mallory, mut admin) = (session(&cluster, "mallory"), cluster.connect("postgres"));
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as '';
             select jittask.create_scheduled_task('ticks', now(), 'mallory.tick', repeat => 'yearly')",
        )
        .unwrap();
    admin.batch_execute("update jittask.task set home = 'elsewhere'").unwrap();
    waits_a_second(&mut mallory, &mut admin, "select jittask.pause_task('ticks')", "select jittask.activate()");
    admin.batch_execute("select jittask.activate()").unwrap();
}

const TRIGGERS: &str =
    "select count(*) from pg_trigger where tgfoid = 'jittask.capture_row'::regproc and tgparentid = 0";

/// Whoever may have no triggers on a table any more drops his tasks on it, and alters them, without locking it from others.
#[test]
fn a_table_that_was_closed_to_a_task_is_not_locked_by_dropping_it() {
    let cluster = cluster(&[]);
    let (mut bob, mut mallory) = (session(&cluster, "bob"), session(&cluster, "mallory"));
    bob.batch_execute(
        "create table bob.t (id int, due date, primary key (id, due)) partition by range (id);
         create table bob.part partition of bob.t for values from (0) to (10); create index on bob.t (due);
         grant usage on schema bob to mallory; grant select, trigger on bob.t, bob.part to mallory; set lock_timeout = '1s'",
    )
    .unwrap();
    let tasks = "create function mallory.run(bob.t) returns void language sql as '';
        select jittask.create_date_task(name, 'bob.t', 'due', 'mallory.run', name => name)
        from unnest(array['dropped', 'altered', 'restored']) name";
    mallory.batch_execute(tasks).unwrap();
    assert_eq!(number(&mut bob, TRIGGERS), 6);
    bob.batch_execute("revoke trigger on bob.t, bob.part from mallory").unwrap();
    let use_it = "insert into bob.t values (1, now()); delete from bob.t; select from bob.t";
    for change in [
        "select jittask.drop_task('dropped')",
        "select jittask.alter_task('altered', '{\"capture\": \"scan\"}')",
        "select jittask.alter_task('restored', '{\"capture\": \"scan\"}')",
    ] {
        mallory.batch_execute(&format!("begin; {change}")).unwrap();
        bob.batch_execute(use_it).unwrap_or_else(|error| panic!("beside {change}: {error:?}"));
        if change.contains("restored") {
            // Who is there keeps the triggers for now, and is not kept waiting for it; nor are those who come.
            bob.batch_execute("begin; select from bob.part").unwrap();
            mallory.batch_execute("commit").unwrap();
            let mut other = session(&cluster, "bob");
            other.batch_execute("set lock_timeout = '1s'").unwrap();
            for _ in 0..20 {
                other.batch_execute("select from bob.t").unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(number(&mut other, TRIGGERS), 2);
            other.batch_execute("grant trigger on bob.t, bob.part to mallory").unwrap();
            bob.batch_execute("commit").unwrap();
        } else {
            mallory.batch_execute("commit").unwrap();
            cluster.wait_for(SOON, "select not exists (select from jittask.task where triggers_go_at is not null)");
        }
    }
    // Hers again, before or after they were dropped.
    mallory.batch_execute("select jittask.alter_task('restored', '{\"capture\": \"trigger\"}')").unwrap();
    cluster.wait_for(SOON, "select not exists (select from jittask.task where triggers_go_at is not null)");
    assert_eq!(number(&mut bob, TRIGGERS), 2);
    bob.batch_execute("insert into bob.t values (1, now() - interval '1 hour')").unwrap();
}
