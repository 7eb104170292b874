//! COPY of 1,000,000 far-future rows into a tracked table, against an untracked one.

use super::pair;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server::{self, seconds};
use crate::stats::{median, ratio};

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    pair::create(&cluster, "date");
    let rows = plan.count(1_000_000);
    let file = cluster.datadir().join("rows");
    cluster.sql(
        "postgres",
        &format!(
            "copy (select 'customer ' || g, date '2100-01-01' + (g * 7919::bigint % 30000)::int from generate_series(1, {rows}) g) to '{}'",
            file.display()
        ),
    );
    let (mut untracked, mut tracked) = (Vec::new(), Vec::new());
    // The first round, which makes the log's files, does not count.
    for number in 0..=2 * plan.rounds {
        let (without, with) = pair::round(&cluster, number, |table| {
            let mut session = cluster.connect("postgres");
            session.batch_execute(&format!("truncate {table}")).unwrap();
            let copy = format!("copy {table} (customer, due) from '{}'", file.display());
            seconds(|| session.batch_execute(&copy).unwrap_or_else(|error| panic!("{copy}: {error}")))
        });
        if number > 0 {
            untracked.push(without);
            tracked.push(with);
        }
    }
    let what = format!("COPY of {rows} far-future rows into a tracked table, against untracked");
    Ok(vec![
        Line::ratio("copy", &what, ratio(&untracked, &tracked), 0.95, 0.98),
        Line::info("untracked", rows as f64 / median(&untracked), "rows/s"),
        Line::info("tracked", rows as f64 / median(&tracked), "rows/s"),
    ])
}
