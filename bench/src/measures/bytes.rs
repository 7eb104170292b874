//! What is stored for a far-future row, for a pending row on an instant that it shares, and for a record.

use std::time::Duration;

use crate::contracts::Contracts;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server::{self, size, wait_for_count};

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    let contracts = Contracts::create(&cluster, plan.count(1_000_000));
    let due = contracts.due as f64;
    let mut session = cluster.connect("postgres");

    cluster.app_sql(
        "create table far (id bigint generated always as identity primary key, due date not null);
         create index on far (due); create function remind(far) returns void language sql as '';
         select jittask.create_date_task('far', 'far', 'due', 'remind')",
    );
    server::maintain(&cluster, "vacuum");
    let before = size(&mut session, "");
    let rows = plan.count(1_000_000);
    cluster.app_sql(&format!(
        "insert into far (due) select date '2100-01-01' + (g % 30000)::int from generate_series(1, {rows}) g"
    ));
    server::maintain(&cluster, "vacuum");
    let far = (size(&mut session, "") - before).max(0.0) / rows as f64;

    let before = size(&mut session, "");
    // Due in half an hour, at the zone's time: by now a quarter to two at the latest.
    let create = format!(
        "select jittask.create_date_task('pending', 'contracts', 'expires_on', 'remind', time_zone => '{zone}',
             at => (clock_timestamp() at time zone '{zone}' + interval '30 minutes')::time(0))",
        zone = contracts.zone
    );
    cluster.app_sql(&create);
    let count = "select entered from jittask.accounts where task = 'pending'";
    wait_for_count(&cluster, count, contracts.due, Duration::from_millis(20), Duration::from_secs(60));
    let pending = (size(&mut session, "") - before) / due;
    cluster.app_sql("select jittask.drop_task('pending')");
    cluster.sql("postgres", "truncate jittask.record");
    server::maintain(&cluster, "vacuum");

    contracts.jittask("remind");
    let record = size(&mut session, "record") / due;
    let bytes = |id, what, value, must, aim| Line::at_most(id, what, value, "bytes", must, aim);
    Ok(vec![
        bytes("bytes_far", "stored bytes per far-future row", far, 0.0, 0.0),
        bytes("bytes_pending", "stored bytes per pending row on a shared instant", pending, 32.0, 16.0),
        bytes("bytes_record", "stored bytes per record, with indexes", record, 150.0, 120.0),
    ])
}
