//! Planning a window with 1,000 due rows: of a table of 10,000,000 rows, against one of 100,000.

use std::time::Duration;

use cluster::Cluster;

use crate::contracts::early_zone;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server::{self, now, seconds, wait_for_count};
use crate::stats::{median, ratio};

const DUE: i64 = 1000;

pub fn run(plan: &Plan) -> Outcome {
    // The executor stays, so that no start of a process is in the times.
    let cluster = server::start(&[("jittask.executor_idle", "1h")]);
    let zone = early_zone(&cluster);
    let (large, small) = (plan.count(10_000_000), plan.count(100_000).max(20 * DUE));
    fill(&cluster, &zone, "large", large);
    fill(&cluster, &zone, "small", small);
    let mut tasks = Tasks { cluster: &cluster, zone: &zone, made: 0 };
    // The first of all brings the processes up.
    tasks.plan("small");
    let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
    for _ in 0..2 * plan.rounds {
        of_large.push(tasks.plan("large"));
        of_small.push(tasks.plan("small"));
    }
    let column = |of: &[(f64, f64)], simulated: bool| -> Vec<f64> {
        of.iter().map(|(planned, looked)| if simulated { *looked } else { *planned }).collect()
    };
    let (large_all, small_all) = (column(&of_large, false), column(&of_small, false));
    let (large_look, small_look) = (column(&of_large, true), column(&of_small, true));
    let what = format!("planning a window with {DUE} due rows: table of {large} rows against {small}");
    Ok(vec![
        Line::at_most("planning", &what, ratio(&large_all, &small_all), "×", 1.5, 1.1),
        Line::info(
            "from the task's commit until the large table's rows are in the agenda",
            median(&large_all) * 1e3,
            "ms",
        ),
        Line::info(
            "from the task's commit until the small table's rows are in the agenda",
            median(&small_all) * 1e3,
            "ms",
        ),
        Line::info("only finding them, by simulate(): large against small", ratio(&large_look, &small_look), "×"),
        Line::info("only finding them, large", median(&large_look) * 1e3, "ms"),
    ])
}

/// Rows all over six thousand days, 1,000 of them on the day that is planned.
fn fill(cluster: &Cluster, zone: &str, name: &str, rows: i64) {
    cluster.app_sql(&format!(
        "create table {name} (id bigint generated always as identity primary key, customer text not null, expires_on date not null);
         insert into {name} (customer, expires_on)
         select 'customer ' || g, date '2150-01-01' + (g % 6000)::int from generate_series(1, {rows} - {DUE}) g;
         insert into {name} (customer, expires_on) select 'customer', (now() at time zone '{zone}')::date from generate_series(1, {DUE});
         create index on {name} (expires_on);
         create function remind({name}) returns void language sql as ''"
    ));
    server::maintain(cluster, &format!("vacuum analyze {name}"));
}

struct Tasks<'a> {
    cluster: &'a Cluster,
    zone: &'a str,
    made: u32,
}

impl Tasks<'_> {
    /// Seconds to plan the table's day, and to find its rows only.
    fn plan(&mut self, table: &str) -> (f64, f64) {
        self.made += 1;
        let name = format!("{table}_{}", self.made);
        let mut app = self.cluster.app();
        let create = format!(
            "select jittask.create_date_task('bench', '{table}', 'expires_on', 'remind', time_zone => '{zone}', name => '{name}',
                 at => (clock_timestamp() at time zone '{zone}' + interval '30 minutes')::time(0))",
            zone = self.zone
        );
        app.batch_execute(&create).unwrap_or_else(|error| panic!("{create}: {error}"));
        let created = now();
        let count = format!("select sum(entered)::bigint from jittask.accounts where task = '{name}'");
        let planned = wait_for_count(self.cluster, &count, DUE, Duration::from_micros(500), Duration::from_secs(60));
        let simulate = format!("select count(*) from jittask.simulate('{name}', now(), now() + interval '1 hour')");
        let looked = seconds(|| {
            let found: i64 = cluster::one(&mut app, &simulate);
            assert_eq!(found, DUE, "{simulate}");
        });
        app.batch_execute(&format!("select jittask.drop_task('{name}')")).unwrap();
        (planned - created, looked)
    }
}
