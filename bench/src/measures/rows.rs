//! Rows a second: 100,000 of 1,000,000 rows due at once.

use crate::contracts::{Contracts, Run};
use crate::peers::Peer;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server;
use crate::stats::{median, ratio};

/// Rows a second, by side and round.
#[derive(Default)]
struct Rates {
    bare: Vec<f64>,
    hand_written: Vec<f64>,
    one: Vec<f64>,
    two: Vec<f64>,
    array_one: Vec<f64>,
    array_two: Vec<f64>,
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
    let mut rates = Rates { peers: installed.collect(), ..Rates::default() };
    for round in 0..plan.rounds {
        server::set_executors(&mut cluster, 1);
        let contracts = Contracts::again(&cluster, due, &day, &zone, 2 * round);
        rates.bare.push(contracts.bare());
        rates.hand_written.push(contracts.hand_written());
        rates.note(contracts.jittask("remind"), |rates| &mut rates.one);
        if !plan.is_quick {
            rates.note(contracts.jittask("remind_all"), |rates| &mut rates.array_one);
        }
        server::set_executors(&mut cluster, 2);
        let contracts = Contracts::again(&cluster, due, &day, &zone, 2 * round + 1);
        rates.note(contracts.jittask("remind"), |rates| &mut rates.two);
        rates.note(contracts.jittask("remind_all"), |rates| &mut rates.array_two);
        for (peer, (_, rates)) in peers.iter().zip(&mut rates.peers) {
            // One that failed is not tried again.
            if let Ok(before) = rates {
                match peer.rate(&contracts) {
                    Ok(rate) => before.push(rate),
                    Err(why) => *rates = Err(why),
                }
            }
        }
    }
    Ok(rates.lines(due))
}

impl Rates {
    fn note(&mut self, run: Run, side: fn(&mut Rates) -> &mut Vec<f64>) {
        side(self).push(run.rate);
        self.planning.push(run.planning);
    }

    fn lines(&self, due: i64) -> Vec<Line> {
        let mut lines = vec![
            Line::ratio(
                "one_loop",
                "rows/s, all due at once, one executor, against the loop (b)",
                ratio(&self.one, &self.hand_written),
                1.5,
                2.0,
            ),
            Line::ratio(
                "two_bare",
                "the same, two executors, against the bare statement (a)",
                ratio(&self.two, &self.bare),
                0.7,
                1.0,
            ),
        ];
        let measured: Vec<&Vec<f64>> = self.peers.iter().filter_map(|(_, rates)| rates.as_ref().ok()).collect();
        if let Some(fastest) = measured.iter().max_by(|a, b| median(a).total_cmp(&median(b))) {
            let what = "the same, against the faster job queue (c)";
            lines.push(Line::ratio("two_queue", what, ratio(&self.two, fastest), 20.0, 40.0));
        }
        let what = "array service function, two executors, against (a)";
        lines.push(Line::ratio("array_bare", what, ratio(&self.array_two, &self.bare), 1.5, 3.0));
        let sides = [
            ("(a) the bare statement", &self.bare),
            ("(b) the careful loop", &self.hand_written),
            ("jittask, one executor", &self.one),
            ("jittask, two executors", &self.two),
            ("jittask, array function, one executor", &self.array_one),
            ("jittask, array function, two executors", &self.array_two),
        ];
        let rate = |what: &str, rates: &[f64]| Line::info("", &format!("– {what}"), median(rates), "rows/s");
        lines.extend(sides.iter().filter(|(_, rates)| !rates.is_empty()).map(|(what, rates)| rate(what, rates)));
        lines.extend(self.peers.iter().map(|(name, rates)| match rates {
            Ok(rates) => rate(&format!("(c) {name}"), rates),
            Err(why) => Line::info("", &format!("– (c) {name} NOT MEASURED: {why}"), f64::NAN, ""),
        }));
        let what = format!("– planning those {due} rows, before the due instant");
        lines.push(Line::info("", &what, median(&self.planning), "s"));
        lines
    }
}
