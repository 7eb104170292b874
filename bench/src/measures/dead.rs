//! The agenda's size after 1,000,000 occurrences, autovacuum on as it comes: all on ten shared instants, and each at an
//! instant of its own.

use std::time::Duration;

use cluster::Cluster;

use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server::{self, size, wait_for_count};

const WAVES: i64 = 10;
const MEGABYTE: f64 = 1024.0 * 1024.0;

pub fn run(plan: &Plan) -> Outcome {
    let shared = agenda_after(plan, "interval '0'")?;
    let single = agenda_after(plan, "g * interval '10 microseconds'")?;
    let what = "dead tuples after 1,000,000 occurrences, autovacuum on: agenda size";
    Ok(vec![
        Line::at_most("dead", &format!("{what}, shared instants"), shared.0, "MB", 10.0, 1.0),
        Line::info("the greatest in between", shared.1, "MB"),
        Line::at_most("dead_single", &format!("{what}, an instant each"), single.0, "MB", 10.0, 1.0),
        Line::info("the greatest in between (100,000 are pending at once)", single.1, "MB"),
    ])
}

/// Megabytes at the end, and the greatest that was seen.
fn agenda_after(plan: &Plan, spread: &str) -> Result<(f64, f64), String> {
    let cluster = server::start(&[]);
    cluster.app_sql(
        "create table events (id bigint generated always as identity primary key, due timestamptz not null);
         create index on events (due);
         create function handle(events) returns void language sql as '';
         select jittask.create_date_task('bench', 'events', 'due', 'handle')",
    );
    let wave = plan.count(1_000_000) / WAVES;
    let mut greatest: f64 = 0.0;
    for number in 1..=WAVES {
        cluster.app_sql(&format!(
            "insert into events (due) select now() + interval '5 s' + {spread} from generate_series(1, {wave}) g"
        ));
        wait_for_wave(&cluster, number * wave, &mut greatest);
    }
    // Autovacuum looks once a minute; it takes its time, but this is what an administrator would see.
    std::thread::sleep(Duration::from_secs(75));
    let end = size(&mut cluster.connect("postgres"), "agenda") / MEGABYTE;
    Ok((end, greatest.max(end)))
}

fn wait_for_wave(cluster: &Cluster, completed: i64, greatest: &mut f64) {
    let mut session = cluster.connect("postgres");
    let count = "select sum(completed)::bigint from jittask.tally";
    let mut look = || {
        *greatest = greatest.max(size(&mut session, "agenda") / MEGABYTE);
        cluster::one::<Option<i64>>(&mut session, count).unwrap_or(0)
    };
    for _ in 0..1200 {
        if look() >= completed {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let _ = wait_for_count(cluster, count, completed, Duration::from_millis(500), Duration::from_secs(1));
}
