//! INSERT of 300,000 rows that are due within the horizon, each at an instant of its own, tracked against untracked.

use std::time::Duration;

use super::pair;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server::{self, now, seconds, wait_for_count};
use crate::stats::{median, ratio};

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    pair::create(&cluster, "timestamptz");
    let rows = plan.count(300_000);
    let (mut untracked, mut tracked, mut planned) = (Vec::new(), Vec::new(), Vec::new());
    let mut entered = 0;
    for number in 0..plan.rounds {
        let (without, with) = pair::round(&cluster, number, |table| {
            // They stay: those of earlier rounds are pending until the server goes.
            let insert = format!(
                "insert into {table} (customer, due)
                 select 'customer ' || g, now() + interval '40 minutes' + g * interval '1 ms' from generate_series(1, {rows}) g"
            );
            let mut session = cluster.app();
            let taken = seconds(|| session.batch_execute(&insert).unwrap_or_else(|error| panic!("{insert}: {error}")));
            if table == "tracked" {
                // The other side is not measured while these are planned.
                let begun = now();
                entered += rows;
                let count = "select sum(entered)::bigint from jittask.accounts";
                let limit = Duration::from_secs(300);
                planned.push(wait_for_count(&cluster, count, entered, Duration::from_millis(50), limit) - begun);
            }
            taken
        });
        untracked.push(without);
        tracked.push(with);
    }
    let what = format!("INSERT of {rows} rows due within the horizon, tracked against untracked");
    Ok(vec![
        Line::ratio("insert", &what, ratio(&untracked, &tracked), 0.5, 0.8),
        Line::info("untracked", rows as f64 / median(&untracked), "rows/s"),
        Line::info("tracked", rows as f64 / median(&tracked), "rows/s"),
        Line::info("from the commit until all are in the agenda", median(&planned), "s"),
    ])
}
