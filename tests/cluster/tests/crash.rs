//! Exactly once, also when processes are killed: a run's effects and its record are one commit.

use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{Cluster, Load, Mode, all, one};

const ROWS: i64 = 400;

/// Rows due at one instant soon, whose function takes some time and leaves an effect.
fn slow_rows(cluster: &Cluster, rows: i64, seconds: f64, more: &str) {
    cluster.app_sql(&format!(
        "create table contract (id bigint primary key, due timestamptz);
         create index on contract (due);
         create table outbox (id bigint, attempt int, pid int);
         create function run(contract) returns void language plpgsql as $$
         begin
             insert into outbox select $1.id, attempt, pg_backend_pid() from jittask.current_run();
             perform pg_sleep({seconds});
         end $$;
         select jittask.create_date_task('crash', 'contract', 'due', 'run'{more});
         insert into contract select id, now() + interval '1500 ms' from generate_series(1, {rows}) id;"
    ));
}

/// Waits until an executor is in the middle of rows; its process.
fn executing(cluster: &Cluster, session: &mut Client) -> i32 {
    let mut before = Vec::new();
    cluster.wait_until("a row that executes", Duration::from_secs(30), || {
        let states: Vec<String> = all(
            session,
            "select format('%s %s', status, count(*)) from jittask.records group by status order by status",
        );
        if states != before {
            println!("{states:?}");
            before = states;
        }
        all::<i32>(session, "select pid from jittask.progress where rows_done >= 3 or rows_total = 1").pop()
    })
}

fn finished(cluster: &Cluster, rows: i64) {
    cluster.wait_until("all rows to be done, after recovery", Duration::from_secs(60), || {
        let mut session = cluster.try_connect("postgres", "app").ok()?;
        let left = session
            .query_one(
                "select $1 - count(*) from jittask.records where status not in ('pending', 'executing', 'overdue')",
                &[&rows],
            )
            .ok()?;
        (left.get::<_, i64>(0) == 0).then_some(())
    });
}

/// Each row has one completed record and one effect, and nothing is unaccounted for.
fn once_each(cluster: &Cluster, rows: i64) {
    let mut session = cluster.app();
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s: %s records %s, %s effects', contract.id, r.n, r.states, o.n) from contract
         left join lateral (select count(*) as n, array_agg(distinct status) as states from jittask.records
                            where row_key = jsonb_build_object('id', contract.id)) r on true
         left join lateral (select count(*) as n from outbox where outbox.id = contract.id) o on true
         where (r.n, r.states, o.n) is distinct from (1, '{completed}'::jittask.record_status[], 1)
         order by contract.id limit 10",
    );
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), rows);
    assert_eq!(one::<i64>(&mut session, "select sum(unaccounted)::bigint from jittask.accounts"), 0);
}

#[test]
fn a_killed_executor_leaves_nothing_half_done() {
    let cluster = Cluster::ready(&[]);
    slow_rows(&cluster, ROWS, 0.004, "");
    for kill in 0..3 {
        let mut session =
            cluster.wait_until("the server", Duration::from_secs(30), || cluster.try_connect("postgres", "app").ok());
        let pid = executing(&cluster, &mut session);
        let done: i64 = one(&mut session, "select count(*) from outbox");
        println!("kill {kill}: executor {pid}, {done} effects are visible");
        let killed_at = Instant::now();
        cluster.kill9(pid);
        // Until the postmaster has noticed, another executor may go on for a moment, and look like the recovery.
        cluster.wait_until("the server to go down", Duration::from_secs(30), || {
            session.simple_query("select 1").is_err().then_some(())
        });
        cluster.wait_until("work to go on", Duration::from_secs(30), || {
            let mut session = cluster.try_connect("postgres", "app").ok()?;
            session.query_one("select count(*) from outbox", &[]).ok().filter(|row| row.get::<_, i64>(0) > done)
        });
        println!("kill {kill}: work went on after {:?}", killed_at.elapsed());
    }
    finished(&cluster, ROWS);
    once_each(&cluster, ROWS);
}

#[test]
fn a_restart_in_the_middle_leaves_nothing_half_done() {
    let mut cluster = Cluster::ready(&[]);
    slow_rows(&cluster, ROWS, 0.004, "");
    for mode in [Mode::Fast, Mode::Immediate] {
        let mut session = cluster.app();
        executing(&cluster, &mut session);
        drop(session);
        cluster.restart(mode);
    }
    finished(&cluster, ROWS);
    once_each(&cluster, ROWS);
    let attempts: i64 = one(&mut cluster.app(), "select count(*) from jittask.records where attempt <> 1");
    assert_eq!(attempts, 0, "an interrupted attempt does not count");
}

#[test]
fn a_fast_shutdown_does_not_wait_for_running_functions() {
    let mut cluster = Cluster::ready(&[]);
    slow_rows(&cluster, 4, 0.01, ", retry_backoff => '1 second'");
    finished(&cluster, 4);
    cluster.app_sql(
        "create or replace function run(contract) returns void language plpgsql as $$
         begin perform pg_sleep(60); end $$",
    );
    cluster.app_sql("insert into contract values (100, now())");
    executing(&cluster, &mut cluster.app());
    let load = Load::watch();
    cluster.stop(Mode::Fast);
    load.assert_over_within(3.0, "a fast shutdown with a function that sleeps");
    cluster.start_again();
    cluster.app_sql(
        "create or replace function run(contract) returns void language sql as $$ insert into outbox values ($1.id) $$",
    );
    let mut session = cluster.connect("postgres");
    // What still sleeps, if it began again before the function was replaced, is told to stop.
    cluster.wait_until("the interrupted row", Duration::from_secs(30), || {
        session
            .batch_execute("select pg_cancel_backend(pid) from jittask.progress where started_at < now() - interval '1 second'")
            .unwrap();
        let state: Vec<String> = all(
            &mut session,
            "select format('%s %s %s %s %s', status, attempt, error_code, error, pid) from jittask.records where row_key ->> 'id' = '100'",
        );
        println!("{state:?}");
        one::<bool>(&mut session, "select exists (select from outbox where id = 100)").then_some(())
    });
    once_each(&cluster, 5);
}

#[test]
fn a_cancelled_run_is_a_failed_attempt() {
    let cluster = Cluster::ready(&[]);
    slow_rows(&cluster, 1, 30.0, ", max_attempts => 1");
    let mut superuser = cluster.connect("postgres");
    let pid = executing(&cluster, &mut superuser);
    assert!(one::<bool>(&mut superuser, &format!("select pg_cancel_backend({pid})")));
    cluster.wait_for(Duration::from_secs(10), "select exists (select from jittask.records where status = 'failed')");
    let mut session = cluster.app();
    let row = session.query_one("select attempt, error_code, error from jittask.records", &[]).unwrap();
    println!("{:?}", row);
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (1, "57014"));
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0);
    // The executor lives on and does the next one.
    cluster.app_sql(
        "create or replace function run(contract) returns void language sql as $$ insert into outbox values ($1.id) $$",
    );
    cluster.app_sql("insert into contract values (2, now())");
    cluster.wait_for(Duration::from_secs(10), "select exists (select from outbox where id = 2)");
}

#[test]
fn a_terminated_executor_is_replaced() {
    let cluster = Cluster::ready(&[]);
    slow_rows(&cluster, ROWS, 0.004, "");
    let mut superuser = cluster.connect("postgres");
    let pid = executing(&cluster, &mut superuser);
    assert!(one::<bool>(&mut superuser, &format!("select pg_terminate_backend({pid})")));
    let scheduler: Vec<i32> =
        all(&mut superuser, "select pid from jittask.workers where kind = 'scheduler' and pid > 0");
    for pid in scheduler {
        assert!(one::<bool>(&mut superuser, &format!("select pg_terminate_backend({pid})")));
    }
    finished(&cluster, ROWS);
    once_each(&cluster, ROWS);
}
