//! One failing row in each hundred, against none failing.

use crate::contracts::Contracts;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server;
use crate::stats::{median, ratio};

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[("jittask.max_executors", "2")]);
    let contracts = Contracts::create(&cluster, plan.count(1_000_000));
    let (mut sound, mut failing) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        sound.push(contracts.jittask("remind").run.rate);
        failing.push(contracts.jittask("remind_most").run.rate);
    }
    let what = "one failing row in each 100: throughput against none failing";
    Ok(vec![
        Line::ratio("failing", what, ratio(&failing, &sound), 0.5, 0.8),
        Line::info("none failing, two executors", median(&sound), "rows/s"),
        Line::info("one in 100 failing, two executors", median(&failing), "rows/s"),
    ])
}
