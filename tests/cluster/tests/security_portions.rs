//! What the scheduler does for all comes in portions of time, not of number: nobody makes one of them long.

mod attack;
mod fair;

use std::time::Duration;

use attack::{cluster, number, session};
use cluster::postgres::Client;
use cluster::{Cluster, Load};
use fair::{MALLORY, NEVER, assert_in_time, fair, late, latest};

/// A flood of batches has the last slots lent, and its rows heed no signal: who wants one does not wait for them.
#[test]
fn who_keeps_a_lent_slot_keeps_nobody_waiting() {
    let (cluster, mut bob) = fair(&[("jittask.executor_idle", "500ms")]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(
            "create function mallory.deaf(mallory.t) returns void language plpgsql as $$ begin
                 perform length(translate(repeat('x', 10000000 + ($1).id % 100), repeat('y', 1000) || 'x', ''));
             end $$;
             select jittask.create_date_task('deaf', 'mallory.t', 'due', 'mallory.deaf');
             insert into mallory.t (id, due) select i, date_trunc('second', now()) + interval '2 s' from generate_series(1, 20000) i",
        )
        .unwrap();
    let lent = "select count(*) > 1 from jittask.workers where kind = 'executor' and role = 'mallory'";
    cluster.wait_for(attack::SOON, lent);
    for _ in 0..4 {
        // Until bob has no executor any more.
        std::thread::sleep(Duration::from_secs(3));
        let load = Load::watch();
        load.assert_within(1.0 + 3.0 * control, late(&cluster, &mut bob), "behind lent slots that are not given back");
    }
}

/// Functions of the server that look at no signal: whoever is told to end stays for hours, and takes nobody's place but his own.
#[test]
fn who_does_not_heed_a_signal_takes_nobody_elses_place() {
    let (cluster, mut bob) = fair(&[("jittask.max_executors", "3"), ("jittask.executor_idle", "1s")]);
    let deaf = "begin
             perform translate(t, f, '') from (select repeat('x', 3000000) as t, repeat(chr(1000), 3000000) as f) s;
         end";
    for role in ["mallory", "mallet", "marvin"] {
        cluster.sql(
            "postgres",
            &format!(
                "do $$ begin create role {role} login; exception when duplicate_object then null; end $$;
                      grant usage on schema jittask to {role}"
            ),
        );
        let mut session = session(&cluster, role);
        for _ in 0..2 {
            session
                .execute("select jittask.create_scheduled_task('deaf', now(), body => $1, timeout => '1 s')", &[&deaf])
                .unwrap();
        }
    }
    let said = "select count(*) from jittask.status(), unnest(problems) p where p like '%does not heed%'";
    let mut admin = cluster.connect("postgres");
    cluster.wait_until("three that are deaf", NEVER, || (number(&mut admin, said) == 3).then_some(()));
    // Nor does any of them have another one.
    let executors = "select count(*) from jittask.workers where kind = 'executor' and role <> 'bob'";
    for _ in 0..3 {
        let load = Load::watch();
        load.assert_within(2.0, late(&cluster, &mut bob), "beside those that are deaf");
        assert_eq!(number(&mut admin, executors), 3);
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Keys of many megabytes, which are not read to be counted.
#[test]
fn long_keys_stop_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.tick() returns void language sql as ''; select jittask.create_calendar('hers');
             select jittask.create_scheduled_task('held', now() + interval '1 day', 'mallory.tick', repeat => 'yearly',
                 skip_holidays => true, calendar => 'hers')",
        )
        .unwrap();
    entries(&cluster, 40, "now() + interval '50 minutes'", "repeat('x', 50000000)", 0);
    for day in 1..3 {
        mallory.batch_execute(&format!("select jittask.add_holiday('hers', '2100-01-0{day}', 'hers')")).unwrap();
        assert_in_time(&cluster, &mut bob, control, "long keys that are planned anew");
    }
    cluster.wait_for(attack::SOON, "select count(*) < 40 from jittask.agenda");
}

/// As many occurrences of mallory's task as are asked for, of one instant, as if they had been recorded.
#[test]
fn records_of_one_instant_that_stay_stop_nobody() {
    let (cluster, mut bob) = fair(&[("jittask.record_retention", "0")]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(
            "select jittask.create_date_task('kept', 'mallory.t', 'due', 'mallory.run', catch_up_window => '1 year'),
                 jittask.create_date_task('gone', 'mallory.t', 'due', 'mallory.run', catch_up_window => '1 day')",
        )
        .unwrap();
    let record = |task: &str, from: i64, until: i64| {
        format!(
            "insert into jittask.record (id, task_id, nominal_at, started_at, finished_at, status, attempt, forced, key)
             select -g, t.id, d.at, d.at, d.at, 'completed', 1, false, g::text
             from jittask.task t, (select now() - interval '100 days' as at) d, generate_series({from}, {until}) g where t.name = '{task}';"
        )
    };
    cluster.sql("postgres", &[record("kept", 1, 600_000), record("gone", 600_001, 605_000)].concat());
    cluster.turn("jittask.record_retention", "10d");
    let left = "select count(*) from jittask.record where id < 0";
    let mut admin = cluster.connect("postgres");
    // All of its looks, at 2,000 records each, take a minute: the other task's come after them.
    for _ in 0..6 {
        assert_in_time(&cluster, &mut bob, control, "records that stay");
        std::thread::sleep(Duration::from_secs(1));
    }
    cluster.wait_until("the old ones to go", Duration::from_secs(240), || {
        (number(&mut admin, left) == 600_000).then_some(())
    });
}

/// Very many entries that were held back since their function was gone, and are let go when it is there again.
#[test]
fn very_many_entries_that_are_let_go_stop_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    let function = "create function mallory.tick() returns void language sql as ''";
    mallory
        .batch_execute(&format!(
            "{function}; select jittask.create_scheduled_task('held', now() + interval '1 day', 'mallory.tick', repeat => 'yearly', catch_up => 'none');
             drop function mallory.tick()"
        ))
        .unwrap();
    cluster.wait_for(attack::SOON, "select state = 'broken' from jittask.tasks where name = 'held'");
    entries(&cluster, 500_000, "'infinity'", "''", 1);
    mallory.batch_execute(function).unwrap();
    let waiting = "select count(*) from jittask.agenda where run_at = 'infinity'";
    let mut admin = cluster.connect("postgres");
    assert_in_time(&cluster, &mut bob, control, "entries that are let go");
    cluster
        .wait_until("all to be let go", Duration::from_secs(120), || (number(&mut admin, waiting) == 0).then_some(()));
    cluster.wait_for(attack::SOON, "select state = 'active' from jittask.tasks where name = 'held'");
    assert_in_time(&cluster, &mut bob, control, "entries that run");
}

/// As if so many occurrences of the task "held" had come in, and been tried so often.
fn entries(cluster: &Cluster, count: i64, run_at: &str, key: &str, attempt: i32) {
    cluster.sql(
        "postgres",
        &format!(
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, attempt)
             select nextval('jittask.occurrence_id'), t.owner, t.id, {run_at}, i.at, i.at, array[{key}], {attempt}
             from (select * from jittask.task where name = 'held') t,
                  (select now() + interval '20 minutes' - g * {attempt} * interval '1 second' as at from generate_series(1, {count}) g) i;
             insert into jittask.tally (task_id, writer, entered) select id, -1, {count} from jittask.task where name = 'held'"
        ),
    );
}

/// More databases than have a place in shared memory, most of them without the extension: each is looked into now and then, and
/// none again and again; where the extension comes, it is found at once.
#[test]
fn more_databases_than_places_are_looked_into_seldom() {
    let cluster = cluster(&[("log_min_messages", "debug1"), ("fsync", "off")]);
    let mut admin = cluster.connect("postgres");
    let strategy = "strategy file_copy";
    for number in 1..=135 {
        admin.batch_execute(&format!("create database d{number} {strategy}")).unwrap();
    }
    let starts = || cluster.log().matches("starting background worker process \"jittask scheduler\"").count();
    let reload = |admin: &mut Client| {
        admin.batch_execute("select pg_reload_conf()").unwrap();
        std::thread::sleep(Duration::from_secs(1));
    };
    cluster.wait_until("each to be looked into", Duration::from_secs(120), || {
        reload(&mut admin);
        (starts() >= 136).then_some(())
    });
    (0..3).for_each(|_| reload(&mut admin));
    let before = starts();
    (0..5).for_each(|_| reload(&mut admin));
    assert!(starts() <= before + 5, "{} starts in five seconds", starts() - before);
    for number in [1, 60, 129, 135] {
        let database = format!("d{number}");
        cluster.sql(
            &database,
            "create extension jittask; select jittask.create_scheduled_task('t', now(), body => 'null')",
        );
        let mut session = cluster.connect(&database);
        cluster.wait_until("its task", attack::SOON, || {
            let ran = "select count(*) from jittask.records where status = 'completed'";
            (attack::number(&mut session, ran) == 1).then_some(())
        });
    }
}

/// Very many functions of a name, none of them the one that a task lost: found, or not, by name and argument at once.
#[test]
fn functions_of_one_name_are_not_read() {
    let (cluster, _bob) = fair(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.f() returns void language sql as '';
             select jittask.create_scheduled_task('t' || i, now() + interval '1 day', 'mallory.f') from generate_series(1, 20) i;
             drop function mallory.f();
             do $$ declare one oid; other oid; begin
                 for one, other in select a.oid, b.oid from pg_type a, pg_type b where a.typtype = 'b' and b.typtype = 'b' and a.typelem = 0
                         and b.typelem = 0 order by 1, 2 limit 3000 loop
                     execute format('create function mallory.f(%s, %s) returns void language sql as ''''', one::regtype, other::regtype);
                 end loop;
             end $$",
        )
        .unwrap();
    let broken = "select count(*) from jittask.tasks where state = 'broken'";
    cluster.wait_for(attack::SOON, &format!("select ({broken}) = 20"));
    let mut admin = cluster.connect("postgres");
    // Its own statistics are in before it is asked for.
    let read = "select idx_tup_read from pg_stat_sys_indexes where indexrelname = 'pg_proc_proname_args_nsp_index'";
    let looks = |admin: &mut Client, mallory: &mut Client| {
        std::thread::sleep(Duration::from_secs(2));
        let before = number(admin, read);
        for _ in 0..4 {
            mallory.batch_execute("create table mallory.x (); drop table mallory.x").unwrap();
            std::thread::sleep(Duration::from_millis(1200));
        }
        number(admin, read) - before
    };
    let passed = looks(&mut admin, &mut mallory);
    assert!(passed < 20_000, "{passed} entries were read for four looks at 20 tasks");
    mallory.batch_execute("create function mallory.f() returns void language sql as ''").unwrap();
    cluster.wait_for(attack::SOON, &format!("select ({broken}) = 0"));
}

/// One task that cannot be looked at is left out by itself: what others have lost and got back is seen.
#[test]
fn one_that_cannot_be_looked_at_keeps_no_others_from_it() {
    let (cluster, mut bob) = fair(&[]);
    // A name in the form of another setting, of a function that is gone.
    session(&cluster, "mallory")
        .batch_execute(
            "begin; set local quote_all_identifiers = on;
             select jittask.create_scheduled_task('p', now() + interval '10 days', body => 'null', name => 'poison');
             drop function jittask_inner.poison(); commit",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    let name = "select count(*) from jittask.task where function_name = 'jittask_inner.poison()'";
    assert_eq!(number(&mut admin, name), 1);
    cluster.wait_for(attack::SOON, "select count(*) = 1 from jittask.tasks where state = 'broken'");
    // And one that nobody can read as a name.
    session(&cluster, "mallory")
        .batch_execute("select jittask.create_scheduled_task('q', now() + interval '10 days', body => 'null')")
        .unwrap();
    cluster.sql("postgres", "update jittask.task set function_name = '\"q', function_oid = 0 where name = 'q'");
    bob.batch_execute("drop function bob.run(bob.t)").unwrap();
    let broken = "select state = 'broken' from jittask.tasks where name = 'victim'";
    cluster.wait_for(attack::SOON, broken);
    bob.batch_execute("create function bob.run(bob.t) returns void language sql as ''").unwrap();
    cluster.wait_for(attack::SOON, "select state = 'active' from jittask.tasks where name = 'victim'");
    late(&cluster, &mut bob);
}

/// A key may have a megabyte: a longer one is passed over, and the task says so.
#[test]
fn a_key_has_its_size() {
    let (cluster, _bob) = fair(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.k (k text, due timestamptz); create function mallory.run(mallory.k) returns void language sql as '';
             select jittask.create_date_task('keys', 'mallory.k', 'due', 'mallory.run', key_columns => '{k}')",
        )
        .unwrap();
    let asked = "select jittask.run_task('keys', jsonb_build_object('k', repeat('x', 2000000)))";
    assert_eq!(attack::code(mallory.batch_execute(asked)), "53400");
    mallory.batch_execute("insert into mallory.k values (repeat('x', 2000000), now()), ('short', now())").unwrap();
    attack::wait_for(&cluster, "keys", "completed", 1);
    cluster.wait_for(attack::SOON, "select exists (select from jittask.status(), unnest(problems) p where p like '%only rows run whose keys are%2000002')");
    mallory
        .batch_execute("delete from mallory.k where k <> 'short'; insert into mallory.k values ('other', now())")
        .unwrap();
    attack::wait_for(&cluster, "keys", "completed", 2);
}
