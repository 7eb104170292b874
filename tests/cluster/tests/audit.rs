//! The audit finds what is missing, unexpected or there twice, and nothing where all is well.

use cluster::{Cluster, Load, SOON, all, nothing_unaccounted, one};
use postgres::Client;

/// Rows and tasks of all kinds, some of them with much past.
const TASKS: &str = "
    create table outbox (id text);
    create table contract (id int primary key, due timestamptz, day date, ends date, amount int);
    create index on contract (due);
    create view open_contract as select * from contract where amount > 10;
    create table seat (tenant text, id int, due timestamp, primary key (tenant, id)) partition by list (tenant);
    create table seat_a partition of seat for values in ('a');
    create table seat_b partition of seat default;
    create function run(contract) returns void language sql as $$ insert into public.outbox values ('row ' || $1.id) $$;
    create function run(open_contract) returns void language sql as '';
    create function fail(contract) returns void language plpgsql as $$ begin raise 'no'; end $$;
    create function tick() returns void language sql as '';
    select jittask.create_calendar('feast');
    select jittask.create_date_task('single', 'contract', 'due', 'run', filter => 'amount % 2 = 0');
    select jittask.create_date_task('early', 'contract', 'due', 'run', before => '1 hour', existing_rows => '1 day');
    select jittask.create_date_task('daily', 'contract', 'due', 'run', repeat => 'daily', catch_up => 'all', catch_up_window => '7 days');
    select jittask.create_date_task('last', 'contract', 'due', 'run', rule => 'every 10 minutes', catch_up => 'last');
    select jittask.create_date_task('none', 'contract', 'due', 'fail', repeat => 'hourly', catch_up => 'none', max_attempts => 1);
    select jittask.create_date_task('working', 'contract', 'day', 'run', at => '00:00', repeat => 'daily', end_column => 'ends',
        skip_holidays => true, calendar => 'feast', catch_up_window => '7 days', time_zone => 'Asia/Shanghai');
    select jittask.create_date_task('late', 'contract', 'due', 'run', filter => 'due < now() and random() > 2');
    select jittask.create_date_task('view', 'open_contract', 'due', 'run', key_columns => '{id}', capture => 'scan');
    select jittask.create_date_task('seats', 'seat', 'due', body => 'null;', time_zone => 'Pacific/Auckland');
    select jittask.create_scheduled_task('ticks', now() + '1 second', 'tick', rule => 'every 1 second');
    select jittask.create_scheduled_task('paused', now() + '1 second', 'tick', rule => 'every 1 second');
    insert into contract select id, now() - id * interval '7 minutes', current_date - id % 9, case when id % 3 = 0 then current_date - 2 end, id
        from generate_series(1, 150) id;
    insert into seat select case id % 2 when 0 then 'a' else 'b' end, id, (now() at time zone 'Pacific/Auckland') - id * interval '1 second'
        from generate_series(0, 300) id;";

/// As if the tasks had been there before: else nothing counts that was due before.
const OLD: &str = "update jittask.task set counts_from = now() - interval '8 days' where name <> 'early'";

fn findings(session: &mut Client, arguments: &str) -> Vec<String> {
    all(session, &format!("select concat_ws(' ', task, row_key, finding) from jittask.audit({arguments})"))
}

/// Until nothing waits that is due.
fn settled(cluster: &Cluster) {
    let waits = "select not exists (select from jittask.records where status in ('pending', 'executing', 'overdue') and due_at < now() - interval '2 seconds')
                 and not exists (select from jittask.capture) and not exists (select from jittask.arrears)";
    cluster.wait_for(SOON, waits);
}

#[test]
fn nothing_where_all_is_well() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "500ms")]);
    cluster.app_sql(TASKS);
    cluster.sql("postgres", OLD);
    cluster.wait_for(SOON, "select count(*) > 3000 from jittask.records where finished_at is not null");
    cluster.app_sql("select jittask.pause_task('paused')");
    settled(&cluster);
    let mut session = cluster.app();
    // Up to now: what was due a moment ago is waited for.
    assert_eq!(findings(&mut session, "until_at => now()"), Vec::<String>::new());
    // Changed, deleted and moved rows have records that say so, or are due no more.
    cluster.app_sql(
        "update contract set due = due + interval '1 minute' where id % 5 = 0; delete from contract where id % 7 = 0;
         update contract set amount = amount + 1 where id % 11 = 0; update seat set id = id + 1000 where id % 13 = 0;
         select jittask.alter_task('daily', '{\"repeat\": \"hourly\"}'); select jittask.add_holiday('feast', current_date - 1, 'x')",
    );
    settled(&cluster);
    assert_eq!(findings(&mut session, "until_at => now()"), Vec::<String>::new());
    nothing_unaccounted(&mut session);
}

#[test]
fn what_is_missing_unexpected_or_there_twice() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1h")]);
    cluster.app_sql(TASKS);
    cluster.sql("postgres", OLD);
    cluster.wait_for(SOON, "select count(*) > 3000 from jittask.records where finished_at is not null");
    cluster.wait_for(SOON, "select exists (select from jittask.records where task = 'ticks' and status = 'completed')");
    settled(&cluster);
    let mut session = cluster.app();
    // As only a superuser can: records and entries vanish, come twice, or tell of what nobody asked for.
    let of = |task: &str| format!("task_id = (select id from jittask.task where name = '{task}')");
    let (single, seats, ticks) = (of("single"), of("seats"), of("ticks"));
    cluster.sql(
        "postgres",
        &format!(
            "delete from jittask.record where {single} and key in ('2', '4');
             delete from jittask.record where {seats} and key::jsonb ->> 1 = '7';
             delete from jittask.record where {ticks} and nominal_at = (select min(nominal_at) from jittask.record where {ticks});
             insert into jittask.record (id, nominal_at, started_at, finished_at, task_id, key)
                 select id + 100000000, nominal_at - interval '1 minute', started_at, finished_at, task_id, key
                 from jittask.record where {single} and key = '6';
             insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys)
                 select 200000000 + 1024 * (10 * i + key::int), 'app', task_id, 'infinity', nominal_at, nominal_at, array[key]
                 from jittask.record cross join generate_series(1, 2) i where {single} and (key = '8' and i = 1 or key = '10');
             delete from jittask.record where {single} and key = '10'"
        ),
    );
    let mut expected = vec![
        "seats {\"id\": 7, \"tenant\": \"b\"} missing",
        "single {\"id\": 10} duplicate",
        "single {\"id\": 2} missing",
        "single {\"id\": 4} missing",
        "single {\"id\": 6} unexpected",
        "single {\"id\": 8} duplicate",
        "ticks missing",
    ];
    let mut found = findings(&mut session, "until_at => now()");
    found.sort();
    assert_eq!(found, expected);
    // Of one task, and of a part of the time.
    expected.retain(|line| line.starts_with("single"));
    let mut found = findings(&mut session, "'single', '-infinity', 'infinity'");
    found.sort();
    assert_eq!(found, expected);
    let near = "'single', (select due from contract where id = 4), (select due from contract where id = 2)";
    assert_eq!(findings(&mut session, near), ["single {\"id\": 4} missing"]);
}

/// What nobody tells jittask of, and no scan has found yet.
#[test]
fn what_no_trigger_saw_and_no_scan() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1h")]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task('single', 'contract', 'due', 'run');
         insert into contract values (1, now())",
    );
    cluster.ended(1);
    cluster.sql(
        "postgres",
        "set session_replication_role = replica; insert into contract select id, now() from generate_series(2, 4) id",
    );
    let mut session = cluster.app();
    let found = findings(&mut session, "until_at => now() + interval '1 hour'");
    assert_eq!(found, ["single {\"id\": 2} missing", "single {\"id\": 3} missing", "single {\"id\": 4} missing"]);
    cluster.turn("jittask.scan_interval", "200ms");
    cluster.ended(4);
    assert_eq!(findings(&mut session, "until_at => now()"), Vec::<String>::new());
}

/// Each loss is found and mended within two audits, and told.
#[test]
fn what_is_missing_runs() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1h"), ("jittask.audit_interval", "2s")]);
    cluster.app_sql(
        "create table outbox (id text);
         create table contract (id int primary key, due timestamptz, open boolean default true) with (fillfactor = 10);
         create table seat (tenant text, id int, due date, primary key (tenant, id)) partition by list (tenant);
         create table seat_a partition of seat for values in ('a');
         create table seat_b partition of seat default;
         create view open_contract as select * from contract where open;
         create function run(contract) returns void language sql as $$ insert into public.outbox values ('row ' || $1.id) $$;
         create function run(seat) returns void language sql as $$ insert into public.outbox values ('seat ' || $1.id) $$;
         create function run(open_contract) returns void language sql as $$ insert into public.outbox values ('view ' || $1.id) $$;
         create function tick() returns void language sql as $$ insert into public.outbox values ('tick') $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'open');
         select jittask.create_date_task('last', 'contract', 'due', 'run', rule => 'every 1 hour', catch_up => 'last', enabled => false);
         select jittask.create_date_task('seats', 'seat', 'due', 'run', at => '00:00', catch_up_window => '1 year');
         select jittask.create_date_task('view', 'open_contract', 'due', 'run', key_columns => '{id}', capture => 'scan');
         select jittask.create_scheduled_task('ticks', now() + '1 day', 'tick', repeat => 'daily', catch_up => 'all', catch_up_window => '10 days')",
    );
    cluster.wait_for(SOON, "select count(*) = 4 from jittask.audited");
    let old = "update jittask.task set counts_from = now() - interval '10 days'";
    cluster.sql("postgres", old);
    // None of it is told of, and the next scan is far.
    cluster.sql(
        "postgres",
        "set session_replication_role = replica;
         insert into contract select id, now() - interval '2 minutes' - id * interval '1 ms', id % 10 > 0 from generate_series(1, 500) id;
         insert into seat select case id % 2 when 0 then 'a' else 'b' end, id, current_date - 1 from generate_series(1, 20) id;
         update jittask.task set definition = definition || jsonb_build_object('start_at', to_char((now() - interval '3 days 1 hour') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) where name = 'ticks'",
    );
    cluster.wait_for(SOON, "select bool_and(repaired > 0) from jittask.tasks where name <> 'last'");
    cluster.wait_for(SOON, "select count(*) = 450 from outbox where id like 'row %'");
    cluster.wait_for(SOON, "select count(*) = 450 from outbox where id like 'view %'");
    cluster.wait_for(SOON, "select count(*) = 20 from outbox where id like 'seat %'");
    cluster.wait_for(SOON, "select count(*) = 4 from outbox where id = 'tick'");
    let mut session = cluster.app();
    assert_eq!(findings(&mut session, "until_at => now()"), Vec::<String>::new());
    assert_eq!(one::<i64>(&mut session, "select count(*) - count(distinct id) from outbox where id <> 'tick'"), 0);
    let repaired: Vec<String> =
        all(&mut session, "select concat_ws(' ', name, repaired) from jittask.tasks order by name");
    assert_eq!(repaired, ["last 0", "rows 450", "seats 20", "ticks 4", "view 450"]);
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    assert!(
        problems.iter().any(|problem| problem.contains("the audit found") && problem.contains("450 in all")),
        "{problems:?}"
    );
    assert!(
        cluster
            .log()
            .contains("WARNING:  the audit of task \"rows\" found 450 occurrences that had neither run nor waited"),
        "{}",
        cluster.log_tail()
    );
    nothing_unaccounted(&mut session);
}

/// Reading that takes too long holds nobody up, and is said.
#[test]
fn what_takes_too_long_is_left() {
    let cluster = Cluster::ready(&[("jittask.audit_interval", "2s"), ("jittask.max_executors", "1")]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         insert into contract select id, now() - interval '1 year' from generate_series(1, 3000) id;
         create view slow as select id, due from contract where pg_sleep(0.001) is not null;
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task('slow', 'slow', 'due', body => 'null;', key_columns => '{id}', capture => 'scan');
         select jittask.create_date_task('quick', 'contract', 'due', 'run')",
    );
    cluster.wait_for_log("task \"slow\" is not audited: reading its rows takes longer than 500 ms");
    let load = Load::watch();
    for id in 10_000..10_020 {
        cluster
            .app_sql(&format!("insert into contract values ({id}, now() + interval '200 ms'); select pg_sleep(0.3)"));
    }
    cluster.ended(20);
    let late: f64 = one(
        &mut cluster.app(),
        "select max(extract(epoch from delay))::float8 from jittask.records where task = 'quick'",
    );
    load.assert_within(1.0, late, "rows beside an audit that takes too long");
    cluster.wait_for(SOON, "select exists (select from jittask.audited a join jittask.task t on t.id = a.task_id where t.name = 'quick' and a.next_at > t.created_at + interval '2 seconds')");
}

/// Where nothing is due for long, audits keep no process.
#[test]
fn a_scheduler_with_nothing_to_do_ends() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function tick() returns void language sql as '';
         select jittask.create_scheduled_task('ticks', '2100-01-01', 'tick')",
    );
    cluster
        .wait_for(SOON, "select not exists (select from pg_stat_activity where backend_type like 'jittask scheduler')");
}
