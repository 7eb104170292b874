//! What a second hostile reading found: settings of a database, names looked up anew, sessions of superusers under SET ROLE,
//! and objects that depend on what jittask makes.

mod attack;

use attack::{NOTE, attempt, caught, cluster, code, loot, session, text, wait_for};
use cluster::SOON;

/// The owner of a database, who is no superuser, sets the search_path of all sessions there.
#[test]
fn a_databases_owner_lends_no_function_to_a_superusers_run() {
    let cluster = cluster(&[("jittask.executor_idle", "0")]);
    cluster.sql(
        "postgres",
        "alter database postgres owner to mallory; alter schema public owner to pg_database_owner;
         create schema adm; create table adm.log (at timestamptz, note text);
         create function adm.nightly() returns void language plpgsql as
             $$ begin insert into adm.log select now(), lower('X'::varchar) || current_setting('search_path'); end $$",
    );
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute(
            "create function mallory.now() returns timestamptz language sql as $$ select pg_catalog.now() from mallory.note('now') $$;
             create function public.lower(varchar) returns text language sql as $$ select 'x' from mallory.note('lower') $$;
             create schema postgres; grant usage on schema postgres to public;
             create function postgres.lower(varchar) returns text language sql as $$ select 'x' from mallory.note('user') $$;
             alter database postgres set search_path = mallory, pg_catalog, adm, public, \"$user\"",
        )
        .unwrap();
    cluster.sql(
        "postgres",
        "select jittask.create_scheduled_task('nightly', pg_catalog.now(), 'adm.nightly', rule => 'every 1 second', max_attempts => 1)",
    );
    wait_for(&cluster, "nightly", "completed", 3);
    assert!(caught(&cluster, "postgres").is_empty(), "{:?}", caught(&cluster, "postgres"));
    // What is superusers' alone stays in the path.
    let path = text(&mut cluster.connect("postgres"), "select max(note) from adm.log");
    assert_eq!(path.as_deref(), Some("xpg_catalog, adm"));
}

/// A table made again: the names in its task's filter are not looked up by the search_path that its executor happens to have.
#[test]
fn a_filter_made_again_looks_no_name_up_in_public() {
    let cluster = cluster(&[("jittask.scan_interval", "300ms")]);
    cluster.sql("postgres", "alter role bob set search_path = bob, public");
    let mut bob = session(&cluster, "bob");
    let objects = "create table bob.c (id int primary key, due timestamptz);
         create function bob.run(bob.c) returns void language sql as '';";
    bob.batch_execute(&format!(
        "{objects} create function bob.vip(bob.c) returns boolean language sql as 'select true';
         select jittask.create_date_task('vip', 'bob.c', 'due', 'bob.run', filter => 'vip(c)')"
    ))
    .unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    bob.batch_execute(&format!(
        "begin; drop table bob.c cascade; {objects} grant usage on schema bob to mallory; commit"
    ))
    .unwrap();
    mallory
        .batch_execute(
            "create function public.vip(bob.c) returns boolean language sql as $$ select mallory.note('vip') $$",
        )
        .unwrap();
    bob.batch_execute("insert into bob.c values (1, now())").unwrap();
    cluster.wait_for(SOON, "select state = 'broken' and problem like '%vip%' from jittask.tasks");
    assert!(loot(&cluster).is_empty(), "{:?}", loot(&cluster));
}

/// A superuser who takes a role on, as the hint says, stays in it whatever that role's filter does.
#[test]
fn a_filter_does_not_lead_back_to_the_superuser_who_looks() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.escape() returns boolean language plpgsql as $$
             begin
                 begin execute 'reset role; alter role mallory superuser'; exception when others then null; end;
                 begin execute 'set session authorization default; alter role mallory superuser'; exception when others then null; end;
                 return true;
             end $$;
             create domain mallory.trap as text check (mallory.escape());
             create table mallory.t (id int primary key, due timestamptz); insert into mallory.t values (1, now() + '1 hour');
             create function mallory.run(mallory.t) returns void language sql as '';
             select jittask.create_date_task('trap', 'mallory.t', 'due', 'mallory.run', filter => 'mallory.escape()')",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("set role mallory").unwrap();
    attempt(
        &mut admin,
        &[
            "select * from jittask.preview('trap')",
            "select * from jittask.preview('trap', 3, '{\"id\": 1}')",
            "select * from jittask.simulate('trap', now(), now() + interval '1 day')",
            "select * from jittask.explain_row('trap', '{\"id\": 1}')",
            "select jittask.create_date_task('x', 'mallory.t', 'due', 'mallory.run', filter => '''{a}''::mallory.trap[] is not null')",
            "select jittask.alter_task('trap', '{\"filter\": \"''{a}''::mallory.trap[] is not null\"}')",
        ],
    );
    let mut dba = cluster.connect("postgres");
    assert_eq!(
        text(&mut dba, "select rolsuper::text from pg_roles where rolname = 'mallory'").as_deref(),
        Some("false")
    );
    // And it was evaluated.
    let found: i64 = mallory.query_one("select count(*) from jittask.preview('x')", &[]).unwrap().get(0);
    assert_eq!(found, 1);
}

/// A view needs no right to call what it names: one on another's filter or internal function keeps nobody from anything.
#[test]
fn what_depends_on_anothers_functions_keeps_nobody_from_dropping() {
    let cluster = cluster(&[]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id int primary key, due timestamptz, n int);
         select jittask.create_date_task('filtered', 'bob.t', 'due', body => 'null', filter => 'n > 0');
         select jittask.create_scheduled_task('inner', now() + '1 day', body => 'null')",
    )
    .unwrap();
    let filter =
        text(&mut bob, "select proname::text from pg_proc where pronamespace = 'jittask_filter'::regnamespace");
    session(&cluster, "mallory")
        .batch_execute(&format!(
            "create view mallory.a as select jittask_filter.{}(null::int) as x;
             create view mallory.b as select 1 as x where jittask_inner.\"inner\"() is null",
            filter.unwrap()
        ))
        .unwrap();
    bob.batch_execute(
        "select jittask.alter_task('filtered', '{\"filter\": \"n > 1\"}');
         select jittask.alter_task('inner', '{\"body\": \"perform 1\"}');
         select jittask.drop_task('filtered'); select jittask.drop_task('inner');
         select jittask.create_scheduled_task('inner', now() + '1 day', body => 'null')",
    )
    .unwrap();
}

/// An interval that leads beyond PostgreSQL's range stops neither a dump nor anything else.
#[test]
fn the_longest_intervals_break_no_table() {
    let cluster = cluster(&[("jittask.record_retention", "0")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id int primary key, due timestamptz); create function bob.run(bob.t) returns void language sql as '';
         insert into bob.t values (1, now() - interval '1 day'), (2, '-infinity'), (3, '4713-01-01 BC');
         select jittask.create_date_task('long', 'bob.t', 'due', 'bob.run', existing_rows => '178000000 years');
         select jittask.create_date_task('made up', 'bob.t', 'due', 'bob.run');
         select jittask.create_scheduled_task('series', now() - interval '1 hour', rule => 'every 1 minute', body => 'null');
         select jittask.pause_task('made_up'); select jittask.pause_task('series');
         select jittask.resume_task('made_up', '178000000 years'); select jittask.resume_task('series', '178000000 years')",
    )
    .unwrap();
    wait_for(&cluster, "long", "completed", 1);
    let mut admin = cluster.connect("postgres");
    for table in ["task", "series", "agenda", "record", "tally"] {
        // As a dump reads them.
        admin.batch_execute(&format!("copy jittask.{table} to '/dev/null'")).unwrap();
    }
    // Before PostgreSQL 17 an interval cannot even say it.
    let endless = "select jittask.create_date_task('x', 'bob.t', 'due', 'bob.run', existing_rows => 'infinity')";
    assert!(["22023", "22007"].contains(&code(bob.batch_execute(endless)).as_str()));
}

/// The key of a task is altered while records with the old one are kept.
#[test]
fn a_record_with_an_older_key_breaks_no_view() {
    let cluster = cluster(&[]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id int primary key, x int not null, due timestamptz, unique (id, x));
         create function bob.run(bob.t) returns void language sql as '';
         select jittask.create_date_task('t', 'bob.t', 'due', 'bob.run', key_columns => '{id}');
         insert into bob.t values (1, 2, now())",
    )
    .unwrap();
    wait_for(&cluster, "t", "completed", 1);
    bob.batch_execute("select jittask.alter_task('t', '{\"key_columns\": [\"id\", \"x\"]}')").unwrap();
    bob.batch_execute("insert into bob.t values (2, 3, now())").unwrap();
    wait_for(&cluster, "t", "completed", 2);
    let keys = "select string_agg(row_key::text, ' ' order by id) from jittask.records";
    for mut reader in [bob, cluster.connect("postgres")] {
        assert_eq!(text(&mut reader, keys).as_deref(), Some("{\"key\": 1} {\"x\": 3, \"id\": 2}"));
    }
}
