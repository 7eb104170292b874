//! Several databases in one cluster: each is found when the extension comes, left alone when somebody drops, copies or
//! renames it, and forgotten when it goes; and the switch that stops everything.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Load, Options, all, one};

const SOON: Duration = Duration::from_secs(30);

/// A scheduled task's and a date-field task's things, owned by the superuser of the database.
const TASKS: &str = "
create extension jittask;
create table contract (id bigint primary key, due timestamptz);
create index on contract (due);
create table outbox (id bigint, database name default current_database());
create function run(contract) returns void language sql as $$ insert into outbox values ($1.id) $$;
select jittask.create_date_task('rows', 'contract', 'due', 'run');";

fn due_rows(session: &mut Client, from: i64, rows: i64) {
    session
        .batch_execute(&format!(
            "insert into contract select id, now() + interval '1 second' from generate_series({from}, {from} + {rows} - 1) id"
        ))
        .unwrap();
}

fn wait_for_effects(cluster: &Cluster, session: &mut Client, wanted: i64, patience: Duration) {
    cluster.wait_until(&format!("{wanted} effects"), patience, || {
        (one::<i64>(session, "select count(*) from outbox") == wanted).then_some(())
    });
}

/// Runs a statement on a whole database; it may not be held up by our processes there.
fn quickly(session: &mut Client, statement: &str) {
    let load = Load::watch();
    session.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    load.assert_over_within(6.0, statement);
}

#[test]
fn tasks_run_in_all_databases_at_once() {
    let cluster = Cluster::with(&[]);
    let names = ["one", "two", "three"];
    let mut sessions = Vec::new();
    for name in names {
        cluster.sql("postgres", &format!("create database {name}"));
        let mut session = cluster.connect(name);
        session.batch_execute(TASKS).unwrap();
        due_rows(&mut session, 1, 50);
        sessions.push(session);
    }
    for (name, session) in names.iter().zip(&mut sessions) {
        wait_for_effects(&cluster, session, 50, SOON);
        assert_eq!(all::<String>(session, "select distinct database::text from outbox"), [*name]);
        assert_eq!(one::<i64>(session, "select unaccounted from jittask.accounts"), 0);
    }
}

#[test]
fn the_extension_is_found_in_a_new_database_and_forgotten_when_dropped() {
    let cluster = Cluster::with(&[]);
    cluster.sql("postgres", "create database fresh");
    let mut session = cluster.connect("fresh");
    for round in 1..=3 {
        // Installed, used, and dropped with all that hangs on it.
        session.batch_execute(TASKS).unwrap();
        session.batch_execute("insert into contract values (1, now())").unwrap();
        let load = Load::watch();
        wait_for_effects(&cluster, &mut session, 1, SOON);
        load.assert_over_within(5.0, &format!("round {round}: a row after CREATE EXTENSION"));
        due_rows(&mut session, 2, 5);
        let load = Load::watch();
        session.batch_execute("drop extension jittask cascade").unwrap();
        load.assert_over_within(5.0, "DROP EXTENSION CASCADE");
        let left: i64 = one(&mut session, "select count(*) from pg_trigger where tgname like 'jittask%'");
        assert_eq!(left, 0, "triggers are left");
        // The table is as it was.
        session.batch_execute("insert into contract values (99, now()); drop table contract, outbox cascade").unwrap();
        cluster.wait_until("the database's processes to go", SOON, || {
            let here: i64 = one(
                &mut session,
                "select count(*) from pg_stat_activity where backend_type like 'jittask%' and datname = 'fresh'",
            );
            (here == 0).then_some(())
        });
    }
    // A rolled back CREATE or DROP EXTENSION changes nothing.
    session.batch_execute("begin; create extension jittask; rollback").unwrap();
    session.batch_execute(TASKS).unwrap();
    session.batch_execute("begin; drop extension jittask cascade; rollback").unwrap();
    due_rows(&mut session, 1, 5);
    wait_for_effects(&cluster, &mut session, 5, SOON);
}

/// With processes of ours at work there, or idle there, a database can be copied, renamed and dropped.
fn whole_database(is_busy: bool) {
    let cluster = Cluster::with(&[]);
    cluster.sql("postgres", "create database target");
    let mut session = cluster.connect("target");
    session.batch_execute(TASKS).unwrap();
    if is_busy {
        session
            .batch_execute(
                "create or replace function run(contract) returns void language plpgsql as
                 $$ begin insert into outbox values ($1.id); perform pg_sleep(0.02); end $$",
            )
            .unwrap();
    }
    due_rows(&mut session, 1, 600);
    cluster.wait_until("work to begin", SOON, || {
        (one::<i64>(&mut session, "select count(*) from outbox") >= if is_busy { 1 } else { 600 }).then_some(())
    });
    drop(session);
    let mut admin = cluster.connect("postgres");
    cluster.wait_until("the session to leave", SOON, || {
        let sessions =
            "select count(*) from pg_stat_activity where datname = 'target' and backend_type = 'client backend'";
        (one::<i64>(&mut admin, sessions) == 0).then_some(())
    });
    quickly(&mut admin, "create database copy template target");
    quickly(&mut admin, "alter database target rename to renamed");
    // Work goes on under the new name, and not in the copy.
    let mut session = cluster.connect("renamed");
    wait_for_effects(&cluster, &mut session, 600, Duration::from_secs(60));
    due_rows(&mut session, 1001, 5);
    wait_for_effects(&cluster, &mut session, 605, SOON);
    let mut copy = cluster.connect("copy");
    let before: i64 = one(&mut copy, "select count(*) from outbox");
    due_rows(&mut copy, 2001, 5);
    due_rows(&mut session, 2001, 5);
    wait_for_effects(&cluster, &mut session, 610, SOON);
    assert_eq!(one::<i64>(&mut copy, "select count(*) from outbox"), before, "a copy runs nothing");
    drop((session, copy));
    cluster.wait_until("the sessions to leave", SOON, || {
        let sessions = "select count(*) from pg_stat_activity where datname in ('renamed', 'copy') and backend_type = 'client backend'";
        (one::<i64>(&mut admin, sessions) == 0).then_some(())
    });
    quickly(&mut admin, "drop database copy");
    quickly(&mut admin, "drop database renamed");
    let left: i64 = one(
        &mut admin,
        "select count(*) from pg_stat_activity where backend_type in ('jittask scheduler', 'jittask executor') and datname is distinct from 'postgres'",
    );
    assert_eq!(left, 0);
    // The name is free again, and a new database under it is served.
    admin.batch_execute("create database target").unwrap();
    let mut session = cluster.connect("target");
    session.batch_execute(TASKS).unwrap();
    due_rows(&mut session, 1, 5);
    wait_for_effects(&cluster, &mut session, 5, SOON);
}

#[test]
fn a_database_with_idle_workers_is_copied_renamed_and_dropped() {
    whole_database(false);
}

#[test]
fn a_database_with_busy_workers_is_copied_renamed_and_dropped() {
    whole_database(true);
}

#[test]
fn a_failed_drop_lets_work_go_on() {
    let cluster = Cluster::with(&[]);
    cluster.sql("postgres", "create database target");
    let mut session = cluster.connect("target");
    session.batch_execute(TASKS).unwrap();
    due_rows(&mut session, 1, 5);
    wait_for_effects(&cluster, &mut session, 5, SOON);
    // The test's own session is in the way.
    let error = cluster.connect("postgres").batch_execute("drop database target").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55006", "{error:?}");
    due_rows(&mut session, 6, 5);
    wait_for_effects(&cluster, &mut session, 10, SOON);
    // Nor does one by somebody who may not.
    cluster.sql("postgres", "create role somebody login");
    let error = cluster.connect_as("postgres", "somebody").batch_execute("drop database target").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    due_rows(&mut session, 11, 5);
    wait_for_effects(&cluster, &mut session, 15, SOON);
}

#[test]
fn enabled_off_stops_and_on_resumes() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "drop extension jittask");
    let mut session = cluster.connect("postgres");
    session.batch_execute(TASKS).unwrap();
    due_rows(&mut session, 1, 5);
    wait_for_effects(&cluster, &mut session, 5, SOON);
    cluster.configure(&Options::default().set("jittask.enabled", "off"));
    session.batch_execute("select pg_reload_conf()").unwrap();
    cluster.wait_until("executors to leave", SOON, || {
        (one::<i64>(&mut session, "select count(*) from jittask.workers where kind = 'executor'") == 0).then_some(())
    });
    due_rows(&mut session, 6, 5);
    let due: String = one(&mut session, "select max(due)::text from contract");
    cluster.wait_for(SOON, &format!("select clock_timestamp() > timestamptz '{due}' + interval '1 second'"));
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 5);
    cluster.configure(&Options::default().set("jittask.enabled", "on"));
    session.batch_execute("select pg_reload_conf()").unwrap();
    let load = Load::watch();
    wait_for_effects(&cluster, &mut session, 10, SOON);
    load.assert_over_within(5.0, "what waited, after jittask.enabled was on again");
    assert_eq!(one::<i64>(&mut session, "select unaccounted from jittask.accounts"), 0);
}

/// While jittask is off the scheduler leaves; a reload brings it back at once, not when it meant to wake.
#[test]
fn what_falls_due_after_off_and_on_runs_without_any_write() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "drop extension jittask");
    let mut session = cluster.connect("postgres");
    session.batch_execute(TASKS).unwrap();
    session
        .batch_execute(
            "create function tick() returns void language sql as $$ insert into outbox values (0) $$;
             select jittask.create_scheduled_task('tick', now() + interval '4 seconds', 'tick')",
        )
        .unwrap();
    cluster.configure(&Options::default().set("jittask.enabled", "off"));
    session.batch_execute("select pg_reload_conf()").unwrap();
    cluster.wait_until("the scheduler to leave", SOON, || {
        (one::<i64>(&mut session, "select count(*) from jittask.workers where kind <> 'launcher'") == 0).then_some(())
    });
    cluster.configure(&Options::default().set("jittask.enabled", "on"));
    session.batch_execute("select pg_reload_conf()").unwrap();
    wait_for_effects(&cluster, &mut session, 1, Duration::from_secs(10));
}

/// A copy by TEMPLATE, and a restored dump, which brings the row of its origin along: nothing runs before activate().
#[test]
fn a_copied_database_waits_for_activate() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "drop extension jittask");
    cluster.sql("postgres", TASKS);
    cluster.sql("postgres", "create database copy template postgres");
    let mut copy = cluster.connect("copy");
    let problem = "select coalesce(array_to_string(problems, ' '), '') from jittask.status()";
    assert!(one::<String>(&mut copy, problem).contains("jittask.activate()"));
    due_rows(&mut copy, 1, 3);
    let due: String = one(&mut copy, "select max(due)::text from contract");
    cluster.wait_for(SOON, &format!("select clock_timestamp() > timestamptz '{due}' + interval '1 second'"));
    assert_eq!(one::<i64>(&mut copy, "select count(*) from outbox"), 0);
    copy.batch_execute("select jittask.activate()").unwrap();
    due_rows(&mut copy, 4, 2);
    cluster.wait_until("the new rows", SOON, || {
        (one::<i64>(&mut copy, "select count(*) from outbox where id > 3") == 2).then_some(())
    });
    assert_eq!(one::<String>(&mut copy, problem), "");
}

/// Where tasks never run nothing is kept for them.
#[test]
fn a_database_that_is_not_served_keeps_no_candidates() {
    let cluster = Cluster::with(&[("jittask.databases", "postgres, template1")]);
    cluster.sql("postgres", "create database other");
    cluster.sql(
        "other",
        "create extension jittask; create table t (id int primary key, due timestamptz); create index on t (due);
         select jittask.create_date_task('t', 't', 'due', body => 'null');
         insert into t select i, now() from generate_series(1, 1000) i; update t set due = now() - interval '1 hour'",
    );
    assert_eq!(one::<i64>(&mut cluster.connect("other"), "select count(*) from jittask.capture"), 0);
}

/// Slots are shared by all databases: what is idle in one makes room for another at once, also for the same owner.
#[test]
fn an_idle_executor_makes_room_in_another_database() {
    let cluster = Cluster::with(&[("jittask.max_executors", "2"), ("jittask.executor_idle", "60s")]);
    let load = Load::watch();
    for database in ["one", "two", "three"] {
        cluster.sql("postgres", &format!("create database {database}"));
        cluster.sql(
            database,
            "create extension jittask; select jittask.create_scheduled_task('t', now(), body => 'null')",
        );
        let mut session = cluster.connect(database);
        cluster.wait_until("its run", SOON, || {
            one::<bool>(&mut session, "select exists (select from jittask.records where status = 'completed')")
                .then_some(())
        });
        let late: f64 = one(&mut session, "select extract(epoch from delay)::float8 from jittask.records");
        load.assert_within(2.0, late, &format!("the lateness in database {database}"));
    }
}
