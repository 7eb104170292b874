//! A row that was captured is planned whatever comes between: a lock on its table or a partition, a savepoint, a prepared
//! transaction, a key that changes its type, very many occurrences.

use cluster::{Cluster, SOON, nothing_unaccounted, now, one};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const OUTBOX: &str = "create table outbox (id text);";

#[test]
fn a_lock_on_the_table_or_a_partition_delays_and_loses_nothing() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "60s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table parted (part int, id int, due timestamptz, primary key (part, id)) partition by list (part);
         create table p1 partition of parted for values in (1);
         create table p2 partition of parted for values in (2);
         create table plain (id int primary key, due timestamptz);
         create function run(parted) returns void language sql as $$ insert into public.outbox values ('parted ' || $1.id) $$;
         create function run(plain) returns void language sql as $$ insert into public.outbox values ('plain ' || $1.id) $$;
         select jittask.create_date_task(t, t::regclass, 'due', 'run') from unnest('{parted,plain}'::text[]) t",
    );
    cluster.wait_for(SOON, "select bool_and(looks_from is null) and count(*) = 2 from jittask.task");
    cluster.wait_past(now() + 1.5);
    let mut locker = cluster.app();
    let mut writer = cluster.app();
    // Before it counts: only its capture tells of it.
    locker.batch_execute("begin; lock table p1 in access exclusive mode").unwrap();
    writer.batch_execute("insert into parted values (2, 1, now() - interval '1 hour')").unwrap();
    cluster.wait_past(now() + 3.0);
    locker.batch_execute("commit").unwrap();
    cluster.wait_for(SOON, "select exists (select from outbox where id = 'parted 1')");
    writer.batch_execute("begin; insert into plain values (1, now())").unwrap();
    let queued = std::thread::spawn(move || {
        locker.batch_execute("begin; lock table plain in access exclusive mode; select pg_sleep(2); commit").unwrap();
        now()
    });
    cluster.wait_for(SOON, "select exists (select from pg_locks where relation = 'plain'::regclass and not granted)");
    writer.batch_execute("commit").unwrap();
    let unlocked_at = queued.join().unwrap();
    cluster.wait_for(SOON, "select exists (select from outbox where id = 'plain 1')");
    assert!(now() - unlocked_at < 3.0, "{} s after the lock was gone", now() - unlocked_at);
    let problems: i64 = one(&mut cluster.app(), "select count(*) from jittask.tasks where problem is not null");
    assert_eq!(problems, 0);
}

#[test]
fn more_rows_than_are_taken_at_a_time() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "60s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table birthday (id int primary key, born date);
         create function run(birthday) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         select jittask.create_date_task('party', 'birthday', 'born', 'run', repeat => 'yearly', at => (now() at time zone 'UTC' + interval '8 seconds')::time(0), time_zone => 'UTC')",
    );
    cluster.wait_past(now() + 1.0);
    // Each under a savepoint, so that each leaves a note of its own; only the last are due today.
    cluster.app_sql(
        "do $$ begin for i in 1..260 loop
             begin insert into birthday values (i, (now() at time zone 'UTC')::date - 3650 - case when i < 250 then 40 else 0 end);
             exception when division_by_zero then null; end;
         end loop; end $$;
         update birthday set born = (now() at time zone 'UTC' - interval '10 years')::date where id >= 250",
    );
    cluster.wait_for(SOON, "select count(*) = 11 from outbox");
    nothing_unaccounted(&mut cluster.app());
}

#[test]
fn what_a_savepoint_takes_back_is_forgotten() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table x (id int, name text);
         create trigger a after insert on x for each row execute function jittask.capture_row('1', 'id')",
    );
    let mut session = cluster.app();
    session
        .batch_execute(
            "begin; savepoint s; alter table x alter id type text; insert into x values ('7', 'n'); rollback to s;
             insert into x values (8, 'n');
             savepoint s; alter table x rename id to other; alter table x rename name to id; insert into x values (9, 'n'); rollback to s;
             insert into x values (10, 'n'); commit",
        )
        .unwrap();
    assert_eq!(one::<String>(&mut session, "select string_agg(id::text, ' ' order by id) from x"), "8 10");
}

#[test]
fn a_key_that_changes_its_type_between_two_runs() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "1"), ("jittask.scan_interval", "1s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table parted (id numeric primary key, due timestamptz) partition by hash (id);
         create table p0 partition of parted for values with (modulus 1, remainder 0);
         create index on parted (due);
         create function run(parted) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         select jittask.create_date_task('t', 'parted', 'due', 'run', capture => 'scan')",
    );
    for (kind, id) in [("numeric", "42"), ("bigint", "4294967338"), ("text", "43"), ("int", "44")] {
        cluster.app_sql(&format!(
            "drop table parted cascade; create table parted (id {kind} primary key, due timestamptz) partition by hash (id);
             create table p0 partition of parted for values with (modulus 1, remainder 0);
             create index on parted (due);
             create function run(parted) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
             insert into parted values ({id}, now() + interval '3 seconds'), (7, now() + interval '3 seconds')"
        ));
        cluster.wait_for(SOON, &format!("select exists (select from outbox where id = '{id}')"));
    }
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log_tail());
}

#[test]
fn a_prepared_transaction_is_noticed_when_it_is_committed() {
    let cluster = Cluster::ready(&[("max_prepared_transactions", "4"), ("jittask.scan_interval", "60s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         insert into contract values (1, now() + interval '1 hour 5 seconds');
         select jittask.create_date_task('t', 'contract', 'due', 'run')",
    );
    cluster.wait_past(now() + 2.0);
    let mut session = cluster.app();
    session
        .batch_execute("begin; select jittask.alter_task('t', '{\"before\": \"1 hour\"}'); prepare transaction 'x'")
        .unwrap();
    session.batch_execute("commit prepared 'x'").unwrap();
    cluster.wait_for(SOON, "select exists (select from outbox where id = '1')");
}

/// 17,280 occurrences in the catch_up_window of a day, and one each five seconds from now on.
#[test]
fn a_row_of_very_many_occurrences_loses_none() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "2s"), ("jittask.planning_horizon", "30s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table meter (id int primary key, since timestamptz);
         create index on meter (since);
         create function poll(meter) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         select jittask.create_date_task('last', 'meter', 'since', 'poll', rule => 'every 5 seconds'),
             jittask.create_date_task('all', 'meter', 'since', 'poll', rule => 'every 5 seconds', catch_up => 'all', catch_up_window => '20 hours');
         insert into meter values (1, now() - interval '2 days')",
    );
    cluster.wait_past(now() + 16.0);
    let mut session = cluster.app();
    let runs = "select count(*) from jittask.records where task = 'last' and status = 'completed' and due_at > now() - interval '14 seconds'";
    assert!(one::<i64>(&mut session, runs) >= 2);
    let created: f64 =
        one(&mut cluster.connect("postgres"), "select extract(epoch from min(created_at))::float8 from jittask.task");
    let ends = format!("select string_agg(concat_ws(' ', n, status, reason), ', ' order by status) from (
                    select count(*) as n, status, reason from jittask.records where task = 'last' and due_at < to_timestamp({created})
                    group by status, reason) x");
    let seen: String = one(&mut session, &ends);
    assert!(seen == "1 completed, 17279 skipped catch_up" || seen == "1 completed, 17280 skipped catch_up", "{seen}");
    let all = format!(
        "select count(*) from jittask.records where task = 'all' and due_at < to_timestamp({created}) and status = 'completed'"
    );
    cluster.wait_for(SOON, &format!("select ({all}) between 14399 and 14401"));
    nothing_unaccounted(&mut session);
}

#[test]
fn a_task_that_is_altered_while_it_is_planned() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "60s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create function slowly(int) returns boolean immutable language plpgsql as $$ begin perform pg_sleep(3); return true; end $$;
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         insert into contract values (1, now() + interval '12 seconds');
         select jittask.create_date_task('t', 'contract', 'due', 'run', filter => 'slowly(id)')",
    );
    cluster.wait_for(
        SOON,
        "select exists (select from pg_stat_activity where query = 'jittask: planning' and wait_event = 'PgSleep')",
    );
    cluster.app_sql("select jittask.alter_task('t', '{\"after\": \"4 seconds\"}')");
    cluster.ended(1);
    let mut session = cluster.app();
    let end = "select concat_ws(' ', status, reason, due_at - (select due from contract)) from jittask.records";
    assert_eq!(one::<String>(&mut session, end), "completed 00:00:04");
    nothing_unaccounted(&mut session);
}

#[test]
fn a_task_that_is_forgotten_while_it_is_planned_is_planned_again() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1h")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         create function slowly(int) returns boolean immutable language plpgsql as $$ begin perform pg_sleep(0.5); return true; end $$;
         select jittask.create_date_task('t', 'contract', 'due', 'run', filter => 'slowly(id)')",
    );
    // So that nothing can be noted: each write has the task planned anew.
    cluster
        .connect("postgres")
        .batch_execute(
            "create function public.no() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
         create trigger no before insert on jittask.capture for each row execute function public.no()",
        )
        .unwrap();
    cluster.app_sql("insert into contract select id, now() from generate_series(1, 4) id");
    cluster.wait_for(
        SOON,
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep' and backend_type like 'jittask%')",
    );
    cluster.app_sql("insert into contract values (5, now())");
    cluster.wait_for(SOON, "select count(distinct id) = 5 and count(*) = 5 from outbox");
}

#[test]
fn a_task_that_is_mended_while_it_cannot_be_planned() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1h")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         create function fails(int) returns boolean immutable language plpgsql as $$ begin perform pg_sleep(2); raise 'no'; end $$;
         insert into contract values (1, now() + interval '8 seconds');
         select jittask.create_date_task('t', 'contract', 'due', 'run', filter => 'fails(id)')",
    );
    cluster.wait_for(
        SOON,
        "select exists (select from pg_stat_activity where query = 'jittask: planning' and wait_event = 'PgSleep')",
    );
    cluster.app_sql(
        "begin; create or replace function fails(int) returns boolean immutable language sql as 'select true';
         select jittask.alter_task('t', '{\"after\": \"1 second\"}'); commit",
    );
    cluster.ended(1);
    let problems: i64 = one(&mut cluster.app(), "select count(*) from jittask.tasks where problem is not null");
    assert_eq!(problems, 0);
}

#[test]
fn what_is_written_with_a_new_task_while_the_scheduler_looks() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "60s")]);
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table busy (id int generated always as identity primary key, due timestamptz);
         create function run(busy) returns void language sql as '';
         select jittask.create_date_task('busy', 'busy', 'due', 'run', filter => 'false')",
    );
    let (mut writer, mut other, is_over) = (cluster.app(), cluster.app(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // It looks all the time.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                other.batch_execute("insert into busy (due) values (now())").unwrap();
            }
        });
        let is_over = Over(&is_over);
        for task in 1..=100 {
            // Before it counts: only its capture tells of it, and there is no limit yet that could say where.
            writer
                .batch_execute(&format!(
                    "begin; create table t{task} (id int primary key, due timestamptz);
                     create function run(t{task}) returns void language sql as 'insert into public.outbox values ({task})';
                     select jittask.create_date_task('t{task}', 't{task}', 'due', 'run');
                     insert into t{task} values (1, now() - interval '1 hour'); commit"
                ))
                .unwrap();
            cluster.ended(task);
        }
        drop(is_over);
    });
}

/// A filter's column that no row stores changes with those that it is made of.
#[test]
fn a_filter_on_a_virtual_column() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "60s")]);
    if !one::<bool>(&mut cluster.app(), "select current_setting('server_version_num')::int >= 180000") {
        return;
    }
    cluster.app_sql(OUTBOX);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz, state text, is_open boolean generated always as (state = 'open') virtual);
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         select jittask.create_date_task('open', 'contract', 'due', 'run', filter => 'is_open', catch_up => 'none');
         insert into contract values (1, now() + interval '4 s', 'closed')",
    );
    cluster.wait_for(SOON, "select not is_unplanned from jittask.task");
    cluster.app_sql("update contract set state = 'open'");
    cluster.ended(1);
    assert_eq!(one::<i64>(&mut cluster.app(), "select count(*) from outbox"), 1);
}

/// Says so also to a panic's other threads.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
