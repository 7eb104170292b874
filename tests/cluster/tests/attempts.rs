//! Attempts: when a failed one is made again and how often, what happens when the previous run is still going, and how a
//! run ends whose time is up.

use cluster::postgres::Client;
use cluster::{Cluster, Load, SOON, all, ends, nothing_unaccounted, one};

/// A function that fails until its last attempt, and leaves the time of each in a sequence, which no rollback undoes.
fn failing(cluster: &Cluster) {
    cluster.app_sql(
        "create sequence at_1; create sequence at_2; create sequence at_3; create sequence at_4; create sequence at_5;
         create function fail() returns text language plpgsql as $$
         declare
             n int := (select attempt from jittask.current_run());
         begin
             perform setval(format('at_%s', n), (extract(epoch from clock_timestamp()) * 1000)::bigint);
             if n < 4 then raise 'attempt % fails', n using errcode = 'P0042'; end if;
             return 'at last';
         end $$;",
    );
}

#[test]
fn each_pause_is_twice_the_one_before() {
    let cluster = Cluster::ready(&[]);
    failing(&cluster);
    cluster.app_sql(
        "select jittask.create_scheduled_task('slow', now(), 'fail', max_attempts => 4, retry_backoff => '400 ms')",
    );
    // What it waits for is to be seen meanwhile.
    cluster.wait_for(
        SOON,
        "select exists (select from jittask.records where status = 'pending' and attempt = 2 and error_code = 'P0042'
                        and error = 'attempt 2 fails' and error_context like '%PL/pgSQL function fail()%')",
    );
    cluster.ended(1);
    let mut session = cluster.app();
    let pauses: Vec<i64> = all(
        &mut session,
        "select p from (values (1, (select last_value from at_2) - (select last_value from at_1)), (2, (select last_value from at_3) - (select last_value from at_2)),
             (3, (select last_value from at_4) - (select last_value from at_3))) v (n, p) order by n",
    );
    println!("pauses of {pauses:?} ms");
    for (pause, least) in pauses.iter().zip([400, 800, 1600]) {
        assert!((least..least + 1000).contains(pause), "{pauses:?}");
    }
    let record: String =
        one(&mut session, "select concat_ws(' ', status, attempt, result, error_code, error) from jittask.records");
    assert_eq!(record, "completed 4 at last");
    nothing_unaccounted(&mut session);
}

#[test]
fn max_attempts_is_the_end_with_the_last_error() {
    let cluster = Cluster::ready(&[]);
    failing(&cluster);
    cluster.app_sql(
        "select jittask.create_scheduled_task('once', now(), 'fail', max_attempts => 1),
             jittask.create_scheduled_task('twice', now(), 'fail', max_attempts => 2, retry_backoff => '0'),
             jittask.create_scheduled_task('thrice', now(), 'fail', retry_backoff => '1 ms')",
    );
    cluster.ended(3);
    let records: Vec<String> = all(
        &mut cluster.app(),
        "select concat_ws(' ', task, status, attempt, error_code, error) from jittask.records order by attempt",
    );
    assert_eq!(
        records,
        [
            "once failed 1 P0042 attempt 1 fails",
            "twice failed 2 P0042 attempt 2 fails",
            "thrice failed 3 P0042 attempt 3 fails"
        ]
    );
}

/// Nobody's fault: again at once, whatever the backoff, but counted.
#[test]
fn serialization_failures_and_deadlocks_are_made_again_at_once() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table side (id int primary key, n int);
         insert into side values (1, 0), (2, 0);
         create function collide() returns text language plpgsql as $$
         declare
             n int := (select attempt from jittask.current_run());
         begin
             if n = 1 then raise 'collided' using errcode = '40001'; end if;
             if n = 2 then raise 'entangled' using errcode = '40P01'; end if;
             return 'through';
         end $$;
         create function entangle() returns void language plpgsql as $$
         begin
             update side set n = n + 1 where id = 1;
             perform pg_advisory_xact_lock_shared(1);
             update side set n = n + 1 where id = 2;
         end $$;
         select jittask.create_scheduled_task('through', now(), 'collide', retry_backoff => '1 hour'),
             jittask.create_scheduled_task('counted', now(), 'collide', retry_backoff => '1 hour', max_attempts => 2)",
    );
    cluster.ended(2);
    let mut session = cluster.app();
    let records: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, status, attempt, coalesce(result, error_code)) from jittask.records order by task",
    );
    assert_eq!(records, ["counted failed 2 40P01", "through completed 3 through"]);
    // A true deadlock: this session holds row 2 and wants row 1, the run the other way round; the run is its victim.
    let mut other = cluster.connect("postgres");
    other
        .batch_execute(
            "set deadlock_timeout = '1h'; select pg_advisory_lock(1); begin; update side set n = n + 1 where id = 2",
        )
        .unwrap();
    cluster.app_sql("select jittask.create_scheduled_task('entangled', now(), 'entangle', retry_backoff => '1 hour', max_attempts => 20)");
    cluster.wait_for(SOON, "select exists (select from pg_locks where locktype = 'advisory' and not granted)");
    other.batch_execute("select pg_advisory_unlock(1); update side set n = n + 1 where id = 1; commit").unwrap();
    cluster.ended(3);
    // The next attempt may have been as quick to take row 1 again as the session that waited for it.
    let again = "select status = 'completed' and attempt > 1 from jittask.records where task = 'entangled'";
    assert!(one::<bool>(&mut session, again));
    assert_eq!(one::<i64>(&mut session, "select sum(n) from side"), 4);
    nothing_unaccounted(&mut session);
}

/// Three occurrences a second apart of a function that waits at a gate.
fn overlapping(cluster: &Cluster) -> Client {
    cluster.app_sql("create function wait() returns void language sql as $$ select pg_advisory_xact_lock_shared(1) $$");
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(1)").unwrap();
    gate
}

fn overlap(cluster: &Cluster, policy: &str, meanwhile: &str) -> Vec<String> {
    let mut gate = overlapping(cluster);
    cluster.app_sql(&format!(
        "select jittask.create_scheduled_task('three', now(), 'wait', rule => 'FREQ=SECONDLY;COUNT=3', overlap => '{policy}')"
    ));
    let told =
        "select string_agg(concat_ws(' ', status, reason), ', ' order by due_at) = $$WANTED$$ from jittask.records";
    cluster.wait_for(SOON, &told.replace("WANTED", meanwhile));
    gate.batch_execute("select pg_advisory_unlock(1)").unwrap();
    cluster.ended(3);
    let mut session = cluster.app();
    nothing_unaccounted(&mut session);
    all(
        &mut session,
        "select concat_ws(' ', status, reason, case when started_at < lag(finished_at) over (order by due_at) then 'at once' end)
         from jittask.records order by due_at",
    )
}

#[test]
fn overlap_skip_records_what_it_left_out() {
    let cluster = Cluster::ready(&[]);
    let ends = overlap(&cluster, "skip", "executing, skipped overlap, skipped overlap");
    assert_eq!(ends, ["completed", "skipped overlap", "skipped overlap"]);
    let counts: String =
        one(&mut cluster.app(), "select format('%s %s %s', completed, skipped, state) from jittask.tasks");
    assert_eq!(counts, "1 2 finished");
}

#[test]
fn overlap_queue_runs_one_after_the_other() {
    let cluster = Cluster::ready(&[("jittask.overdue_after", "1h")]);
    let ends = overlap(&cluster, "queue", "executing, pending, pending");
    assert_eq!(ends, ["completed", "completed", "completed"]);
}

#[test]
fn overlap_allow_runs_them_at_once() {
    let cluster = Cluster::ready(&[]);
    let ends = overlap(&cluster, "allow", "executing, executing, executing");
    assert_eq!(ends, ["completed", "completed at once", "completed at once"]);
}

/// What is due by hand does not fall victim to a run that is going on.
#[test]
fn run_task_waits_for_the_previous_run() {
    let cluster = Cluster::ready(&[]);
    let mut gate = overlapping(&cluster);
    cluster.app_sql("select jittask.create_scheduled_task('one', now(), 'wait')");
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'executing')");
    cluster.app_sql("select jittask.run_task('one')");
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'pending')");
    gate.batch_execute("select pg_advisory_unlock(1)").unwrap();
    cluster.ended(2);
    assert_eq!(ends(&mut cluster.app()), "completed 2");
}

/// Whatever the function does about it: a second for each, and the ones that do not listen lose their process.
#[test]
fn a_run_whose_time_is_up_ends() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "6")]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function sleeps() returns void language plpgsql as $$ begin set statement_timeout = 0; perform pg_sleep(60); end $$;
         create function spins() returns void language plpgsql as $$ begin loop null; end loop; end $$;
         create function hides() returns void language plpgsql as $$
         begin
             loop
                 begin
                     loop perform pg_sleep(1); end loop;
                 exception when query_canceled then raise log 'caught it';
                 end;
             end loop;
         end $$;
         create function row_sleeps(contract) returns void language plpgsql as $$ begin perform pg_sleep(60 * ($1.id % 7)); end $$;
         select jittask.create_scheduled_task('sleeps', now(), 'sleeps', timeout => '1 second', max_attempts => 1),
             jittask.create_scheduled_task('spins', now(), 'spins', timeout => '1 second', max_attempts => 1),
             jittask.create_scheduled_task('hides', now(), 'hides', timeout => '1 second', max_attempts => 1),
             jittask.create_scheduled_task('hides twice', now(), 'hides', timeout => '500 ms', max_attempts => 2, retry_backoff => '0');
         select jittask.create_date_task('a row of many', 'contract', 'due', 'row_sleeps', timeout => '1 second', max_attempts => 1);
         insert into contract select 7 * id, now() from generate_series(1, 20) id;
         insert into contract values (1, now());",
    );
    let load = Load::watch();
    cluster.ended(4 + 21);
    let mut session = cluster.app();
    let ends: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, row_key ->> 'id', status, attempt, error_code, error) from jittask.records where status <> 'completed' order by task",
    );
    let why = "57014 the attempt took longer than the task's timeout";
    assert_eq!(
        ends,
        [
            format!("a_row_of_many 1 failed 1 {why}"),
            format!("hides failed 1 {why}"),
            format!("hides_twice failed 2 {why}"),
            format!("sleeps failed 1 {why}"),
            format!("spins failed 1 {why}")
        ]
    );
    for (tasks, most) in [("not like 'hides%'", 3.0), ("like 'hides%'", 6.0)] {
        let range = format!(
            "select array[min(d), max(d)] from (select extract(epoch from duration)::float8 as d
            from jittask.records where status = 'failed' and task {tasks}) ended"
        );
        let range: Vec<f64> = one(&mut session, &range);
        assert!(range[0] >= 0.5, "one of those {tasks} was interrupted after {} s", range[0]);
        load.assert_within(most, range[1], &format!("the longest of those {tasks}"));
    }
    let log = cluster.log();
    assert!(log.matches("caught it").count() >= 3, "the hiding ones were asked first:\n{log}");
    nothing_unaccounted(&mut session);
}

/// The scheduler, which watches over the time, sleeps while an executor goes from a task with a long timeout to one with a
/// short one.
#[test]
fn a_short_timeout_after_a_long_one_is_kept() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "1")]);
    cluster.app_sql(
        "create function nap() returns void language sql as $$ select pg_sleep(0.3) $$;
         create function sleep() returns void language sql as $$ select pg_sleep(60) $$;
         select jittask.create_scheduled_task('nap ' || i, now(), 'nap') from generate_series(1, 5) i;
         select jittask.create_scheduled_task('sleep', now() + interval '200 ms', 'sleep', timeout => '500 ms', max_attempts => 1)",
    );
    let load = Load::watch();
    cluster.ended(6);
    let took: f64 = one(
        &mut cluster.app(),
        "select extract(epoch from duration)::float8 from jittask.records where task = 'sleep' and error_code = '57014'",
    );
    assert!(took >= 0.5, "{took} s");
    load.assert_within(2.5, took, "the run whose timeout is short");
}

/// A cancel that comes when the run it is meant for has ended, and its attempt is being noted, is for nobody.
#[test]
fn a_cancel_that_comes_late_takes_no_attempt_away() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.connect("postgres");
    // It takes a while to note an attempt.
    session
        .batch_execute(
            "create function nap() returns trigger language plpgsql as $$ begin perform pg_sleep(0.5); return new; end $$;
             create trigger nap before insert on jittask.record for each row execute function nap()",
        )
        .unwrap();
    cluster.app_sql(
        "create function fails() returns void language plpgsql as $$ begin raise 'no'; end $$;
         select jittask.create_scheduled_task('fails ' || i, now(), 'fails', max_attempts => 1) from generate_series(1, 3) i",
    );
    let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity where backend_type = 'jittask executor' and wait_event = 'PgSleep'";
    let mut cancels = 0;
    cluster.wait_until("the ends", SOON, || {
        cancels += one::<i64>(&mut session, cancel);
        (one::<i64>(&mut session, "select count(*) from jittask.records where status = 'failed'") == 3).then_some(())
    });
    assert!(cancels >= 3, "{cancels} cancels came while an attempt was noted");
    let ends: Vec<String> =
        all(&mut session, "select concat_ws(' ', status, attempt, error_code, error) from jittask.records");
    assert_eq!(ends, ["failed 1 P0001 no"; 3]);
    assert!(!cluster.log().contains("cannot note"), "{}", cluster.log());
    nothing_unaccounted(&mut session);
}
