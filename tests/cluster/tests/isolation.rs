//! One failing row harms no other, and what a function leaves behind in its session reaches no other row and no other
//! task.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Load, all, one};

const SOON: Duration = Duration::from_secs(30);

/// A table `contract` with rows due at one instant, and an outbox. The function `run` is the test's.
fn contracts(cluster: &Cluster, rows: i64, function: &str, task: &str) {
    cluster.app_sql(&format!(
        "create table contract (id bigint primary key, due timestamptz, n int default 0);
         create index on contract (due);
         create table outbox (id bigint, note text);
         {function}
         select jittask.create_date_task('isolation', 'contract', 'due', 'run'{task});
         insert into contract select id, now() + interval '1 second' from generate_series(1, {rows}) id;"
    ));
}

fn finished(cluster: &Cluster, rows: i64) {
    cluster.wait_for(
        SOON,
        &format!("select count(*) = {rows} from jittask.records where status in ('completed', 'failed', 'skipped')"),
    );
}

/// How many records have which end, as `completed 90, failed 10`.
fn ends(session: &mut Client) -> String {
    one(
        session,
        "select string_agg(format('%s %s', status, n), ', ' order by status)
         from (select status::text, count(*) as n from jittask.records group by 1) counted",
    )
}

fn nothing_unaccounted(session: &mut Client) {
    assert_eq!(one::<i64>(session, "select sum(abs(unaccounted))::bigint from jittask.accounts"), 0);
}

const EVERY_TENTH: &str = "
create table aside (id bigint);
create function run(contract) returns text language plpgsql as $$
begin
    insert into outbox values ($1.id);
    update contract set n = n + 1 where id = $1.id;
    if $1.id % 10 = 0 then
        insert into aside values ($1.id);
        raise exception 'no luck with %', $1.id using errcode = 'P0042', detail = 'A detail.', hint = 'A hint.';
    end if;
    return 'did ' || $1.id;
end $$;";

#[test]
fn every_tenth_row_fails_and_leaves_nothing() {
    let cluster = Cluster::ready(&[]);
    contracts(&cluster, 100, EVERY_TENTH, ", max_attempts => 1");
    finished(&cluster, 100);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 90, failed 10");
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s %s %s %s %s %s', row_key, status, attempt, error_code, error, result) from jittask.records
         where case when (row_key ->> 'id')::int % 10 = 0
               then (status, attempt, error_code, error) is distinct from
                    ('failed'::jittask.record_status, 1, 'P0042', 'no luck with ' || (row_key ->> 'id'))
                    or error_context not like '%A detail.%A hint.%PL/pgSQL function run(contract)%'
               else (status, attempt, result) is distinct from
                    ('completed'::jittask.record_status, 1, 'did ' || (row_key ->> 'id')) end",
    );
    assert!(odd.is_empty(), "{odd:#?}");
    let left: (i64, i64, i64) = (
        one(&mut session, "select count(*) from aside"),
        one(&mut session, "select count(*) from outbox where id % 10 = 0"),
        one(&mut session, "select count(*) from contract where n <> case when id % 10 = 0 then 0 else 1 end"),
    );
    assert_eq!(left, (0, 0, 0), "something is left of failed rows, or counted twice");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 90);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_failed_attempt_is_made_again_after_its_backoff() {
    let cluster = Cluster::ready(&[]);
    contracts(&cluster, 20, EVERY_TENTH, ", max_attempts => 2, retry_backoff => '700 milliseconds'");
    cluster.wait_for(
        SOON,
        "select count(*) = 2 and bool_and(error_code = 'P0042' and attempt = 1) from jittask.records where status = 'pending' and attempt > 0",
    );
    // One of the two is mended in time.
    cluster.app_sql(
        "create or replace function run(contract) returns text language plpgsql as $$
        begin
            if $1.id = 20 then raise 'still none' using errcode = 'P0043'; end if;
            insert into outbox values ($1.id);
            return (select attempt from jittask.current_run());
        end $$",
    );
    finished(&cluster, 20);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 19, failed 1");
    let rows: Vec<String> = all(
        &mut session,
        "select format('%s %s %s %s %s', row_key ->> 'id', status, attempt, coalesce(error_code, '-'), coalesce(result, '-'))
         from jittask.records where (row_key ->> 'id')::int % 10 = 0 order by id",
    );
    assert_eq!(rows, ["10 completed 2 - 2", "20 failed 2 P0043 -"]);
    let waited: f64 = one(
        &mut session,
        "select extract(epoch from min(started_at - due_at))::float8 from jittask.records where attempt = 2",
    );
    assert!((0.7..5.0).contains(&waited), "the second attempt came {waited} s after the first");
    nothing_unaccounted(&mut session);
}

#[test]
fn a_deferred_constraint_that_fails_at_commit_fails_its_row_alone() {
    let cluster = Cluster::ready(&[]);
    contracts(
        &cluster,
        50,
        "create function judge() returns trigger language plpgsql as $$
         begin
             if new.id = 13 then raise 'not thirteen' using errcode = 'P0013'; end if;
             return null;
         end $$;
         create constraint trigger judge after insert on outbox deferrable initially deferred
             for each row execute function judge();
         create function run(contract) returns void language sql as $$ insert into outbox values ($1.id) $$;",
        ", max_attempts => 1",
    );
    finished(&cluster, 50);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 49, failed 1");
    let failed: String = one(
        &mut session,
        "select format('%s %s %s', row_key, error_code, error) from jittask.records where status = 'failed'",
    );
    assert_eq!(failed, r#"{"id": 13} P0013 not thirteen"#);
    assert_eq!(one::<i64>(&mut session, "select count(*) filter (where id <> 13) from outbox"), 49);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 49);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_temporary_table_on_commit_drop_is_each_rows_own() {
    let cluster = Cluster::ready(&[]);
    contracts(
        &cluster,
        12,
        "create function run(contract) returns void language plpgsql as $$
         begin
             create temporary table scratch on commit drop as select $1.id as id;
             if $1.id = 7 then raise 'seven' using errcode = 'P0007'; end if;
             execute 'insert into outbox select id from scratch';
         end $$;",
        ", max_attempts => 1",
    );
    finished(&cluster, 12);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 11, failed 1");
    let failed: String =
        one(&mut session, "select format('%s %s', row_key, error_code) from jittask.records where status = 'failed'");
    assert_eq!(failed, r#"{"id": 7} P0007"#);
    assert_eq!(one::<i64>(&mut session, "select count(distinct id) from outbox"), 11);
    nothing_unaccounted(&mut session);
}

#[test]
fn settings_reach_no_other_row_and_no_other_task() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "create role helper; grant helper to app; grant create, usage on schema public to helper");
    contracts(
        &cluster,
        40,
        "create function state() returns text language sql as
             $$ select concat_ws(' ', current_user, session_user, current_setting('work_mem'), current_setting('search_path'),
                                 nullif(current_setting('app.x', true), ''), current_setting('role'), current_setting('statement_timeout')) $$;
         create function run(contract) returns void language plpgsql as $$
         begin
             insert into public.outbox values ($1.id, public.state());
             case $1.id % 8
                 when 0 then set work_mem = '7MB'; set app.x = 'left behind';
                 when 1 then set local work_mem = '9MB';
                 when 2 then set role helper;
                 when 3 then set local role helper;
                 when 4 then reset role; reset all;
                 when 5 then set search_path = pg_catalog; set statement_timeout = '59s';
                 when 6 then perform set_config('app.x', 'left behind', false), set_config('role', 'helper', false);
                 else execute 'set session characteristics as transaction isolation level serializable, read only';
             end case;
         end $$;
         create function other() returns void language sql as $$ insert into public.outbox values (-1, public.state()) $$;
         select jittask.create_scheduled_task('other', now() + interval '1 second', 'other', repeat => 'hourly');",
        "",
    );
    finished(&cluster, 41);
    // The same executor is still there: once more.
    cluster.app_sql("select jittask.run_task('other')");
    finished(&cluster, 42);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 42, pending 1");
    let notes: Vec<String> =
        all(&mut session, "select format('%s (%s rows)', note, count(*)) from outbox group by note");
    assert_eq!(notes, [r#"app app 4MB "$user", public none 0 (42 rows)"#]);
    nothing_unaccounted(&mut session);
}

#[test]
fn a_role_that_reads_only_by_default_runs_its_tasks() {
    let cluster = Cluster::ready(&[]);
    contracts(
        &cluster,
        0,
        "create function run(contract) returns text language sql as
             $$ insert into outbox values ($1.id);
                select concat_ws(' ', current_setting('transaction_isolation'), current_setting('transaction_read_only')) $$;",
        "",
    );
    cluster.sql("postgres", "alter role app set default_transaction_read_only = on");
    cluster.sql("postgres", "alter role app set default_transaction_isolation = serializable");
    cluster
        .sql("postgres", "insert into contract select id, now() + interval '1 second' from generate_series(1, 10) id");
    finished(&cluster, 10);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 10");
    let results: Vec<String> = all(&mut session, "select distinct result from jittask.records");
    assert_eq!(results, ["read committed off"]);
}

#[test]
fn a_locked_row_delays_only_itself() {
    let cluster = Cluster::ready(&[]);
    contracts(
        &cluster,
        100,
        "create function run(contract) returns void language sql as
             $$ insert into outbox values ($1.id); update contract set n = n + 1 where id = $1.id $$;",
        ", max_attempts => 1",
    );
    let load = Load::watch();
    let mut locker = cluster.app();
    let mut locking = locker.transaction().unwrap();
    locking.execute("select from contract where id = 50 for update", &[]).unwrap();
    cluster.wait_for(SOON, "select count(*) = 99 from outbox");
    let mut session = cluster.app();
    let late: f64 = one(
        &mut session,
        "select extract(epoch from max(started_at - due_at))::float8 from jittask.records where status = 'completed'",
    );
    load.assert_within(0.5, late, "the lateness of 99 rows beside a locked one");
    // It waits by itself, alone.
    cluster.wait_for(
        SOON,
        "select row_key ->> 'id' = '50' and status = 'executing' from jittask.records where status <> 'completed'",
    );
    locking.commit().unwrap();
    finished(&cluster, 100);
    assert_eq!(ends(&mut session), "completed 100");
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where attempt <> 1"), 0);
    assert_eq!(one::<i64>(&mut session, "select count(*) from contract where n <> 1"), 0);
    nothing_unaccounted(&mut session);
}

#[test]
fn an_array_function_gets_batches_and_a_failing_batch_goes_row_by_row() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table contract (id bigint primary key, due timestamptz);
         create index on contract (due);
         create table outbox (id bigint, size int, record_id bigint, attempt int);
         create function run(contract[]) returns text language plpgsql as $$
         begin
             if exists (select from unnest($1) where id = 1013) then raise 'unlucky' using errcode = 'P0013'; end if;
             insert into outbox select id, cardinality($1), r.record_id, r.attempt from unnest($1), jittask.current_run() r;
             return cardinality($1) || ' rows';
         end $$;
         select jittask.create_date_task('batches', 'contract', 'due', 'run(contract[])', max_attempts => 1);
         insert into contract select id, now() + interval '1 second' from generate_series(1, 300) id;
         insert into contract select id, now() + interval '2 seconds' from generate_series(1001, 1030) id;",
    );
    finished(&cluster, 330);
    let mut session = cluster.app();
    assert_eq!(ends(&mut session), "completed 329, failed 1");
    let sizes: Vec<String> = all(
        &mut session,
        "select format('%s rows by %s, record_id %s', count(*), size, count(record_id)) from outbox where id <= 300 group by size",
    );
    println!("{sizes:?}");
    assert!(one::<bool>(
        &mut session,
        "select max(size) >= 100 and count(record_id) filter (where id <= 300) = 0 from outbox"
    ));
    assert!(
        one::<bool>(&mut session, "select bool_and(size = 1) from outbox where id > 1000"),
        "the failing batch goes row by row"
    );
    assert_eq!(one::<i64>(&mut session, "select count(distinct id) from outbox"), 329);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 329);
    let failed: String = one(
        &mut session,
        "select format('%s %s %s', row_key, error_code, attempt) from jittask.records where status = 'failed'",
    );
    assert_eq!(failed, r#"{"id": 1013} P0013 1"#);
    let results: i64 = one(
        &mut session,
        "select count(*) from jittask.records join outbox o on o.id = (row_key ->> 'id')::int where result <> o.size || ' rows'",
    );
    assert_eq!(results, 0, "a batch's result is in each of its records");
    nothing_unaccounted(&mut session);
}
