//! Every statement that makes, changes, copies or removes the extension or its database, committed and rolled back (or
//! refused), while our processes there are idle and while they work: none hangs, no process is left where nothing of ours
//! is, and where something is, it is served again within five seconds, with nothing lost and nothing done twice.

use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{CONTRACTS, Cluster, Load, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);
/// A statement may wait for our processes to leave, no longer.
const NO_HANG: f64 = 6.0;
const SERVED: f64 = 5.0;

/// What is done to database `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    CreateExtension,
    DropExtension,
    AlterExtension,
    CreateDatabase,
    DropDatabase,
    RenameDatabase,
    CopyDatabase,
}

use What::*;

const ALL: [What; 7] =
    [CreateExtension, DropExtension, AlterExtension, CreateDatabase, DropDatabase, RenameDatabase, CopyDatabase];

impl What {
    fn statement(self) -> &'static str {
        match self {
            CreateExtension => "create extension jittask",
            DropExtension => "drop extension jittask cascade",
            AlterExtension => "alter extension jittask update",
            CreateDatabase => "create database fresh",
            DropDatabase => "drop database target",
            RenameDatabase => "alter database target rename to renamed",
            CopyDatabase => "create database copy template target",
        }
    }

    /// Those that a transaction can contain, and so can be rolled back; the others are refused to somebody who may not.
    fn is_transactional(self) -> bool {
        matches!(self, CreateExtension | DropExtension | AlterExtension | RenameDatabase)
    }

    /// Where the statement is run. A whole database is handled from another one.
    fn place(self) -> &'static str {
        if matches!(self, CreateExtension | DropExtension | AlterExtension) { "target" } else { "postgres" }
    }

    /// The database that has tasks afterwards, if one has.
    fn served(self, is_done: bool) -> Option<&'static str> {
        match (self, is_done) {
            (CreateExtension, false) | (DropExtension | DropDatabase, true) => None,
            (RenameDatabase, true) => Some("renamed"),
            _ => Some("target"),
        }
    }
}

fn install(session: &mut Client) {
    session.batch_execute(CONTRACTS).unwrap();
    session.batch_execute("select jittask.create_date_task('rows', 'contract', 'due', 'run', name => 'rows')").unwrap();
}

/// A task in `target`, with work going on or done. Rows from 1 on.
fn set_up(cluster: &Cluster, what: What, is_busy: bool) {
    cluster.sql("postgres", "create database target");
    if what == CreateExtension {
        return;
    }
    let mut session = cluster.connect("target");
    session.batch_execute("create extension jittask").unwrap();
    install(&mut session);
    if is_busy {
        session
            .batch_execute(
                "create or replace function run(contract) returns void language plpgsql as $$ begin
                     insert into outbox (id) values ($1.id); perform pg_sleep(0.01); end $$",
            )
            .unwrap();
    }
    fall_due(&mut session, 1, 200, 100);
    let wanted = if is_busy { 1 } else { 200 };
    let begun = format!("select count(*) >= {wanted} from outbox");
    cluster.wait_until(&begun, SOON, || one::<bool>(&mut session, &begun).then_some(()));
}

/// Runs the statement to its commit, or to its rollback or refusal; how long it took.
fn run(cluster: &Cluster, what: What, is_done: bool) -> Duration {
    let mut session = cluster.connect(what.place());
    let left = "select count(*) from pg_stat_activity where datname = 'target' and backend_type = 'client backend' and pid <> pg_backend_pid()";
    cluster.wait_until("other sessions to leave", SOON, || (one::<i64>(&mut session, left) == 0).then_some(()));
    let begun = Instant::now();
    let statement = what.statement();
    let done = match (is_done, what.is_transactional()) {
        (true, _) => session.batch_execute(statement),
        (false, true) => session.batch_execute(&format!("begin; {statement}; rollback")),
        (false, false) => {
            session.batch_execute("create role nobody_in_particular; set role nobody_in_particular").unwrap();
            let refused = session.batch_execute(statement).unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "42501", "{refused:?}");
            session.batch_execute("reset role; drop role nobody_in_particular")
        }
    };
    done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    begun.elapsed()
}

/// A database with the extension runs what falls due, one without has no process of ours.
fn check(cluster: &Cluster, what: What, is_done: bool) {
    let served = what.served(is_done);
    let mut admin = cluster.connect("postgres");
    if let Some(database) = served {
        let mut session = cluster.connect(database);
        if what == CreateExtension {
            install(&mut session);
        }
        let load = Load::watch();
        fall_due(&mut session, 1001, 1005, 0);
        let ran = "select count(*) = 5 from outbox where id > 1000";
        cluster.wait_until("new rows to run", SOON, || one::<bool>(&mut session, ran).then_some(()));
        load.assert_over_within(SERVED, &format!("new rows after {what:?}"));
        let all_ran = "select not exists (select from contract where id not in (select id from outbox))";
        cluster.wait_until("all rows to run", SOON, || one::<bool>(&mut session, all_ran).then_some(()));
        let twice: Vec<i64> = all(&mut session, "select id from outbox group by id having count(*) > 1");
        assert!(twice.is_empty(), "{what:?}: ran twice: {twice:?}");
        assert_eq!(one::<i64>(&mut session, "select unaccounted from jittask.status()"), 0);
    }
    let stale = format!(
        "select format('%s %s in %s', pid, backend_type, datname) from pg_stat_activity
         where backend_type in ('jittask scheduler', 'jittask executor') and datname is distinct from '{}'",
        served.unwrap_or_default()
    );
    let load = Load::watch();
    cluster.wait_until(&format!("{what:?}: no process where nothing of ours is"), SOON, || {
        all::<String>(&mut admin, &stale).is_empty().then_some(())
    });
    load.assert_over_within(SERVED, "the last process where nothing of ours is");
}

fn clean_up(cluster: &Cluster) {
    let mut admin = cluster.connect("postgres");
    for database in all::<String>(
        &mut admin,
        "select datname::text from pg_database where datname in ('target', 'renamed', 'copy', 'fresh')",
    ) {
        admin.batch_execute(&format!("drop database {database} with (force)")).unwrap();
    }
}

fn cells(is_busy: bool) {
    let cluster = Cluster::with(&[("jittask.executor_idle", "1s")]);
    for what in ALL {
        for is_done in [true, false] {
            set_up(&cluster, what, is_busy);
            let load = Load::watch();
            let took = run(&cluster, what, is_done);
            let (end, state) = (if is_done { "done" } else { "undone" }, if is_busy { "busy" } else { "idle" });
            load.assert_within(NO_HANG, took.as_secs_f64(), &format!("{what:?} {end}, {state}"));
            drop(load);
            check(&cluster, what, is_done);
            clean_up(&cluster);
        }
    }
}

#[test]
fn databases_and_extension_come_and_go_under_idle_processes() {
    cells(false);
}

#[test]
fn databases_and_extension_come_and_go_under_busy_processes() {
    cells(true);
}

/// Tasks are dropped and made anew under their names while the old ones' functions run. Without triggers, whose dropping
/// waits for the runs.
#[test]
fn nothing_of_a_dropped_task_reaches_the_new_one_of_its_name() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "500ms")]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create function run_slowly(contract) returns void language plpgsql as $$ begin
             perform pg_sleep(2); insert into outbox (id) values (-$1.id); end $$;
         create function tick_slowly() returns void language plpgsql as $$ begin
             perform pg_sleep(2); insert into outbox (id) values (-1000); end $$;
         create function tick() returns void language sql as $$ insert into outbox (id) values (1000) $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run_slowly', name => 'rows', capture => 'scan');
         select jittask.create_scheduled_task('ticks', now() + interval '1 second', 'tick_slowly', name => 'ticks',
             rule => 'every 1 second');
         insert into contract select id, now() + interval '1 second' from generate_series(1, 3) id;",
    );
    cluster.wait_for(SOON, "select count(distinct task) = 2 from jittask.progress");
    let load = Load::watch();
    cluster.app_sql(
        "select jittask.drop_task('rows'), jittask.drop_task('ticks');
         select jittask.create_date_task('rows', 'contract', 'due', 'run', name => 'rows', capture => 'scan');
         select jittask.create_scheduled_task('ticks', now() + interval '1 second', 'tick', name => 'ticks', end_at => now() + interval '2 seconds',
             rule => 'every 1 second');
         insert into contract select id, now() + interval '1 second' from generate_series(11, 13) id;",
    );
    load.assert_over_within(1.0, "dropping tasks while they run");
    let mut session = cluster.connect("postgres");
    cluster.wait_for(SOON, "select count(*) = 5 from outbox where id > 0");
    cluster
        .wait_for(SOON, "select not exists (select from jittask.agenda) and not exists (select from jittask.progress)");
    let counts: Vec<String> = all(
        &mut session,
        "select format('%s: %s completed, %s failed, %s cancelled', name, completed, failed, cancelled) from jittask.tasks order by 1",
    );
    assert_eq!(counts, ["rows: 3 completed, 0 failed, 0 cancelled", "ticks: 2 completed, 0 failed, 0 cancelled"]);
    // What ran ends normally; what was due and not done is cancelled. All of it stays the old tasks'.
    let old = "select count(*) from jittask.record r join jittask.task t on t.id = r.task_id
               where t.dropped_at is not null and r.status not in ('completed', 'cancelled')";
    assert_eq!(one::<i64>(&mut session, old), 0);
    assert_eq!(all::<i64>(&mut session, "select id from outbox where id > 0 order by id"), [11, 12, 13, 1000, 1000]);
    let slow: i64 = one(&mut session, "select count(*) from outbox where id < 0");
    assert!((1..=4).contains(&slow), "{slow} of the old runs left their effect");
    assert_eq!(one::<i64>(&mut session, "select unaccounted from jittask.status()"), 0);
}
