//! What an owner's role settings and session leftovers do to his own runs, and to nobody else's.

mod attack;

use attack::{SOON, attempt, cluster, number, session, text, wait_for};
use cluster::one;

/// Settings under which the executor connects. Work is done under each, or not at all, and never as somebody else.
#[test]
fn role_settings_change_nothing_but_the_function() {
    let cluster = cluster(&[("jittask.executor_idle", "0")]);
    session(&cluster, "bob")
        .batch_execute(
            "create table bob.t (id bytea, n varchar, due timestamp, note text default 'a\\b', primary key (id, n));
             create function bob.run(r bob.t) returns text language plpgsql as
                 $$ begin return current_user || ' ' || session_user; end $$",
        )
        .unwrap();
    for setting in [
        "search_path = mallory, public, pg_catalog",
        "search_path = ''",
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "session_replication_role = replica",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "row_security = off",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = sql_standard",
        "timezone = 'Asia/Kathmandu'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "extra_float_digits = -15",
        "bytea_output = escape",
        "client_encoding = 'SJIS'",
        "transform_null_equals = on",
        "array_nulls = off",
        "plan_cache_mode = force_generic_plan",
        "check_function_bodies = off",
        "default_tablespace = pg_default",
        "client_min_messages = error",
    ] {
        let name = setting.split([' ', '=']).next().unwrap_or_default();
        cluster.sql("postgres", &format!("alter role bob reset all; alter role bob set {setting}"));
        let mut admin = cluster.connect("postgres");
        cluster.wait_until("no executor under the old settings", attack::SOON, || {
            (number(&mut admin, "select count(*) from jittask.workers where kind = 'executor'") == 0).then_some(())
        });
        let mut bob = cluster.connect_as("postgres", "postgres");
        bob.batch_execute("set role bob; set search_path = bob, pg_catalog").unwrap();
        bob.batch_execute(&format!(
            "select jittask.create_date_task('{name}', 'bob.t', 'due', 'bob.run', time_zone => 'UTC', name => '{name}',
                 filter => 'note = ''a\\b'' and due > timestamp ''2026-02-01 00:00:00.5''');
             insert into bob.t values ('\\x00ff27', '{name}''\"\\', timezone('UTC', now()))"
        ))
        .unwrap_or_else(|error| panic!("{setting}: {error:?}"));
        wait_for(&cluster, name, "completed", 1);
        let query =
            format!("select distinct result from jittask.records where task = '{name}' and status = 'completed'");
        assert_eq!(text(&mut bob, &query).as_deref(), Some("bob bob"), "{setting}");
        bob.batch_execute(&format!("select jittask.drop_task('{name}', false); delete from bob.t")).unwrap();
    }
}

/// An owner whose settings would make his executor another role: nothing runs, and nobody else notices.
#[test]
fn a_role_set_to_another_runs_nothing() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as
                 $$ insert into public.loot values ('tick', current_user, session_user) $$",
        )
        .unwrap();
    cluster.sql("postgres", "grant bob to mallory; alter role mallory set role = bob");
    mallory.batch_execute("select jittask.create_scheduled_task('masked', now(), 'mallory.tick')").unwrap();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create function bob.tick() returns void language sql as '';
         select jittask.create_scheduled_task('other', now() + '3 seconds', 'bob.tick')",
    )
    .unwrap();
    wait_for(&cluster, "other", "completed", 1);
    assert!(attack::loot(&cluster).is_empty());
    let refusals = cluster.log().matches("is not connected as its owner").count();
    assert!((1..10).contains(&refusals), "{refusals} refusals");
    cluster.sql("postgres", "alter role mallory reset role");
    wait_for(&cluster, "masked", "completed", 1);
}

/// Temporary tables, functions and settings that shadow ours, left by one run, reach neither bookkeeping nor the next task.
#[test]
fn leftovers_reach_neither_bookkeeping_nor_the_next_task() {
    let cluster = cluster(&[("jittask.max_executors", "1"), ("jittask.executor_idle", "1min")]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.litter() returns void language plpgsql as $$
             begin
                 create temp table record (id bigint); create temp table task (id int); create temp table agenda (id int);
                 create temp table pg_class (oid oid); create temp table pg_proc (oid oid); create temp table pg_database (oid oid);
                 create domain pg_temp.timestamptz as pg_catalog.text; create domain pg_temp.uuid as pg_catalog.text;
                 create function pg_temp.unnest(bigint[]) returns setof bigint language sql as 'select 666::bigint';
                 perform set_config('search_path', 'pg_temp, mallory, pg_catalog', false);
                 perform set_config('transaction_read_only', 'on', false);
                 perform set_config('row_security', 'off', false);
                 perform set_config('datestyle', 'SQL, DMY', false);
                 perform pg_advisory_lock(1);
                 prepare kept as select 1;
                 execute 'declare held cursor with hold for select 1';
                 execute 'set role none';
                 execute 'set constraints all immediate';
                 set local statement_timeout = '1ms';
             end $$;
             create function mallory.look() returns text language plpgsql as $$
             begin
                 return format('%s %s %s %s', current_setting('search_path'), current_setting('transaction_read_only'),
                     (select count(*) from pg_catalog.pg_class where relpersistence = 't'),
                     (select count(*) from pg_catalog.pg_prepared_statements));
             end $$;
             select jittask.create_scheduled_task('litter', now(), 'mallory.litter', max_attempts => 1);
             select jittask.create_scheduled_task('look', now() + '1 second', 'mallory.look')",
        )
        .unwrap();
    wait_for(&cluster, "litter", "completed", 1);
    wait_for(&cluster, "look", "completed", 1);
    let seen = text(&mut mallory, "select result from jittask.records where task = 'look'");
    assert_eq!(seen.as_deref(), Some("\"$user\", public off 0 0"));
    // Nor do they stay where nothing follows.
    mallory.batch_execute("select jittask.run_task('litter')").unwrap();
    wait_for(&cluster, "litter", "completed", 2);
    cluster.wait_for(
        SOON,
        "select not exists (select from pg_class where relpersistence = 't')
            and not exists (select from pg_locks where locktype = 'advisory')",
    );
    assert_eq!(number(&mut mallory, "select count(*) from jittask.workers where kind = 'executor'"), 1);
    assert_eq!(number(&mut mallory, "select sum(unaccounted)::bigint from jittask.accounts"), 0);
}

/// The owner's own session as SECURITY DEFINER finds it, and tasks made inside such functions.
#[test]
fn security_definer_makes_the_definer_the_owner() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as
                 $$ insert into public.loot values ('tick', current_user, session_user) $$;
             create function mallory.trap() returns text language sql security definer as
                 $$ select jittask.create_scheduled_task('trapped', now(), 'mallory.tick') $$;
             grant usage on schema mallory to public",
        )
        .unwrap();
    cluster.sql("postgres", "select mallory.trap()");
    wait_for(&cluster, "trapped", "completed", 1);
    assert_eq!(attack::loot(&cluster), [("tick".to_string(), "mallory".to_string(), "mallory".to_string())]);
    // Internal functions stay their owner's, also as SECURITY DEFINER.
    mallory
        .batch_execute(
            "select jittask.create_scheduled_task('inner', now(), name => 'inner_one',
                 body => $$ insert into public.loot values ('inner', current_user, session_user) $$)",
        )
        .unwrap();
    attempt(
        &mut mallory,
        &["alter function jittask_inner.inner_one() security definer", "select jittask.run_task('inner_one')"],
    );
    wait_for(&cluster, "inner_one", "completed", 2);
    assert!(attack::loot(&cluster).iter().all(|(_, who, session)| who == "mallory" && session == "mallory"));
    let mut bob = session(&cluster, "bob");
    assert_eq!(attack::code(bob.batch_execute("select jittask_inner.inner_one()")), "42501");
}

/// A superuser's event trigger sees our DDL; an ordinary role can make none.
#[test]
fn no_event_trigger_of_a_plain_role_sees_our_ddl() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute("create function mallory.spy() returns event_trigger language plpgsql as $$ begin null; end $$")
        .unwrap();
    let create = "create event trigger spy on ddl_command_end execute function mallory.spy()";
    assert_eq!(attack::code(mallory.batch_execute(create)), "42501");
}

/// What a person's transactions are allowed ends no run, no planning, and starts no process again and again.
#[test]
fn a_short_transaction_timeout_of_the_owners() {
    let cluster = cluster(&[]);
    if !one::<bool>(&mut cluster.connect("postgres"), "select current_setting('server_version_num')::int >= 170000") {
        return;
    }
    // His own session is from before.
    let mut bob = session(&cluster, "bob");
    for timeout in ["20ms", "1ms"] {
        cluster.sql("postgres", &format!("alter role bob set transaction_timeout = '{timeout}'"));
        bob.batch_execute(
            "drop table if exists bob.t cascade; create table bob.t (id int primary key, due timestamptz);
             create function bob.run(bob.t) returns void language sql as 'select pg_sleep(0.2)';
             select jittask.create_date_task('t', 'bob.t', 'due', 'bob.run', existing_rows => '1 day');
             insert into bob.t select id, now() from generate_series(1, 5) id",
        )
        .unwrap();
        cluster.wait_for(SOON, "select count(*) = 5 from jittask.records where status = 'completed'");
        bob.batch_execute("select jittask.drop_task('t', keep_records => false)").unwrap();
        let ended = cluster.log().matches("terminating connection due to transaction timeout").count();
        assert!(ended < 20, "{ended} processes ended by {timeout}");
    }
}
