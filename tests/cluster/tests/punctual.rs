//! What is due in two seconds runs at its time, without any polling: in between, nothing happens.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Load, SOON, all, one};

const SCHEMA: &str = "
create table contract (id bigint generated always as identity primary key, due timestamptz);
create index on contract (due);
create table outbox (id bigint, due_at timestamptz, at timestamptz);
create function run(contract) returns void language sql as
    $$ insert into outbox select $1.id, due_at, clock_timestamp() from jittask.current_run() $$;
select jittask.create_date_task('punctual', 'contract', 'due', 'run');
select jittask.create_scheduled_task('far away', now() + interval '1 day', body => 'null', repeat => 'daily')";

/// Rows at instants that have nothing to do with each other, as an application would write them.
const ROWS: i64 = 200;

fn percentile(session: &mut Client, share: f64) -> f64 {
    one(
        session,
        &format!(
            "select percentile_cont({share}) within group (order by extract(epoch from at - due_at) * 1000)::float8 from outbox"
        ),
    )
}

#[test]
fn a_row_due_in_two_seconds_runs_at_its_time() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    let mut session = cluster.app();
    // The first one brings the processes up.
    session.batch_execute("insert into contract (due) values (clock_timestamp() + interval '2 seconds')").unwrap();
    cluster.wait_for(SOON, "select count(*) = 1 from outbox");
    println!("the first of all: {:.1} ms late", percentile(&mut session, 1.0));
    session.batch_execute("truncate outbox").unwrap();
    let load = Load::watch();
    for _ in 0..ROWS {
        // Between 0 and 100 ms after the one before.
        session
            .batch_execute(
                "insert into contract (due) values (clock_timestamp() + interval '2 seconds'); select pg_sleep(random() * 0.1)",
            )
            .unwrap();
    }
    cluster.wait_for(SOON, &format!("select count(*) = {ROWS} from outbox"));
    let (p50, p99, most) =
        (percentile(&mut session, 0.5), percentile(&mut session, 0.99), percentile(&mut session, 1.0));
    println!("{ROWS} rows, inserted 2 s ahead: lateness p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox where at < due_at"), 0, "some ran early");
    load.assert_within(0.02, p99 / 1000.0, "the lateness of 99 of 100");
}

#[test]
fn a_lone_row_runs_at_its_time_after_everything_had_gone_to_sleep() {
    let cluster = Cluster::ready(&[("jittask.executor_idle", "500ms")]);
    cluster.app_sql(SCHEMA);
    let (mut session, load) = (cluster.app(), Load::watch());
    for k in 1..=6 {
        session.batch_execute("insert into contract (due) values (clock_timestamp() + interval '2 seconds')").unwrap();
        cluster.wait_for(SOON, &format!("select count(*) = {k} from outbox"));
        cluster.wait_for(SOON, "select not exists (select from jittask.workers where kind = 'executor')");
    }
    println!("6 rows, each with an executor of its own: lateness p50 {:.1} ms", percentile(&mut session, 0.5));
    load.assert_within(0.02, percentile(&mut session, 1.0) / 1000.0, "the latest");
}

/// What would show if anything went on: our processes, when they last did something, and the next transaction id.
fn traces(session: &mut Client) -> (Vec<String>, i64) {
    let activity = all(
        session,
        "select format('%s %s %s %s %s', pid, backend_type, state_change, xact_start, query_start)
         from pg_stat_activity where backend_type like 'jittask%' order by pid",
    );
    (activity, one(session, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
}

#[test]
fn nothing_happens_between_two_due_times() {
    // The server's own housekeeping would take transaction ids.
    let cluster = Cluster::ready(&[("autovacuum", "off")]);
    cluster.app_sql(SCHEMA);
    let mut session = cluster.app();
    session.batch_execute("insert into contract (due) values (clock_timestamp() + interval '1 second')").unwrap();
    cluster.wait_for(SOON, "select count(*) = 1 from outbox");
    // Due within the horizon, but not soon.
    session
        .batch_execute("insert into contract (due) select now() + interval '30 minutes' from generate_series(1, 10)")
        .unwrap();
    cluster
        .wait_for(SOON, "select count(*) = 10 from jittask.records where status = 'pending' and kind = 'date_field'");
    cluster.wait_for(SOON, "select not exists (select from jittask.workers where kind = 'executor')");
    let before = traces(&mut session);
    println!("{before:#?}");
    let begun: String = one(&mut session, "select clock_timestamp()::text");
    cluster.wait_for(
        Duration::from_secs(40),
        &format!("select clock_timestamp() > timestamptz '{begun}' + interval '21 seconds'"),
    );
    let after = traces(&mut session);
    assert_eq!(before, after, "something went on while nothing was due");
}

#[test]
fn a_long_run_does_not_hold_up_another_task() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "create function wait(contract) returns void language sql as $$ select pg_advisory_xact_lock_shared(1) $$;
         select jittask.create_date_task('long', 'contract', 'due', 'wait', before => '1 minute')",
    );
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(1)").unwrap();
    // The executor that planned the new task has nothing to do: it is told of the row, and nobody starts another one.
    cluster.wait_for(SOON, "select exists (select from jittask.workers where kind = 'executor' and state = 'idle')");
    gate.batch_execute("insert into contract (due) values (now())").unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where task = 'long' and status = 'executing')");
    cluster.wait_within(3.0, "select count(*) = 1 from outbox");
    // Nor does it hold up what falls due later.
    gate.batch_execute("insert into contract (due) values (clock_timestamp() + interval '1 second')").unwrap();
    cluster.wait_within(5.0, "select count(*) = 2 from outbox");
    gate.batch_execute("select pg_advisory_unlock(1)").unwrap();
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where task = 'long' and status = 'completed'");
}
