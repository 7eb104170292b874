//! Attempts that change an object after it was looked up: a column's type, a function of a filter's name, a view's text.

mod attack;

use std::time::Duration;

use attack::{NOTE, attempt, cluster, code, loot, session, wait_for};
use cluster::{Cluster, SOON};

fn assert_alive(cluster: &Cluster) {
    cluster.wait_until("a new session", SOON, || cluster.try_connect("postgres", "bob").ok());
    let log = cluster.log();
    assert!(!log.contains("terminated by signal"), "{log}");
}

/// What a trigger looked up is not believed after somebody else has altered the table.
#[test]
fn a_column_that_a_trigger_watches_changes_its_type() {
    let cluster = cluster(&[]);
    let (mut writer, mut altering) = (session(&cluster, "mallory"), session(&cluster, "mallory"));
    writer
        .batch_execute(
            "create table mallory.t (id int primary key, note text, n int default 0, due timestamptz);
             insert into mallory.t values (1, 'x');
             create trigger c after update on mallory.t for each row execute function jittask.capture_row('1', 'due', 'id', '', 'note');
             select jittask.create_date_task('t', 'mallory.t', 'due', body => 'null', filter => 'note is not null')",
        )
        .unwrap();
    writer.batch_execute("update mallory.t set n = n + 1").unwrap();
    altering.batch_execute("alter table mallory.t alter note type int using 42").unwrap();
    writer.batch_execute("update mallory.t set n = n + 1").unwrap();
    altering
        .batch_execute("select jittask.drop_task('t'); alter table mallory.t alter due type text using 'x'")
        .unwrap();
    writer.batch_execute("update mallory.t set n = n + 1, due = 'y'").unwrap();
    assert_alive(&cluster);
}

/// The key's type changes between the look-up and the reading, which waits for the lock.
#[test]
fn a_key_changes_its_type_while_it_is_waited_for() {
    let cluster = cluster(&[]);
    let (mut reader, mut altering) = (session(&cluster, "mallory"), session(&cluster, "mallory"));
    reader
        .batch_execute(
            "create table mallory.p (id text primary key, d date); insert into mallory.p values ('x', current_date + 1);
             select jittask.create_date_task('p', 'mallory.p', 'd', body => 'null', capture => 'scan')",
        )
        .unwrap();
    for statement in
        ["select * from jittask.preview('p')", "select * from jittask.simulate('p', now(), now() + '9 days')"]
    {
        altering.batch_execute("begin; alter table mallory.p alter id type int using 42").unwrap();
        let waiting = std::thread::spawn({
            let mut reader = session(&cluster, "mallory");
            move || reader.batch_execute(statement).err().map(|error| error.code().unwrap().code().to_string())
        });
        cluster.wait_for(
            SOON,
            "select exists (select from pg_locks where relation = 'mallory.p'::regclass and not granted)",
        );
        altering.batch_execute("commit").unwrap();
        let refused = waiting.join().unwrap();
        assert!(refused.is_none() || refused.as_deref() == Some("40001"), "{refused:?}");
        altering.batch_execute("alter table mallory.p alter id type text").unwrap();
    }
    assert_alive(&cluster);
}

/// Nobody makes a function that a filter's call could mean as well, and a column that becomes longer and short again is as
/// it was.
#[test]
fn a_second_function_of_a_filters_name() {
    let cluster = cluster(&[("jittask.scan_interval", "500ms")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.bill (id int primary key, due timestamptz, amount int);
         create table bob.paid (id int);
         create function bob.pay(bob.bill) returns void language sql as 'insert into bob.paid values ($1.id)';
         select jittask.create_date_task('bills', 'bob.bill', 'due', 'bob.pay', filter => 'amount > 5')",
    )
    .unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    let name: String = mallory
        .query_one("select proname::text from pg_proc where pronamespace = 'jittask_filter'::regnamespace", &[])
        .unwrap()
        .get(0);
    for parameters in ["bigint", "int, int default 0", "numeric", "variadic int[]", "jittask.task_kind"] {
        let create = format!(
            "create function jittask_filter.{name}({parameters}) returns boolean language sql as $$ select mallory.note('filter') $$"
        );
        assert_eq!(code(mallory.batch_execute(&create)), "42501", "{parameters}");
    }
    let procedure = format!("create procedure jittask_filter.{name}(bigint) language sql as ''");
    assert_eq!(code(mallory.batch_execute(&procedure)), "42501");
    mallory
        .batch_execute(&format!(
            "create function mallory.{name}(bigint) returns boolean language sql as $$ select mallory.note('filter') $$"
        ))
        .unwrap();
    let moved = format!("alter function mallory.{name}(bigint) set schema jittask_filter");
    assert_eq!(code(mallory.batch_execute(&moved)), "42501");
    bob.batch_execute("alter table bob.bill alter amount type bigint; alter table bob.bill alter amount type int")
        .unwrap();
    bob.batch_execute("insert into bob.bill values (1, now(), 10), (2, now(), 1)").unwrap();
    wait_for(&cluster, "bills", "completed", 1);
    assert!(loot(&cluster).is_empty());
}

/// A type with a cast of its maker's, in a column that another's filter reads.
#[test]
fn a_cast_to_what_a_filter_takes() {
    let cluster = cluster(&[("jittask.scan_interval", "500ms")]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute(
            "create table mallory.bill (id int primary key, due timestamptz, amount int);
             grant select, trigger on mallory.bill to bob",
        )
        .unwrap();
    session(&cluster, "bob")
        .batch_execute(
            "select jittask.create_date_task('bills', 'mallory.bill', 'due', body => 'null', filter => 'amount > 5')",
        )
        .unwrap();
    mallory
        .batch_execute(
            "create type mallory.money as (n int);
             create function mallory.to_int(mallory.money) returns int language sql as $$ select case when mallory.note('cast') then 9 end $$;
             create cast (mallory.money as int) with function mallory.to_int(mallory.money) as implicit;
             alter table mallory.bill alter amount type mallory.money using row(amount);
             insert into mallory.bill values (1, now(), row(7))",
        )
        .unwrap();
    cluster.wait_for(SOON, "select coalesce(problem like '%filter%', false) from jittask.tasks where name = 'bills'");
    assert!(loot(&cluster).iter().all(|(_, who, _)| who == "mallory"), "{:?}", loot(&cluster));
}

/// A view of another's is not even planned once its task's owner is a superuser.
#[test]
fn a_view_is_rewritten_under_a_superusers_task() {
    let cluster = cluster(&[("jittask.scan_interval", "300ms")]);
    let (mut mallory, mut bob) = (session(&cluster, "mallory"), session(&cluster, "bob"));
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute(
            "create table mallory.b (id int primary key, d timestamptz); insert into mallory.b values (1, now() + '1 hour');
             create view mallory.v as select id, d from mallory.b; grant select on mallory.v to bob",
        )
        .unwrap();
    bob.batch_execute(
        "select jittask.create_date_task('t', 'mallory.v', 'd', body => 'null', capture => 'scan', key_columns => '{id}')",
    )
    .unwrap();
    cluster.sql("postgres", "alter role bob superuser");
    std::thread::sleep(Duration::from_secs(2));
    mallory
        .batch_execute("create or replace view mallory.v as select id, case when mallory.note('view') then d end as d from mallory.b")
        .unwrap();
    cluster.wait_for(SOON, "select coalesce(problem like '%superuser%', false) from jittask.tasks where name = 't'");
    attempt(
        &mut session(&cluster, "bob"),
        &["select * from jittask.preview('t')", "select * from jittask.simulate('t', now(), now() + '1 day')"],
    );
    assert!(loot(&cluster).iter().all(|(_, who, _)| who == "mallory"), "{:?}", loot(&cluster));
}
