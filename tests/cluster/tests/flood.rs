//! A million rows fall due at one instant, on one executor. Another task's single rows run on time meanwhile, and no
//! process grows.

use std::time::{Duration, Instant};

use cluster::{Cluster, Load, nothing_unaccounted, one, processes};

const SCHEMA: &str = "
create table flood (id bigint primary key, due timestamptz);
create index on flood (due);
create table single (id bigint primary key, due timestamptz);
create index on single (due);
create function pass(flood) returns void language plpgsql as 'begin end';
create function pass(single) returns void language plpgsql as 'begin end';
select jittask.create_date_task('flood', 'flood', 'due', 'pass(flood)');
select jittask.create_date_task('single', 'single', 'due', 'pass(single)');";

const ROWS: i64 = 1_000_000;
/// A batch is a tenth of a second, and so is what another batch may have to wait for a core.
const MOST_LATE: f64 = 0.3;
/// Of each process's own, in kB.
const MOST_MEMORY: i64 = 100_000;

#[test]
fn a_million_rows_at_once_neither_delay_another_task_nor_fill_memory() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "1"), ("jittask.executor_idle", "60s")]);
    cluster.app_sql(SCHEMA);
    let mut session = cluster.app();
    // Written ahead of its time, as an import would be.
    let insert = format!("insert into flood select id, '2100-01-01' from generate_series(1, {ROWS}) id");
    session.batch_execute(&insert).unwrap();
    session.batch_execute("update flood set due = date_trunc('second', clock_timestamp()) + interval '25 s'").unwrap();
    session
        .batch_execute("insert into single select k, (select max(due) from flood) + k * interval '700 ms' from generate_series(1, 10) k")
        .unwrap();
    let (load, begun, mut most) = (Load::watch(), Instant::now(), 0);
    let ends = format!(
        "select count(*) = 2 from jittask.tasks where (name, completed) in (('flood', {ROWS}), ('single', 10))"
    );
    while !one::<bool>(&mut session, &ends) {
        assert!(begun.elapsed() < Duration::from_secs(240), "the flood did not end");
        for process in processes::of(&cluster.datadir()).iter().filter(|process| process.title.contains("jittask")) {
            let private = processes::memory(process.pid).unwrap_or_default().private;
            most = most.max(private);
            assert!(private < MOST_MEMORY, "{} holds {private} kB", process.title);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let late: f64 =
        one(&mut session, "select max(extract(epoch from delay))::float8 from jittask.records where task = 'single'");
    let rate: f64 = one(
        &mut session,
        "select (count(*) / extract(epoch from max(finished_at) - min(started_at)))::float8 from jittask.records where task = 'flood'",
    );
    println!("{ROWS} rows at once: {rate:.0} rows/s, at most {most} kB a process, others at most {late:.3} s late");
    load.assert_within(MOST_LATE, late, "the lateness of another task's row");
    nothing_unaccounted(&mut session);
}
