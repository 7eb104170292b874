//! Planning looks due rows up through the user's index: on a table of 1,000,000 rows, the planner's own statements as the
//! executor runs them never read the table as a whole. Two witnesses: the plans that `auto_explain` logs, and the
//! server's counters of the table and its indexes.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, one};

const SOON: Duration = Duration::from_secs(60);

/// Birthdays of 60 years; due dates from sixty days ago to ten years ahead, as in a table of contracts.
const THINGS: &str = "
create table thing (id int primary key, born_on date, due_on date, due_at timestamptz, due_local timestamp);
insert into thing select id, current_date - (id % 21900), day, day + moment, day + moment
from generate_series(1, 1000000) id, lateral (select current_date - 60 + id % 3710 as day, interval '1 second' * (id % 86400) as moment) at;
create index on thing (born_on);
create index on thing (due_on);
create index on thing (due_at);
create index on thing (due_local);
create function run(thing) returns void language sql as '';
select jittask.create_calendar('c', weekend => '{}');
select jittask.add_holiday('c', current_date - day, 'Bridge') from generate_series(1, 3) day;";

/// Column and the rest of the task; `:at` is a time of day within the hour.
const TASKS: [(&str, &str); 19] = [
    ("born_on", "at => :at, repeat => 'yearly'"),
    ("born_on", "at => :at, repeat => 'yearly', before => '7 days'"),
    ("born_on", "at => :at, repeat => 'yearly', before => '1 month'"),
    ("born_on", "at => :at, rule => 'FREQ=YEARLY;INTERVAL=5'"),
    ("born_on", "at => :at, repeat => 'yearly', skip_holidays => true, calendar => 'c'"),
    ("due_on", "at => :at"),
    ("due_on", "at => :at, before => '30 days', skip_holidays => true, calendar => 'c'"),
    ("due_on", "at => :at, repeat => 'daily'"),
    ("due_on", "at => :at, repeat => 'weekly'"),
    (
        "due_on",
        "at => :at, repeat => 'weekly', skip_holidays => true, calendar => 'c', holiday_shift => 'modified_following'",
    ),
    ("due_on", "at => :at, repeat => 'monthly'"),
    (
        "due_on",
        "at => :at, repeat => 'monthly', after => '1 month', skip_holidays => true, calendar => 'c', holiday_shift => 'preceding'",
    ),
    ("due_on", "at => :at, rule => 'every 10 days'"),
    ("due_on", "at => :at, rule => 'every 2 weeks', after => '3 days'"),
    ("due_on", "at => :at, rule => 'every 3 months'"),
    ("due_on", "at => :at, rule => 'FREQ=WEEKLY;INTERVAL=2'"),
    ("due_at", "before => '3 days 12:00', filter => 'id % 3 = 0'"),
    ("due_at", "repeat => 'weekly'"),
    ("due_local", "repeat => 'monthly', before => '2 hours'"),
];

/// How often the column's index was used, and how often the whole table was read.
fn scans(session: &mut Client, column: &str) -> (i64, i64) {
    let query = format!(
        "select i.idx_scan, t.seq_scan from pg_stat_user_indexes i join pg_stat_user_tables t using (relid)
         where i.indexrelname = 'thing_{column}_idx'"
    );
    let row = session.query_one(&query, &[]).unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn due_rows_of_a_million_are_found_through_the_index() {
    let cluster = Cluster::ready(&[
        ("shared_preload_libraries", "jittask, auto_explain"),
        ("auto_explain.log_nested_statements", "on"),
        ("jittask.scan_interval", "1h"),
        // Counters are written when a process has nothing to do, and when it ends.
        ("jittask.executor_idle", "500ms"),
        ("maintenance_work_mem", "256MB"),
    ]);
    let mut session = cluster.app();
    session.batch_execute(THINGS).unwrap();
    session.batch_execute("vacuum analyze thing").unwrap();
    cluster.sql("postgres", "select pg_stat_reset()");
    cluster.sql("postgres", "alter role app set auto_explain.log_min_duration = 0");
    let before = cluster.log().len();
    for (column, rest) in TASKS {
        // Far enough from midnight to be today's whenever the scan comes.
        let at = "(date_trunc('minute', least(now() + interval '30 minutes', current_date + interval '23 hours 58 minutes')))::time";
        let (used, _) = scans(&mut session, column);
        let create =
            format!("select jittask.create_date_task('t', 'thing', '{column}', 'run', {})", rest.replace(":at", at));
        let began = std::time::Instant::now();
        let name: String = one(&mut session, &create);
        cluster.wait_for(SOON, &format!("select exists (select from jittask.records where task = '{name}')"));
        let taken = began.elapsed();
        let planned: i64 = one(&mut session, &format!("select count(*) from jittask.records where task = '{name}'"));
        cluster.wait_until(&format!("a scan of the index for {rest}"), SOON, || {
            (scans(&mut session, column).0 > used).then_some(())
        });
        println!("{planned:>6} of 1,000,000 rows planned in {taken:.1?}: {column} {rest}");
        session.batch_execute(&format!("select jittask.drop_task('{name}', false)")).unwrap();
        assert_eq!(scans(&mut session, column).1, 0, "the table was read as a whole for {column}, {rest}");
    }
    let log = &cluster.log()[before..];
    let plans: Vec<&str> = log.split("Query Text: ").skip(1).filter(|plan| plan.contains(" on thing")).collect();
    let whole: Vec<&&str> = plans.iter().filter(|plan| plan.contains("Seq Scan on thing")).collect();
    assert!(whole.is_empty(), "{whole:#?}");
    for column in ["born_on", "due_on", "due_at", "due_local"] {
        let index = format!("thing_{column}_idx");
        let by_index = plans.iter().filter(|plan| plan.starts_with("select") && plan.contains(&index)).count();
        let tasks = TASKS.iter().filter(|task| task.0 == column).count();
        assert!(by_index >= tasks, "{by_index} plans with {index} for {tasks} tasks");
    }
}
