//! A superuser's task on a table of which a part is somebody else's: whoever plans a query evaluates what indexes, checks
//! and views say, and that is the superuser's executor.

mod attack;

use attack::{attempt, caught, cluster, code, session};
use cluster::{Cluster, SOON};
use std::time::{Duration, Instant};

/// Functions that note as whom they run, though they say that they change nothing.
const EVIL: &str = "
    create function mallory.note(what text) returns boolean language plpgsql as
    $$ begin insert into public.loot values (what, current_user, session_user); return true; end $$;
    create function mallory.evil(n int) returns boolean language plpgsql immutable as
    $$ begin return mallory.note('evil'); end $$;
    create function mallory.number(n int) returns int language plpgsql immutable as
    $$ begin perform mallory.note('number'); return n; end $$;
    grant usage on schema mallory to public";

/// What a superuser may have: a table `own.t` with `id` and `due`, whole or in parts, and what of it is mallory's.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "a partition",
        "create table own.t (id int, due timestamptz, primary key (id)) partition by range (id);
         create table own.part partition of own.t for values from (0) to (1000); alter table own.part owner to mallory",
        "create index on own.part (id) where mallory.evil(1)",
    ),
    (
        "a child",
        "create table own.t (id int primary key, due timestamptz); create table own.child () inherits (own.t);
         alter table own.child owner to mallory",
        "create index on own.child ((mallory.number(1)), id)",
    ),
    (
        "a child with a check",
        "create table own.t (id int primary key, due timestamptz); create table own.child () inherits (own.t);
         alter table own.child owner to mallory",
        "alter table own.child add check (mallory.evil(1))",
    ),
    (
        "a view of another's table",
        "create table mallory.base (id int, due timestamptz); alter table mallory.base owner to mallory;
         create view own.t as select id, due from mallory.base",
        "create index on mallory.base (id) where mallory.evil(2)",
    ),
    (
        "a view of a view",
        "create table mallory.base (id int, due timestamptz); alter table mallory.base owner to mallory;
         create view own.inner as select id, due from mallory.base; create view own.t as select id, due from own.inner",
        "create or replace rule nothing as on insert to mallory.base do also nothing",
    ),
    (
        "an index",
        "create table own.t (id int primary key, due timestamptz); create index on own.t (id) where mallory.evil(3)",
        "select 1",
    ),
    (
        "a check",
        "create table own.t (id int primary key, due timestamptz); alter table own.t add check (mallory.evil(id))",
        "select 1",
    ),
    (
        "a generated column",
        "create table own.t (id int primary key, due timestamptz, n int generated always as (mallory.number(id)) stored)",
        "select 1",
    ),
    (
        "a default",
        "create table own.t (id int primary key, due timestamptz, n int default mallory.number(1))",
        "select 1",
    ),
    (
        "statistics",
        "create table own.t (id int primary key, due timestamptz); create statistics own.s on (mallory.number(id)) from own.t",
        "select 1",
    ),
    (
        "a partition key",
        "create table own.t (id int, due timestamptz) partition by range (mallory.number(id))",
        "select 1",
    ),
    (
        "a view's function",
        "create table own.base (id int primary key, due timestamptz);
         create view own.t as select id, due from own.base where mallory.evil(id)",
        "select 1",
    ),
    (
        "a view's type",
        "create domain mallory.d as int check (mallory.evil(value)); alter domain mallory.d owner to mallory;
         create table own.base (id int primary key, due timestamptz);
         create view own.t as select id, due from own.base where id::mallory.d > 0",
        "select 1",
    ),
    (
        "a view's operator",
        "create table own.base (id int primary key, due timestamptz);
         create function own.same(int, int) returns boolean language sql as 'select true';
         create operator own.=== (function = own.same, leftarg = int, rightarg = int, restrict = eqsel);
         alter operator own.=== (int, int) owner to mallory;
         create view own.t as select id, due from own.base where id operator(own.===) 1",
        "select 1",
    ),
];

const CREATE: &str =
    "select jittask.create_date_task('mine', 'own.t', 'due', 'own.run', capture => 'scan', key_columns => '{id}',
    existing_rows => '1 hour')";

fn prepare(cluster: &Cluster, table: &str) {
    session(cluster, "mallory").batch_execute(EVIL).unwrap();
    cluster.sql("postgres", &format!("create schema own; grant usage on schema own to public; {table}"));
    cluster.sql(
        "postgres",
        "create function own.run(own.t) returns void language sql as ''; grant usage, create on schema own to mallory",
    );
    cluster.sql("postgres", "delete from public.loot");
}

/// In databases of one cluster, since each has its own schemas: a table, and a task that is refused.
#[test]
fn a_superusers_task_is_refused_on_parts_of_others() {
    let cluster = cluster(&[("jittask.scan_interval", "200ms")]);
    for (what, table, attack) in TABLES {
        prepare(&cluster, table);
        let mut admin = cluster.connect("postgres");
        assert_eq!(code(admin.batch_execute(CREATE)), "42501", "{what}");
        session(&cluster, "mallory").batch_execute(attack).unwrap();
        attempt(&mut admin, &[CREATE]);
        assert!(caught(&cluster, "postgres").is_empty(), "{what}: {:?}", caught(&cluster, "postgres"));
        cluster.sql(
            "postgres",
            "drop schema own cascade; drop owned by mallory cascade; create schema mallory authorization mallory",
        );
    }
}

/// The table was a superuser's throughout when the task was made; then a part becomes mallory's.
#[test]
fn a_superusers_task_breaks_when_a_part_becomes_anothers() {
    let cluster = cluster(&[("jittask.scan_interval", "200ms")]);
    prepare(
        &cluster,
        "create table own.t (id int, due timestamptz, primary key (id)) partition by range (id);
         create table own.part partition of own.t for values from (0) to (1000)",
    );
    cluster.sql("postgres", CREATE);
    cluster.sql("postgres", "insert into own.t values (1, now())");
    cluster.wait_for(SOON, "select completed = 1 from jittask.tasks");
    cluster.sql("postgres", "alter table own.part owner to mallory");
    session(&cluster, "mallory").batch_execute("create index on own.part (id) where mallory.evil(1)").unwrap();
    session(&cluster, "mallory").batch_execute("delete from public.loot").unwrap_or_default();
    cluster.sql("postgres", "delete from public.loot");
    session(&cluster, "mallory").batch_execute("insert into own.part values (2, now())").unwrap();
    cluster.wait_for(
        SOON,
        "select coalesce(problem like '%own.part is not owned by a superuser%', false) from jittask.tasks",
    );
    let mut admin = cluster.connect("postgres");
    attempt(
        &mut admin,
        &[
            "select * from jittask.preview('mine')",
            "select * from jittask.simulate('mine', now() - interval '1 hour', now())",
            "select * from jittask.explain_row('mine', '{\"id\": 1}')",
            "select jittask.run_task('mine', '{\"id\": 1}')",
        ],
    );
    assert!(caught(&cluster, "postgres").is_empty(), "{:?}", caught(&cluster, "postgres"));
}

/// A part, the table itself or the function changes hands all the time: its new owner's code is never evaluated by the
/// superuser's executor.
#[test]
fn what_changes_hands_while_it_is_read() {
    let cluster = cluster(&[("jittask.scan_interval", "100ms"), ("jittask.max_executors", "4")]);
    prepare(
        &cluster,
        "create table own.t (id int, due timestamptz, primary key (id)) partition by range (id);
         create table own.part partition of own.t for values from (0) to (1000000)",
    );
    cluster.sql("postgres", CREATE);
    let run = |body| format!("create or replace function own.run(own.plain) returns void language sql as $${body}$$");
    cluster.sql(
        "postgres",
        &format!(
            "create table own.plain (id int primary key, due timestamptz); {};
             select jittask.create_date_task('plain', 'own.plain', 'due', 'own.run')",
            run("")
        ),
    );
    let (mut admin, mut mallory) = (cluster.connect("postgres"), session(&cluster, "mallory"));
    let until = Instant::now() + Duration::from_secs(15);
    let mut rounds = 0;
    while Instant::now() < until {
        rounds += 1;
        let rows = format!("select {rounds} * 10 + n, now() + n * interval '3 ms' from generate_series(0, 9) n");
        for table in ["own.part", "own.plain"] {
            admin.batch_execute(&format!("insert into {} {rows}", table.replace("part", "t"))).unwrap();
            admin.batch_execute(&format!("alter table {table} owner to mallory")).unwrap();
            mallory.batch_execute(&format!("create index evil on {table} (id) where mallory.evil(1)")).unwrap();
            admin.batch_execute(&format!("drop index own.evil; alter table {table} owner to postgres")).unwrap();
        }
        admin.batch_execute("alter function own.run(own.plain) owner to mallory").unwrap();
        mallory.batch_execute(&run("select mallory.note('run')")).unwrap();
        admin
            .batch_execute(&format!("begin; alter function own.run(own.plain) owner to postgres; {}; commit", run("")))
            .unwrap();
    }
    admin.batch_execute("delete from public.loot where session = 'mallory'").unwrap();
    assert!(caught(&cluster, "postgres").is_empty(), "{rounds} rounds: {:?}", caught(&cluster, "postgres"));
    // And when that is over, all of it has run.
    cluster.wait_for(SOON, &format!("select count(*) = {rounds} * 20 from jittask.records where status = 'completed'"));
}

/// What is held while a superuser's task runs does not keep him from altering or dropping it.
#[test]
fn a_superusers_task_is_altered_and_dropped_while_it_runs() {
    let cluster = cluster(&[("jittask.scan_interval", "100ms")]);
    prepare(&cluster, "create table own.t (id int primary key, due timestamptz)");
    cluster.sql(
        "postgres",
        "select jittask.create_scheduled_task('inner', now(), body => 'perform pg_sleep(20);');
         select jittask.create_date_task('rows', 'own.t', 'due', body => 'perform pg_sleep(20);', filter => 'id > 0');
         insert into own.t values (1, now())",
    );
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'executing'");
    cluster.sql("postgres", "select jittask.alter_task('inner', '{\"body\": \"null;\"}')");
    cluster.sql("postgres", "select jittask.drop_task('inner')");
    cluster.sql("postgres", "select jittask.alter_task('rows', '{\"body\": \"null;\"}')");
}

/// What superusers own throughout is not refused, whatever it is made of.
#[test]
fn a_superusers_own_parts_are_taken() {
    let cluster = cluster(&[("jittask.scan_interval", "200ms")]);
    prepare(
        &cluster,
        "create extension if not exists plpgsql;
         create function own.even(n int) returns boolean language sql immutable as 'select n % 2 = 0';
         create domain own.positive as int check (value > 0);
         create type own.colour as enum ('red', 'green');
         create table own.base (id own.positive, due timestamptz, colour own.colour default 'red',
             half int generated always as (id / 2) stored, check (own.even(2)), primary key (id)) partition by range (id);
         create table own.part partition of own.base for values from (1) to (1000);
         create index on own.base (due) where own.even(id);
         create statistics own.s on (id % 3), due from own.part;
         create view own.t as select id, due from own.base where colour = 'red'",
    );
    cluster.sql("postgres", "insert into own.base values (1, now()), (2, now())");
    cluster.sql("postgres", CREATE);
    cluster.wait_for(SOON, "select completed = 2 from jittask.tasks");
}

/// A filter's literals are read while it is analysed, as the types of the table's columns.
#[test]
fn a_superusers_filter_over_a_column_of_anothers_type_is_refused() {
    let cluster = cluster(&[]);
    prepare(&cluster, "create table own.t (id int primary key, due timestamptz)");
    session(&cluster, "mallory")
        .batch_execute(
            "create domain mallory.checked as text check (mallory.evil(1));
             create type mallory.pair as (a mallory.checked);
             grant usage on schema mallory to public",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    for (column, filter) in [
        ("mallory.checked[]", "tags <> '{closed}'"),
        ("mallory.checked[]", "t is not null and tags <> '{closed}'"),
        ("mallory.pair", "tags <> '(closed)'"),
        ("own.span", "not tags && '[a,b)'"),
    ] {
        admin
            .batch_execute(&format!(
                "drop table own.t cascade; create type own.span as range (subtype = mallory.checked);
                 create table own.t (id int primary key, due timestamptz, tags {column})"
            ))
            .unwrap();
        cluster.sql("postgres", "delete from public.loot");
        let made =
            format!("select jittask.create_date_task('t', 'own.t', 'due', body => 'null', filter => $${filter}$$)");
        assert_eq!(code(admin.batch_execute(&made)), "42501", "{column}: {filter}");
        assert!(caught(&cluster, "postgres").is_empty(), "{column}: {:?}", caught(&cluster, "postgres"));
        // What was a superuser's when the task was made, is made again.
        admin
            .batch_execute(&format!(
                "drop table own.t cascade; create table own.t (id int primary key, due timestamptz, tags text[]);
                 select jittask.create_date_task('t', 'own.t', 'due', body => 'null', filter => $$t is not null and tags <> '{{closed}}'$$);
                 drop table own.t cascade; create table own.t (id int primary key, due timestamptz, tags {column});
                 insert into own.t values (1, now())"
            ))
            .unwrap();
        cluster.wait_for(SOON, "select coalesce(problem like '%not owned by a superuser%', false) from jittask.tasks");
        assert!(caught(&cluster, "postgres").is_empty(), "{column}: {:?}", caught(&cluster, "postgres"));
        admin
            .batch_execute(
                "select jittask.drop_task('t'); drop table own.t; drop type own.span; create table own.t (id int primary key)",
            )
            .unwrap();
    }
}

/// A table that its owner makes again with types of his own: what the task's owner has written is not read by them.
#[test]
fn a_filter_is_not_made_anew_over_types_of_others() {
    let cluster = cluster(&[]);
    prepare(&cluster, "create table own.t (id int primary key, due timestamptz)");
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "grant usage on schema mallory to public; create domain mallory.checked as text check (mallory.evil(1))",
        )
        .unwrap();
    let table = |kind: &str| {
        format!(
            "create table mallory.t (id int primary key, due timestamptz, tags {kind}); grant select, trigger on mallory.t to bob"
        )
    };
    let mut bob = session(&cluster, "bob");
    for made in [
        "body => 'null', filter => $$t is not null and tags <> '{closed}'$$",
        "body => $$select $1.tags <> '{closed}'$$, language => 'sql'",
    ] {
        mallory.batch_execute(&table("text[]")).unwrap();
        bob.batch_execute(&format!("select jittask.create_date_task('t', 'mallory.t', 'due', {made})")).unwrap();
        mallory.batch_execute("drop table mallory.t cascade").unwrap();
        mallory.batch_execute(&table("mallory.checked[]")).unwrap();
        cluster.sql("postgres", "delete from public.loot");
        cluster.wait_for(SOON, "select coalesce(problem like '%is another role''s%', false) from jittask.tasks");
        assert!(caught(&cluster, "postgres").is_empty(), "{made}: {:?}", caught(&cluster, "postgres"));
        bob.batch_execute("select jittask.drop_task('t')").unwrap();
        mallory.batch_execute("drop table mallory.t cascade").unwrap();
        // Types of his own, and the server's, are no reason.
        mallory.batch_execute(&table("text[]")).unwrap();
        bob.batch_execute(&format!("select jittask.create_date_task('t', 'mallory.t', 'due', {made})")).unwrap();
        mallory.batch_execute("drop table mallory.t cascade").unwrap();
        mallory.batch_execute(&table("text[]")).unwrap();
        mallory.batch_execute("insert into mallory.t values (1, now(), '{}')").unwrap();
        cluster.wait_for(SOON, "select coalesce(max(completed), 0) = 1 from jittask.tasks");
        bob.batch_execute("select jittask.drop_task('t')").unwrap();
        mallory.batch_execute("drop table mallory.t cascade").unwrap();
    }
}
