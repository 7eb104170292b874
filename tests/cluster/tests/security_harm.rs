//! Attempts to harm others: crash the server, stop the scheduler, take all executors, break what others read.

mod attack;

use cluster::Load;

use attack::{SOON, attempt, cluster, number, session, wait_for};

const BOB: &str = "create function bob.tick() returns void language sql as ''";

/// The capture trigger's function can be put into any trigger by anybody.
#[test]
fn capture_row_in_any_trigger_harms_nobody() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("create table mallory.t (id int, v text); insert into mallory.t values (0, 'x'); create view mallory.v as select * from mallory.t").unwrap();
    let mut survivor = session(&cluster, "bob");
    for (place, timing) in [
        ("t", "after insert or update or delete"),
        ("t", "before insert or update or delete"),
        ("t", "after truncate"),
        ("v", "instead of insert or update or delete"),
    ] {
        for level in ["statement", "row"] {
            for arguments in [
                "",
                "'1'",
                "'1', 'id'",
                "'1', 'v', 'id'",
                "'x', 'id'",
                "'1', 'none', 'tableoid', 'v'",
                "'1', 'id', '', 'v'",
            ] {
                attempt(
                    &mut mallory,
                    &[
                        &format!(
                            "create trigger evil {timing} on mallory.{place} for each {level} execute function jittask.capture_row({arguments})"
                        ),
                        &format!("insert into mallory.{place} values (1, 'a')"),
                        &format!("update mallory.{place} set v = 'b'"),
                        &format!("delete from mallory.{place} where id = 1"),
                        "truncate mallory.t",
                        &format!("drop trigger evil on mallory.{place}"),
                    ],
                );
                let alive = survivor.query_one("select 1", &[]).is_ok();
                assert!(alive, "the server went down by: {timing}, {level}, ({arguments})\n{}", tail(&cluster.log()));
            }
        }
    }
    // The sessions may notice later than the log.
    cluster.wait_until("a new session", SOON, || cluster.try_connect("postgres", "bob").ok());
    assert!(!cluster.log().contains("terminated by signal"), "{}", tail(&cluster.log()));
}

/// Candidates under another's token, from one's own table and from the task's, must not stop its planning.
#[test]
fn forged_candidates_do_not_stop_a_task() {
    let cluster = cluster(&[("jittask.scan_interval", "2s")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id int primary key, note text, due timestamptz);
         create function bob.run(bob.t) returns void language sql as '';
         select jittask.create_date_task('forged', 'bob.t', 'due', 'bob.run');
         grant all on bob.t to mallory; grant usage on schema bob to mallory",
    )
    .unwrap();
    let mut mallory = session(&cluster, "mallory");
    let token: i64 = number(&mut cluster.connect("postgres"), "select token from jittask.task");
    mallory
        .batch_execute(&format!(
            "create table mallory.t (id text);
             create trigger forge after insert on mallory.t for each row execute function jittask.capture_row('{token}', 'id', 'id');
             insert into mallory.t select 'x' || g from generate_series(1, 5000) g;
             create trigger forge after insert on bob.t for each row execute function jittask.capture_row('{token}', 'due', 'note')"
        ))
        .unwrap();
    bob.batch_execute("insert into bob.t select g, 'no number', now() from generate_series(1, 3) g").unwrap();
    wait_for(&cluster, "forged", "completed", 3);
    bob.batch_execute("insert into bob.t values (4, 'no number', now())").unwrap();
    wait_for(&cluster, "forged", "completed", 4);
}

/// A transaction left open by one owner must not keep the scheduler from the others.
#[test]
fn an_open_transaction_does_not_stop_the_scheduler() {
    let cluster = cluster(&[("jittask.planning_horizon", "10s")]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as '';
             select jittask.create_scheduled_task('blocker', now() + '7 seconds', 'mallory.tick', repeat => 'hourly')",
        )
        .unwrap();
    mallory.batch_execute("begin; select jittask.drop_task('blocker')").unwrap();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(BOB).unwrap();
    let mut admin = cluster.connect("postgres");
    // Until its end is near, the blocked series is not touched.
    cluster.wait_until("time to top up", SOON, || {
        (number(&mut admin, "select count(*) from jittask.series where due_at < now() + interval '4 seconds'") == 1)
            .then_some(())
    });
    bob.batch_execute("select jittask.create_scheduled_task('victim', now() + '1 second', 'bob.tick')").unwrap();
    wait_for(&cluster, "victim", "completed", 1);
    bob.batch_execute("select jittask.create_scheduled_task('victim', now() + '1 second', 'bob.tick')").unwrap();
    wait_for(&cluster, "victim_2", "completed", 1);
    mallory.batch_execute("rollback").unwrap();
}

/// Nor must one that holds a task whose function is lost meanwhile.
#[test]
fn an_open_transaction_does_not_stop_the_look_at_what_is_lost() {
    let cluster = cluster(&[]);
    let (mut mallory, mut dropping) = (session(&cluster, "mallory"), session(&cluster, "mallory"));
    mallory.batch_execute("select jittask.create_scheduled_task('a', now() + '1 day', body => 'null')").unwrap();
    mallory.batch_execute("begin; select jittask.pause_task('a')").unwrap();
    dropping.batch_execute("drop function jittask_inner.a()").unwrap();
    let mut bob = session(&cluster, "bob");
    for name in ["one", "two", "three"] {
        let create = format!("select jittask.create_scheduled_task('{name}', now() + '1 second', body => 'null')");
        bob.batch_execute(&create).unwrap();
        wait_for(&cluster, name, "completed", 1);
        std::thread::sleep(std::time::Duration::from_millis(1200));
    }
    mallory.batch_execute("rollback").unwrap();
    cluster.wait_for(SOON, "select state = 'broken' from jittask.tasks where name = 'a'");
}

/// A task that is held keeps nobody's change of a calendar waiting for more than a moment.
#[test]
fn an_open_transaction_does_not_stop_a_calendar() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute("select jittask.create_scheduled_task('m', now() + '1 day', body => 'null', repeat => 'daily', skip_holidays => true)")
        .unwrap();
    mallory.batch_execute("begin; select jittask.pause_task('m')").unwrap();
    let mut admin = cluster.connect("postgres");
    let load = Load::watch();
    admin.batch_execute("select jittask.add_holiday('default', (now() + interval '1 day')::date, 'x')").unwrap();
    load.assert_over_within(5.0, "the change of a calendar");
    // It is planned anew when he has let go.
    mallory.batch_execute("rollback").unwrap();
    cluster.wait_for(SOON, "select next_due_at > now() + interval '30 hours' from jittask.tasks where name = 'm'");
}

/// Tokens that are nobody's, by the thousand, are thrown away, and nobody waits for it.
#[test]
fn very_many_forged_tokens_are_thrown_away() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.f (x int);
             do $$ begin for i in 1..300 loop
                 execute format('create trigger t%s after insert on mallory.f for each row execute function jittask.capture_row(%L, ''x'', ''none'')', i, i * 8 + 3);
             end loop; end $$;
             insert into mallory.f select generate_series(1, 500)",
        )
        .unwrap();
    let load = Load::watch();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute("select jittask.create_scheduled_task('b', now() + '1 second', body => 'null')").unwrap();
    wait_for(&cluster, "b", "completed", 1);
    let late: f64 = {
        let query = "select extract(epoch from max(delay))::float8 from jittask.records where status = 'completed'";
        cluster.connect("postgres").query_one(query, &[]).unwrap().get(0)
    };
    load.assert_within(1.0, late, "the lateness");
    cluster.wait_for(SOON, "select count(*) = 0 from jittask.capture");
}

/// Nor one in each of many databases.
#[test]
fn one_owner_does_not_take_all_executors_of_all_databases() {
    let cluster = cluster(&[("jittask.max_executors", "3")]);
    for database in ["one", "two", "three", "four"] {
        cluster.sql("postgres", &format!("create database {database}"));
        cluster.sql(database, "create extension jittask; grant usage on schema jittask to mallory");
        cluster
            .connect_as(database, "mallory")
            .batch_execute("select jittask.create_scheduled_task('hog', now(), body => 'perform pg_sleep(600)')")
            .unwrap();
    }
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.workers where kind = 'executor' and state = 'busy'");
    let mut bob = session(&cluster, "bob");
    bob.batch_execute("select jittask.create_scheduled_task('awake', now() + '2 seconds', body => 'null')").unwrap();
    wait_for(&cluster, "awake", "completed", 1);
}

/// One owner's sleeping functions must not take all executors.
#[test]
fn one_owner_does_not_take_all_executors() {
    let cluster = cluster(&[("jittask.max_executors", "2")]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute("create function mallory.sleep() returns void language sql as 'select pg_sleep(600)'")
        .unwrap();
    for _ in 0..8 {
        mallory.batch_execute("select jittask.create_scheduled_task('sleep', now(), 'mallory.sleep')").unwrap();
    }
    let mut admin = cluster.connect("postgres");
    cluster.wait_until("the sleep of one", SOON, || {
        (number(&mut admin, "select count(*) from jittask.records where status = 'executing'") >= 1).then_some(())
    });
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(&format!(
        "{BOB}; select jittask.create_scheduled_task('awake', now() + '2 seconds', 'bob.tick')"
    ))
    .unwrap();
    wait_for(&cluster, "awake", "completed", 1);
}

/// A function that ends its own process must not make the server start processes without end.
#[test]
fn a_function_that_ends_its_process_is_not_started_in_a_storm() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.die() returns void language sql as 'select pg_terminate_backend(pg_backend_pid())';
             select jittask.create_scheduled_task('die', now(), 'mallory.die', max_attempts => 3)",
        )
        .unwrap();
    let deaths = || cluster.log().matches("terminating background worker \"jittask executor\"").count();
    cluster.wait_until("a death", SOON, || (deaths() > 0).then_some(()));
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(&format!(
        "{BOB}; select jittask.create_scheduled_task('after', now() + '5 seconds', 'bob.tick')"
    ))
    .unwrap();
    wait_for(&cluster, "after", "completed", 1);
    assert!(deaths() <= 20, "{} processes in five seconds", deaths());
}

/// The hook that makes room for DROP DATABASE and its like obeys only those who may do that.
#[test]
fn a_refused_create_database_ends_no_worker() {
    let cluster = cluster(&[]);
    cluster.sql("postgres", "create role maker login createdb");
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create function bob.sleep() returns void language sql as 'select pg_sleep(600)';
         select jittask.create_scheduled_task('sleeper', now(), 'bob.sleep')",
    )
    .unwrap();
    wait_for(&cluster, "sleeper", "executing", 1);
    let mut maker = session(&cluster, "maker");
    for statement in [
        "create database copy template postgres",
        "drop database postgres",
        "alter database postgres rename to x",
        "alter database postgres set tablespace pg_default",
        "drop database if exists postgres with (force)",
    ] {
        attempt(&mut maker, &[statement]);
        let log = cluster.log();
        assert!(!log.contains("terminating background worker"), "{statement} ended a worker\n{}", tail(&log));
    }
}

/// What one owner stores must not break what administrators read.
#[test]
fn extreme_values_break_no_view() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, n numeric unique not null, due timestamptz, d date);
             create function mallory.run(mallory.t) returns void language sql as '';
             create function mallory.tick() returns void language sql as $$ select repeat('x', 1000000) $$",
        )
        .unwrap_or_else(|_| {
            mallory
                .batch_execute(
                    "create table mallory.t (id int primary key, n numeric unique not null, due timestamptz, d date);
                     create function mallory.run(mallory.t) returns void language sql as '';
                     create function mallory.tick() returns text language sql as $$ select repeat('x', 1000000) $$",
                )
                .unwrap();
        });
    attempt(
        &mut mallory,
        &[
            "select jittask.create_date_task('a', 'mallory.t', 'due', 'mallory.run', end_at => '200000-01-01')",
            "select jittask.create_date_task('b', 'mallory.t', 'due', 'mallory.run', end_at => '0044-03-15 BC')",
            "select jittask.create_date_task('c', 'mallory.t', 'due', 'mallory.run', before => '2147483647 months')",
            "select jittask.create_date_task('d', 'mallory.t', 'd', 'mallory.run', before => '178000000 years', repeat => 'yearly')",
            "select jittask.create_date_task('e', 'mallory.t', 'due', 'mallory.run', key_columns => '{n}', catch_up_window => '1 year', existing_rows => '170000000 years')",
            "select jittask.create_scheduled_task('f', '4713-01-01 BC', 'mallory.tick', repeat => 'hourly')",
            "select jittask.create_scheduled_task('g', '4713-01-01 BC', 'mallory.tick', repeat => 'yearly')",
            "select jittask.create_scheduled_task('h', '294276-12-31 23:59:59', 'mallory.tick', repeat => 'monthly')",
            "select jittask.create_scheduled_task('i', now() + '1 second', 'mallory.tick', repeat => 'yearly', end_at => '294276-12-31')",
            "select jittask.create_scheduled_task('j', now(), body => 'raise ''x''', retry_backoff => '178000000 years', max_attempts => 1000)",
            "select jittask.create_date_task('k', 'mallory.t', 'due', 'mallory.run', after => '2562047788 hours', repeat => 'hourly')",
            "insert into mallory.t values (1, 'NaN', 'infinity', 'infinity'), (2, '1e100', '-infinity', '-infinity'),
                 (3, '1.50', '294276-12-31 23:59:59', '5874897-12-31'), (4, '-0.1e-50', '4713-01-01 BC', '4713-01-01 BC'), (5, 5, now(), now())",
            "select jittask.run_task('e', '{\"n\": \"NaN\"}')",
            "select jittask.run_task('e', '{\"n\": 1e100}')",
            "select * from jittask.preview('a'), jittask.preview('d'), jittask.preview('f', 10000)",
        ],
    );
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(&format!(
        "{BOB}; select jittask.create_scheduled_task('after', now() + '2 seconds', 'bob.tick')"
    ))
    .unwrap();
    wait_for(&cluster, "after", "completed", 1);
    let mut admin = cluster.connect("postgres");
    for view in ["records", "tasks", "progress", "accounts", "workers"] {
        let read = admin.simple_query(&format!("select * from jittask.{view}"));
        assert!(read.is_ok(), "{view}: {:?}", read.err());
    }
    let log = cluster.log();
    assert!(!log.contains("jittask could not look what is due") && !log.contains("panicked"), "{}", tail(&log));
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Somebody's snapshot keeps what was deleted from the agenda: it is not copied under a lock that everybody waits for.
#[test]
fn deleted_entries_that_a_snapshot_keeps_are_not_rewritten() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    let mut holder = session(&cluster, "mallory");
    let file = "select pg_relation_filenode('jittask.agenda')::bigint";
    let mut admin = cluster.connect("postgres");
    let before = number(&mut admin, file);
    holder.batch_execute("begin isolation level repeatable read; select pg_current_xact_id()").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    mallory
        .batch_execute(
            "select jittask.create_scheduled_task('s' || i, now() + '5 minutes', rule => 'every 1 second', body => 'null')
             from generate_series(1, 15) i",
        )
        .unwrap();
    cluster.wait_for(SOON, "select count(*) > 30000 from jittask.agenda");
    mallory.batch_execute("select jittask.drop_task(name, false) from jittask.tasks").unwrap();
    // Looks come each 10 s, and whenever something wakes the scheduler.
    std::thread::sleep(std::time::Duration::from_secs(13));
    assert_eq!(number(&mut admin, file), before);
    holder.batch_execute("rollback").unwrap();
    // Whatever wakes the scheduler.
    mallory.batch_execute("select jittask.create_scheduled_task('next', now() + '1 day', body => 'null')").unwrap();
    cluster.wait_for(SOON, &format!("select pg_relation_filenode('jittask.agenda')::bigint <> {before}"));
}
