//! One owner's flood of batches, or long line of quick rows, may take the last executor too. It is lent: another owner who
//! comes has it at once, also if a row hangs in it, and that row is not at fault. Who has more than one and nothing to do
//! makes room for whoever has too few.

use std::time::Duration;

use cluster::{Cluster, Load, SOON, nothing_unaccounted, one};

const SCHEMA: &str = "
create table flood (id int primary key, due timestamptz);
create index on flood (due);
create function pass(flood) returns void language plpgsql as $$ begin perform pg_sleep(0.001); end $$;
create function hang(flood) returns void language plpgsql as $$
begin
    loop
        begin
            perform pg_sleep(3600);
        exception when query_canceled then null;
        end;
    end loop;
end $$;";

const EXECUTORS: &str =
    "select count(*) from jittask.workers where kind = 'executor' and role = 'app' and state = 'busy'";

fn cluster() -> Cluster {
    cluster_with(&[("jittask.max_executors", "2")])
}

fn cluster_with(settings: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::ready(settings);
    cluster.app_sql(SCHEMA);
    cluster.sql(
        "postgres",
        "create role other login; grant usage on schema jittask to other; create schema other authorization other",
    );
    let mut other = cluster.connect_as("postgres", "other");
    other.batch_execute("create function other.tick() returns void language sql as ''").unwrap();
    cluster
}

/// Another owner's task that is due in a moment, and how late it is, in seconds.
fn others_delay(cluster: &Cluster, title: &str) -> f64 {
    let mut other = cluster.connect_as("postgres", "other");
    other
        .batch_execute(&format!(
            "select jittask.create_scheduled_task('{title}', clock_timestamp() + interval '500 ms', 'other.tick')"
        ))
        .unwrap();
    cluster.wait_for(SOON, &format!("select completed = 1 from jittask.tasks where name = '{title}'"));
    one(&mut other, &format!("select extract(epoch from delay)::float8 from jittask.records where task = '{title}'"))
}

fn flood(cluster: &Cluster, function: &str, rows: i32) {
    cluster.app_sql(&format!(
        "select jittask.create_date_task('flood', 'flood', 'due', '{function}');
         insert into flood select id, now() + interval '1 second' from generate_series(1, {rows}) id"
    ));
    cluster.wait_for(SOON, &format!("select ({EXECUTORS}) = 2"));
}

fn all_complete_at_first(cluster: &Cluster, rows: i64) {
    cluster.ended_within(Duration::from_secs(60), rows);
    let mut session = cluster.app();
    let odd = "select count(*) from jittask.records where status <> 'completed' or attempt <> 1";
    assert_eq!(one::<i64>(&mut session, odd), 0);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_flood_has_the_last_executor_until_another_owner_comes() {
    let cluster = cluster();
    flood(&cluster, "pass", 20_000);
    for round in 1..=3 {
        let load = Load::watch();
        let late = others_delay(&cluster, &format!("round_{round}"));
        load.assert_within(0.5, late, "the lateness of another owner's run");
    }
    // It comes back when the other one has left.
    cluster.sql("postgres", "alter system set jittask.executor_idle = '100ms'");
    cluster.sql("postgres", "select pg_reload_conf()");
    cluster.wait_for(SOON, &format!("select ({EXECUTORS}) = 2"));
    all_complete_at_first(&cluster, 20_003);
}

#[test]
fn a_lent_executor_whose_row_hangs_is_taken_back() {
    let cluster = cluster();
    flood(&cluster, "hang", 20_000);
    let load = Load::watch();
    let late = others_delay(&cluster, "first");
    load.assert_within(1.0, late, "the lateness of another owner's run");
    let mut superuser = cluster.connect("postgres");
    assert_eq!(one::<i64>(&mut superuser, "select count(*) from jittask.agenda where attempt > 0 or origin <> 'p'"), 0);
    assert_eq!(one::<i64>(&mut superuser, EXECUTORS), 1);
    nothing_unaccounted(&mut superuser);
}

/// Rows at instants of their own, all overdue.
fn line(cluster: &Cluster, rows: i32) {
    cluster.app_sql(&format!(
        "select jittask.create_date_task('line', 'flood', 'due', 'pass');
         insert into flood select id, now() - id * interval '1 ms' from generate_series(1, {rows}) id"
    ));
}

#[test]
fn a_long_line_of_quick_rows_has_the_last_executor_until_another_owner_comes() {
    let cluster = cluster();
    line(&cluster, 10_000);
    cluster.wait_for(SOON, &format!("select ({EXECUTORS}) = 2"));
    let load = Load::watch();
    let late = others_delay(&cluster, "one");
    load.assert_within(0.5, late, "the lateness of another owner's run");
    all_complete_at_first(&cluster, 10_001);
}

#[test]
fn a_line_of_slow_rows_has_not() {
    let cluster = cluster();
    cluster.app_sql(
        "create or replace function pass(flood) returns void language plpgsql as $$ begin perform pg_sleep(0.3); end $$",
    );
    line(&cluster, 20);
    cluster.ended_within(Duration::from_secs(30), 12);
    let pids: i64 = one(&mut cluster.connect("postgres"), "select count(distinct pid) from jittask.records");
    assert_eq!(pids, 1);
}

#[test]
fn who_has_one_to_spare_makes_room() {
    let cluster = cluster_with(&[("jittask.max_executors", "3"), ("jittask.executor_idle", "10min")]);
    // Two executors of another owner, which stay for ten minutes when all is done.
    let mut other = cluster.connect_as("postgres", "other");
    other
        .batch_execute(
            "create table other.flood (id int primary key, due timestamptz); create index on other.flood (due);
             create function other.pass(other.flood) returns void language plpgsql as $$ begin perform pg_sleep(0.05); end $$;
             select jittask.create_date_task('others', 'other.flood', 'due', 'other.pass');
             insert into other.flood select id, now() - id * interval '1 ms' from generate_series(1, 60) id",
        )
        .unwrap();
    let others = "select count(*) from jittask.workers where kind = 'executor' and role = 'other'";
    cluster.wait_for(SOON, &format!("select ({others}) = 2"));
    cluster.ended_within(SOON, 60);
    // So many that they are not done before the second executor is there.
    line(&cluster, 30_000);
    cluster.wait_for(SOON, &format!("select ({EXECUTORS}) = 2"));
    assert_eq!(one::<i64>(&mut cluster.connect("postgres"), others), 1);
    cluster.ended_within(Duration::from_secs(60), 30_060);
    nothing_unaccounted(&mut cluster.app());
}
