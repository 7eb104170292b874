//! Whatever one owner's planning takes, another's rows run. Hostile views and filters, and what changes or evicts others'
//! planning limits. Counted, not timed, but for the end of waiting.

mod attack;
mod fair;

use std::time::Duration;

use attack::{cluster, number, session};
use cluster::Cluster;
use fair::{assert_in_time, fair, latest};

/// How long something may take that must happen.
const IN_THE_END: Duration = Duration::from_secs(60);

const BOB: &str = "create table bob.t (id serial primary key, due timestamptz); create index on bob.t (due);
    create function bob.run(bob.t) returns void language sql as '';
    select jittask.create_date_task('victim', 'bob.t', 'due', 'bob.run')";

/// A role with a task whose planning does not return: by a view, by a view that swallows what interrupts it, by a filter.
fn hostile(cluster: &Cluster, role: &str, kind: usize) {
    cluster.sql(
        "postgres",
        &format!("create role {role} login; create schema {role} authorization {role}; grant usage on schema jittask to {role}"),
    );
    let mut session = session(cluster, role);
    let (relation, filter, nap) = match kind {
        0 => ("v", "null", "perform pg_sleep(600); return true;"),
        1 => ("v", "null", "loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop;"),
        _ => ("t", "'nap(id)'", "perform pg_sleep(600); return true;"),
    };
    session
        .batch_execute(&format!(
            "set search_path = {role};
             create table t (id int primary key, due timestamptz);
             create function nap(int) returns boolean language plpgsql immutable as $$ begin {nap} end $$;
             create view v as select * from t where {role}.nap(id);
             create function run({relation}) returns void language sql as '';
             insert into t select g, now() from generate_series(1, 3) g;
             select jittask.create_date_task('{role}', '{relation}', 'due', '{role}.run', filter => {filter},
                 capture => 'scan', key_columns => '{{id}}', timeout => '1 second', existing_rows => '1 hour')"
        ))
        .unwrap();
}

/// Bob's rows, which fall due one by one, all run.
fn all_of_bobs_run(cluster: &Cluster, rows: i64) {
    let mut bob = session(cluster, "bob");
    let before =
        number(&mut bob, "select count(*) from jittask.records where task = 'victim' and status = 'completed'");
    for row in 1..=rows {
        bob.batch_execute("insert into bob.t (due) values (clock_timestamp())").unwrap();
        cluster.wait_until(&format!("row {row} of bob's"), IN_THE_END, || {
            let query = "select count(*) from jittask.records where task = 'victim' and status = 'completed'";
            (number(&mut bob, query) >= before + row).then_some(())
        });
    }
}

fn slow_planning_stops_nobody(executors: usize) {
    let cluster = cluster(&[
        ("jittask.max_executors", &executors.to_string()),
        ("jittask.scan_interval", "2s"),
        ("jittask.executor_idle", "100ms"),
    ]);
    session(&cluster, "bob").batch_execute(BOB).unwrap();
    all_of_bobs_run(&cluster, 1);
    let roles: Vec<String> = (0..executors.max(3)).map(|number| format!("h{number}")).collect();
    for (number, role) in roles.iter().enumerate() {
        hostile(&cluster, role, number % 3);
    }
    all_of_bobs_run(&cluster, 8);
    for role in &roles {
        let (mut own, mut other) = (session(&cluster, role), session(&cluster, "bob"));
        let told = "select count(*) from jittask.status() where array_to_string(problems, ' ') like '%reading its rows was ended%'";
        cluster
            .wait_until(&format!("the problem of {role}"), IN_THE_END, || (number(&mut own, told) == 1).then_some(()));
        assert_eq!(number(&mut other, told), 0);
    }
    all_of_bobs_run(&cluster, 4);
    let odd = "select count(*) from jittask.agenda a join jittask.task t on t.id = a.task_id where t.name = 'victim' and a.attempt > 0";
    assert_eq!(number(&mut cluster.connect("postgres"), odd), 0);
}

#[test]
fn slow_planning_stops_nobody_with_one_executor() {
    slow_planning_stops_nobody(1);
}

#[test]
fn slow_planning_stops_nobody_with_two_executors() {
    slow_planning_stops_nobody(2);
}

#[test]
fn slow_planning_stops_nobody_with_four_executors() {
    slow_planning_stops_nobody(4);
}

/// Rows of a batch are read ahead with a filter that does not return: the slot is free again, and each row has its attempt.
#[test]
fn rows_that_cannot_be_read_ahead_fail_one_by_one() {
    let cluster = cluster(&[("jittask.max_executors", "1"), ("jittask.scan_interval", "2s")]);
    session(&cluster, "bob").batch_execute(BOB).unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz); create index on mallory.t (due);
             create table mallory.awake (); grant usage on schema mallory to public;
             create function mallory.nap(int) returns boolean language plpgsql immutable as $$ begin
                 if to_regclass('mallory.awake') is null then
                     loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop;
                 end if;
                 return true;
             end $$;
             create function mallory.run(mallory.t) returns void language sql as '';
             select jittask.create_date_task('napping', 'mallory.t', 'due', 'mallory.run', filter => 'mallory.nap(id)',
                 timeout => '1 second', max_attempts => 1);
             insert into mallory.t select g, now() + interval '3 seconds' from generate_series(1, 3) g",
        )
        .unwrap();
    cluster.wait_for(IN_THE_END, "select coalesce(sum(cardinality(keys)), 0) = 3 from jittask.agenda");
    mallory.batch_execute("drop table mallory.awake").unwrap();
    cluster.wait_for(
        IN_THE_END,
        "select count(*) = 3 from jittask.records where task = 'napping' and status = 'failed' and error_code = '57014'",
    );
    all_of_bobs_run(&cluster, 2);
}

/// How often bob's view, with one row, is read.
const LOOKS: &str = "select last_value + is_called::int from bob.looks";

/// Bob's task on a view that counts who reads it.
fn counted(cluster: &Cluster) {
    session(cluster, "bob")
        .batch_execute(
            "create table bob.t (id int primary key, due timestamptz); insert into bob.t values (1, now() + interval '30 minutes');
             create sequence bob.looks;
             create view bob.v as select * from bob.t where nextval('bob.looks') > 0;
             create function bob.run(bob.v) returns void language sql as '';
             select jittask.create_date_task('victim', 'bob.v', 'due', 'bob.run', capture => 'scan', key_columns => '{id}')",
        )
        .unwrap();
}

/// Prepared transactions that change one's own tasks have nobody else's looked through again.
#[test]
fn prepared_changes_of_one_have_no_others_planned_anew() {
    let cluster = cluster(&[("max_prepared_transactions", "10"), ("jittask.scan_interval", "1h")]);
    counted(&cluster);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz); create index on mallory.t (due);
             create table mallory.ran (id int);
             create function mallory.run(mallory.t) returns void language sql as 'insert into mallory.ran values ($1.id)';
             select jittask.create_date_task('own', 'mallory.t', 'due', 'mallory.run')",
        )
        .unwrap();
    let mut bob = session(&cluster, "bob");
    // Planned, and that is over.
    let mut before = 0;
    cluster.wait_until("bob's plans to end", IN_THE_END, || {
        let looks = std::mem::replace(&mut before, number(&mut bob, LOOKS));
        std::thread::sleep(Duration::from_millis(1500));
        (before > 1 && looks == before).then_some(())
    });
    for round in 1..=20 {
        mallory
            .batch_execute(&format!(
                "begin; select jittask.alter_task('own', '{{\"before\": \"{round} hours\"}}'); create table mallory.x{round} ();
                 prepare transaction 'own'"
            ))
            .unwrap();
        mallory.batch_execute("commit prepared 'own'").unwrap();
        // And it counts at once: so early is only what this definition makes due.
        mallory
            .batch_execute(&format!(
                "insert into mallory.t values ({round}, now() + interval '{round} hours 1 second' - interval '10 minutes')"
            ))
            .unwrap();
        cluster.wait_for(IN_THE_END, &format!("select exists (select from mallory.ran where id = {round})"));
    }
    // More tasks in one transaction than shared memory has room for.
    for statements in [
        "select jittask.create_date_task('more', 'mallory.t', 'due', 'mallory.run') from generate_series(1, 12)",
        "begin; select jittask.alter_task(name, '{\"before\": \"40 hours\"}') from jittask.tasks where name like 'more%';
         prepare transaction 'own'",
        "commit prepared 'own'",
        "insert into mallory.t values (40, now() + interval '40 hours 5 seconds')",
    ] {
        mallory.batch_execute(statements).unwrap();
    }
    cluster.wait_for(IN_THE_END, "select count(*) = 12 from mallory.ran where id = 40");
    assert_eq!(number(&mut bob, LOOKS), before);
    cluster.wait_for(IN_THE_END, "select count(*) = 0 from jittask.capture");
    // The word that is left of those says that it is of no table: they are planned anew, not only looked through.
    cluster.turn("jittask.enabled", "off");
    cluster.wait_for(IN_THE_END, "select count(*) = 0 from jittask.workers where kind = 'executor'");
    for statements in [
        "begin; select jittask.alter_task(name, '{\"before\": \"41 hours\"}') from jittask.tasks where name like 'more%';
         prepare transaction 'own'",
        "commit prepared 'own'",
    ] {
        mallory.batch_execute(statements).unwrap();
    }
    let words = "select count(*) from jittask.capture where relation = 0 and keys is null";
    assert_eq!(number(&mut cluster.connect("postgres"), words), 4);
    cluster.turn("jittask.enabled", "on");
    cluster.wait_for(IN_THE_END, "select count(*) = 0 from jittask.capture");
}

/// So many copies of mallory's task, each of a role of its own or of some that share them; with tokens by this expression of
/// their number `n`.
fn crowd(cluster: &Cluster, roles: usize, tasks: usize, token: &str) {
    session(cluster, "mallory")
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz); create index on mallory.t (due);
             create function mallory.run(mallory.t) returns void language sql as '';
             grant usage on schema mallory to public; grant select on mallory.t to public;
             select jittask.create_date_task('template', 'mallory.t', 'due', 'mallory.run', capture => 'scan')",
        )
        .unwrap();
    cluster.sql(
        "postgres",
        &format!(
            "do $$ begin for i in 0 .. {roles} - 1 loop execute format('create role c%s login', i); end loop; end $$;
             grant usage on schema jittask to public;
             insert into jittask.task select (jsonb_populate_record(t, jsonb_build_object('id', 100000 + n, 'token', {token},
                 'name', 'crowd' || n, 'owner', 'c' || n % {roles}, 'owner_name', 'c' || n % {roles}))).*
             from jittask.task t, generate_series(0, {tasks} - 1) n where t.name = 'template'"
        ),
    );
}

/// Bob's task finds a place in shared memory when it comes last: what is captured is planned at once. A scan, which would find
/// it too, comes in an hour.
fn bob_finds_a_place(cluster: &Cluster) {
    // The scheduler has seen the crowd.
    session(cluster, "mallory")
        .batch_execute("select jittask.create_scheduled_task('pulse', now(), body => 'null')")
        .unwrap();
    cluster.wait_for(IN_THE_END, "select completed = 1 from jittask.tasks where name = 'pulse'");
    session(cluster, "bob").batch_execute("select jittask.resume_task('victim')").unwrap();
    all_of_bobs_run(cluster, 5);
}

fn paused_bob(cluster: &Cluster) {
    let mut bob = session(cluster, "bob");
    bob.batch_execute(BOB).unwrap();
    all_of_bobs_run(cluster, 1);
    // His place is given back.
    bob.batch_execute("select jittask.pause_task('victim')").unwrap();
    bob.batch_execute("select jittask.alter_task('victim', '{\"after\": \"1 ms\"}')").unwrap();
}

/// More tasks than shared memory has room for, of roles that have as many as each may.
#[test]
fn very_many_tasks_of_others_take_nobodys_place() {
    let cluster = cluster(&[("jittask.scan_interval", "1h")]);
    paused_bob(&cluster);
    crowd(&cluster, 18, 18_000, "('x' || left(md5(n::text), 16))::bit(64)::bigint");
    bob_finds_a_place(&cluster);
}

/// Few, but of as many roles, and with tokens that lie where his does: what everybody can read of it is no help.
#[test]
fn tasks_with_tokens_like_anothers_do_not_take_his_place() {
    let cluster = cluster(&[("jittask.scan_interval", "1h")]);
    paused_bob(&cluster);
    crowd(
        &cluster,
        192,
        192,
        "(select b.token from jittask.task b where b.name = 'victim') / 2 / 16384 * 16384
             + ((select b.token from jittask.task b where b.name = 'victim') % 16384 + 16384) % 16384 + n % 64 + 16384 * n",
    );
    bob_finds_a_place(&cluster);
}

/// A task on a table of 1,200 parts, whose change counters nobody asks for: it is looked through at each scan.
#[test]
fn a_table_of_very_many_parts_stops_nobody() {
    let (cluster, mut bob) = fair(&[("jittask.max_executors", "1"), ("jittask.scan_interval", "2s")]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz) partition by range (id);
             do $$ begin for i in 0..1199 loop
                 execute format('create table mallory.p%s partition of mallory.t for values from (%s) to (%s)', i, i, i + 1);
             end loop; end $$;
             create function mallory.run(mallory.t) returns void language sql as ''",
        )
        .unwrap();
    mallory
        .batch_execute(
            "select jittask.create_date_task('parts', 'mallory.t', 'due', 'mallory.run') from generate_series(1, 5)",
        )
        .unwrap();
    for round in 0..3 {
        mallory.batch_execute(&format!("insert into mallory.t values ({round} * 100, now())")).unwrap();
        // With one executor alone, its owner has it for a second.
        assert_in_time(&cluster, &mut bob, control + 0.5, &format!("very many parts, round {round}"));
    }
    cluster.wait_for(
        IN_THE_END,
        "select count(*) = 15 from jittask.records where task like 'parts%' and status = 'completed'",
    );
}
