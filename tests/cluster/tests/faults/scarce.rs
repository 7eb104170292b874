//! When something is scarce: a table that somebody has locked, worker slots of the server, executors. Others go on, and
//! so does who waited, as soon as there is room.

use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{Cluster, Load, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);
/// How late others may be.
const ON_TIME: f64 = 1.0;

/// Tasks of role `app` and of another one, beside the contracts of the test: a tick each second.
fn neighbours(cluster: &Cluster) {
    cluster.sql("postgres", "create role other login; grant usage on schema jittask to other");
    cluster.app_sql("create table ticks (task text, due_at timestamptz, at timestamptz default clock_timestamp()); grant insert on ticks to public");
    cluster.sql(
        "postgres",
        "create function tick() returns void language sql as
        $$ insert into public.ticks select task, due_at from jittask.current_run() $$",
    );
    for role in ["app", "other"] {
        let task = format!(
            "select jittask.create_scheduled_task('{role}', now(), 'tick', rule => 'every 1 second', name => '{role}', catch_up => 'all')"
        );
        cluster.connect_as("postgres", role).batch_execute(&task).unwrap();
    }
}

fn assert_neighbours_were_on_time(session: &mut Client, load: &Load) {
    for role in ["app", "other"] {
        let late: f64 = one(
            session,
            &format!(
                "select max(extract(epoch from at - due_at))::float8 from ticks where task = '{role}' and due_at > (select min(due_at) from ticks) + interval '1 second'"
            ),
        );
        let gap: f64 = one(
            session,
            &format!(
                "select max(gap)::float8 from (select extract(epoch from due_at - lag(due_at) over (order by due_at)) as gap from ticks where task = '{role}') g"
            ),
        );
        println!("{role}: gaps of {gap:.1} s");
        load.assert_within(ON_TIME, late, &format!("the lateness of a task of {role}"));
        assert!(gap < 1.1, "a tick of {role} is missing");
    }
}

#[test]
fn a_locked_table_holds_up_its_own_task_only() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.contracts(", max_attempts => 3");
    let load = Load::watch();
    neighbours(&cluster);
    let mut session = cluster.connect("postgres");
    // Rows alone at their instants, and a batch; planned before the lock, falling due under it.
    (1..=30).for_each(|id| fall_due(&mut session, id, id, 1500 + 200 * id));
    fall_due(&mut session, 101, 200, 2500);
    cluster.wait_for(SOON, "select count(*) = 130 from jittask.records where task = 'rows'");
    let mut locker = cluster.connect("postgres");
    locker.batch_execute("begin; lock table contract in access exclusive mode").unwrap();
    sleep(Duration::from_secs(30));
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0);
    locker.batch_execute("commit").unwrap();
    let begun = Instant::now();
    cluster.wait_for(SOON, "select count(*) = 130 from jittask.records where task = 'rows' and status = 'completed'");
    println!("130 rows were done {:?} after the lock had gone", begun.elapsed());
    cluster.assert_each_once();
    assert_neighbours_were_on_time(&mut session, &load);
}

/// Takes one of the server's worker slots until the process is cancelled: a query that runs in a parallel worker. An
/// executor that is just ending may have the slot still; then the query runs without a worker, and another try is made.
fn take_worker_slot(cluster: &Cluster) -> i32 {
    let force = if cluster.major() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    let mut session = cluster.connect("postgres");
    let query = "select pid from pg_stat_activity a where application_name = 'taker' and backend_type = 'client backend'
                 and exists (select from pg_stat_activity w where w.leader_pid = a.pid and w.backend_type = 'parallel worker')";
    let before: Vec<i32> = all(&mut session, query);
    for _ in 0..10 {
        let mut config = cluster.config("postgres", "postgres");
        config.application_name("taker").options(&format!("-c {force}=on"));
        let mut taker = config.connect(cluster::postgres::NoTls).unwrap();
        std::thread::spawn(move || taker.simple_query("select pg_sleep(3600)").map(drop));
        for _ in 0..20 {
            sleep(Duration::from_millis(50));
            if let Some(pid) = all::<i32>(&mut session, query).into_iter().find(|pid| !before.contains(pid)) {
                return pid;
            }
        }
        session.batch_execute("select pg_terminate_backend(pid) from pg_stat_activity a where application_name = 'taker' and not exists (select from pg_stat_activity w where w.leader_pid = a.pid)").unwrap();
    }
    panic!("no worker slot could be taken");
}

fn complaints(cluster: &Cluster) -> usize {
    cluster.log().lines().filter(|line| line.contains("all max_worker_processes slots are in use")).count()
}

/// A server with two worker slots beside its own launcher's and ours; as soon as `workers` of ours are there, launcher
/// included, what is left is taken.
fn without_worker_slots(workers: usize) {
    let cluster = Cluster::ready(&[("max_worker_processes", "4"), ("jittask.executor_idle", "0")]);
    let are_there = format!("select count(*) = {workers} from jittask.workers");
    if workers > 1 {
        cluster.contracts("");
    }
    cluster.wait_for(SOON, &are_there);
    let takers: Vec<i32> = (workers..3).map(|_| take_worker_slot(&cluster)).collect();
    if workers == 1 {
        cluster.contracts("");
    }
    let mut session = cluster.connect("postgres");
    fall_due(&mut session, 1, 10, 500);
    // Long enough for several lines, if each try gave one.
    sleep(Duration::from_secs(5));
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0, "there was a slot after all");
    assert_eq!(complaints(&cluster), 1, "{}", cluster.log());
    assert_eq!(one::<i64>(&mut session, IS_SAID), 1);
    free(&mut session, &takers);
    cluster.wait_within(1.0, "select exists (select from outbox)");
    cluster.wait_for(SOON, "select count(*) = 10 from outbox");
    cluster.assert_each_once();
    cluster.wait_for(SOON, &format!("select ({IS_SAID}) = 0"));
}

const IS_SAID: &str = "select count(*) from jittask.status(), unnest(problems) p where p like 'no background worker is free for jittask since 20%'";

fn free(session: &mut Client, takers: &[i32]) {
    for taker in takers {
        assert!(one::<bool>(session, &format!("select pg_cancel_backend({taker})")));
    }
}

#[test]
fn an_executor_waits_quietly_for_a_worker_slot() {
    without_worker_slots(2);
}

#[test]
fn a_scheduler_waits_quietly_for_a_worker_slot() {
    without_worker_slots(1);
}

/// A function that does not come back, in each of two executors, and a third owner who waits.
#[test]
fn hung_functions_in_all_slots_are_named_and_make_room() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "2")]);
    let mut session = cluster.connect("postgres");
    session.batch_execute("create function hang() returns void language sql as $$ select pg_sleep(3600) $$").unwrap();
    for role in ["one", "two"] {
        session
            .batch_execute(&format!(
                "create role {role} login; grant usage on schema jittask to {role}; set role {role};
                 select jittask.create_scheduled_task('hang of {role}', now(), 'hang', name => 'hang_{role}', max_attempts => 1);
                 reset role"
            ))
            .unwrap();
    }
    let hung_at = "select count(*) = 2 from jittask.progress where started_at is not null";
    cluster.wait_for(SOON, hung_at);
    let begun = Instant::now();
    cluster.contracts("");
    fall_due(&mut session, 1, 10, 500);
    let problem = cluster.wait_until("the hung tasks to be named", Duration::from_secs(60), || {
        all::<String>(&mut session, "select unnest(problems) from jittask.status()")
            .into_iter()
            .find(|problem| problem.contains("busy"))
    });
    println!("after {:?}: {problem}", begun.elapsed());
    let wanted: Vec<String> = all(
        &mut session,
        "select format('\"%s\" since %s', task, date_trunc('second', started_at)) from jittask.progress",
    );
    assert_eq!(wanted.len(), 2);
    assert!(wanted.iter().all(|run| problem.contains(run)), "{problem}\n{wanted:?}");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0);
    let hung: i32 = one(&mut session, "select pid from jittask.progress limit 1");
    free(&mut session, &[hung]);
    cluster.wait_within(1.0, "select exists (select from outbox)");
    cluster.wait_for(SOON, "select count(*) = 10 from outbox");
    cluster.assert_each_once();
}

/// While one function runs for long, its owner's other executor and the scheduler have nothing to do, and do nothing;
/// what then falls due, planned or not, does not wait for that function.
#[test]
fn nobody_looks_in_a_circle_while_a_function_runs_for_long() {
    let cluster = Cluster::ready(&[]);
    cluster.contracts("");
    cluster.app_sql(
        "create function hang() returns void language sql as $$ select pg_sleep(3600) $$;
         select jittask.create_scheduled_task('hang', now(), 'hang', name => 'hang')",
    );
    let mut session = cluster.connect("postgres");
    cluster.wait_for(SOON, "select exists (select from jittask.progress)");
    fall_due(&mut session, 1, 5, 0);
    cluster.wait_within(2.0, "select count(*) = 5 from outbox");
    // Five instants may have called for more than one helper.
    cluster.wait_for(
        SOON,
        "select count(*) > 1 and count(*) filter (where state = 'busy') = 1 from jittask.workers where kind = 'executor'",
    );
    let used = || -> Duration {
        let ours = cluster.processes().into_iter().filter(|process| process.title.contains("jittask "));
        ours.filter_map(|process| cluster::processes::processor_time(process.pid)).sum()
    };
    let before = used();
    sleep(Duration::from_secs(5));
    let used = used().saturating_sub(before);
    println!("processor time within 5 s: {used:?}");
    assert!(used < Duration::from_millis(200), "they used {used:?}");
    fall_due(&mut session, 6, 10, 300);
    cluster.wait_within(2.0, "select count(*) = 10 from outbox");
}

/// A role's own settings may keep executors from working as that role. Each try is a process of the server and a line in its
/// log: they become rare, also while an executor that came before runs on.
#[test]
fn executors_that_cannot_start_are_tried_ever_more_rarely() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.connect("postgres");
    session
        .batch_execute(
            "create role other; create role odd login; grant other to odd; grant usage on schema jittask to odd;
             grant create on schema public to odd; set role odd;
             create function hang() returns void language sql as 'select pg_sleep(3600)';
             create function tick() returns void language sql as '';
             select jittask.create_scheduled_task('hang', now(), 'hang', name => 'hang');
             reset role",
        )
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.progress)");
    session
        .batch_execute(
            "alter role odd set role = other; set role odd;
             select jittask.create_scheduled_task('tick', now(), 'tick', rule => 'every 1 second', name => 'tick');
             reset role",
        )
        .unwrap();
    let refused = || cluster.log().lines().filter(|line| line.contains("is not connected as its owner")).count();
    cluster.wait_until("an executor to be refused", SOON, || (refused() > 0).then_some(()));
    sleep(Duration::from_secs(3));
    assert!(refused() <= 3, "{} executors were refused within 3 s", refused());
    assert_eq!(one::<i64>(&mut session, "select completed from jittask.tasks where name = 'tick'"), 0);
    session.batch_execute("alter role odd reset role").unwrap();
    cluster.wait_for(SOON, "select completed > 2 from jittask.tasks where name = 'tick'");
}
