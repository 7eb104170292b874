//! Attempts to make a name in one of jittask's statements mean something else: an object planted beside the one that is
//! meant, and schemas that change places between a look-up and the parse.

mod attack;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use attack::{NOTE, attempt, caught, cluster, code, loot, session, wait_for};
use cluster::{Cluster, SOON};

/// The same from inside of what must not write.
const QUIETLY: &str = "create function mallory.quietly(what text) returns boolean language plpgsql immutable as
    $$ begin return mallory.note(what); end $$";

#[test]
fn nobody_creates_anything_in_a_schema_of_jittask() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    for schema in ["jittask", "jittask_inner", "jittask_filter"] {
        for object in [
            "table {}.t (n int)",
            "domain {}.d as int",
            "type {}.c as (n int)",
            "type {}.e as enum ('x')",
            "function {}.f() returns int language sql as 'select 1'",
            "operator {}.== (function = int4eq, leftarg = int4, rightarg = int4)",
            "view {}.v as select 1 as n",
            "sequence {}.s",
        ] {
            let create = format!("create {}", object.replace("{}", schema));
            assert_eq!(code(mallory.batch_execute(&create)), "42501", "{create}");
        }
    }
    // Nor does anything that somebody made keep the extension from being dropped.
    cluster.sql("postgres", "drop extension jittask cascade");
}

/// A domain of the name of a filter's function: a call whose argument is no exact match for the function is taken for a
/// cast to it. Also where a careless superuser lets everybody create there. (Filters that read the clock are no part of a
/// WHERE, so that they need not be boolean.)
#[test]
fn a_type_of_a_filters_name() {
    let cluster = cluster(&[("jittask.scan_interval", "300ms")]);
    cluster.sql("postgres", "alter role bob superuser; grant create on schema jittask_filter to mallory");
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.bill (id int primary key, due timestamptz, amount int, note text, kind varchar);
         create function bob.pay(bob.bill) returns void language sql as '';
         select jittask.create_date_task('by amount', 'bob.bill', 'due', 'bob.pay', filter => 'amount > 5 and clock_timestamp() is not null');
         select jittask.create_date_task('by note', 'bob.bill', 'due', 'bob.pay', filter => 'note <> ''x'' and clock_timestamp() is not null');
         select jittask.create_date_task('by kind', 'bob.bill', 'due', 'bob.pay', filter => 'kind <> ''x''');
         select jittask.create_date_task('by both', 'bob.bill', 'due', 'bob.pay', filter => 'amount > 5 and note <> ''x''')",
    )
    .unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    let names =
        mallory.query("select proname::text from pg_proc where pronamespace = 'jittask_filter'::regnamespace", &[]);
    for (row, base) in names.unwrap().iter().zip(["bigint", "varchar", "text", "bigint"]) {
        let name: String = row.get(0);
        mallory
            .batch_execute(&format!("create domain jittask_filter.{name} as {base} check (mallory.note('domain'))"))
            .unwrap();
    }
    bob.batch_execute(
        "alter table bob.bill alter amount type bigint, alter note type varchar, alter kind type text;
         insert into bob.bill values (1, now(), 10, 'a', 'a')",
    )
    .unwrap();
    // A text is still a text, and what is not an integer any more is said.
    wait_for(&cluster, "by_note", "completed", 1);
    wait_for(&cluster, "by_kind", "completed", 1);
    for task in ["by_amount", "by_both"] {
        cluster.wait_for(
            SOON,
            &format!(
                "select coalesce(problem like '%column \"amount\" is of type bigint, and was integer%', false)
                 from jittask.tasks where name = '{task}'"
            ),
        );
        attempt(
            &mut bob,
            &[
                &format!("select * from jittask.preview('{task}')"),
                &format!("select * from jittask.explain_row('{task}', '{{\"id\": 1}}')"),
                &format!("select * from jittask.simulate('{task}', now() - interval '1 day', now())"),
            ],
        );
        bob.batch_execute(&format!("select jittask.alter_task('{task}', '{{\"filter\": \"amount > 6\"}}')")).unwrap();
    }
    bob.batch_execute("insert into bob.bill values (2, now(), 10, 'a', 'a')").unwrap();
    wait_for(&cluster, "by_amount", "completed", 1);
    wait_for(&cluster, "by_both", "completed", 1);
    assert!(loot(&cluster).is_empty(), "{:?}", loot(&cluster));
}

/// Mallory owns the schema that a superuser's table lies in, and may create schemas. His own has a view of the table's name,
/// whose columns call his function, and functions of the task's names.
const TRAP: &str = "
    create schema app; create table app.t (id int primary key, due timestamptz, day date, n int);
    create index on app.t (due); create index on app.t (day);
    create function app.pay(app.t) returns void language sql as '';
    alter schema app owner to mallory; grant create on database postgres to mallory;
    create schema trap authorization mallory;
    grant usage on schema app, trap to public";
const BAIT: &str = "
    create function mallory.number(what text) returns int language plpgsql as $$ begin perform mallory.note(what); return 1; end $$;
    create domain mallory.moment as timestamptz check (mallory.quietly('literal'));
    create domain mallory.count as int check (mallory.quietly('literal'));
    create view trap.t as select mallory.number('id') as id, null::mallory.moment as due,
        case when mallory.note('day') then current_date end as day, mallory.number('n')::mallory.count as n,
        'pg_class'::regclass::oid as tableoid, case when mallory.note('ctid') then '(0,1)'::tid end as ctid
        from generate_series(1, mallory.number('from')) where mallory.quietly('planned');
    create function trap.pay(trap.t) returns void language plpgsql as $$ begin perform mallory.note('pay'); end $$";
const SWAP: &str = "alter schema app rename to away; alter schema trap rename to app";
const SWAP_BACK: &str = "alter schema app rename to trap; alter schema away rename to app";

/// Lets the two schemas change places as soon as somebody else has looked the table up, again and again.
fn swaps(cluster: &Cluster, is_over: &AtomicBool) -> u32 {
    let mut mallory = session(cluster, "mallory");
    let table: u32 = mallory.query_one("select 'app.t'::regclass::oid", &[]).unwrap().get(0);
    let held = mallory
        .prepare("select count(*) > 0 from pg_locks where relation = $1 and pid <> pg_backend_pid() and mode = 'AccessShareLock'")
        .unwrap();
    let mut count = 0;
    while !is_over.load(Relaxed) {
        let is_held: bool = mallory.query_one(&held, &[&table]).unwrap().get(0);
        if is_held || count % 5 == 4 {
            mallory.batch_execute(SWAP).unwrap();
            std::thread::sleep(Duration::from_millis(u64::from(count % 7)));
            mallory.batch_execute(SWAP_BACK).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn schemas_change_places_between_look_up_and_parse() {
    let cluster = cluster(&[("jittask.scan_interval", "200ms")]);
    cluster.sql("postgres", TRAP);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory.batch_execute(QUIETLY).unwrap();
    mallory.batch_execute(BAIT).unwrap();
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(
            "select jittask.create_date_task('due', 'app.t', 'due', 'app.pay', filter => 'n > 0', max_attempts => 100, retry_backoff => '0.1 seconds');
             select jittask.create_date_task('day', 'app.t', 'day', 'app.pay', repeat => 'yearly', capture => 'scan', existing_rows => '1 day', max_attempts => 100, retry_backoff => '0.1 seconds')",
        )
        .unwrap();
    let is_over = AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| swaps(&cluster, &is_over));
        let until = std::time::Instant::now() + Duration::from_secs(12);
        let mut id = 0;
        while std::time::Instant::now() < until {
            id += 10;
            let rows =
                format!("insert into app.t select g, now(), current_date, 1 from generate_series({id}, {id} + 9) g");
            let key = format!("'{{\"id\": {id}}}'");
            attempt(
                &mut admin,
                &[
                    &rows,
                    &format!("insert into app.t values ({id} + 100000, now(), current_date, 1)"),
                    "select * from jittask.preview('due')",
                    "select * from jittask.simulate('day', now(), now() + interval '2 years')",
                    &format!("select * from jittask.explain_row('due', {key})"),
                    &format!("select jittask.run_task('due', {key})"),
                    "begin; select jittask.create_date_task('new', 'app.t', 'due', 'app.pay', filter => 'n > ''0'''); rollback",
                    "begin; select jittask.create_date_task('body', 'app.t', 'due', body => 'null', filter => 'due > ''2020-01-01'''); rollback",
                    "begin; select jittask.alter_task('due', '{\"filter\": \"n > 1\"}'); rollback",
                    "rollback",
                ],
            );
        }
        is_over.store(true, Relaxed);
        swapping.join().unwrap()
    });
    assert!(swaps > 20, "the schemas changed places {swaps} times");
    assert!(caught(&cluster, "postgres").is_empty(), "{swaps} swaps: {:?}", caught(&cluster, "postgres"));
    // What it held up goes on.
    admin.batch_execute("insert into app.t values (-1, now(), current_date, 1)").unwrap();
    cluster.wait_for(
        SOON,
        "select exists (select from jittask.records where task = 'due' and row_key = '{\"id\": -1}' and status = 'completed')",
    );
    // The other task's problem goes when that is planned the next time.
    cluster.wait_for(SOON, "select not exists (select from jittask.tasks where problem is not null)");
}

/// A library like pgaudit is loaded, which wants to know of each function: it is told, and the function is still the one
/// that was looked up, not one that has its name by now.
#[test]
fn functions_change_places_under_a_library_that_watches_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let library = dir.path().join("watch.so");
    build_watch(&library);
    let cluster = cluster(&[("shared_preload_libraries", &format!("jittask,{}", library.display()))]);
    cluster.sql(
        "postgres",
        "create table bob.t (id int primary key, due timestamptz); alter table bob.t owner to bob;
         create schema app; create function app.pay(bob.t) returns void language sql as ''; alter function app.pay owner to bob;
         alter schema app owner to mallory; grant create on database postgres to mallory;
         create schema trap authorization mallory; grant usage on schema app, trap, bob to public",
    );
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute("create function trap.pay(bob.t) returns void language plpgsql as $$ begin perform mallory.note('pay'); end $$")
        .unwrap();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute("select jittask.create_date_task('pay', 'bob.t', 'due', 'app.pay')").unwrap();
    let function: u32 = bob.query_one("select 'app.pay'::regproc::oid", &[]).unwrap().get(0);
    for id in 0..100 {
        mallory.batch_execute(if id % 2 == 0 { SWAP } else { SWAP_BACK }).unwrap();
        bob.execute("insert into bob.t values ($1, now())", &[&id]).unwrap();
    }
    wait_for(&cluster, "pay", "completed", 100);
    assert!(loot(&cluster).is_empty(), "{:?}", loot(&cluster));
    assert!(cluster.log().contains(&format!("watched: function {function}")));
}

fn build_watch(library: &std::path::Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/watch/watch.c");
    let config = std::env::var("PG_CONFIG").unwrap();
    let include = std::process::Command::new(config).arg("--includedir-server").output().unwrap();
    let include = format!("-I{}", String::from_utf8(include.stdout).unwrap().trim());
    let built =
        std::process::Command::new("cc").args(["-shared", "-fPIC", &include, "-o"]).arg(library).arg(source).status();
    assert!(built.unwrap().success());
}
