//! Broken, not stuck: what a task needs goes away. The task says so in words, the others go on, and it heals when the
//! object is back or the task is altered.

use cluster::postgres::Client;
use cluster::{Cluster, SOON, all, nothing_unaccounted, one, poll};

const SCHEMA: &str = "
create table contract (id int primary key, due timestamptz, ends timestamptz, live boolean default true);
create index on contract (due);
create table outbox (task text, id int);
create function run(contract) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$;
create function lost(contract) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$;
select jittask.create_date_task('well', 'contract', 'due', 'run');";

/// A row that is due now: `well` runs it whatever became of the other task.
fn due_now(cluster: &Cluster, id: i32) {
    cluster.app_sql(&format!("insert into contract (id, due) values ({id}, now())"));
    cluster.wait_for(SOON, &format!("select exists (select from outbox where task = 'well' and id = {id})"));
}

/// The other task has done these, and nothing has failed.
fn caught_up(cluster: &Cluster, task: &str, ids: &str) {
    wait_for_broken(cluster, &[]);
    let mut session = cluster.app();
    let done = format!("select string_agg(id::text, ' ' order by id) from outbox where task = '{task}'");
    let mut seen: Option<String> = None;
    let is_done = poll(SOON, || {
        seen = one(&mut session, &done);
        (seen.as_deref() == Some(ids)).then_some(())
    });
    let records = "select concat_ws(' ', task, row_key, status, attempt, error) from jittask.records order by id";
    assert!(is_done.is_some(), "{task} has done {seen:?}; {:#?}", all::<String>(&mut session, records));
    let odd: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, row_key, status, attempt, error) from jittask.records where status not in ('completed', 'pending') or attempt > 1",
    );
    assert_eq!(odd, Vec::<String>::new());
    nothing_unaccounted(&mut session);
}

fn broken(session: &mut Client) -> Vec<String> {
    all(session, "select format('%s: %s', name, problem) from jittask.tasks where state = 'broken' order by name")
}

/// Waits until exactly these are broken, with these words in their problems.
fn wait_for_broken(cluster: &Cluster, told: &[(&str, &str)]) {
    let mut session = cluster.app();
    let mut seen = Vec::new();
    let is_told = |seen: &Vec<String>| {
        seen.len() == told.len()
            && seen
                .iter()
                .zip(told)
                .all(|(line, (name, words))| line.starts_with(&format!("{name}: ")) && line.contains(words))
    };
    let are_told = poll(SOON, || {
        seen = broken(&mut session);
        is_told(&seen).then_some(())
    });
    assert!(are_told.is_some(), "broken are {seen:#?}, not {told:#?}");
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    for (name, words) in told {
        let is_named =
            problems.iter().any(|problem| problem.contains(&format!("\"{name}\"")) && problem.contains(words));
        assert!(is_named, "{name} is not in {problems:#?}");
    }
}

#[test]
fn a_dropped_function_that_comes_back() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("select jittask.create_date_task('other', 'contract', 'due', 'lost')");
    due_now(&cluster, 1);
    caught_up(&cluster, "other", "1");
    // Planned before, captured after.
    cluster.app_sql("insert into contract (id, due) values (2, now() + interval '2 seconds')");
    cluster
        .wait_for(SOON, "select count(*) = 2 from jittask.records where row_key ->> 'id' = '2' and status = 'pending'");
    cluster.app_sql("drop function lost");
    wait_for_broken(&cluster, &[("other", "function public.lost(public.contract) does not exist any more")]);
    let error = cluster.app().batch_execute("select jittask.run_task('other', '{\"id\": 1}')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55000");
    due_now(&cluster, 3);
    cluster.wait_for(SOON, "select exists (select from outbox where task = 'well' and id = 2)");
    cluster.app_sql("create function lost(contract) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$");
    caught_up(&cluster, "other", "1 2 3");
    // Under another name it is still the same function, and so it is exported.
    cluster.app_sql("alter function lost rename to found; alter table contract rename to agreement; alter table agreement rename to contract");
    due_now(&cluster, 4);
    caught_up(&cluster, "other", "1 2 3 4");
    let exported: String = one(&mut cluster.app(), "select jittask.export_task('other') ->> 'service_function'");
    assert_eq!(exported, "public.found(public.contract)");
}

/// Whose function it is decides whose code runs: another's of the same name does not, also where it is as good.
#[test]
fn a_function_that_is_anothers_now() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("select jittask.create_date_task('other', 'contract', 'due', 'lost')");
    due_now(&cluster, 1);
    caught_up(&cluster, "other", "1");
    cluster.sql("postgres", "create role stranger login; alter function lost(contract) owner to stranger");
    wait_for_broken(&cluster, &[("other", "is no longer owned by")]);
    due_now(&cluster, 2);
    cluster.sql("postgres", "alter function lost(contract) owner to app");
    caught_up(&cluster, "other", "1 2");
    cluster.sql(
        "postgres",
        "drop function lost(contract);
         create function lost(contract) returns void language sql as $$ select pg_notify('stolen', current_user) $$;
         alter function lost(contract) owner to stranger",
    );
    wait_for_broken(&cluster, &[("other", "is no longer owned by")]);
    due_now(&cluster, 3);
    // Altered: the task takes what its owner names now.
    cluster.app_sql(r#"select jittask.alter_task('other', '{"service_function": "run"}')"#);
    caught_up(&cluster, "other", "1 2 3");
}

/// What was captured has been looked at by the definition of its time. The task may have been broken before it came.
fn looked_at(cluster: &Cluster) {
    cluster.wait_for(SOON, "select not exists (select from jittask.capture)");
}

#[test]
fn a_dropped_column_and_a_dropped_filter() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("select jittask.create_date_task('other', 'contract', 'due', 'run', end_column => 'ends')");
    due_now(&cluster, 1);
    caught_up(&cluster, "other", "1");
    cluster.app_sql("alter table contract drop column ends cascade");
    wait_for_broken(&cluster, &[("other", "column \"ends\" of public.contract does not exist any more")]);
    due_now(&cluster, 2);
    cluster.app_sql("alter table contract add column ends timestamptz");
    caught_up(&cluster, "other", "1 2");
    cluster.app_sql("alter table contract drop column ends cascade");
    wait_for_broken(&cluster, &[("other", "column \"ends\" of public.contract does not exist any more")]);
    due_now(&cluster, 3);
    looked_at(&cluster);
    cluster.app_sql(r#"select jittask.alter_task('other', '{"end_column": null}')"#);
    due_now(&cluster, 4);
    // Row 3 was due before the change, and changes count from now.
    caught_up(&cluster, "other", "1 2 4");
    cluster.app_sql(r#"select jittask.alter_task('other', '{"filter": "live"}')"#);
    cluster.app_sql(
        "do $$ begin execute (select format('drop function %s', oid::regprocedure) from pg_proc where pronamespace = 'jittask_filter'::regnamespace); end $$",
    );
    due_now(&cluster, 5);
    wait_for_broken(&cluster, &[("other", "filter")]);
    looked_at(&cluster);
    cluster.app_sql(r#"select jittask.alter_task('other', '{"filter": null}')"#);
    due_now(&cluster, 6);
    caught_up(&cluster, "other", "1 2 4 6");
}

#[test]
fn a_table_that_may_not_be_read_for_a_while_and_one_that_is_dropped() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.sql(
        "postgres",
        "create table lent (id int primary key, due timestamptz);
         create index on lent (due);
         grant select, trigger on lent to app",
    );
    cluster.app_sql(
        "create function run(lent) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$;
         select jittask.create_date_task('other', 'lent', 'due', 'run')",
    );
    cluster.sql("postgres", "insert into lent values (1, now())");
    caught_up(&cluster, "other", "1");
    cluster.sql("postgres", "revoke select on lent from app; insert into lent values (2, now())");
    wait_for_broken(&cluster, &[("other", "permission denied for table lent")]);
    due_now(&cluster, 1);
    cluster.sql("postgres", "grant select on lent to app");
    caught_up(&cluster, "other", "1 2");
    cluster.sql("postgres", "drop table lent cascade");
    wait_for_broken(&cluster, &[("other", "does not exist any more")]);
    // The rows of other tasks do not each bring a complaint about this one: each scan does.
    let complaints = || cluster.log().matches("could not plan task \"other\"").count();
    let (before, begun) = (complaints(), std::time::Instant::now());
    (100..150).for_each(|id| due_now(&cluster, id));
    let (more, scans) = (complaints() - before, begun.elapsed().as_secs() as usize + 2);
    assert!(more <= scans, "{more} complaints in {scans} s");
    cluster.app_sql("select jittask.drop_task('other')");
    wait_for_broken(&cluster, &[]);
    due_now(&cluster, 3);
}

#[test]
fn a_dropped_role_and_one_that_cannot_log_in() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster
        .sql("postgres", "create role leaver login; create role locked login; grant usage on schema jittask to public");
    cluster.app_sql("create function tick() returns void language sql as ''");
    for role in ["leaver", "locked"] {
        cluster
            .connect_as("postgres", role)
            .batch_execute(&format!(
                "select jittask.create_scheduled_task('{role}', now(), 'tick', rule => 'FREQ=SECONDLY;COUNT=300')"
            ))
            .unwrap();
    }
    cluster.wait_for(SOON, "select bool_and(completed > 0) from jittask.tasks where name like 'l%'");
    cluster.sql("postgres", "alter role locked nologin");
    let mut superuser = cluster.connect("postgres");
    // Where the server runs such roles they go on; elsewhere it is said, and they heal.
    superuser
        .batch_execute("select pg_terminate_backend(pid) from jittask.workers where kind = 'executor' and role in ('leaver', 'locked')")
        .unwrap();
    superuser.batch_execute("drop role leaver").unwrap();
    cluster.wait_for(
        SOON,
        "select problem like '%owner does not exist any more%' and state = 'broken' from jittask.tasks where name = 'leaver'",
    );
    if cluster.major() < 17 {
        cluster.wait_for(
            SOON,
            "select problem like '%cannot log in%' and state = 'broken' from jittask.tasks where name = 'locked'",
        );
    }
    due_now(&cluster, 1);
    superuser.batch_execute("alter role locked login").unwrap();
    let seen: i64 = one(&mut superuser, "select completed from jittask.tasks where name = 'locked'");
    cluster.wait_for(
        SOON,
        &format!("select completed > {seen} and state = 'active' from jittask.tasks where name = 'locked'"),
    );
    superuser.batch_execute("select jittask.drop_task('leaver')").unwrap();
    nothing_unaccounted(&mut superuser);
}

/// A table that is dropped and made again is the task's again, with its triggers and with what of its functions went
/// along, if it is its old owner's.
#[test]
fn a_table_that_is_made_again() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    let made = "create table made (id int primary key, due timestamptz, live boolean default true)";
    let run = "create function run(made) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$";
    cluster.app_sql(made);
    cluster.app_sql(run);
    cluster.app_sql(
        "select jittask.create_date_task('other', 'made', 'due', 'run', filter => 'live');
         select jittask.create_date_task('inner', 'made', 'due', filter => 'made is not null', body => $$insert into public.outbox values ('inner', row_data.id)$$);
         insert into made values (1, now())",
    );
    // Both, before it is asked whether all is completed or pending: one may be executing while the other has ended.
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    cluster.wait_for(SOON, "select count(*) = 0 from jittask.progress");
    caught_up(&cluster, "other", "1");
    caught_up(&cluster, "inner", "1");
    cluster.app_sql("insert into made values (2, now() + interval '1 second')");
    cluster
        .wait_for(SOON, "select count(*) = 2 from jittask.records where row_key ->> 'id' = '2' and status = 'pending'");
    cluster.app_sql("drop table made cascade");
    wait_for_broken(&cluster, &[("inner", "does not exist any more"), ("other", "does not exist any more")]);
    due_now(&cluster, 1);
    // Somebody else's of the same name is not.
    cluster.sql("postgres", &format!("{made}; insert into made values (2, now()), (3, now())"));
    due_now(&cluster, 2);
    wait_for_broken(&cluster, &[("inner", "does not exist any more"), ("other", "does not exist any more")]);
    cluster.sql("postgres", "drop table made");
    // Renamed into its place, with rows in it that no trigger saw.
    cluster.app_sql(&made.replace("made", "making"));
    cluster.app_sql("insert into making select r.id, now(), r.id <> 4 from generate_series(2, 4) r (id)");
    cluster.app_sql("alter table making rename to made");
    wait_for_broken(&cluster, &[("other", "function public.run(public.made) does not exist any more")]);
    cluster.app_sql(run);
    wait_for_broken(&cluster, &[]);
    // By the new triggers: the next scan is a minute away.
    cluster.app_sql("insert into made values (5, now())");
    let done = |task: &str| format!("select string_agg(id::text, ' ' order by id) from outbox where task = '{task}'");
    cluster.wait_for(SOON, &format!("select ({}) = '1 2 3 5' and ({}) = '1 2 3 4 5'", done("other"), done("inner")));
    nothing_unaccounted(&mut cluster.app());
}

/// The task is a role's, by number and by name: whoever has only one of both runs nothing of it.
#[test]
fn an_owner_of_another_name() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.sql(
        "postgres",
        "create role mover login; grant usage on schema jittask to mover; create schema mover authorization mover",
    );
    cluster
        .connect_as("postgres", "mover")
        .batch_execute(
            "create function mover.tick() returns void language sql as '';
             select jittask.create_scheduled_task('moving', now(), 'mover.tick', rule => 'FREQ=SECONDLY;COUNT=300')",
        )
        .unwrap();
    cluster.wait_for(SOON, "select completed > 0 from jittask.tasks where name = 'moving'");
    cluster.sql("postgres", "alter role mover rename to moved");
    cluster.wait_for(
        SOON,
        r#"select problem like 'its owner has been renamed from "mover" to "moved" since %' and state = 'broken' from jittask.tasks where name = 'moving'"#,
    );
    let count = "select completed from jittask.tasks where name = 'moving'";
    let mut superuser = cluster.connect("postgres");
    let stopped: i64 = one(&mut superuser, count);
    due_now(&cluster, 1);
    superuser.batch_execute("alter role moved rename to mover").unwrap();
    // Nothing tells of it: somebody looks each ten seconds.
    cluster.wait_for(
        SOON * 2,
        &format!("select ({count}) > {stopped} and state = 'active' from jittask.tasks where name = 'moving'"),
    );
    superuser.batch_execute("alter role mover rename to moved").unwrap();
    cluster.wait_for(SOON, "select state = 'broken' from jittask.tasks where name = 'moving'");
    let stopped: i64 = one(&mut superuser, count);
    cluster.connect_as("postgres", "moved").batch_execute("select jittask.alter_task('moving', '{}')").unwrap();
    cluster.wait_for(
        SOON,
        &format!("select ({count}) > {stopped} and state = 'active' from jittask.tasks where name = 'moving'"),
    );
    nothing_unaccounted(&mut superuser);
}

/// Neither can be lost by jittask's own functions: a calendar by hand or in a dump, a zone by an update of the server.
#[test]
fn a_calendar_and_a_zone_that_are_lost() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_calendar('own', weekend => '{}');
         select jittask.create_date_task('dated', 'contract', 'due', 'run', skip_holidays => true, calendar => 'own');
         create function tick() returns void language sql as '';
         select jittask.create_scheduled_task('zoned', now(), 'tick', rule => 'FREQ=SECONDLY;COUNT=300', time_zone => 'Europe/Berlin')",
    );
    due_now(&cluster, 1);
    cluster.wait_for(SOON, "select bool_and(completed > 0) from jittask.tasks");
    let zone = |name: &str| {
        format!(
            "update jittask.task set definition = definition || '{{\"time_zone\": \"{name}\"}}' where name = 'zoned';
             create table poke (); drop table poke"
        )
    };
    cluster.sql("postgres", "create table kept as select * from jittask.calendar where name = 'own'; delete from jittask.calendar where name = 'own'");
    cluster.sql("postgres", &zone("Mars/Olympus"));
    wait_for_broken(&cluster, &[("dated", "calendar \"own\" does not exist"), ("zoned", "Mars/Olympus")]);
    due_now(&cluster, 2);
    let seen: i64 = one(&mut cluster.app(), "select completed from jittask.tasks where name = 'zoned'");
    cluster.sql("postgres", "insert into jittask.calendar select * from kept");
    cluster.sql("postgres", &zone("Europe/Berlin"));
    caught_up(&cluster, "dated", "1 2");
    cluster.wait_for(SOON, &format!("select completed > {seen} from jittask.tasks where name = 'zoned'"));
}
