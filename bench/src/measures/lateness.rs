//! How late single rows start: due at instants that have nothing to do with each other, inserted some seconds ahead.

use std::time::Duration;

use cluster::{all, one};

use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server;
use crate::stats::{median, percentile};

const SCHEMA: &str = "
create table appointments (id bigint generated always as identity primary key, starts_at timestamptz not null);
create index on appointments (starts_at);
create table outbox (appointment_id bigint not null, late_ms float8 not null);
create function remind(a appointments) returns void language plpgsql as $$ begin
    insert into outbox select a.id, extract(epoch from clock_timestamp() - a.starts_at) * 1000;
end $$;
select jittask.create_date_task('bench', 'appointments', 'starts_at', 'remind');";

/// On the average one row in this many seconds.
const GAP: f64 = 0.05;

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    cluster.app_sql(SCHEMA);
    let count = plan.count(500);
    let span = count as f64 * GAP;
    let (mut half, mut most, mut worst) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        cluster.app_sql("truncate outbox");
        cluster.app_sql(&format!(
            "insert into appointments (starts_at) select clock_timestamp() + interval '4 s' + random() * interval '{span} s'
             from generate_series(1, {count})"
        ));
        let limit = Duration::from_secs_f64(span + 60.0);
        let query = "select count(*) from outbox";
        // Looked for rarely: the machine is to be idle.
        server::wait_for_count(&cluster, query, count, Duration::from_secs(1), limit);
        let mut session = cluster.app();
        assert_eq!(one::<i64>(&mut session, "select count(*) from outbox where late_ms < 0"), 0, "some ran early");
        let late: Vec<f64> = all(&mut session, "select late_ms from outbox");
        half.push(percentile(&late, 0.5));
        most.push(percentile(&late, 0.99));
        worst.push(percentile(&late, 1.0));
    }
    Ok(vec![
        Line::at_most("late_p50", "lateness p50, single rows at random instants", median(&half), "ms", 2.0, 1.0),
        Line::at_most("late_p99", "lateness p99", median(&most), "ms", 10.0, 5.0),
        Line::info("the latest of each round", median(&worst), "ms"),
    ])
}
