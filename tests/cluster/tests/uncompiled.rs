//! The server may compile a statement whose guessed cost is high (JIT). Our questions to the catalogs look dear to it and are
//! not: compiling one takes seconds, while the task's table is locked.

use std::time::Duration;

use cluster::{Cluster, SOON, one};

/// A superuser's task, for which most is looked up.
const TASK: &str = "
    create table bill (id int primary key, due timestamptz, amount int);
    create function pay(bill) returns void language sql as '';
    select jittask.create_date_task('bills', 'bill', 'due', 'pay', filter => 'amount > 5', capture => 'trigger');
    select jittask.create_scheduled_task('often', body => 'begin null; end', repeat => 'hourly', start_at => now() + interval '1 day')";

/// What else a session may ask of it. A query on our views is planned as the session's own, and by its own settings.
const CALLS: &[&str] = &[
    "select count(*) from jittask.preview('bills')",
    "select count(*) from jittask.explain_row('bills', '{\"id\": 1}')",
    "select count(*) from jittask.simulate('bills', now() - interval '1 day', now())",
    "select count(*) from jittask.status()",
    "select jittask.alter_task('bills', '{\"filter\": \"amount > 6\"}')",
    "select jittask.pause_task('bills')",
    "select jittask.resume_task('bills')",
    "insert into bill values (2, now(), 10)",
    "select jittask.run_task('often')",
];

#[test]
fn no_statement_of_ours_is_compiled() {
    // Costs above which a server compiles are far lower than the default of 100,000; a constant's is lower still.
    let cluster = Cluster::ready(&[("jittask.scan_interval", "200ms"), ("jit", "on"), ("jit_above_cost", "100")]);
    let mut session = cluster.connect("postgres");
    session.batch_execute(TASK).unwrap();
    session.batch_execute("insert into bill values (1, now(), 10)").unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where task = 'bills' and status = 'completed')");
    for call in CALLS {
        session.batch_execute(call).unwrap_or_else(|error| panic!("{call}: {error:?}"));
        assert!(!has_compiled(one(&mut session, "select pg_backend_pid()")), "{call} was compiled");
    }
    cluster.wait_for(SOON, "select count(*) = 3 from jittask.records where status = 'completed'");
    std::thread::sleep(Duration::from_secs(1));
    for process in cluster.processes() {
        assert!(!has_compiled(process.pid), "{} has compiled something", process.title);
    }
    session.batch_execute("select jittask.drop_task('bills')").unwrap();
    assert!(!has_compiled(one(&mut session, "select pg_backend_pid()")), "drop_task was compiled");
}

/// Is the compiler loaded? A process loads it when it compiles for the first time; a server without one never does.
fn has_compiled(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("llvmjit"))
}
