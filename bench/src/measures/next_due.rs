//! 10,000 scheduled tasks: what the scheduler takes to find the next due instant after one of them has changed.

use std::thread::sleep;
use std::time::Duration;

use cluster::one;

use crate::plan::Plan;
use crate::processes::cpu_seconds;
use crate::report::{Line, Outcome};
use crate::server::{self, seconds};
use crate::stats::median;

const CHANGES: usize = 40;
/// The scheduler is done with a change, and asleep again, long before.
const PAUSE: Duration = Duration::from_millis(250);

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    let tasks = plan.count(10_000);
    let mut app = cluster.app();
    app.batch_execute("create function report() returns void language sql as ''").unwrap();
    let create = format!(
        "select count(jittask.create_scheduled_task('report', now() + interval '1 day' + g * interval '1 s', 'report',
             repeat => 'daily', name => 's' || g)) from generate_series(1, {tasks}) g"
    );
    // With nothing due for ten minutes the scheduler would leave.
    app.batch_execute(
        "select jittask.create_scheduled_task('soon', now() + interval '8 minutes', 'report', repeat => 'daily')",
    )
    .unwrap();
    let creating = seconds(|| assert_eq!(one::<i64>(&mut app, &create), tasks));
    server::maintain(&cluster, "vacuum analyze");
    let mut session = cluster.connect("postgres");
    let scheduler = cluster.wait_until("a sleeping scheduler", Duration::from_secs(60), || {
        let query = "select pid from jittask.workers where kind = 'scheduler'";
        let pid: i32 = session.query_opt(query, &[]).unwrap()?.get(0);
        let before = cpu_seconds(pid)?;
        sleep(Duration::from_secs(1));
        (cpu_seconds(pid)? == before).then_some(pid)
    });
    let (mut awake, mut calls) = (Vec::new(), Vec::new());
    for change in 1..=CHANGES {
        let cpu = || cpu_seconds(scheduler).unwrap_or_else(|| panic!("the scheduler is gone"));
        let before = cpu();
        let alter = format!(
            "select jittask.alter_task('s{change}', jsonb_build_object('start_at', now() + interval '2 days' + interval '{change} s'))"
        );
        calls.push(seconds(|| app.batch_execute(&alter).unwrap_or_else(|error| panic!("{alter}: {error}"))));
        sleep(PAUSE);
        awake.push(cpu() - before);
    }
    let what = format!("{tasks} scheduled tasks: next-due computation after one change (the scheduler's CPU time)");
    Ok(vec![
        Line::at_most("next_due", &what, median(&awake) * 1e3, "ms", 10.0, 1.0),
        Line::info("the change itself, alter_task() and its commit", median(&calls) * 1e3, "ms"),
        Line::info("creating one of them", creating / tasks as f64 * 1e3, "ms"),
    ])
}
