//! Ending what runs from outside: a fast shutdown, pg_cancel_backend, pg_terminate_backend. Quickly, and counted as the
//! attempt that it was, or was not.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Load, Mode, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);

/// Four functions that never come back by themselves, each in its own way.
const ENDLESS: &str = "
create or replace function run(contract) returns void language plpgsql as $$ begin
    insert into outbox (id) values ($1.id);
    case $1.id % 4
        when 0 then perform pg_sleep(3600);
        when 1 then loop null; end loop;
        when 2 then loop begin perform pg_sleep(3600); exception when others then null; end; end loop;
        else perform count(*) from generate_series(1, 10000000000);
    end case;
end $$";

/// So many endless rows, each in an executor of its own; their processes by row.
fn endless(cluster: &Cluster, rows: i64, more: &str) -> Vec<(i64, i32)> {
    cluster.contracts(more);
    cluster.app_sql(ENDLESS);
    let mut session = cluster.app();
    // Instants of their own: rows that share one are a batch.
    (1..=rows).for_each(|id| fall_due(&mut session, id, id, 200 + id));
    cluster.wait_for(SOON, &format!("select count(*) = {rows} from jittask.records where status = 'executing'"));
    let query = "select (row_key ->> 'id')::bigint, pid from jittask.records where status = 'executing' order by 1";
    session.query(query, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn mend(cluster: &Cluster) {
    cluster.app_sql(
        "create or replace function run(contract) returns void language sql as
             $$ insert into outbox (id, attempt) select $1.id, attempt from jittask.current_run() $$",
    );
}

#[test]
fn a_fast_shutdown_with_four_running_functions_ends_within_three_seconds() {
    let mut cluster = Cluster::ready(&[("jittask.max_executors", "5")]);
    endless(&cluster, 4, "");
    let load = Load::watch();
    cluster.stop(Mode::Fast);
    load.assert_over_within(3.0, "a fast shutdown with four running functions");
    cluster.start_again();
    mend(&cluster);
    // What began again before the function was mended is told to stop; that is an attempt, the shutdown was none.
    let begun_again: Vec<i64> = all(
        &mut cluster.connect("postgres"),
        "select (row_key ->> 'id')::bigint from jittask.progress where pg_terminate_backend(pid)",
    );
    cluster.wait_for(SOON, "select count(*) = 4 from jittask.records where status = 'completed'");
    cluster.assert_each_once();
    let counted: Vec<i64> = all(&mut cluster.app(), "select id from outbox where attempt > 1");
    assert!(counted.iter().all(|id| begun_again.contains(id)), "the shutdown was counted for {counted:?}");
}

/// Ends the only run by `statement`, and waits until that is recorded as attempt `attempt`; what the record says.
fn end(cluster: &Cluster, session: &mut Client, attempt: i32, statement: &str) -> String {
    let load = Load::watch();
    assert!(one::<bool>(session, statement));
    let query = format!(
        "select format('%s %s', status, error_code) from jittask.records where status <> 'executing' and attempt = {attempt}"
    );
    let state = cluster.wait_until("the end to be recorded", SOON, || all::<String>(session, &query).pop());
    load.assert_over_within(1.0, statement);
    state
}

#[test]
fn a_cancelled_or_terminated_executor_ends_within_a_second_and_is_recorded() {
    let cluster = Cluster::ready(&[]);
    let pid = endless(&cluster, 1, ", retry_backoff => '1 second', max_attempts => 3")[0].1;
    let mut session = cluster.connect("postgres");
    let state = end(&cluster, &mut session, 1, &format!("select pg_cancel_backend({pid})"));
    assert_eq!(state, "pending 57014");
    cluster.wait_for(SOON, "select exists (select from jittask.progress)");
    let lives = format!("select exists (select from jittask.workers where pid = {pid})");
    assert!(one::<bool>(&mut session, &lives), "the executor lives on after a cancel");
    let state = end(&cluster, &mut session, 2, "select pg_terminate_backend(pid) from jittask.progress");
    assert_eq!(state, "pending 57P01");
    cluster.wait_for(SOON, "select exists (select from jittask.progress)");
    let state = end(&cluster, &mut session, 3, "select pg_terminate_backend(pid) from jittask.progress");
    assert_eq!(state, "failed 57P01");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 0, "a failed attempt leaves no effect");
    assert_eq!(one::<i64>(&mut session, "select unaccounted from jittask.status()"), 0);
}

/// Only the row that was executing pays for it, not the others of its batch.
#[test]
fn the_batch_of_a_terminated_executor_goes_on() {
    let cluster = Cluster::ready(&[]);
    cluster.contracts(", retry_backoff => '1 second'");
    cluster.app_sql(
        "create or replace function run(contract) returns void language plpgsql as $$ begin
             insert into outbox (id, attempt) select $1.id, attempt from jittask.current_run();
             if $1.id = 50 and (select attempt = 1 from jittask.current_run()) then perform pg_sleep(3600); end if;
         end $$",
    );
    let mut session = cluster.connect("postgres");
    fall_due(&mut session, 1, 100, 300);
    let executing =
        "select pid from jittask.progress where row_key ->> 'id' = '50' and started_at < now() - interval '100 ms'";
    let pid = cluster.wait_until("the row that sleeps", SOON, || all::<i32>(&mut session, executing).pop());
    assert!(one::<bool>(&mut session, &format!("select pg_terminate_backend({pid})")));
    cluster.wait_for(SOON, "select count(*) = 100 from jittask.records where status = 'completed'");
    cluster.assert_each_once();
    assert_eq!(all::<i64>(&mut session, "select id from outbox where attempt > 1"), [50]);
}
