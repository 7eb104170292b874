//! Attempts to become more: hostile code in places where jittask's own code, or somebody else's session, meets it.

mod attack;

use attack::{NOTE, attempt, cluster, code, loot, number, session, text, wait_for};

#[test]
fn the_function_is_its_owner_and_stays_it() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create function mallory.escape() returns void language plpgsql as $$
             declare step text;
             begin
                 insert into public.loot values ('start', current_user, session_user);
                 foreach step in array array['reset role', 'set session authorization postgres', 'set session authorization default',
                     'set role postgres', 'set role bob', 'alter role mallory superuser', 'set session_replication_role = replica',
                     'update jittask.task set owner = 10::regrole', 'insert into jittask.record select * from jittask.record',
                     'select jittask.announce_install()', 'drop function jittask.due_soon(bigint, date)',
                     'create function jittask_inner.mine() returns void language sql as $x$ select $x$', 'set role none'] loop
                     begin
                         execute step;
                         insert into public.loot values (step, current_user, session_user);
                     exception when others then
                         null;
                     end;
                 end loop;
             end $$;
             select jittask.create_scheduled_task('escape', now(), 'mallory.escape')",
        )
        .unwrap();
    wait_for(&cluster, "escape", "completed", 1);
    let found = loot(&cluster);
    assert!(found.iter().any(|(what, ..)| what == "start"), "{found:?}");
    assert!(found.iter().all(|(_, who, session)| who == "mallory" && session == "mallory"), "{found:?}");
    let dangerous = ["alter role", "update", "insert", "select", "drop", "create", "set role postgres", "set role bob"];
    let done: Vec<_> = found.iter().filter(|(what, ..)| dangerous.iter().any(|word| what.starts_with(word))).collect();
    assert!(done.is_empty(), "{done:?}");
}

#[test]
fn deferred_triggers_run_as_the_owner() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz);
             create table mallory.effects (id int);
             create function mallory.late() returns trigger language plpgsql as $$
             begin
                 insert into public.loot values ('deferred', current_user, session_user);
                 begin execute 'alter role mallory superuser'; insert into public.loot values ('SUPER', 'x', 'x');
                 exception when others then null; end;
                 return null;
             end $$;
             create constraint trigger late after insert on mallory.effects deferrable initially deferred
                 for each row execute function mallory.late();
             create function mallory.run(r mallory.t) returns void language sql as 'insert into mallory.effects values (r.id)';
             select jittask.create_date_task('late', 'mallory.t', 'due', 'mallory.run');
             insert into mallory.t select g, now() from generate_series(1, 3) g",
        )
        .unwrap();
    wait_for(&cluster, "late", "completed", 3);
    // A record is written before the deferred trigger fires, and nothing of it is visible before.
    let found = loot(&cluster);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().all(|(what, who, session)| what == "deferred" && who == "mallory" && session == "mallory"),
        "{found:?}"
    );
}

#[test]
fn a_superuser_who_runs_a_hostile_task_lends_it_nothing() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute(
            "create domain mallory.key as int check (mallory.note('domain'));
             create type mallory.colour as enum ('red');
             create function mallory.to_colour(text) returns mallory.colour language sql as
                 $$ select case when mallory.note('cast') then mallory.colour_in($1) end $$",
        )
        .unwrap_or_else(|_| {
            mallory
                .batch_execute(
                    "create domain mallory.key as int check (mallory.note('domain'));
                     create type mallory.colour as enum ('red');
                     create function mallory.to_colour(text) returns mallory.colour language plpgsql as
                         $$ begin perform mallory.note('cast'); return 'red'; end $$",
                )
                .unwrap();
        });
    mallory
        .batch_execute(
            "create cast (text as mallory.colour) with function mallory.to_colour(text);
             create table mallory.t (id mallory.key primary key, due timestamptz);
             create table mallory.e (id mallory.colour primary key, due timestamptz);
             create function mallory.run(mallory.t) returns void language sql as '';
             create function mallory.run(mallory.e) returns void language sql as '';
             select jittask.create_date_task('domain_key', 'mallory.t', 'due', 'mallory.run');
             select jittask.create_date_task('enum_key', 'mallory.e', 'due', 'mallory.run')",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    attempt(
        &mut admin,
        &[
            "select jittask.run_task('domain_key', '{\"id\": 1}')",
            "select jittask.run_task('enum_key', '{\"id\": \"red\"}')",
            "select jittask.pause_task('domain_key')",
            "select jittask.resume_task('domain_key', '1 day')",
            "select * from jittask.records, jittask.tasks, jittask.progress",
            "select jittask.drop_task('domain_key')",
            "select jittask.drop_task('enum_key', false)",
        ],
    );
    let found: Vec<_> = loot(&cluster).into_iter().filter(|(_, who, _)| who == "postgres").collect();
    assert!(found.is_empty(), "hostile code ran as superuser: {found:?}");
    // A filter would run as whoever looks: superuser, or member of the owner.
    mallory
        .batch_execute(
            "insert into mallory.e values ('red', now());
             select jittask.create_date_task('again', 'mallory.e', 'due', 'mallory.run', filter => 'mallory.note(''filter'')')",
        )
        .unwrap();
    admin.batch_execute("grant mallory to bob").unwrap();
    for looker in [&mut admin, &mut session(&cluster, "bob")] {
        assert_eq!(code(looker.batch_execute("select * from jittask.preview('again')")), "42501");
    }
    let found: Vec<_> = loot(&cluster).into_iter().filter(|(_, who, _)| who != "mallory").collect();
    assert!(found.is_empty(), "a hostile filter ran as somebody else: {found:?}");
}

/// Functions and operators that match better than the system's own, in a schema of the victim's search_path.
const PLANTED: &str = "
    create function public.unnest(int[]) returns setof int language plpgsql as
        $$ begin perform mallory.note('unnest int'); return query select pg_catalog.unnest($1); end $$;
    create function public.unnest(bigint[]) returns setof bigint language plpgsql as
        $$ begin perform mallory.note('unnest bigint'); return query select pg_catalog.unnest($1); end $$;
    create function public.unnest(varchar[]) returns setof varchar language plpgsql as
        $$ begin perform mallory.note('unnest varchar'); return query select pg_catalog.unnest($1); end $$;
    create function public.same(varchar, varchar) returns boolean language plpgsql as
        $$ begin perform mallory.note('= varchar'); return $1::text = $2::text; end $$;
    create operator public.= (function = public.same, leftarg = varchar, rightarg = varchar);
    create function public.arrow(jsonb, jsonb) returns text language plpgsql as
        $$ begin perform mallory.note('->>'); return null; end $$;
    create operator public.->> (function = public.arrow, leftarg = jsonb, rightarg = jsonb)";

fn plant(cluster: &cluster::Cluster) {
    let mut mallory = session(cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory.batch_execute(PLANTED).unwrap();
}

/// Creates and runs tasks on two tables of `role`'s, in schema `place`.
fn work_in_a_hostile_path(cluster: &cluster::Cluster, role: &str, place: &str) {
    plant(cluster);
    let mut victim = session(cluster, role);
    victim
        .batch_execute(&format!(
            "create type {place}.state as enum ('open');
             create table {place}.numbers (state {place}.state default 'open', id int primary key, due timestamptz, list int[] default '{{1}}');
             create table {place}.names (id varchar primary key, due date);
             create function {place}.run({place}.numbers) returns void language sql as '';
             create function {place}.run({place}.names) returns void language sql as '';
             select jittask.create_date_task('numbers', '{place}.numbers', 'due', '{place}.run', filter => 'array_length(list, 1) = 1 and state = ''open''');
             select jittask.create_date_task('names', '{place}.names', 'due', '{place}.run', existing_rows => '1 day', time_zone => 'UTC');
             grant usage on schema {place} to mallory"
        ))
        .unwrap();
    // Only now: a filter's names are looked up at creation, by the search_path that the caller has then.
    let later = format!(
        "create function public.array_length(int[], int) returns int language plpgsql as
             $$ begin perform mallory.note('array_length'); return 1; end $$;
         create function public.same({place}.state, {place}.state) returns boolean language plpgsql as
             $$ begin perform mallory.note('= state'); return true; end $$;
         create operator public.= (function = public.same, leftarg = {place}.state, rightarg = {place}.state)"
    );
    session(cluster, "mallory").batch_execute(&later).unwrap();
    victim
        .batch_execute(&format!(
            "insert into {place}.numbers (id, due) select g, now() from generate_series(1, 3) g;
             insert into {place}.names select 'n' || g, current_date from generate_series(1, 3) g"
        ))
        .unwrap();
    wait_for(cluster, "numbers", "completed", 3);
    wait_for(cluster, "names", "completed", 3);
    attempt(
        &mut victim,
        &[
            "select * from jittask.preview('numbers')",
            "select * from jittask.preview('names', 3, '{\"id\": \"n1\"}')",
            "select jittask.run_task('names', '{\"id\": \"n1\"}')",
            "select * from jittask.tasks",
            "select * from jittask.records",
        ],
    );
    wait_for(cluster, "names", "completed", 4);
    let found = loot(cluster);
    assert!(found.is_empty(), "planted code ran: {found:?}");
}

#[test]
fn nothing_of_a_public_schema_runs_in_anothers_executor() {
    let cluster = cluster(&[]);
    work_in_a_hostile_path(&cluster, "bob", "bob");
}

#[test]
fn nothing_of_a_public_schema_runs_in_a_superusers_executor() {
    let cluster = cluster(&[]);
    cluster.sql("postgres", "create schema own");
    work_in_a_hostile_path(&cluster, "postgres", "own");
}

#[test]
fn the_install_script_picks_nothing_up_from_a_public_schema() {
    let cluster = cluster::Cluster::start();
    cluster.sql(
        "postgres",
        "create role bob login; create role mallory login; create schema mallory authorization mallory;
         grant create on schema public to mallory;
         create table public.loot (what text, who text, session text); grant insert on public.loot to public",
    );
    plant(&cluster);
    cluster.sql("postgres", "create extension jittask; grant usage on schema jittask to bob");
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "set search_path = pg_catalog; select jittask.create_scheduled_task('later', now() + '1 day', body => 'null')",
    )
    .unwrap();
    cluster.sql("postgres", "set search_path = pg_catalog; select * from jittask.tasks");
    let found = loot(&cluster);
    assert!(found.is_empty(), "planted code ran: {found:?}");
}

/// A task that must not run is broken, or its runs fail.
fn wait_until_it_waits(cluster: &cluster::Cluster, task: &str) {
    let mut admin = cluster.connect("postgres");
    let query = format!(
        "select (select count(*) from jittask.tasks where name = '{task}' and state = 'broken')
              + (select count(*) from jittask.records where task = '{task}' and status = 'failed')"
    );
    cluster
        .wait_until("a broken task or a failed run", attack::SOON, || (number(&mut admin, &query) > 0).then_some(()));
}

#[test]
fn a_recreated_function_of_another_role_does_not_run() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create function public.remind() returns void language sql as '';
         select jittask.create_scheduled_task('recreated', now() + '1 hour', 'public.remind', max_attempts => 1);
         drop function public.remind()",
    )
    .unwrap();
    mallory
        .batch_execute(
            "create function public.remind() returns void language sql as $$ select mallory.note('recreated') $$",
        )
        .unwrap();
    assert_eq!(code(bob.batch_execute("select jittask.run_task('recreated')")), "55000");
    // The same with the forced run already in the agenda.
    mallory.batch_execute("drop function public.remind()").unwrap();
    bob.batch_execute(
        "create function public.remind() returns void language sql as '';
         begin; select jittask.run_task('recreated'); drop function public.remind(); commit",
    )
    .unwrap();
    attempt(
        &mut mallory,
        &["create function public.remind() returns void language sql as $$ select mallory.note('recreated') $$"],
    );
    wait_until_it_waits(&cluster, "recreated");
    assert!(loot(&cluster).is_empty());
    let problem = text(&mut bob, "select problem from jittask.tasks where name = 'recreated'");
    assert!(problem.is_some_and(|problem| problem.contains("remind")));
    assert_eq!(number(&mut bob, "select count(*) from jittask.tasks where name = 'recreated'"), 1);
}

#[test]
fn a_superusers_task_takes_only_what_superusers_own() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (id int primary key, due timestamptz);
             create function mallory.run(mallory.t) returns void language sql as '';
             create function mallory.tick() returns void language sql as '';
             create view mallory.v as select * from mallory.t;
             grant all on all tables in schema mallory to public; grant usage on schema mallory to public",
        )
        .unwrap();
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("create table public.own (id int primary key, due timestamptz)").unwrap();
    for call in [
        "create_scheduled_task('a', now(), 'mallory.tick')",
        "create_date_task('b', 'mallory.t', 'due', 'mallory.run')",
        "create_date_task('c', 'mallory.t', 'due', body => 'null')",
        "create_date_task('d', 'mallory.v', 'due', body => 'null', capture => 'scan', key_columns => '{id}')",
    ] {
        assert_eq!(code(admin.batch_execute(&format!("select jittask.{call}"))), "42501", "{call}");
    }
    let left = "select count(*) from jittask.task";
    assert_eq!(number(&mut admin, left), 0);
    // Owners change after the creation: then it must not run any more.
    admin
        .batch_execute(
            "create function public.tick() returns void language sql as '';
             select jittask.create_scheduled_task('given_away', now() + '1 hour', 'public.tick');
             alter function public.tick() owner to mallory",
        )
        .unwrap();
    assert_eq!(code(admin.batch_execute("select jittask.run_task('given_away')")), "55000");
}

#[test]
fn a_role_that_becomes_superuser_does_not_lend_that_to_what_others_own() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute("create function mallory.tick() returns void language sql as $$ select mallory.note('tick') $$")
        .unwrap();
    session(&cluster, "bob")
        .batch_execute(
            "select jittask.create_scheduled_task('promoted', now() + '1 hour', 'mallory.tick', max_attempts => 1)",
        )
        .unwrap();
    cluster.sql("postgres", "alter role bob superuser");
    attempt(&mut cluster.connect("postgres"), &["select jittask.run_task('promoted')"]);
    wait_until_it_waits(&cluster, "promoted");
    let found = loot(&cluster);
    assert!(found.is_empty(), "another's function ran in a superuser's session: {found:?}");
}

/// Reading a literal runs its type's input function, and for arrays, composites and ranges of domains the domain's CHECK.
#[test]
fn no_literal_of_a_filter_runs_as_the_extensions_owner() {
    let cluster = cluster(&[]);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(NOTE).unwrap();
    mallory
        .batch_execute(
            "create domain mallory.d as int check (mallory.note('domain'));
             create type mallory.pair as (a mallory.d);
             create type mallory.span as range (subtype = mallory.d);
             create table mallory.t (id int primary key, due timestamptz)",
        )
        .unwrap();
    for filter in [
        "'{1}'::mallory.d[] is not null",
        "'(1)'::mallory.pair is not null",
        "'[1,2]'::mallory.span is not null",
        "1::mallory.d is not null",
        "exists (select '{1}'::mallory.d[])",
        "coalesce('{\"(1)\"}'::mallory.pair[] is not null, true)",
    ] {
        mallory
            .query(
                "select jittask.create_date_task('filtered', 'mallory.t', 'due', body => 'null', filter => $1)",
                &[&filter],
            )
            .unwrap();
    }
    mallory.batch_execute("insert into mallory.t values (1, now())").unwrap();
    wait_for(&cluster, "filtered_6", "completed", 1);
    attempt(
        &mut cluster.connect("postgres"),
        &[
            "select jittask.pause_task('filtered')",
            "select jittask.resume_task('filtered', '1 hour')",
            "select jittask.drop_task('filtered')",
        ],
    );
    let found: Vec<_> = loot(&cluster).into_iter().filter(|(_, who, _)| who != "mallory").collect();
    assert!(found.is_empty(), "hostile code ran as somebody else: {found:?}");
}
