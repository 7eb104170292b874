//! What another role sees of tasks, records and processes: nothing. And what it can write under another's name: nothing.

mod attack;

use attack::{attempt, cluster, code, number, session, wait_for};

const TASK: &str = "create function bob.secret() returns text language sql as $$ select 'the secret' $$;
    select jittask.create_scheduled_task('bobs secret', now(), 'bob.secret', name => 'bobs_secret');
    select jittask.create_scheduled_task('bobs later secret', now() + '10 minutes', 'bob.secret')";

const VIEWS: [&str; 6] = ["records", "tasks", "progress", "accounts", "task_stats", "calendar_days"];

#[test]
fn another_role_sees_nothing() {
    let cluster = cluster(&[]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(TASK).unwrap();
    wait_for(&cluster, "bobs_secret", "completed", 1);
    assert!(number(&mut bob, "select count(*) from jittask.records") >= 1);
    let mut mallory = session(&cluster, "mallory");
    for view in &VIEWS[..4] {
        assert_eq!(number(&mut mallory, &format!("select count(*) from jittask.{view}")), 0, "{view}");
    }
    // A cheap function in the query must not see rows that the view hides.
    mallory
        .batch_execute(
            "create function mallory.peek(anyelement) returns boolean language plpgsql cost 0.0000001 as
                 $$ begin raise notice '%', $1; insert into public.loot values ($1::text, 'x', 'x'); return true; end $$",
        )
        .unwrap();
    attempt(
        &mut mallory,
        &[
            "select * from jittask.records where mallory.peek(task)",
            "select * from jittask.tasks where mallory.peek(name)",
            "select * from jittask.accounts where mallory.peek(task)",
            "select * from jittask.tasks where 1 / (case when name like 'b%' then 0 else 1 end) = 1",
        ],
    );
    let found = attack::loot(&cluster);
    assert!(found.is_empty(), "{found:?}");
    for table in ["task", "agenda", "record", "series", "tally", "capture"] {
        assert_eq!(code(mallory.query(&format!("select * from jittask.{table}"), &[])), "42501", "{table}");
        assert_eq!(code(mallory.batch_execute(&format!("delete from jittask.{table}"))), "42501", "{table}");
    }
    for sequence in ["occurrence_id", "task_id_seq"] {
        assert_eq!(code(mallory.query(&format!("select nextval('jittask.{sequence}')"), &[])), "42501", "{sequence}");
    }
    for call in ["pause_task", "resume_task", "drop_task", "run_task", "preview"] {
        assert_eq!(code(mallory.query(&format!("select jittask.{call}('bobs_secret')"), &[])), "42501", "{call}");
    }
    assert!(number(&mut cluster.connect_as("postgres", "bob"), "select count(*) from jittask.tasks") == 2);
}

/// may_read decides what the views show, so no setting of the reader may change what it means.
#[test]
fn a_readers_search_path_opens_no_view() {
    let cluster = cluster(&[]);
    session(&cluster, "bob").batch_execute(TASK).unwrap();
    wait_for(&cluster, "bobs_secret", "completed", 1);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create type mallory.oid as enum ('any');
             create function mallory.lie(regrole) returns mallory.oid language sql immutable as $$ select 'any'::mallory.oid $$;
             create cast (regrole as mallory.oid) with function mallory.lie(regrole);
             create function mallory.me(mallory.oid) returns pg_catalog.oid language sql stable as
                 $$ select r.oid from pg_catalog.pg_roles r where r.rolname = 'mallory' $$;
             create cast (mallory.oid as pg_catalog.oid) with function mallory.me(mallory.oid) as implicit;
             set search_path = mallory, pg_catalog",
        )
        .unwrap();
    for view in &VIEWS[..4] {
        assert_eq!(number(&mut mallory, &format!("select pg_catalog.count(*) from jittask.{view}")), 0, "{view}");
    }
}

#[test]
fn the_functions_under_the_views_tell_no_more_than_the_views() {
    let cluster = cluster(&[]);
    session(&cluster, "bob")
        .batch_execute("select jittask.create_scheduled_task('sleeper', now(), body => 'perform pg_sleep(60)', name => 'sleeper');")
        .unwrap();
    wait_for(&cluster, "sleeper", "executing", 1);
    let mut mallory = session(&cluster, "mallory");
    assert_eq!(number(&mut mallory, "select count(*) from jittask.workers where kind = 'executor'"), 0);
    assert_eq!(number(&mut mallory, "select count(*) from jittask.running()"), 0, "running()");
    assert_eq!(
        number(&mut mallory, "select count(*) from jittask.worker_slots() where kind = 'executor'"),
        0,
        "worker_slots()"
    );
}

#[test]
fn crafted_calls_are_refused_and_leave_nothing() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz);
             create function mallory.run(mallory.t) returns void language sql as '';
             create function mallory.tick() returns void language sql as ''",
        )
        .unwrap();
    let good = r#""title": "x", "start_at": "2099-01-01", "service_function": "mallory.tick""#;
    let of_table = r#""title": "x", "date_column": "due", "service_function": "mallory.run""#;
    for (kind, relation, json) in [
        ("scheduled", "0", "null".to_string()),
        ("scheduled", "0", "[]".to_string()),
        ("scheduled", "0", "\"x\"".to_string()),
        ("scheduled", "0", format!("{{{good}, \"owner\": \"postgres\"}}")),
        ("scheduled", "0", format!("{{{good}, \"name\": \"a; drop table x\"}}")),
        ("scheduled", "0", format!("{{{good}, \"name\": \"../x\"}}")),
        ("scheduled", "0", format!("{{{good}, \"max_attempts\": 99999999999}}")),
        ("scheduled", "0", format!("{{{good}, \"max_attempts\": -1}}")),
        ("scheduled", "0", format!("{{{good}, \"timeout\": \"-1 s\"}}")),
        ("scheduled", "0", format!("{{{good}, \"calendar\": \"none of it\"}}")),
        ("scheduled", "0", format!("{{{good}, \"overlap\": \"x'; --\"}}")),
        ("scheduled", "0", format!("{{{good}, \"time_zone\": \"../../etc/passwd\"}}")),
        ("scheduled", "0", format!("{{{good}, \"body\": \"null\"}}")),
        ("scheduled", "0", r#"{"title": "x", "start_at": "2099-01-01", "body": "null", "language": "c"}"#.to_string()),
        (
            "scheduled",
            "0",
            r#"{"title": "x", "start_at": "2099-01-01", "body": "null", "language": "internal"}"#.to_string(),
        ),
        (
            "scheduled",
            "0",
            r#"{"title": "x", "start_at": "2099-01-01", "body": "select", "language": "plpgsql; x"}"#.to_string(),
        ),
        ("date_field", "0", format!("{{{of_table}}}")),
        (
            "date_field",
            "'pg_catalog.pg_authid'::regclass",
            r#"{"title": "x", "date_column": "rolvaliduntil", "body": "null", "key_columns": ["oid"]}"#.to_string(),
        ),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"key_columns\": [\"id) or (true\"]}}")),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"key_columns\": [\"ctid\"]}}")),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"capture\": \"none\"}}")),
        (
            "date_field",
            "'mallory.t'::regclass",
            format!("{{{of_table}, \"filter\": \"true); drop table mallory.t; select (true\"}}"),
        ),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"filter\": \"true) order by (1\"}}")),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"filter\": \"true) for update --\"}}")),
        (
            "date_field",
            "'mallory.t'::regclass",
            format!("{{{of_table}, \"filter\": \"true) union select from pg_authid where (true\"}}"),
        ),
        ("date_field", "'mallory.t'::regclass", format!("{{{of_table}, \"filter\": \"$1\"}}")),
        (
            "date_field",
            "'jittask.task'::regclass",
            r#"{"title": "x", "date_column": "created_at", "body": "null"}"#.to_string(),
        ),
        (
            "date_field",
            "'jittask.records'::regclass",
            r#"{"title": "x", "date_column": "due_at", "body": "null"}"#.to_string(),
        ),
    ] {
        let call = format!("select jittask.define_task('{kind}', {relation}, $x${json}$x$::jsonb)");
        assert!(mallory.batch_execute(&call).is_err(), "was not refused: {call}");
    }
    for call in [
        "define_task(null, null, null)",
        "define_task('date_field', null, '{}')",
        "define_task(null, 0, '{\"title\": \"x\"}')",
        "due_soon(null, null::date)",
        "pause_task(null)",
        "run_task(null, null)",
        "preview(null, null, null)",
        "preview_definition(null, null, null)",
        "preview_definition('{}', -1, null)",
        "drop_task(null, null)",
        "make_row_key(null, null)",
        "make_row_key('{a,b}', 'x')",
        "announce_install()",
        "may_read(null)",
    ] {
        attempt(&mut mallory, &[&format!("select jittask.{call}")]);
        assert_eq!(number(&mut mallory, "select 1::bigint"), 1, "the session survives {call}");
    }
    assert_eq!(number(&mut cluster.connect("postgres"), "select count(*) from jittask.task"), 0);
    assert!(!cluster.log().contains("panicked"), "{}", cluster.log());
}

#[test]
fn nobody_puts_functions_among_the_internal_ones() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    let plant = "create function jittask_inner.future() returns void language sql as ''";
    assert_eq!(code(mallory.batch_execute(plant)), "42501");
    mallory
        .batch_execute("select jittask.create_scheduled_task('mine', now() + '1 hour', body => 'null', name => 'mine')")
        .unwrap();
    for statement in [
        "alter function jittask_inner.mine() rename to future",
        "create or replace function jittask_inner.mine() returns void language sql as ''",
        "alter function jittask_inner.mine() owner to bob",
        "alter function jittask_inner.mine() set schema jittask",
    ] {
        assert!(mallory.batch_execute(statement).is_err(), "{statement}");
    }
    assert_eq!(
        number(
            &mut cluster.connect("postgres"),
            "select count(*) from pg_proc where pronamespace = 'jittask_inner'::regnamespace and proname <> 'mine'"
        ),
        0
    );
}
