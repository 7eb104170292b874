//! Rows a second: 100,000 of 1,000,000 rows due at once.

use crate::contracts::{Contracts, Due, Run};
use crate::peers::Peer;
use crate::plan::Plan;
use crate::report::{Line, Outcome, short};
use crate::server;
use crate::stats::{median, ratio};

/// The runs by side and round; of the queues only rows a second.
#[derive(Default)]
struct Runs {
    bare: Vec<Run>,
    hand_written: Vec<Run>,
    one: Vec<Run>,
    two: Vec<Run>,
    array_one: Vec<Run>,
    array_two: Vec<Run>,
    planning: Vec<f64>,
    peers: Vec<(&'static str, Result<Vec<f64>, String>)>,
}

pub fn run(plan: &Plan) -> Outcome {
    let mut cluster = server::start(&[]);
    let contracts = Contracts::create(&cluster, plan.count(1_000_000));
    let (due, day, zone) = (contracts.due, contracts.day.clone(), contracts.zone.clone());
    drop(contracts);
    let peers: Vec<Peer> = if plan.is_quick { Vec::new() } else { Peer::all().into() };
    let installed = peers.iter().map(|peer| (peer.name, peer.install(&cluster).map(|()| Vec::new())));
    let mut runs = Runs { peers: installed.collect(), ..Runs::default() };
    for round in 0..plan.rounds {
        server::set_executors(&mut cluster, 1);
        let contracts = Contracts::again(&cluster, due, &day, &zone, 2 * round);
        runs.bare.push(contracts.bare());
        runs.hand_written.push(contracts.hand_written());
        runs.note(contracts.jittask("remind"), |runs| &mut runs.one);
        if !plan.is_quick {
            runs.note(contracts.jittask("remind_all"), |runs| &mut runs.array_one);
        }
        server::set_executors(&mut cluster, 2);
        let contracts = Contracts::again(&cluster, due, &day, &zone, 2 * round + 1);
        runs.note(contracts.jittask("remind"), |runs| &mut runs.two);
        runs.note(contracts.jittask("remind_all"), |runs| &mut runs.array_two);
        for (peer, (_, rates)) in peers.iter().zip(&mut runs.peers) {
            // One that failed is not tried again.
            if let Ok(before) = rates {
                match peer.rate(&contracts) {
                    Ok(rate) => before.push(rate),
                    Err(why) => *rates = Err(why),
                }
            }
        }
    }
    Ok(runs.lines(due))
}

impl Runs {
    fn note(&mut self, due: Due, side: fn(&mut Runs) -> &mut Vec<Run>) {
        side(self).push(due.run);
        self.planning.push(due.planning);
    }

    fn lines(&self, due: i64) -> Vec<Line> {
        let against = |ours: &[Run], theirs: &[Run]| ratio(&rates(ours), &rates(theirs));
        let what = "rows/s, all due at once, one executor, against the loop (b)";
        let mut lines = vec![Line::ratio("one_loop", what, against(&self.one, &self.hand_written), 1.5, 2.0)];
        let what = "the same, two executors, against the bare statement (a)";
        lines.push(Line::ratio("two_bare", what, against(&self.two, &self.bare), 0.7, 1.0));
        let measured = self.peers.iter().filter_map(|(_, rates)| rates.as_ref().ok());
        if let Some(fastest) = measured.max_by(|a, b| median(a).total_cmp(&median(b))) {
            let what = "the same, against the faster job queue (c)";
            lines.push(Line::ratio("two_queue", what, ratio(&rates(&self.two), fastest), 20.0, 40.0));
        }
        let what = "array service function, two executors, against (a)";
        lines.push(Line::ratio("array_bare", what, against(&self.array_two, &self.bare), 1.5, 3.0));
        // A busy machine takes the second core away from us, but no CPU time.
        let cheaper = |ours: &[Run], theirs: &[Run]| ratio(&cpu(theirs), &cpu(ours));
        let judged = |id, what, ours, theirs| Line::judged(id, what, cheaper(ours, theirs));
        lines.push(judged("one_loop_cpu", "rows for the same CPU time, against (b)", &self.one, &self.hand_written));
        lines.push(judged(
            "two_bare_cpu",
            "rows for the same CPU time, two executors, against (a)",
            &self.two,
            &self.bare,
        ));
        lines.push(judged("array_bare_cpu", "the same, array function, against (a)", &self.array_two, &self.bare));
        lines.extend(self.sides());
        lines.extend(self.peers.iter().map(|(name, rates)| match rates {
            Ok(rates) => Line::info(&format!("(c) {name}"), median(rates), "rows/s"),
            Err(why) => Line::info(&format!("(c) {name} NOT MEASURED: {why}"), f64::NAN, ""),
        }));
        let what = format!("planning those {due} rows, before the due instant");
        lines.push(Line::info(&what, median(&self.planning), "s"));
        lines
    }

    fn sides(&self) -> Vec<Line> {
        let sides = [
            ("(a) the bare statement", &self.bare),
            ("(b) the careful loop", &self.hand_written),
            ("jittask, one executor", &self.one),
            ("jittask, two executors", &self.two),
            ("jittask, array function, one executor", &self.array_one),
            ("jittask, array function, two executors", &self.array_two),
        ];
        let line = |(what, runs): &(&str, &Vec<Run>)| {
            let what = format!("{what}; {} µs of CPU time a row", short(median(&cpu(runs))));
            Line::info(&what, median(&rates(runs)), "rows/s")
        };
        sides.iter().filter(|(_, runs)| !runs.is_empty()).map(line).collect()
    }
}

fn rates(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.rate).collect()
}

fn cpu(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.cpu).collect()
}
