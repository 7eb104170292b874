//! What can be seen of work that goes on: views, process titles and wait states, notifications, and status() in words.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::postgres::fallible_iterator::FallibleIterator;
use cluster::{Cluster, Load, SOON, all, nothing_unaccounted, one};

const SCHEMA: &str = "
create table contract (id int primary key, due timestamptz);
create index on contract (due);
create function run(contract) returns text language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared($1.id);
    if $1.id % 10 = 0 then raise 'no luck' using errcode = 'P0042'; end if;
    return 'done';
end $$;";

#[test]
fn a_run_is_visible_while_it_goes_on() {
    let cluster = Cluster::ready(&[("jittask.overdue_after", "500ms")]);
    cluster.app_sql(SCHEMA);
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(5)").unwrap();
    cluster.app_sql(
        "create function run(contract[]) returns void language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(5); end $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run(contract)', max_attempts => 1),
             jittask.create_date_task('batch', 'contract', 'due', 'run(contract[])');
         insert into contract select id, now() + interval '1 second' from generate_series(1, 9) id;",
    );
    // Row 5 waits: in the batch at first, then alone.
    cluster.wait_for(SOON, "select exists (select from jittask.progress where task = 'rows' and row_key ->> 'id' = '5' and rows_total = 1)");
    let mut session = cluster.app();
    let progress: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, row_key, rows_done, rows_total, pid > 0, started_at >= due_at) from jittask.progress where task = 'rows'",
    );
    assert_eq!(progress, [r#"rows {"id": 5} 0 1 t t"#]);
    let records: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', r.row_key ->> 'id', status, attempt, r.pid = p.pid, r.started_at = p.started_at) from jittask.records r
         join jittask.progress p using (task) where status = 'executing' and task = 'rows'",
    );
    assert_eq!(records, ["5 executing 1 t t"]);
    // The server's own view of it.
    let activity: Vec<String> = all(
        &mut session,
        "select concat_ws(' | ', backend_type, application_name, usename, state, wait_event_type, wait_event, query)
         from pg_stat_activity a join jittask.progress p using (pid) where task = 'rows'",
    );
    assert_eq!(activity, ["jittask executor | jittask executor | app | active | Lock | advisory | jittask: rows"]);
    let workers: Vec<String> = all(
        &mut session,
        "select distinct concat_ws(' ', kind, database, role, case when kind = 'executor' then state end, since < now(), heartbeat_at >= since)
         from jittask.workers where state = 'busy' or kind <> 'executor' order by 1",
    );
    assert_eq!(workers, ["executor postgres app busy t t", "launcher t t", "scheduler postgres t t"]);
    gate.batch_execute("select pg_advisory_unlock(5)").unwrap();
    cluster.ended(18);
    let stats: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, pending, overdue, executing, completed, failed, skipped, cancelled, duration_p50 <= duration_p95,
             duration_p95 <= duration_max, delay_p50 <= delay_p95, delay_max >= interval '0') from jittask.task_stats order by task",
    );
    assert_eq!(stats, ["batch 0 0 0 9 0 0 0 t t t t", "rows 0 0 0 9 0 0 0 t t t t"]);
    nothing_unaccounted(&mut session);
}

/// The payloads that came within a second of the last one.
fn heard(listener: &mut Client) -> Vec<String> {
    let mut heard = Vec::new();
    let mut notifications = listener.notifications();
    let mut events = notifications.timeout_iter(Duration::from_secs(1));
    while let Some(event) = events.next().unwrap() {
        assert_eq!(event.channel(), "jittask_event");
        heard.push(event.payload().to_string());
    }
    heard.sort();
    heard
}

#[test]
fn ends_are_announced_as_jittask_notify_says() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.sql("postgres", "create role anybody login");
    cluster.app_sql("select jittask.create_date_task('rows', 'contract', 'due', 'run', max_attempts => 1)");
    let mut listener = cluster.connect_as("postgres", "anybody");
    listener.batch_execute("listen jittask_event").unwrap();
    let mut session = cluster.app();
    let mut first = 1;
    for (notify, statuses) in [("failed", "{failed}"), ("all", "{completed,failed}"), ("none", "{}")] {
        cluster.turn("jittask.notify", notify);
        // The executor that is there has to hear of it too.
        cluster.wait_for(
            SOON,
            "select not exists (select from jittask.workers where kind = 'executor' and state = 'busy')",
        );
        session
            .batch_execute(&format!(
                "insert into contract select id, now() from generate_series({first}, {first} + 9) id"
            ))
            .unwrap();
        cluster.ended(first + 9);
        let mut wanted: Vec<String> = all(
            &mut session,
            &format!(
                "select format('{{\"record\": %s, \"status\": \"%s\"}}', id, status) from jittask.records
                 where (row_key ->> 'id')::int >= {first} and status::text = any('{statuses}') order by 1"
            ),
        );
        wanted.sort();
        assert_eq!(heard(&mut listener), wanted, "with jittask.notify = {notify}");
        first += 10;
    }
    nothing_unaccounted(&mut session);
}

/// A NOTIFY that fails, here since somebody listens and never looks, changes no record and stops nobody.
#[test]
fn a_full_queue_of_events_changes_no_record() {
    let mut cluster = Cluster::ready(&[("jittask.notify", "all")]);
    if cluster.major() < 17 {
        eprintln!("the queue of this server takes 8 GB: not filled");
        return;
    }
    cluster.sql("postgres", "alter system set max_notify_queue_pages = 64");
    cluster.restart(cluster::Mode::Fast);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("select jittask.create_date_task('rows', 'contract', 'due', 'run', max_attempts => 1)");
    let mut listener = cluster.connect("postgres");
    listener.batch_execute("listen anything").unwrap();
    listener.batch_execute("begin; select 1").unwrap();
    let mut writer = cluster.connect("postgres");
    let fill = "select count(pg_notify('anything', n || repeat('x', 7000))) from generate_series(1, 10) n";
    assert!((0..1000).any(|_| writer.batch_execute(fill).is_err()), "the queue takes all");
    cluster.app_sql("insert into contract select id, now() from generate_series(1, 10) id");
    cluster.ended(10);
    assert!(cluster.log().contains("jittask could not notify"), "{}", cluster.log());
    let mut session = cluster.app();
    let ends =
        "select string_agg(distinct status::text, ' ' order by status::text) from jittask.records where attempt = 1";
    assert_eq!(one::<String>(&mut session, ends), "completed failed");
    nothing_unaccounted(&mut session);
}

/// While somebody commits a NOTIFY, nobody else's is queued. His COMMIT may last: here it waits for a standby that is not there.
#[test]
fn what_cannot_be_told_now_is_told_later_and_keeps_nobody_waiting() {
    let cluster = Cluster::ready(&[
        ("jittask.notify", "all"),
        ("jittask.executor_idle", "0"),
        ("wal_level", "replica"),
        ("max_wal_senders", "2"),
        ("synchronous_standby_names", "nobody"),
        ("synchronous_commit", "local"),
    ]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("select jittask.create_date_task('rows', 'contract', 'due', 'run', max_attempts => 1)");
    let mut listener = cluster.connect("postgres");
    listener.batch_execute("listen jittask_event").unwrap();
    let mut writer = cluster.connect("postgres");
    let pid: i32 = one(&mut writer, "select pg_backend_pid()");
    let writes = std::thread::spawn(move || {
        writer.batch_execute("set synchronous_commit = on; create table written (); notify anything")
    });
    cluster.wait_for(
        SOON,
        &format!("select exists (select from pg_stat_activity where pid = {pid} and wait_event = 'SyncRep')"),
    );
    let load = Load::watch();
    cluster.app_sql(
        "insert into contract select id, now() + id * interval '200 milliseconds' from generate_series(1, 10) id",
    );
    cluster.ended(10);
    let mut session = cluster.connect("postgres");
    let late: f64 =
        one(&mut session, "select max(extract(epoch from finished_at - due_at))::float8 from jittask.records");
    load.assert_within(1.0, late, "the lateness of a row");
    assert_eq!(heard(&mut listener), Vec::<String>::new());
    assert!(one::<bool>(
        &mut session,
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
    ));
    writes.join().unwrap().unwrap();
    let mut told = Vec::new();
    cluster.wait_until("all to be told", SOON, || {
        told.extend(heard(&mut listener));
        (told.len() == 10).then_some(())
    });
    nothing_unaccounted(&mut session);
}

/// What is wrong, in a person's words.
#[test]
fn status_names_what_is_wrong() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "2"), ("jittask.overdue_after", "2s")]);
    cluster.app_sql(
        "create function hang() returns void language sql as $$ select pg_sleep(3600) $$;
         create function tick() returns void language sql as '';
         select jittask.create_scheduled_task('hang 1', now(), 'hang')",
    );
    cluster.sql(
        "postgres",
        "create role other login; create role second login; grant usage on schema jittask to other, second;
         grant execute on function tick(), hang() to other, second;
         select jittask.create_calendar('old', 'DE'); create role seer login; grant pg_monitor to seer; grant usage on schema jittask to seer",
    );
    // One owner alone is never given the last executor, but for a flood of batches.
    let mut second = cluster.connect_as("postgres", "second");
    second.batch_execute("select jittask.create_scheduled_task('hang 2', now(), 'hang')").unwrap();
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'executing'");
    let mut other = cluster.connect_as("postgres", "other");
    other.batch_execute("select jittask.create_scheduled_task('waits', now(), 'tick')").unwrap();
    let status = "select array_to_string(problems, e'\\n') from jittask.status()";
    let mut seer = cluster.connect_as("postgres", "seer");
    let told = cluster.wait_until("status() to name the hung tasks", Duration::from_secs(60), || {
        Some(one::<String>(&mut seer, status)).filter(|told| told.contains("all 2 executors"))
    });
    assert!(told.contains("with task \"hang_1\"") && told.contains("with task \"hang_2\""), "{told}");
    // To one who may not know the names they are processes.
    let told: String = one(&mut other, status);
    assert!(told.contains("all 2 executors") && !told.contains("hang"), "{told}");
    let waits: String = one(&mut other, "select status::text from jittask.records");
    assert!(["pending", "overdue"].contains(&waits.as_str()), "{waits}");
    // One is cancelled: the other owner's work starts within a second.
    let mut session = cluster.app();
    let load = Load::watch();
    session
        .batch_execute("select jittask.cancel_record(min(id)) from jittask.records where status = 'executing'")
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where task = 'waits' and status = 'completed')");
    let late: f64 = one(
        &mut cluster.connect("postgres"),
        "select extract(epoch from w.started_at - h.finished_at)::float8 from jittask.records w, jittask.records h where w.task = 'waits' and h.status = 'cancelled'",
    );
    load.assert_within(1.0, late, "the other owner's work after the cancel");
    cluster.turn("jittask.enabled", "off");
    assert!(one::<String>(&mut seer, status).contains("jittask.enabled is off"));
    assert!(!one::<bool>(&mut seer, "select running from jittask.status()"));
}

/// A task is not finished while its last occurrence runs; what waits behind it by overlap is overdue in time, and what is
/// retried is not.
#[test]
fn what_waits_and_what_is_the_last_one() {
    let cluster = Cluster::ready(&[("jittask.overdue_after", "1s")]);
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(6)").unwrap();
    cluster.app_sql(
        "create function wait() returns void language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(6); end $$;
         create function fail() returns void language plpgsql as $$ begin raise 'no'; end $$;
         select jittask.create_scheduled_task('once', now(), 'wait'),
             jittask.create_scheduled_task('queue', now(), 'wait', rule => 'FREQ=SECONDLY;COUNT=3', overlap => 'queue'),
             jittask.create_scheduled_task('fails', now(), 'fail', max_attempts => 1)",
    );
    let mut session = cluster.app();
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'executing'");
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'overdue' and task = 'queue'");
    let states: Vec<String> =
        all(&mut session, "select concat_ws(' ', name, state, next_due_at is null) from jittask.tasks order by name");
    assert_eq!(states, ["fails finished t", "once active t", "queue active f"]);
    assert!(one::<bool>(
        &mut session,
        "select behind > '1 second' and overdue = 2 and executing = 2 from jittask.status()"
    ));
    let retried = "select jittask.retry_record(id) from jittask.records where task = 'fails'";
    session.batch_execute(&format!("begin; {retried}")).unwrap();
    assert_eq!(one::<String>(&mut session, "select status::text from jittask.records where task = 'fails'"), "pending");
    session.batch_execute("rollback").unwrap();
    gate.batch_execute("select pg_advisory_unlock(6)").unwrap();
    cluster.wait_for(SOON, "select bool_and(state = 'finished') from jittask.tasks");
}
