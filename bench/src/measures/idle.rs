//! What a thousand tasks cost that are not due: transaction ids and CPU time, scaled to an hour.

use std::thread::sleep;
use std::time::Duration;

use cluster::postgres::Client;

use crate::plan::Plan;
use crate::processes;
use crate::report::{Line, Outcome};
use crate::server;

const TABLES: i32 = 50;
const TASKS: i32 = 500;
const SPAN: Duration = Duration::from_secs(300);

pub fn run(plan: &Plan) -> Outcome {
    // The server's own housekeeping would take transaction ids.
    let cluster = server::start(&[("autovacuum", "off")]);
    let mut app = cluster.app();
    let mut make = |text: &str| app.batch_execute(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    make("create function report() returns void language sql as ''");
    for table in 0..TABLES {
        make(&format!(
            "create table t{table} (id bigint generated always as identity primary key, due date not null);
             create index on t{table} (due);
             insert into t{table} (due) select date '2100-01-01' + g from generate_series(1, 1000) g;
             create function remind(t{table}) returns void language sql as ''"
        ));
    }
    for task in 0..TASKS {
        make(&format!(
            "select jittask.create_scheduled_task('report', now() + interval '3 hours', 'report', repeat => 'daily', name => 's{task}');
             select jittask.create_date_task('remind', 't{table}', 'due', 'remind', before => '{before} days', name => 'd{task}')",
            table = task % TABLES,
            before = task / TABLES
        ));
    }
    let mut session = cluster.connect("postgres");
    // All planned, and the executors gone.
    settle(&mut session);
    let span = plan.span(SPAN);
    let per_hour = 3600.0 / span.as_secs_f64();
    let before = server::next_xid(&mut session);
    let cpu = processes::watch(server::postmaster(&cluster), "jittask", span) * per_hour;
    let xids = (server::next_xid(&mut session) - before) as f64 * per_hour;
    Ok(vec![
        Line::at_most("idle_xids", "idle, 1,000 tasks, an hour: transaction ids", xids, "ids", 10.0, 0.0),
        Line::at_most("idle_cpu", "idle, 1,000 tasks, an hour: CPU time", cpu, "s", 5.0, 0.5),
    ])
}

/// Waits until no executor is left and none has come for ten seconds.
fn settle(session: &mut Client) {
    let mut quiet = 0;
    for _ in 0..600 {
        let busy: i64 = cluster::one(session, "select count(*) from jittask.workers where kind = 'executor'");
        quiet = if busy == 0 { quiet + 1 } else { 0 };
        if quiet == 10 {
            return;
        }
        sleep(Duration::from_secs(1));
    }
    panic!("the executors do not leave");
}
