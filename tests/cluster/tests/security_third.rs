//! What a third hostile reader found: copies of a database, isolation levels, bodies' literals, ranges, and records that have to
//! stay.

mod attack;
mod fair;

use std::time::{Duration, Instant};

use attack::{SOON, attempt, cluster, code, loot, number, session, wait_for};
use cluster::postgres::Client;
use cluster::processes::memory;
use cluster::{Cluster, Load, one};
use fair::{assert_in_time, fair, latest};

/// Whoever may create databases copies one that is a template, owns the copy, and puts his own functions where the tasks' bodies
/// look for theirs.
#[test]
fn a_copys_owner_lets_no_tasks_of_others_run() {
    let cluster = cluster(&[]);
    cluster.sql("postgres", "alter role mallory createdb");
    cluster.sql("postgres", "create database origin");
    let mut admin = cluster.connect("origin");
    admin
        .batch_execute(
            "create extension jittask; grant usage on schema jittask to public; grant create on schema public to bob;
             create function public.helper() returns void language sql as 'select';
             select jittask.create_scheduled_task('roots', now() + interval '1 hour', rule => 'every 1 second', body => 'perform public.helper();')",
        )
        .unwrap();
    let mut bob = cluster.connect_as("origin", "bob");
    bob.batch_execute(
        "select jittask.create_scheduled_task('bobs', now() + interval '1 hour', rule => 'every 1 second', body => 'perform helper();')",
    )
    .unwrap();
    drop((admin, bob));
    cluster.sql("postgres", "alter database origin is_template true");
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("create database stolen template origin").unwrap();
    let mut mallory = cluster.connect_as("stolen", "mallory");
    mallory
        .batch_execute(
            "drop function public.helper(); create table public.caught (who text); grant insert on public.caught to public;
             create function public.helper() returns void language sql as 'insert into public.caught values (current_user)'",
        )
        .unwrap();
    assert_eq!(code(mallory.batch_execute("select jittask.activate()")), "42501");
    cluster.wait_past(cluster::now() + 3.0);
    assert_eq!(number(&mut mallory, "select count(*) from public.caught"), 0);
    // Nor if she may act as one of them alone.
    cluster.sql("postgres", "grant bob to mallory");
    assert_eq!(code(mallory.batch_execute("select jittask.activate()")), "42501");
    let mut admin = cluster.connect("stolen");
    admin.batch_execute("select jittask.drop_task('roots')").unwrap();
    mallory.batch_execute("select jittask.activate()").unwrap();
    cluster.sql("postgres", "alter database origin is_template false");
}

/// A transaction that sees only what was there when it began.
fn early(cluster: &Cluster) -> Client {
    let mut session = session(cluster, "mallory");
    session.batch_execute("begin isolation level repeatable read; select count(*) from jittask.tasks").unwrap();
    session
}

#[test]
fn a_quota_holds_at_any_isolation_level() {
    let cluster = cluster(&[("jittask.max_tasks_per_role", "5")]);
    let task = |i: usize, j: usize| {
        format!("select jittask.create_scheduled_task('t{i} {j}', now() + interval '1 day', body => 'null')")
    };
    let calendar = |i: usize, j: usize| format!("select jittask.create_calendar('c{i}_{j}')");
    let mut sessions: Vec<Client> = (0..3).map(|_| early(&cluster)).collect();
    for (i, session) in sessions.iter_mut().enumerate() {
        for make in [&task as &dyn Fn(usize, usize) -> String, &calendar] {
            let made = (0..4).take_while(|j| {
                session.batch_execute("savepoint one").unwrap();
                let result = session.batch_execute(&make(i, *j));
                if let Err(error) = &result {
                    assert_eq!(error.code().unwrap().code(), "53400", "{error:?}");
                    session.batch_execute("rollback to one").unwrap();
                }
                result.is_ok()
            });
            assert_eq!(made.count(), [4, 1, 0][i]);
        }
        session.batch_execute("commit").unwrap();
    }
    let mut admin = cluster.connect("postgres");
    assert_eq!(number(&mut admin, "select count(*) from jittask.tasks"), 5);
}

/// Another's task that names a calendar was committed after the transaction began.
#[test]
fn a_calendar_in_use_is_not_dropped_at_any_isolation_level() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("select jittask.create_calendar('ours')").unwrap();
    let mut late = early(&cluster);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "select jittask.create_scheduled_task('by it', now() + interval '1 day', body => 'null', repeat => 'daily', skip_holidays => true, calendar => 'ours')",
    )
    .unwrap();
    assert_eq!(code(late.batch_execute("select jittask.drop_calendar('ours')")), "55000");
}

/// A language reads the literals of a body when a task is made: after SET ROLE that is code of the role's in a session that is
/// more.
#[test]
fn a_bodys_literal_does_not_get_the_session_back() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.up(what text) returns boolean language plpgsql as $$
             begin
                 perform set_config('role', 'none', false);
                 alter role mallory createrole;
                 return true;
             exception when others then
                 return true;
             end $$;
             create domain mallory.dom as text check (mallory.up(value)); create type mallory.comp as (a mallory.dom)",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    attempt(
        &mut admin,
        &[
            "set role mallory",
            "select jittask.create_scheduled_task('sql', now() + interval '1 day', language => 'sql', body => $$select '(x)'::mallory.comp$$)",
            "select jittask.create_scheduled_task('pl', now() + interval '1 day', body => $$declare c mallory.comp := '(x)'; begin null; end$$)",
        ],
    );
    assert_eq!(number(&mut admin, "select count(*) from pg_roles where rolname = 'mallory' and rolcreaterole"), 0);
    assert_eq!(attack::text(&mut admin, "select current_user::text").as_deref(), Some("mallory"));
}

/// A range over another's domain evaluates that domain's checks.
#[test]
fn a_superusers_view_with_a_range_over_anothers_domain_is_refused() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("create domain mallory.d as int check (value < 9)").unwrap();
    mallory.batch_execute("grant usage on schema mallory to public").unwrap();
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(
            "create schema own; create table own.t (id int primary key, due timestamptz);
             create type own.r as range (subtype = mallory.d);
             create view own.v as select id, due from own.t where ('[1,' || id || ')')::own.r is not null;
             create function own.run(own.v) returns void language sql as ''",
        )
        .unwrap();
    let made = "select jittask.create_date_task('ranges', 'own.v', 'due', 'own.run', key_columns => '{id}', capture => 'scan')";
    assert_eq!(code(admin.batch_execute(made)), "42501");
    assert!(loot(&cluster).is_empty());
}

/// The longest transaction of the scheduler's in two seconds, as far as it is seen.
fn longest(admin: &mut Client) -> f64 {
    let begun = Instant::now();
    let mut longest = 0.0;
    while begun.elapsed() < Duration::from_secs(2) {
        let query = "select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8
                     from pg_stat_activity where backend_type = 'jittask scheduler'";
        longest = f64::max(longest, one(admin, query));
        std::thread::sleep(Duration::from_millis(5));
    }
    longest
}

/// Records that are old, and yet have to stay for their task's window: retention looks at them in portions, and others' rows run
/// in between.
#[test]
fn records_that_have_to_stay_hold_up_nobody() {
    const RECORDS: i64 = 400_000;
    let (cluster, mut bob) = fair(&[("jittask.record_retention", "0")]);
    let late_before = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "select jittask.create_scheduled_task('stays', now() + interval '1 day', body => 'null', catch_up_window => '1 year')",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(&format!(
            "insert into jittask.record (id, task_id, nominal_at, finished_at, key)
             select nextval('jittask.occurrence_id'), t.id, i.at, i.at, ''
             from jittask.task t, (select now() - interval '300 days' + g * interval '1 second' as at from generate_series(1, {RECORDS}) g) i
             where t.name = 'stays'"
        ))
        .unwrap();
    let load = Load::watch();
    for retention in ["30d", "31d", "32d"] {
        cluster.turn("jittask.record_retention", retention);
        let longest = longest(&mut admin);
        println!("{longest:.3} s");
        load.assert_within(0.05, longest, "a transaction of the scheduler's");
    }
    assert_in_time(&cluster, &mut bob, late_before, "a look at records that have to stay");
    assert_eq!(
        number(&mut admin, "select count(*) from jittask.record where nominal_at < now() - interval '200 days'"),
        RECORDS
    );
}

/// Of a task that is dropped while it still looks for existing rows, too.
#[test]
fn what_is_left_of_dropped_tasks_goes() {
    let cluster = cluster(&[("jittask.record_retention", "2s")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id int primary key, due timestamptz); create function bob.run(bob.t) returns void language sql as '';
         insert into bob.t values (1, now() - interval '1 hour')",
    )
    .unwrap();
    for more in ["existing_rows => '5 years', enabled => false", "enabled => false"] {
        bob.batch_execute(&format!(
            "select jittask.create_date_task('paused', 'bob.t', 'due', 'bob.run', catch_up_window => '0', {more})"
        ))
        .unwrap();
        bob.batch_execute("select jittask.run_task('paused', '{\"id\": 1}')").unwrap();
        wait_for(&cluster, "paused", "completed", 1);
        bob.batch_execute("select jittask.drop_task('paused')").unwrap();
        cluster.wait_for(
            SOON,
            "select not exists (select from jittask.task) and not exists (select from jittask.record) and not exists (select from jittask.tally)",
        );
    }
}

/// The most memory that a process has had, in MB.
fn peak(pid: i32) -> i64 {
    memory(pid).unwrap_or_default().peak / 1024
}

/// A key of a megabyte, some hundreds of occurrences: nobody holds as many copies of it.
#[test]
fn a_long_key_is_held_once() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.big (k text, due timestamptz); create function mallory.run(mallory.big) returns void language sql as '';
             insert into mallory.big values (repeat('x', 1000000), now() + interval '50 minutes');
             select jittask.create_date_task('big', 'mallory.big', 'due', 'mallory.run', rule => 'every 1 second', key_columns => '{k}', existing_rows => '1 day')",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    let mut most = 0;
    cluster.wait_until("the plan", Duration::from_secs(120), || {
        most = cluster
            .processes()
            .iter()
            .filter(|process| process.title.contains("executor"))
            .map(|it| peak(it.pid))
            .fold(most, i64::max);
        (number(&mut admin, "select count(*) from jittask.agenda") > 400).then_some(())
    });
    assert!(most < 500, "an executor took {most} MB for the plan");
    let pid = number(&mut mallory, "select pg_backend_pid()::bigint") as i32;
    for query in [
        "select count(*) from jittask.preview('big', 500)",
        "select count(*) from jittask.simulate('big', now(), now() + interval '1 hour')",
    ] {
        let before = peak(pid);
        assert!(number(&mut mallory, query) >= 400, "{query}");
        assert!(peak(pid) < before + 200, "{query} took {} MB", peak(pid) - before);
    }
}
