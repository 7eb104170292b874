//! Faults in the middle of things: kill -9 while the extension, a task or a table's rows are just being made or changed,
//! processes that stop for a while, roles and databases that go, a server that is torn down at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{CONTRACTS, Cluster, Load, Mode, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);

fn again(cluster: &Cluster) -> Client {
    cluster.wait_until("the server", SOON, || cluster.try_connect("postgres", "postgres").ok())
}

/// Runs `statement` in a session of the superuser, and kills that session's process `delay` after it began.
fn killed_in(cluster: &Cluster, statement: &str, delay: Duration) {
    let mut session = again(cluster);
    let pid: i32 = one(&mut session, "select pg_backend_pid()");
    scope(|scope| {
        scope.spawn(move || session.batch_execute(statement).is_ok());
        sleep(delay);
        cluster.try_kill9(pid);
    });
    // Until it has noticed, the postmaster lets people in whom it throws out afterwards. A session that had just ended by
    // itself it does not speak of.
    let (killed, noticed) = (Instant::now(), format!("(PID {pid}) was terminated by signal 9"));
    cluster.wait_until("the crash to be noticed", SOON, || {
        (cluster.log().contains(&noticed) || killed.elapsed() > Duration::from_secs(2)).then_some(())
    });
    again(cluster);
}

/// At moments from the first to the last millisecond of each statement: it has happened, or it has not.
#[test]
fn a_session_killed_in_mid_statement_leaves_all_of_it_or_nothing() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "drop extension jittask");
    let mut taken = Duration::from_millis(150);
    for step in 0..5 {
        killed_in(&cluster, "create extension jittask", taken * step / 4);
        let mut session = again(&cluster);
        let begun = Instant::now();
        session.batch_execute("drop extension if exists jittask cascade; create extension jittask").unwrap();
        taken = begun.elapsed() / 2;
    }
    cluster.sql("postgres", "grant usage on schema jittask to app");
    cluster.contracts("");
    let statements = [
        "select jittask.create_date_task('more', 'contract', 'due', 'run', name => 'more')",
        "select jittask.alter_task('rows', '{\"filter\": \"id > 0\", \"description\": \"x\"}')",
        "insert into contract select 100000 + id, now() + interval '4 seconds' from generate_series(1, 20000) id",
        "select jittask.drop_task('more')",
        "drop extension jittask cascade",
    ];
    for statement in statements {
        for millis in [2, 8, 30] {
            killed_in(&cluster, &format!("set role app; {statement}"), Duration::from_millis(millis));
        }
    }
    // Triggers and tasks are there together, or neither is.
    let mut session = again(&cluster);
    let unmatched: Vec<String> = all(
        &mut session,
        "select coalesce(t.name, g.tgname) from (select * from jittask.task where dropped_at is null) t
         full join (select *, substring(tgname from 'jittask_(\\d+)_insert') as token from pg_trigger where tgname like 'jittask%insert') g
             on g.token::numeric = (t.token::numeric + 18446744073709551616) % 18446744073709551616
         where t.name is null or g.tgname is null",
    );
    assert!(unmatched.is_empty(), "a task without a trigger, or the other way round: {unmatched:?}");
    fall_due(&mut session, 1, 10, 300);
    let left = "select exists (select from contract) and not exists (select from jittask.agenda) and (select max(due) from contract) < now() - interval '1 second'";
    cluster.wait_for(SOON, left);
    let missing: i64 = one(
        &mut session,
        "select count(*) from contract c where not exists (select from jittask.records r where r.task = 'rows' and (r.row_key ->> 'id')::bigint = c.id and r.status = 'completed')",
    );
    assert_eq!(missing, 0);
    assert_eq!(one::<i64>(&mut session, "select unaccounted from jittask.status()"), 0);
}

/// An executor that stands still for ten seconds, as on a machine under pressure, holds up its row and nobody else.
#[test]
fn an_executor_that_stands_still_holds_up_its_own_rows_only() {
    let cluster = Cluster::ready(&[]);
    cluster.contracts("");
    cluster.app_sql(
        "create or replace function run(contract) returns void language plpgsql as $$ begin
             insert into outbox (id) values ($1.id); if $1.id = 1 then perform pg_sleep(1); end if; end $$",
    );
    let mut session = cluster.connect("postgres");
    fall_due(&mut session, 1, 1, 100);
    let pid =
        cluster.wait_until("the row", SOON, || all::<i32>(&mut session, "select pid from jittask.progress").pop());
    cluster.stand_still(pid, true);
    let stopped = Instant::now();
    fall_due(&mut session, 2, 50, 200);
    cluster.wait_within(3.0, "select count(*) = 49 from outbox");
    println!("the others were done {:?} after it was stopped", stopped.elapsed());
    sleep(Duration::from_secs(10).saturating_sub(stopped.elapsed()));
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.progress"), 1);
    cluster.stand_still(pid, false);
    cluster.wait_for(SOON, "select count(*) = 50 from outbox");
    cluster.wait_for(SOON, "select count(*) = 50 from jittask.records where status = 'completed'");
    cluster.assert_each_once();
}

/// The scheduler, or the launcher, stands still: what is due waits for it, and nothing is lost.
#[test]
fn a_scheduler_or_launcher_that_stands_still_loses_nothing() {
    let cluster = Cluster::ready(&[("jittask.executor_idle", "0")]);
    cluster.contracts("");
    let mut session = cluster.connect("postgres");
    for (round, kind) in ["scheduler", "launcher"].into_iter().enumerate() {
        let round = round as i64;
        let pid: i32 = one(&mut session, &format!("select pid from jittask.workers where kind = '{kind}'"));
        cluster.stand_still(pid, true);
        fall_due(&mut session, round * 100 + 1, round * 100 + 50, 100);
        sleep(Duration::from_secs(2));
        cluster.stand_still(pid, false);
        cluster.wait_within(5.0, &format!("select count(*) = {} from outbox", (round + 1) * 50));
    }
    cluster.wait_for(SOON, "select count(*) = 100 from jittask.records where status = 'completed'");
    cluster.assert_each_once();
}

/// A database is dropped by force under work, beside another one that goes on.
#[test]
fn a_database_dropped_by_force_takes_nothing_else_along() {
    let cluster = Cluster::ready(&[]);
    cluster.contracts("");
    let mut session = cluster.connect("postgres");
    for round in 0..3 {
        session.batch_execute("create database other").unwrap();
        let mut other = cluster.connect("other");
        other.batch_execute("create extension jittask").unwrap();
        other.batch_execute(CONTRACTS).unwrap();
        other
            .batch_execute(
                "create or replace function run(contract) returns void language plpgsql as $$ begin
                     insert into outbox (id) values ($1.id); perform pg_sleep(0.05); end $$;
                 select jittask.create_date_task('rows', 'contract', 'due', 'run', name => 'rows')",
            )
            .unwrap();
        fall_due(&mut other, 1, 1000, 0);
        cluster.wait_until("work there", SOON, || {
            one::<bool>(&mut other, "select exists (select from jittask.progress)").then_some(())
        });
        fall_due(&mut session, round * 100 + 1, round * 100 + 100, 300);
        let load = Load::watch();
        session.batch_execute("drop database other with (force)").unwrap();
        load.assert_over_within(5.0, "dropping the database");
        cluster.wait_within(5.0, &format!("select count(*) = {} from outbox", (round + 1) * 100));
    }
    cluster.assert_each_once();
    let stale: i64 = one(
        &mut session,
        "select count(*) from jittask.workers where kind <> 'launcher' and database is distinct from 'postgres'",
    );
    assert_eq!(stale, 0);
}

/// A role goes while its task runs: the task is broken and says so, everybody else goes on.
#[test]
fn a_role_dropped_while_its_task_runs_breaks_its_task_only() {
    let cluster = Cluster::ready(&[]);
    cluster.contracts("");
    let mut session = cluster.connect("postgres");
    session
        .batch_execute(
            "create role gone login; grant usage on schema jittask to gone; grant create on schema public to gone; set role gone;
             create function public.linger() returns void language sql as $$ select pg_sleep(3) $$;
             select jittask.create_scheduled_task('linger', now(), 'linger', rule => 'every 1 second', name => 'linger');
             reset role",
        )
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.progress)");
    session.batch_execute("reassign owned by gone to postgres").unwrap();
    session.batch_execute("drop owned by gone cascade; drop role gone").unwrap();
    fall_due(&mut session, 1, 100, 500);
    cluster.wait_within(5.0, "select count(*) = 100 from outbox");
    cluster.wait_for(SOON, "select exists (select from jittask.task where name = 'linger' and problem is not null)");
    let problems: String = one(&mut session, "select array_to_string(problems, ' ') from jittask.status()");
    assert!(problems.contains("linger"), "{problems}");
    let lines = cluster.log().lines().filter(|line| line.contains("FATAL") && line.contains("executor")).count();
    assert!(lines < 10, "a storm of executors that cannot connect:\n{}", cluster.log());
    cluster.assert_each_once();
    session.batch_execute("select jittask.drop_task('linger')").unwrap();
}

/// Immediate shutdowns under load, again and again.
#[test]
fn immediate_shutdowns_under_load_lose_nothing() {
    let mut cluster = Cluster::ready(&[]);
    cluster.contracts("");
    let stop = AtomicBool::new(false);
    let config = cluster.config("postgres", "postgres");
    scope(|scope| {
        scope.spawn(|| {
            let mut id = 0;
            while !stop.load(Ordering::Acquire) {
                let Ok(mut session) = config.connect(cluster::postgres::NoTls) else { continue };
                while !session.is_closed() && !stop.load(Ordering::Acquire) {
                    id += 10;
                    let rows = format!("insert into contract select id, clock_timestamp() + interval '300 ms' from generate_series({id}, {id} + 9) id");
                    let _ = session.batch_execute(&rows);
                    sleep(Duration::from_millis(20));
                }
            }
        });
        for _ in 0..6 {
            sleep(Duration::from_millis(700));
            cluster.restart(Mode::Immediate);
        }
        stop.store(true, Ordering::Release);
    });
    cluster.wait_for(SOON, "select (select max(due) from contract) < now() - interval '1 second' and not exists (select from jittask.agenda)");
    let mut session = cluster.connect("postgres");
    println!("{} rows", one::<i64>(&mut session, "select count(*) from contract"));
    assert!(one::<bool>(&mut session, "select count(*) > 100 from outbox"));
    cluster.assert_each_once();
}
