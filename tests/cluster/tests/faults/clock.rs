//! The machine's clock jumps an hour forward and back while tasks run: nothing stops, nothing runs in a storm, nothing
//! runs twice, and what takes long is not taken for having taken an hour more.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Options, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);
/// A jump is noticed within five seconds; after one forward, an hour of ticks has to be skipped first.
const NOTICED: Duration = Duration::from_secs(20);
const HOUR: i64 = 3600;

/// A tick every two seconds in each catch_up mode that does not ask for a storm, and a function that takes its time.
const TASKS: &str = "
create table ticks (task text, due_at timestamptz, at timestamptz default clock_timestamp());
create function tick() returns void language sql as $$ insert into ticks select task, due_at from jittask.current_run() $$;
select jittask.create_scheduled_task('last', now(), 'tick', rule => 'every 2 seconds', name => 'last', catch_up => 'last');
select jittask.create_scheduled_task('none', now(), 'tick', rule => 'every 2 seconds', name => 'none', catch_up => 'none');
create function nap() returns void language sql as $$ select pg_sleep(15) $$;
select jittask.create_scheduled_task('nap', now(), 'nap', name => 'nap', timeout => '10 minutes', max_attempts => 1);";

fn rows_run(cluster: &Cluster, session: &mut Client, from: i64) {
    fall_due(session, from, from + 9, 500);
    let done = format!("select count(*) = 10 from outbox where id >= {from}");
    cluster.wait_until("rows that fall due after the jump", NOTICED, || one::<bool>(session, &done).then_some(()));
}

fn ticks_since(session: &mut Client, task: &str, micros: i64) -> i64 {
    one(
        session,
        &format!("select count(*) from ticks where task = '{task}' and at > to_timestamp({micros} / 1e6::float8)"),
    )
}

fn micros(session: &mut Client) -> i64 {
    one(session, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
}

#[test]
fn the_clock_jumps_an_hour_forward_and_back() {
    let options = Options { clock: true, ..Options::default() };
    let options = options.set("jittask.scan_interval", "2s").set("jittask.planning_horizon", "2h");
    let cluster = Cluster::with_options(&options);
    cluster.sql("postgres", "create role app login; create extension jittask");
    cluster.sql("postgres", "grant usage on schema jittask to app; grant create on schema public to app");
    cluster.contracts("");
    cluster.app_sql(TASKS);
    let mut session = cluster.connect("postgres");
    rows_run(&cluster, &mut session, 1);
    cluster.wait_for(SOON, "select count(*) >= 4 from ticks");

    cluster.set_clock(HOUR);
    let forward = micros(&mut session);
    rows_run(&cluster, &mut session, 101);
    cluster.wait_until("ticks after the jump forward", NOTICED, || {
        (ticks_since(&mut session, "last", forward) >= 3 && ticks_since(&mut session, "none", forward) >= 2)
            .then_some(())
    });
    let elapsed = (micros(&mut session) - forward) / 1_000_000;
    for task in ["last", "none"] {
        let ticks = ticks_since(&mut session, task, forward);
        println!("{task}: {ticks} ticks within {elapsed} s after the jump forward");
        assert!(ticks <= elapsed / 2 + 2, "a storm of {ticks} ticks in {elapsed} s");
    }

    cluster.set_clock(0);
    rows_run(&cluster, &mut session, 201);
    // Those of the hour that is to come again have been, so nothing of the old series is due; a new one goes on.
    cluster.app_sql(
        "select jittask.create_scheduled_task('new', now(), 'tick', rule => 'every 2 seconds', name => 'new')",
    );
    let back = micros(&mut session);
    cluster.wait_until("ticks after the jump back", NOTICED, || {
        (ticks_since(&mut session, "new", back) >= 2).then_some(())
    });
    // The safety net works: a row that no trigger saw. In a new session, since the server's own counters of what changed
    // rest in sessions that have seen the later time.
    cluster.sql(
        "postgres",
        "set session_replication_role = replica; insert into contract values (301, clock_timestamp() + interval '1 second')",
    );
    cluster.wait_for(SOON, "select exists (select from outbox where id = 301)");

    cluster.set_clock(HOUR);
    let forward = micros(&mut session);
    rows_run(&cluster, &mut session, 401);
    cluster.wait_until("ticks after the second jump forward", Duration::from_secs(40), || {
        (ticks_since(&mut session, "last", forward) >= 3).then_some(())
    });
    cluster.set_clock(0);
    rows_run(&cluster, &mut session, 501);

    // Fifteen seconds of sleep are no ten minutes, whatever the clock says.
    cluster.wait_for(SOON, "select count(*) = 1 from jittask.records where task = 'nap' and status = 'completed'");
    let twice: Vec<String> =
        all(&mut session, "select format('%s %s', task, due_at) from ticks group by task, due_at having count(*) > 1");
    assert!(twice.is_empty(), "ran twice: {twice:?}");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 51);
    cluster.assert_each_once();
    let executors: i64 = one(&mut session, "select count(*) from jittask.workers where kind = 'executor'");
    assert!(executors <= 4);
}
