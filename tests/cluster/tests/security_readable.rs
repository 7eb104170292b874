//! What the catalogs tell every role of another's tasks is exactly what docs/security.md says; and what can be read there
//! gives no power.

mod attack;

use std::collections::BTreeSet;

use attack::{attempt, cluster, number, session, text, wait_for};
use cluster::postgres::Client;

/// A word stands in each thing that somebody may not want to tell. One task's row is executing, another's has failed.
const TASKS: &str = "
create table bob.t (id text primary key, due timestamptz, note text);
create index on bob.t (due);
create function bob.hold(bob.t) returns text language sql as $$ select pg_sleep(60)::text || 'zzqxresult' $$;
create function bob.fail(bob.t) returns text language plpgsql as $$ begin raise exception using message = concat('zzqx', 'error'); end $$;
insert into bob.t values ('zzqxkey', now(), 'zzqxfilter');
select jittask.create_calendar('zzqxcalendar', description => 'zzqxcalendardescription');
select jittask.create_date_task('zzqxtitle', 'bob.t', 'due', body => 'perform 1 /* zzqxbody */', name => 'zzqxinternal', description => 'zzqxdescription',
    before => '1 day', filter => 'note = ''zzqxfilter''');
select jittask.create_date_task('zzqxtitle', 'bob.t', 'due', 'bob.hold', name => 'zzqxhold', existing_rows => '1 day', calendar => 'zzqxcalendar');
select jittask.create_date_task('zzqxtitle', 'bob.t', 'due', 'bob.fail', name => 'zzqxfail', existing_rows => '1 day', max_attempts => 1);
select jittask.create_scheduled_task('zzqxtitle', now() + '1 hour', body => 'null', name => 'zzqxlater');
select jittask.pause_task('zzqxlater', 'zzqxnote')";

/// Every table, view and function without arguments that a role can read, and the source of every function.
fn readable(session: &mut Client) -> Vec<String> {
    let relations = "select format('select t::text from %s t', c.oid::regclass) from pg_class c
        where c.relkind in ('r', 'v', 'm', 'p') and has_table_privilege(c.oid, 'select')
          and has_schema_privilege(c.relnamespace, 'usage')";
    let mut queries: Vec<String> = cluster::all(session, relations);
    queries.push("select pg_get_functiondef(oid) from pg_proc where prokind in ('f', 'p')".to_string());
    queries.push("select pg_get_triggerdef(oid) from pg_trigger".to_string());
    queries.push("select encode(tgargs, 'escape') from pg_trigger".to_string());
    for function in ["running", "worker_slots", "status", "current_run", "export_tasks", "holiday_countries"] {
        queries.push(format!("select t::text from jittask.{function}() t"));
    }
    queries
}

#[test]
fn the_catalogs_tell_what_the_docs_say_and_no_more() {
    let cluster = cluster(&[]);
    session(&cluster, "bob").batch_execute(TASKS).unwrap();
    wait_for(&cluster, "zzqxhold", "executing", 1);
    wait_for(&cluster, "zzqxfail", "failed", 1);
    cluster.sql("postgres", "analyze jittask.task, jittask.record, jittask.agenda, jittask.calendar");
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute("set statement_timeout = '20s'").unwrap();
    let mut found = BTreeSet::new();
    let queries = readable(&mut mallory);
    assert!(queries.len() > 150, "{queries:?}");
    for query in &queries {
        // Some may be read by those alone who may monitor the server.
        let rows = mallory.query(
            &format!("select distinct m[1] from ({query}) q (line), regexp_matches(line, 'zzqx[a-z]+', 'g') m"),
            &[],
        );
        for row in rows.unwrap_or_default() {
            let from = query.split(" from ").last().unwrap_or_default().split_whitespace().next().unwrap_or_default();
            found.insert(format!("{} in {from}", row.get::<_, String>(0)));
        }
    }
    let found: Vec<String> = found.into_iter().collect();
    let known = [
        "zzqxbody in pg_proc",
        "zzqxcalendar in jittask.calendars",
        "zzqxcalendardescription in jittask.calendars",
        "zzqxfilter in pg_proc",
        "zzqxinternal in pg_proc",
        "zzqxlater in pg_proc",
        "zzqxresult in pg_proc",
    ];
    assert_eq!(found, known);
}

/// A token stands in the triggers for everybody to read; whoever knows it can make nothing run and nothing fail.
#[test]
fn another_tasks_token_gives_no_power() {
    let cluster = cluster(&[]);
    session(&cluster, "bob")
        .batch_execute(
            "create table bob.t (id int primary key, due timestamptz, ready boolean);
             create table bob.ran (id int);
             create function bob.run(bob.t) returns void language sql as $$ insert into bob.ran values ($1.id) $$;
             insert into bob.t values (1, now() + '1 year', true), (2, now(), false);
             select jittask.create_date_task('watched', 'bob.t', 'due', 'bob.run', filter => 'ready', existing_rows => '1 day', name => 'watched')",
        )
        .unwrap();
    let mut mallory = session(&cluster, "mallory");
    let token = text(
        &mut mallory,
        "select split_part(encode(tgargs, 'escape'), '\\000', 1) from pg_trigger where tgrelid::regclass::text = 'bob.t' limit 1",
    );
    let token = token.unwrap();
    mallory
        .batch_execute(&format!(
            "create table mallory.t (id int primary key, due timestamptz);
             create trigger planted after insert or update on mallory.t for each row
                 execute function jittask.capture_row('{token}', 'due', 'id');
             insert into mallory.t select id, now() from generate_series(1, 5000) id;
             update mallory.t set due = now() - interval '1 minute'"
        ))
        .unwrap();
    attempt(
        &mut mallory,
        &[
            &format!("select jittask.due_soon({token}, now())"),
            &format!("select jittask.due_soon({token}, date '2000-01-01')"),
            "select jittask.run_task('watched', '{\"id\": 1}')",
        ],
    );
    // What is bob's own runs; by then the planted candidates have been looked at too.
    let mut bob = session(&cluster, "bob");
    bob.batch_execute("insert into bob.t values (3, now(), true)").unwrap();
    wait_for(&cluster, "watched", "completed", 1);
    let mut admin = cluster.connect("postgres");
    cluster.wait_until("the candidates to be looked at", attack::SOON, || {
        (number(&mut admin, "select count(*) from jittask.capture") == 0).then_some(())
    });
    assert_eq!(number(&mut bob, "select sum(id) from bob.ran"), 3);
    assert_eq!(number(&mut bob, "select count(*) from jittask.records"), 1);
    assert_eq!(text(&mut bob, "select problem from jittask.tasks"), None);
}
