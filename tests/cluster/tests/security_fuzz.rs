//! Every SQL function of jittask is called ten thousand times with whatever is odd, from a fixed seed: nothing is an
//! internal error (class XX), nobody's connection is lost, and tasks still run afterwards.

mod attack;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use attack::wait_for;
use cluster::Cluster;
use cluster::postgres::Client;

/// What draws the arguments and calls.
const HARNESS: &str = include_str!("attack/fuzz.sql");

/// Calls of each function by an ordinary role; a superuser makes a tenth, and so does the role with odd settings, when it may
/// write and when it may not.
const CALLS: i32 = 10_000;
/// Calls in one transaction: locks and memory are freed at its end.
const PORTION: i32 = 1000;

/// What nobody would set, but may.
const ODD_SETTINGS: &str = "set datestyle = 'German, DMY'; set intervalstyle = 'sql_standard'; set search_path = ''; set timezone = '<+05>-05:13';
    set bytea_output = escape; set extra_float_digits = -15;
    set row_security = off; set check_function_bodies = off; set default_transaction_isolation = 'repeatable read'; set work_mem = '64kB';";

/// The role's own tasks, and one of somebody else.
const TASKS: &str = "
select jittask.create_calendar('fuzz', 'DE');
select jittask.create_scheduled_task('tick', '2026-01-01 08:00', 'fuzz.tick', repeat => 'daily', end_at => '2035-01-01', skip_holidays => true, calendar => 'fuzz', name => 'fuzz_tick');
select jittask.create_date_task('rows', 'fuzz.due', 'due', 'fuzz.run(fuzz.due)', filter => 'note = ''x''', repeat => 'yearly', end_at => '2035-01-01', name => 'fuzz_rows');
select jittask.create_scheduled_task('paused', '2090-01-01', 'fuzz.tick', enabled => false, name => 'fuzz_paused');
select jittask.run_task('fuzz_tick')";

fn prepare(cluster: &Cluster) {
    cluster.sql("postgres", HARNESS);
    cluster.sql(
        "postgres",
        "select jittask.create_scheduled_task('theirs', '2099-01-01', body => 'null', name => 'theirs')",
    );
    cluster.app().batch_execute(TASKS).unwrap();
}

/// All functions of the schema: also triggers', event triggers' and those that nobody but ours should call.
fn functions(session: &mut Client) -> Vec<(u32, String)> {
    let query =
        "select oid, oid::regprocedure::text from pg_proc where pronamespace = 'jittask'::regnamespace order by 2";
    session.query(query, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Calls functions, each time the next one that nobody has taken, until there is none; returns what was wrong.
fn fuzz(cluster: &Cluster, (role, settings): (&str, &str), calls: i32, next: &AtomicUsize) -> Vec<String> {
    let mut session = cluster.connect_as("postgres", role);
    session.batch_execute("set lock_timeout = '20ms'; set client_min_messages = error; set jit = off").unwrap();
    let functions = functions(&mut session);
    session.batch_execute(settings).unwrap();
    assert!(functions.len() > 30, "{functions:?}");
    let mut wrong = Vec::new();
    while let Some((oid, signature)) = functions.get(next.fetch_add(1, Ordering::Relaxed)) {
        session.batch_execute("select setseed(0.12)").unwrap();
        let mut states: BTreeMap<String, i64> = BTreeMap::new();
        for portion in (0..calls).step_by(PORTION as usize) {
            let count = PORTION.min(calls - portion);
            let rows = session.query("select state, times, example from fuzz.calls($1, $2)", &[&oid, &count]);
            let rows = rows.unwrap_or_else(|error| panic!("{signature}: {error:?}\n{}", cluster.log_tail()));
            for row in rows {
                let (state, times, example): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
                if state.starts_with("XX") {
                    wrong.push(format!("{times} times {state} as {role}: {example}"));
                }
                *states.entry(state).or_default() += times;
            }
        }
        println!("{signature} as {role}: {states:?}");
    }
    wrong
}

#[test]
fn no_call_is_an_internal_error() {
    let cluster = Cluster::ready(&[]);
    prepare(&cluster);
    wait_for(&cluster, "fuzz_tick", "completed", 1);
    let next: [AtomicUsize; 4] = Default::default();
    let read_only = format!("{ODD_SETTINGS} set default_transaction_read_only = on");
    let calls = || {
        let mut wrong = fuzz(&cluster, ("app", ""), CALLS, &next[0]);
        wrong.extend(fuzz(&cluster, ("postgres", ""), CALLS / 10, &next[1]));
        wrong.extend(fuzz(&cluster, ("app", ODD_SETTINGS), CALLS / 10, &next[2]));
        wrong.extend(fuzz(&cluster, ("app", &read_only), CALLS / 10, &next[3]));
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let sessions = [scope.spawn(calls), scope.spawn(calls)];
        sessions.into_iter().flat_map(|session| session.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log_tail());
    cluster.app_sql("select jittask.run_task('fuzz_tick')");
    wait_for(&cluster, "fuzz_tick", "completed", 2);
    let lost: i64 = cluster::one(&mut cluster.app(), "select unaccounted from jittask.status()");
    assert_eq!(lost, 0);
}

/// Anybody may make triggers of any kind of the capture function, with any arguments: nobody's command fails by it.
#[test]
fn the_capture_function_never_raises() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    session
        .batch_execute(
            "create table t (id int primary key, due timestamptz, gone int); alter table t drop column gone;
             create view v as select * from t",
        )
        .unwrap();
    let arguments = ["", "''", "'x'", "'12345'", "'-9223372036854775809', 'due', 'id'", "'1', 'due', 'id', '', 'due'"];
    let many = format!("'1', {}", vec!["'id'"; 500].join(", "));
    let odd = ["'1', '', '', ''", "'1', 'gone', 'nothing', '', 'gone'", "'1', 'we\"ird. N\u{e4}me''; --', '%s'", &many];
    for given in arguments.iter().chain(&odd) {
        for (relation, when, each) in [
            ("t", "before insert or update or delete", "row"),
            ("t", "after insert or update or delete", "row"),
            ("t", "before insert or update or delete or truncate", "statement"),
            ("t", "after insert or update or delete or truncate", "statement"),
            ("v", "instead of insert or update or delete", "row"),
        ] {
            let made = format!(
                "create trigger odd {when} on {relation} for each {each} execute function jittask.capture_row({given})"
            );
            session.batch_execute(&made).unwrap_or_else(|error| panic!("{made}: {error:?}"));
            for command in [
                "insert into ? values (1, now())",
                "update ? set due = due + interval '1 s', id = id + 1",
                "delete from ?",
                "truncate t",
            ] {
                let command = command.replace('?', relation);
                session.batch_execute(&command).unwrap_or_else(|error| panic!("{command} after {made}: {error:?}"));
            }
            session.batch_execute(&format!("drop trigger odd on {relation}")).unwrap();
        }
    }
}

/// Texts that are no UTF-8 cannot be read here: in a database that has them there is no jittask at all.
#[test]
fn other_encodings_are_refused_as_a_whole() {
    let cluster = Cluster::with(&[]);
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
        let create = format!("create database {encoding} encoding '{encoding}' template template0 locale 'C'");
        cluster.sql("postgres", &create);
        let mut session = cluster.connect(&encoding.to_lowercase());
        assert_eq!(attack::code(session.batch_execute("create extension jittask")), "0A000", "{encoding}");
    }
}
