//! Copies of a database: made from it as a TEMPLATE, or restored from its dump, in the same cluster or in another. A copy
//! runs nothing, says so, and once it is activated everything counts from then.

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
            "create function tick() returns void language sql as $$ insert into outbox (id) values (0) $$;
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

/// Dumps `original` of one cluster and restores it as `copy` of another, or of the same.
fn restore(from: &Cluster, to: &Cluster) {
    to.sql("postgres", "create database copy owner boss");
    let program = |cluster: &Cluster, name: &str, database: &str| -> Command {
        let mut command = cluster.tree().command(name);
        command.arg("-h").arg(cluster.socket_dir()).arg("-p").arg(cluster.port().to_string());
        command.args(["-U", "postgres", "-d", database]);
        command
    };
    let mut dump = program(from, "pg_dump", "original").stdout(Stdio::piped()).spawn().unwrap();
    let restored = program(to, "psql", "copy")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(dump.wait().unwrap().success() && restored.success());
}

/// Nothing runs in the copy, whatever falls due, until its owner activates it; and then only what falls due from then on.
fn sleeps_until_activated(cluster: &Cluster, copy: &mut Client) {
    assert!(one::<String>(copy, PROBLEMS).contains("jittask.activate()"));
    fall_due(copy, 101, 110, 200);
    let passed: String = one(copy, "select max(due)::text from contract");
    cluster.wait_for(SOON, &format!("select clock_timestamp() > timestamptz '{passed}' + interval '2 seconds'"));
    let before: i64 = one(copy, "select count(*) from outbox where id > 0");
    assert_eq!(before, 10, "the copy ran something by itself");
    let ticks: i64 = one(copy, "select count(*) from outbox where id = 0");
    let refused = copy.batch_execute("select jittask.run_task('ticks')").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55000", "{refused:?}");
    // Not by anybody.
    let refused = cluster.connect_as("copy", "app").batch_execute("select jittask.activate()").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501", "{refused:?}");
    cluster.sql("copy", "grant usage on schema jittask to boss");
    cluster.connect_as("copy", "boss").batch_execute("select jittask.activate()").unwrap();
    let activated: String = one(copy, "select clock_timestamp()::text");
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
            "select format('%s %s', id, at) from outbox where id between 11 and 200 or (id = 0 and due_at < timestamptz '{activated}' - interval '1 second')"
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
    let mut copy = cluster.connect("copy");
    sleeps_until_activated(&cluster, &mut copy);
}

#[test]
fn a_database_restored_from_a_dump_waits_for_activate() {
    let cluster = Cluster::with(&[]);
    original(&cluster);
    restore(&cluster, &cluster);
    let mut copy = cluster.connect("copy");
    sleeps_until_activated(&cluster, &mut copy);
    // The original goes on.
    let mut session = cluster.connect("original");
    cluster.wait_until("the original's rows", SOON, || {
        one::<bool>(&mut session, "select count(*) = 20 from outbox where id > 0").then_some(())
    });
}

#[test]
fn a_database_restored_in_another_cluster_waits_for_activate() {
    let cluster = Cluster::with(&[]);
    let other = Cluster::with_options(&Options { own_identity: true, ..Options::default() });
    original(&cluster);
    other.sql("postgres", "create role app login; create role boss login");
    restore(&cluster, &other);
    let mut copy = other.connect("copy");
    sleeps_until_activated(&other, &mut copy);
}
