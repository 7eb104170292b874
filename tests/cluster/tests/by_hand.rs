//! cancel_record, retry_record, run_task and drop_task where something else is going on: batches, pauses, what is broken,
//! what waits for its next attempt.

use cluster::postgres::Client;
use cluster::{Cluster, Load, SOON, all, nothing_unaccounted, now, one};

const SCHEMA: &str = "
create table job (id int primary key, due timestamptz, sleeps float8 default 0);
create index on job (due);
create table outbox (id int);
create function run(job) returns void language plpgsql as $$
begin perform pg_sleep($1.sleeps); insert into public.outbox values ($1.id); end $$;
create function run_all(job[]) returns void language plpgsql as $$
begin perform pg_sleep(j.sleeps) from unnest($1) j; insert into public.outbox select j.id from unnest($1) j; end $$;";

fn record(session: &mut Client, id: i32) -> i64 {
    one(session, &format!("select id from jittask.records where row_key ->> 'id' = '{id}'"))
}

fn ends(session: &mut Client) -> Vec<String> {
    all(
        session,
        "select concat_ws(' ', row_key ->> 'id', status, attempt, error_code) from jittask.records order by (row_key ->> 'id')::int",
    )
}

#[test]
fn a_row_of_a_batch_that_is_called_once_is_cancelled() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_date_task('all', 'job', 'due', 'run_all');
         insert into job select i, date_trunc('second', now()) + interval '2 seconds', case when i = 2 then 600 else 0 end from generate_series(1, 3) i",
    );
    let executing = "select count(*) = 3 from jittask.records where status = 'executing'";
    cluster.wait_for(SOON, executing);
    let mut session = cluster.app();
    let second = record(&mut session, 2);
    assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({second})")));
    cluster.ended(3);
    assert_eq!(ends(&mut session), ["1 completed 1", "2 cancelled 1 57014", "3 completed 1"]);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 2);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_cancelled_batch_is_an_attempt_of_each_row() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_date_task('all', 'job', 'due', 'run_all', max_attempts => 1);
         insert into job select i, date_trunc('second', now()) + interval '2 seconds', 600 from generate_series(1, 3) i",
    );
    cluster.wait_for(SOON, "select count(*) = 3 from jittask.records where status = 'executing'");
    cluster.sql("postgres", "select pg_cancel_backend(pid) from jittask.progress");
    cluster.ended(3);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), ["1 failed 1 57014", "2 failed 1 57014", "3 failed 1 57014"]);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_row_that_waits_in_a_batch_is_cancelled_when_the_one_before_it_is_done() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "1")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_date_task('each', 'job', 'due', 'run');
         insert into job select i, date_trunc('second', now()) + interval '2 seconds', 5 from generate_series(1, 2) i",
    );
    cluster.wait_for(SOON, "select count(*) = 1 from jittask.records where status = 'executing'");
    let mut session = cluster.app();
    let waiting = one::<i64>(&mut session, "select id from jittask.records where status in ('pending', 'overdue')");
    let load = Load::watch();
    session.batch_execute("set lock_timeout = '500 ms'").unwrap();
    let refused = session.query(&format!("select jittask.cancel_record({waiting})"), &[]).unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("55P03"), "{refused}");
    load.assert_over_within(3.0, "a refused cancel");
    session.batch_execute("reset lock_timeout").unwrap();
    assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({waiting})")));
    cluster.ended(2);
    let cancelled = "select count(*) from jittask.records where status = 'cancelled' and id = ";
    assert_eq!(one::<i64>(&mut session, &format!("{cancelled}{waiting}")), 1);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 1);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_retry_is_due_at_once_and_waits_for_the_end_of_a_pause() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_date_task('each', 'job', 'due', 'run');
         insert into job values (1, now() + interval '30 minutes'), (2, now() + interval '31 minutes')",
    );
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'pending'");
    let mut session = cluster.app();
    let (first, second) = (record(&mut session, 1), record(&mut session, 2));
    for id in [first, second] {
        assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({id})")));
    }
    assert!(one::<bool>(&mut session, &format!("select jittask.retry_record({first})")));
    cluster.wait_for(SOON, "select exists (select from outbox where id = 1)");
    cluster.app_sql(&format!("select jittask.pause_task('each'), jittask.retry_record({second})"));
    cluster.wait_past(now() + 1.5);
    assert_eq!(ends(&mut session), ["1 completed 1", "2 pending 0"]);
    cluster.app_sql("select jittask.resume_task('each')");
    cluster.ended(2);
    assert_eq!(ends(&mut session), ["1 completed 1", "2 completed 1"]);
    assert_eq!(
        one::<i64>(&mut session, &format!("select count(*) from jittask.records where id in ({first}, {second})")),
        2
    );
    nothing_unaccounted(&mut session);
}

#[test]
fn attempts_and_retries_of_a_scheduled_task_queue_behind_its_run() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "4")]);
    cluster.app_sql(
        "create sequence runs;
         create function first() returns void language plpgsql as $$
         begin
             if nextval('public.runs') = 1 then raise 'once'; end if;
             perform pg_sleep(3);
         end $$;
         select jittask.create_scheduled_task('fails', date_trunc('second', now()) + interval '1 second', 'first', rule => 'FREQ=SECONDLY;INTERVAL=2;COUNT=2', retry_backoff => '2500 ms')",
    );
    // The second attempt of the first occurrence falls into the run of the second one.
    cluster.ended(2);
    let mut session = cluster.app();
    let ends: Vec<String> =
        all(&mut session, "select concat_ws(' ', status, reason, attempt) from jittask.records order by due_at");
    assert_eq!(ends, ["completed 2", "completed 1"]);
    let ids: Vec<i64> = all(&mut session, "select id from jittask.records order by due_at");
    assert!(!one::<bool>(&mut session, &format!("select jittask.retry_record({})", ids[0])));
    nothing_unaccounted(&mut session);
}

#[test]
fn a_broken_task_is_not_run_by_hand() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "alter table job add ends timestamptz, add live boolean default true;
         select jittask.create_date_task('ended', 'job', 'due', 'run', end_column => 'ends'),
             jittask.create_date_task('filtered', 'job', 'due', 'run', filter => 'live');
         insert into job values (1, now() + interval '1 day');
         alter table job drop ends cascade, drop live cascade",
    );
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.tasks where state = 'broken'");
    let mut session = cluster.app();
    for task in ["ended", "filtered"] {
        let refused = session.query(&format!("select jittask.run_task('{task}', '{{\"id\": 1}}')"), &[]).unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("55000"), "{refused}");
    }
}

#[test]
fn a_task_dropped_without_its_records_leaves_none_of_a_run_that_goes_on() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table outbox (n int);
         create function work() returns void language plpgsql as $$
         begin perform pg_sleep(2); insert into public.outbox values (1); end $$;
         select jittask.create_scheduled_task('going', now(), 'work'), jittask.create_scheduled_task('kept', now(), 'work')",
    );
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'executing'");
    cluster.app_sql("select jittask.drop_task('going', keep_records => false), jittask.drop_task('kept')");
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    cluster.ended(1);
    let mut session = cluster.app();
    assert_eq!(all::<String>(&mut session, "select task || ' ' || status from jittask.records"), ["kept completed"]);
}
