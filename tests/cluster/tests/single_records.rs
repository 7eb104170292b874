//! Working with single occurrences: cancel_record, retry_record, run_task.

use std::time::Instant;

use cluster::postgres::Client;
use cluster::{Cluster, SOON, all, ends, nothing_unaccounted, now, one};

/// A function that fails while the switch is off, waits at the gate of its row, and leaves an effect.
const CONTRACTS: &str = "
create table contract (id int primary key, due timestamptz, live boolean default true);
create index on contract (due);
create table outbox (id int, record_id bigint, attempt int);
create table switch (is_on boolean);
insert into switch values (true);
create function run(contract) returns void language plpgsql as $$
begin
    if not (select is_on from switch) then raise 'off' using errcode = 'P0042'; end if;
    perform pg_advisory_xact_lock_shared($1.id);
    insert into outbox select $1.id, record_id, attempt from jittask.current_run();
end $$;";

fn states(session: &mut Client) -> Vec<String> {
    all(
        session,
        "select concat_ws(' ', row_key ->> 'id', status, reason, error_code) from jittask.records order by (row_key ->> 'id')::int, due_at",
    )
}

fn id_of(session: &mut Client, row: i32) -> i64 {
    one(session, &format!("select id from jittask.records where row_key ->> 'id' = '{row}'"))
}

/// Rows that run together in a second; the session holds the gate of row 5.
fn ten_rows_of_which_the_fifth_waits() -> (Cluster, Client) {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(5)").unwrap();
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run');
         insert into contract select id, now() + interval '1 second' from generate_series(1, 10) id;",
    );
    (cluster, gate)
}

#[test]
fn ten_thousand_failed_records_are_retried_in_one_statement() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "update switch set is_on = false;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', max_attempts => 1);
         insert into contract select id, now() from generate_series(1, 10000) id;",
    );
    let begun = Instant::now();
    cluster.ended_within(SOON, 10_000);
    println!("10,000 rows failed in {:?}", begun.elapsed());
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "failed 10000");
    session
        .batch_execute(
            "update switch set is_on = true;
             create table before as select id, (row_key ->> 'id')::int as row, due_at from jittask.records",
        )
        .unwrap();
    let retried: i64 = one(
        &mut session,
        "select count(*) filter (where jittask.retry_record(id)) from jittask.records where status = 'failed'",
    );
    assert_eq!(retried, 10_000);
    let begun = Instant::now();
    cluster.wait_for(SOON, "select count(*) = 10000 from jittask.records where status = 'completed'");
    println!("10,000 retries were done in {:?}", begun.elapsed());
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s %s', b, r) from before b full join jittask.records r using (id)
         left join (select record_id, count(*) as n, max(attempt) as attempt from outbox group by 1) o on o.record_id = id
         where (b.row::text, b.due_at, r.status, r.attempt, o.n, o.attempt) is distinct from
               (r.row_key ->> 'id', r.due_at, 'completed'::jittask.record_status, 1, 1, 1) limit 10",
    );
    assert!(odd.is_empty(), "{odd:#?}");
    let counts: String = one(&mut session, "select format('%s %s', completed, failed) from jittask.tasks");
    assert_eq!(counts, "10000 0");
    nothing_unaccounted(&mut session);
}

/// Whoever cancels a row in the moment in which its batch would wait no longer for what it waits for, has cancelled it.
#[test]
fn a_row_that_is_cancelled_as_its_batch_ceases_to_wait() {
    let (cluster, _gate) = ten_rows_of_which_the_fifth_waits();
    let waits = "select pid from pg_stat_activity where wait_event = 'advisory' and backend_type like 'jittask%'";
    let mut session = cluster.app();
    // It waits for 100 ms only: whoever sees it stops it.
    let waiting = || session.query_opt(waits, &[]).unwrap().map(|row| row.get(0));
    let executor: i32 = cluster.wait_until("an executor that waits", SOON, waiting);
    cluster.stand_still(executor, true);
    cluster.wait_past(now() + 0.3);
    let id = id_of(&mut session, 5);
    assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({id})")));
    cluster.stand_still(executor, false);
    cluster.ended(10);
    let row =
        "select concat_ws(' ', status, reason, error_code, error) from jittask.records where row_key ->> 'id' = '5'";
    assert_eq!(one::<String>(&mut session, row), "cancelled cancelled 57014 canceling statement due to user request");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 9);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_cancelled_row_of_a_batch_harms_no_other() {
    let (cluster, mut gate) = ten_rows_of_which_the_fifth_waits();
    cluster.app_sql("insert into contract select id, now() + interval '30 minutes' from generate_series(11, 20) id");
    cluster.wait_for(
        SOON,
        "select exists (select from jittask.records where row_key ->> 'id' = '5' and status = 'executing')",
    );
    cluster.wait_for(SOON, "select count(*) = 10 from jittask.records where due_at > now() + interval '1 minute'");
    let mut session = cluster.app();
    // Executing: interrupted. Pending, in the middle, at the start and at the end of its entry: taken out.
    let ids: Vec<i64> = all(
        &mut session,
        "select id from jittask.records where row_key ->> 'id' in ('5', '11', '15', '20') order by id",
    );
    for id in &ids {
        assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({id})")));
    }
    cluster.ended(10 + 3);
    let wanted: Vec<String> = (1..=20)
        .map(|id| match id {
            5 => "5 cancelled cancelled 57014".to_string(),
            11 | 15 | 20 => format!("{id} cancelled cancelled"),
            1..=10 => format!("{id} completed"),
            _ => format!("{id} pending"),
        })
        .collect();
    assert_eq!(states(&mut session), wanted);
    // Ended ones are not cancelled again, and nobody retries a cancelled one by himself.
    for id in &ids {
        assert!(!one::<bool>(&mut session, &format!("select jittask.cancel_record({id})")));
    }
    assert!(!one::<bool>(&mut session, "select jittask.cancel_record(1)"));
    let attempts: i64 =
        one(&mut session, "select count(*) from jittask.records where status = 'completed' and attempt <> 1");
    assert_eq!(attempts, 0);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 9);
    nothing_unaccounted(&mut session);
    // A cancelled one is retried when asked for.
    gate.batch_execute("select pg_advisory_unlock(5)").unwrap();
    assert!(one::<bool>(&mut session, &format!("select jittask.retry_record({})", ids[0])));
    cluster.wait_for(SOON, "select exists (select from outbox where id = 5)");
    cluster.wait_for(
        SOON,
        &format!(
            "select exists (select from jittask.records where id = {} and status = 'completed' and attempt = 1)",
            ids[0]
        ),
    );
    nothing_unaccounted(&mut session);
}

/// A retry that waits is cancelled like any pending one.
#[test]
fn a_waiting_retry_is_cancelled() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "update switch set is_on = false;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', retry_backoff => '1 hour');
         insert into contract values (1, now());",
    );
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'pending' and attempt = 1)");
    let mut session = cluster.app();
    let id = id_of(&mut session, 1);
    assert!(!one::<bool>(&mut session, &format!("select jittask.retry_record({id})")), "it is pending");
    assert!(one::<bool>(&mut session, &format!("select jittask.cancel_record({id})")));
    let record: String = one(&mut session, "select concat_ws(' ', status, attempt, reason) from jittask.records");
    assert_eq!(record, "cancelled 1 cancelled");
    nothing_unaccounted(&mut session);
}

#[test]
fn failed_skipped_and_cancelled_records_are_retried_under_their_ids() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'live', max_attempts => 2, retry_backoff => '0');
         insert into contract select id, now() + interval '1500 ms' from generate_series(1, 5) id;",
    );
    cluster.wait_for(SOON, "select count(*) = 5 from jittask.records where status = 'pending'");
    let mut session = cluster.app();
    let due: String = one(&mut session, "select min(due)::text from contract");
    let (failing, cancelled) = (id_of(&mut session, 1), id_of(&mut session, 4));
    session
        .batch_execute(&format!(
            "update switch set is_on = false; update contract set due = due + interval '1 year' where id = 2;
             update contract set live = false where id = 3; select jittask.cancel_record({cancelled}); delete from contract where id = 5"
        ))
        .unwrap();
    cluster.ended(5);
    let told = [
        "1 failed P0042",
        "2 skipped row_changed",
        "3 skipped filter",
        "4 cancelled cancelled",
        "5 skipped row_deleted",
    ];
    assert_eq!(states(&mut session), told);
    let ids: Vec<i64> = all(&mut session, "select id from jittask.records order by (row_key ->> 'id')::int");
    // The live row decides again: 2, 3 and 5 are skipped once more, the others run.
    session.batch_execute("update switch set is_on = true").unwrap();
    for id in &ids {
        assert!(one::<bool>(&mut session, &format!("select jittask.retry_record({id})")));
    }
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    cluster.ended(5);
    assert_eq!(
        states(&mut session),
        ["1 completed", "2 skipped row_changed", "3 skipped filter", "4 completed", "5 skipped row_deleted"]
    );
    assert_eq!(all::<i64>(&mut session, "select id from jittask.records order by (row_key ->> 'id')::int"), ids);
    assert_eq!(all::<i32>(&mut session, "select attempt from outbox order by id"), [1, 1], "attempts count anew");
    assert_eq!(all::<String>(&mut session, "select distinct due_at::text from jittask.records"), [due], "due_at stays");
    assert!(!one::<bool>(&mut session, &format!("select jittask.retry_record({failing})")), "completed is final");
    nothing_unaccounted(&mut session);
    // Another owner's are his own.
    cluster.sql("postgres", "create role stranger login; grant usage on schema jittask to stranger");
    let mut stranger = cluster.connect_as("postgres", "stranger");
    for function in ["cancel_record", "retry_record"] {
        let error = stranger.batch_execute(&format!("select jittask.{function}({failing})")).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501");
    }
}

/// Whatever state the task is in; a retry of it is forced like the run itself.
#[test]
fn run_task_runs_paused_and_finished_tasks() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create function tick() returns void language plpgsql as $$
         begin
             if not (select is_on from switch) then raise 'off' using errcode = 'P0042'; end if;
             insert into outbox (record_id) select record_id from jittask.current_run();
         end $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'false', enabled => false, max_attempts => 1),
             jittask.create_scheduled_task('clock', now(), 'tick', max_attempts => 1);
         insert into contract values (1, null)",
    );
    cluster.ended(1);
    let mut session = cluster.app();
    assert_eq!(one::<String>(&mut session, "select state from jittask.tasks where name = 'clock'"), "finished");
    let forced: Vec<i64> = vec![
        one(&mut session, "select jittask.run_task('clock')"),
        one(&mut session, "select jittask.run_task('rows', '{\"id\": 1}')"),
    ];
    cluster.ended(3);
    assert_eq!(ends(&mut session), "completed 3");
    session.batch_execute("update switch set is_on = false; select jittask.pause_task('clock')").unwrap();
    let failing: Vec<i64> = vec![
        one(&mut session, "select jittask.run_task('clock')"),
        one(&mut session, "select jittask.run_task('rows', '{\"id\": 1}')"),
    ];
    cluster.ended(5);
    assert_eq!(ends(&mut session), "completed 3, failed 2");
    session.batch_execute("update switch set is_on = true").unwrap();
    for id in &failing {
        assert!(one::<bool>(&mut session, &format!("select jittask.retry_record({id})")));
    }
    cluster.wait_for(SOON, "select count(*) = 5 from jittask.records where status = 'completed'");
    let mut effects: Vec<i64> =
        all(&mut session, "select record_id from outbox where record_id is not null order by 1");
    effects.retain(|id| forced.contains(id) || failing.contains(id));
    assert_eq!(effects, [forced, failing].concat());
    nothing_unaccounted(&mut session);
}
