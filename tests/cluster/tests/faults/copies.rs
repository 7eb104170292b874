//! Copies of a database: made from it as a TEMPLATE, or restored from its dump, in the same cluster or in another. A copy
//! runs nothing, says so, and once it is activated everything counts from then.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::postgres::Client;
use cluster::{CONTRACTS, Cluster, Options, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);
const PROBLEMS: &str = "select coalesce(array_to_string(problems, ' '), '') from jittask.status()";

/// A database with a date-field task and a scheduled one, work done and work due within the next seconds, of an ordinary
/// role.
fn original(cluster: &Cluster) {
    cluster.sql("postgres", "create role app login; create role boss login");
    cluster.sql("postgres", "create database original owner boss");
    cluster.sql(
        "original",
        "create extension jittask; grant usage on schema jittask to app; grant create on schema public to app",
    );
    let mut session = cluster.connect_as("original", "app");
    session.batch_execute(CONTRACTS).unwrap();
    session
        .batch_execute(
            "create function tick() returns void language sql as $$ insert into outbox (id, due_at) select 0, due_at from jittask.current_run() $$;
             select jittask.create_date_task('rows', 'contract', 'due', 'run', name => 'rows', catch_up => 'all');
             select jittask.create_scheduled_task('ticks', now(), 'tick', rule => 'every 1 second', name => 'ticks', catch_up => 'all');",
        )
        .unwrap();
    fall_due(&mut session, 1, 10, 0);
    cluster.wait_until("the rows", SOON, || {
        one::<bool>(&mut session, "select count(*) = 10 from outbox where id > 0").then_some(())
    });
    // Due in the copy before it is activated.
    fall_due(&mut session, 11, 20, 3000);
}

/// Dumps `original` of one cluster and restores it as `copy` of another, or of the same: as it was dumped, or as `change`
/// makes of the script. Returns when it began to.
fn restore(from: &Cluster, to: &Cluster, change: impl Fn(String) -> String) -> String {
    to.sql("postgres", "create database copy owner boss");
    let program = |cluster: &Cluster, name: &str, database: &str| -> Command {
        let mut command = cluster.tree().command(name);
        command.arg("-h").arg(cluster.socket_dir()).arg("-p").arg(cluster.port().to_string());
        command.args(["-U", "postgres", "-d", database]);
        command
    };
    let dump = program(from, "pg_dump", "original").stderr(Stdio::inherit()).output().unwrap();
    let script = change(String::from_utf8(dump.stdout).unwrap());
    let began = now(&mut to.connect("copy"));
    let mut restored = program(to, "psql", "copy")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    restored.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(dump.status.success() && restored.wait().unwrap().success());
    began
}

fn now(session: &mut Client) -> String {
    one(session, "select clock_timestamp()::text")
}

/// The same script with the tasks before all other data, and time for the workers to find each table filled before the next
/// one is: what happens when it is restored by parallel jobs, or beside much other work.
fn slowly_and_tasks_first(script: String) -> String {
    const END: &str = "\n\\.\n";
    let begin = script.find("COPY ").unwrap();
    let tasks = script.find("COPY jittask.task ").unwrap();
    let end = tasks + script[tasks..].find(END).unwrap() + END.len();
    let (head, tables, tail) = (&script[..begin], &script[begin..tasks], &script[end..]);
    let pause = format!("{END}select pg_sleep(0.15);\n");
    [head, &script[tasks..end], tables, tail].concat().replace(END, &pause)
}

/// Nothing runs in the copy, which began then, whatever falls due, until its owner activates it; and then only what falls
/// due from then on.
fn sleeps_until_activated(cluster: &Cluster, began: &str) {
    let copy = &mut cluster.connect("copy");
    assert!(one::<String>(copy, PROBLEMS).contains("jittask.activate()"));
    fall_due(copy, 101, 110, 200);
    let passed: String = one(copy, "select max(due)::text from contract");
    cluster.wait_for(SOON, &format!("select clock_timestamp() > timestamptz '{passed}' + interval '2 seconds'"));
    let ran: Vec<String> =
        all(copy, &format!("select format('%s due at %s', id, due_at) from outbox where at >= timestamptz '{began}'"));
    assert!(ran.is_empty(), "the copy ran something by itself: {ran:?}");
    let ticks: i64 = one(copy, "select count(*) from outbox where id = 0");
    let refused = copy.batch_execute("select jittask.run_task('ticks')").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55000", "{refused:?}");
    // Not by anybody.
    let refused = cluster.connect_as("copy", "app").batch_execute("select jittask.activate()").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501", "{refused:?}");
    cluster.sql("copy", "grant usage on schema jittask to boss");
    // Nor by the copy's owner, unless he may act as who has tasks in it.
    let refused = cluster.connect_as("copy", "boss").batch_execute("select jittask.activate()").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501", "{refused:?}");
    cluster.sql("copy", "grant app to boss");
    cluster.connect_as("copy", "boss").batch_execute("select jittask.activate()").unwrap();
    let activated = now(copy);
    fall_due(copy, 201, 205, 300);
    cluster.wait_until("the new rows", SOON, || {
        one::<bool>(copy, "select count(*) = 5 from outbox where id > 200").then_some(())
    });
    cluster.wait_until("ticks", SOON, || {
        one::<bool>(copy, &format!("select count(*) >= {ticks} + 3 from outbox where id = 0")).then_some(())
    });
    assert_eq!(one::<String>(copy, PROBLEMS), "");
    // Everything counts from then: of what fell due before, nothing runs and nothing is missed.
    let early: Vec<String> = all(
        copy,
        &format!(
            "select format('%s %s', id, at) from outbox where at >= timestamptz '{began}' and due_at < timestamptz '{activated}' - interval '1 second'"
        ),
    );
    assert!(early.is_empty(), "due before activation, and yet run: {early:?}");
    assert_eq!(one::<i64>(copy, "select count(*) from outbox where id between 1 and 10"), 10);
    assert_eq!(one::<i64>(copy, "select unaccounted from jittask.status()"), 0);
    let left: Vec<String> = all(
        copy,
        &format!(
            "select format('%s %s %s', task, due_at, status) from jittask.records where status in ('pending', 'overdue') and due_at < timestamptz '{activated}'"
        ),
    );
    assert!(left.is_empty(), "of the time before, this waits for ever: {left:?}");
}

#[test]
fn a_database_made_from_a_template_waits_for_activate() {
    let cluster = Cluster::with(&[]);
    original(&cluster);
    cluster.sql("postgres", "create database copy template original owner boss");
    let began = now(&mut cluster.connect("copy"));
    sleeps_until_activated(&cluster, &began);
}

#[test]
fn a_database_restored_from_a_dump_waits_for_activate() {
    let cluster = Cluster::with(&[]);
    original(&cluster);
    let began = restore(&cluster, &cluster, |script| script);
    sleeps_until_activated(&cluster, &began);
    // The original goes on.
    let mut session = cluster.connect("original");
    cluster.wait_until("the original's rows", SOON, || {
        one::<bool>(&mut session, "select count(*) = 20 from outbox where id > 0").then_some(())
    });
}

fn restored_in_another_cluster(change: impl Fn(String) -> String) {
    let cluster = Cluster::with(&[]);
    let other = Cluster::with_options(&Options { own_identity: true, ..Options::default() });
    original(&cluster);
    other.sql("postgres", "create role app login; create role boss login");
    let began = restore(&cluster, &other, change);
    sleeps_until_activated(&other, &began);
}

#[test]
fn a_database_restored_in_another_cluster_waits_for_activate() {
    restored_in_another_cluster(|script| script);
}

#[test]
fn a_dump_restored_piece_by_piece_runs_nothing_in_between() {
    restored_in_another_cluster(slowly_and_tasks_first);
}

/// In a restored database functions and columns have other numbers: the task calls its function, not the one that has its
/// number now, and follows its column.
#[test]
fn numbers_of_functions_and_columns_are_others_after_a_restore() {
    let cluster = Cluster::with(&[]);
    let other = Cluster::with_options(&Options { own_identity: true, ..Options::default() });
    cluster.sql("postgres", "create role app login; create role boss login");
    cluster.sql("postgres", "create database original owner app");
    cluster.sql("original", "create extension jittask; grant usage on schema jittask to app");
    let mut session = cluster.connect_as("original", "app");
    session
        .batch_execute(
            "create table outbox (id bigint, what text);
             create table contract (junk int, id bigint primary key, due timestamptz, signed_at timestamptz);
             create index on contract (due);
             create function run(contract) returns void language sql as $$ insert into outbox values ($1.id, 'run') $$;
             alter table contract drop column junk;
             select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'signed_at is not null')",
        )
        .unwrap();
    other.sql("postgres", "create role app login; create role boss login");
    restore(&cluster, &other, |script| script);
    other.sql("postgres", "alter database copy owner to app");
    let mut copy = other.connect_as("copy", "app");
    let known = "select concat_ws(' ', date_column, definition ->> 'service_function', definition ->> 'filter') from jittask.tasks";
    let as_it_was = "due public.run(public.contract) signed_at is not null";
    assert_eq!(one::<String>(&mut copy, known), as_it_was);
    copy.batch_execute(
        "create function a(contract) returns void language sql as $$ insert into public.outbox values ($1.id, 'wrong') $$;
         create function b(int) returns void language sql as $$ insert into public.outbox values ($1, 'wrong') $$;",
    )
    .unwrap();
    for wrong in ["a(contract)", "b(int)"] {
        // As if it had got the number of the task's.
        other.sql("copy", &format!("update jittask.task set function_oid = '{wrong}'::regprocedure"));
        let exported: String = one(&mut copy, "select jittask.export_task('rows') ->> 'service_function'");
        assert_eq!(exported, "public.run(public.contract)");
    }
    copy.batch_execute("select jittask.activate(); insert into contract values (1, now(), now())").unwrap();
    other.wait_until("the row", SOON, || one::<bool>(&mut copy, "select exists (select from outbox)").then_some(()));
    assert_eq!(all::<String>(&mut copy, "select what from outbox"), ["run"]);
    assert_eq!(one::<String>(&mut copy, known), as_it_was);
}

/// An original and its copy in one cluster have tasks of the same tokens, and do not share how far these are planned.
#[test]
fn an_original_and_its_activated_copy_plan_by_themselves() {
    let cluster = Cluster::with(&[("jittask.scan_interval", "60s")]);
    original(&cluster);
    cluster.sql("postgres", "create database copy template original owner boss");
    cluster.sql("copy", "select jittask.activate()");
    let (mut first, mut second) = (cluster.connect_as("original", "app"), cluster.connect_as("copy", "app"));
    for round in 0..3 {
        let from = 1000 + 10 * round;
        fall_due(&mut first, from, from + 4, 500);
        fall_due(&mut second, from + 5, from + 9, 500);
        for (session, id) in [(&mut first, from), (&mut second, from + 5)] {
            let done = format!("select count(*) = 5 from outbox where id between {id} and {id} + 4");
            cluster.wait_until("the rows of both", SOON, || one::<bool>(session, &done).then_some(()));
        }
    }
}
