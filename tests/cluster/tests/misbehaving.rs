//! Functions that misbehave. Each is recorded rightly, leaves nothing, and the neighbours, of the same owner and of
//! another, are on time.

use cluster::postgres::Client;
use cluster::{Cluster, Load, Options, SOON, all, nothing_unaccounted, one};

/// Ticks of another owner and of the same one, two a second for as long as the test may take.
fn neighbours(cluster: &Cluster) -> Load {
    let load = Load::watch();
    cluster.sql(
        "postgres",
        "create role neighbour login; grant usage on schema jittask to neighbour; grant create on schema public to neighbour",
    );
    cluster.app_sql(
        "create function tick() returns void language sql as ''; grant execute on function tick() to neighbour",
    );
    for role in ["app", "neighbour"] {
        cluster
            .connect_as("postgres", role)
            .batch_execute(&format!(
                "select jittask.create_scheduled_task('tick of {role}', now(), 'tick', rule => 'FREQ=SECONDLY;COUNT=120', overlap => 'queue')"
            ))
            .unwrap();
    }
    load
}

/// Each neighbour ran at least this often, every time at the first attempt, and on time.
fn on_time(cluster: &Cluster, load: &Load, ticks: i64) {
    let mut session = cluster.connect("postgres");
    cluster
        .wait_for(SOON, &format!("select bool_and(completed >= {ticks}) from jittask.tasks where name like 'tick%'"));
    let late = "select max(extract(epoch from delay))::float8 from jittask.records where task like 'tick%' and status <> 'pending'";
    load.assert_within(1.0, one(&mut session, late), "the lateness of the neighbours");
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s %s %s %s', task, status, attempt, delay) from jittask.records where task like 'tick%' and status <> 'pending'
         and (status not in ('completed', 'executing') or attempt > 1)",
    );
    assert!(odd.is_empty(), "{odd:#?}");
}

/// `task status attempt code error` of all that is no neighbour.
fn ends(session: &mut Client) -> Vec<String> {
    all(
        session,
        "select concat_ws(' ', task, row_key ->> 'id', status, attempt, error_code, left(error, 70)) from jittask.records
         where task not like 'tick%' and status in ('completed', 'failed', 'skipped', 'cancelled') order by task, row_key",
    )
}

fn wait_for_ends(cluster: &Cluster, count: usize) -> Vec<String> {
    let mut session = cluster.connect("postgres");
    cluster.wait_until("the ends", SOON, || Some(ends(&mut session)).filter(|ends| ends.len() == count))
}

#[test]
fn a_function_that_never_returns_holds_up_nobody() {
    let cluster = Cluster::ready(&[]);
    let load = neighbours(&cluster);
    cluster.app_sql(
        "create function hang() returns void language plpgsql as $$ begin loop perform pg_sleep(3600); end loop; end $$;
         select jittask.create_scheduled_task('hang', now(), 'hang')",
    );
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'executing' and task = 'hang')");
    on_time(&cluster, &load, 3);
    let mut session = cluster.app();
    session.batch_execute("select jittask.cancel_record(id) from jittask.records where task = 'hang'").unwrap();
    assert_eq!(wait_for_ends(&cluster, 1), ["hang cancelled 1 57014 canceling statement due to user request"]);
    nothing_unaccounted(&mut session);
}

/// No process of the server gets more than 450 MB of addresses; then malloc fails, as on a machine without overcommit.
#[test]
fn a_function_that_allocates_without_end_fails_with_53200() {
    let cluster = Cluster::ready_with(Options::default().set("shared_buffers", "16MB").address_space_kb(450_000));
    let load = neighbours(&cluster);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function allocate(contract) returns void language plpgsql as $$
         declare
             all_of_it text[];
         begin
             if $1.id <> 3 then return; end if;
             for i in 1 .. 10000 loop all_of_it[i] := repeat(chr(97 + i % 20), 5000000); end loop;
         end $$;
         select jittask.create_date_task('allocate', 'contract', 'due', 'allocate', max_attempts => 2, retry_backoff => '0');
         insert into contract select id, now() from generate_series(1, 5) id",
    );
    assert_eq!(
        wait_for_ends(&cluster, 5),
        [
            "allocate 1 completed 1",
            "allocate 2 completed 1",
            "allocate 3 failed 2 53200 out of memory",
            "allocate 4 completed 1",
            "allocate 5 completed 1"
        ]
    );
    on_time(&cluster, &load, 3);
    nothing_unaccounted(&mut cluster.app());
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function shout() returns void language plpgsql as $$
         begin
             raise 'x%', repeat('ä', 500000) using errcode = 'P0042', detail = 'd' || repeat('語', 300000), hint = repeat('h', 1000000);
         end $$;
         create function speak() returns text language sql as $$ select 'x' || repeat('語', 300000) $$;
         select jittask.create_scheduled_task('shout', now(), 'shout', max_attempts => 1), jittask.create_scheduled_task('speak', now(), 'speak')",
    );
    cluster.ended(2);
    let mut session = cluster.app();
    let told: String = one(
        &mut session,
        "select concat_ws(' ', error_code, octet_length(error), error = 'x' || repeat('ä', 4095), octet_length(error_context) between 8190 and 8192,
             error_context like 'DETAIL: d語語%語') from jittask.records where task = 'shout'",
    );
    assert_eq!(told, "P0042 8191 t t t");
    let told: String = one(
        &mut session,
        "select concat_ws(' ', octet_length(result), result = 'x' || repeat('語', 2730)) from jittask.records where task = 'speak'",
    );
    assert_eq!(told, "8191 t");
}

/// A deferred unique constraint and a deferred trigger: the row that breaks them, and no other.
#[test]
fn what_fails_at_commit_fails_its_row_alone() {
    let cluster = Cluster::ready(&[]);
    let load = neighbours(&cluster);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create table once (id int, constraint once_each unique (id) deferrable initially deferred);
         create table judged (id int);
         create function judge() returns trigger language plpgsql as $$
         begin
             if new.id = 7 then raise 'not seven' using errcode = 'P0007'; end if;
             return null;
         end $$;
         create constraint trigger judge after insert on judged deferrable initially deferred for each row execute function judge();
         create function run(contract) returns void language sql as $$
             insert into once select $1.id from generate_series(1, case when $1.id = 5 then 2 else 1 end);
             insert into judged values ($1.id)
         $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', max_attempts => 2, retry_backoff => '0');
         insert into contract select id, now() from generate_series(1, 9) id",
    );
    let wanted: Vec<String> = (1..=9)
        .map(|id| match id {
            5 => "rows 5 failed 2 23505 duplicate key value violates unique constraint \"once_each\"".to_string(),
            7 => "rows 7 failed 2 P0007 not seven".to_string(),
            _ => format!("rows {id} completed 1"),
        })
        .collect();
    assert_eq!(wait_for_ends(&cluster, 9), wanted);
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from once"), 7);
    assert_eq!(one::<i64>(&mut session, "select count(*) from judged"), 7);
    on_time(&cluster, &load, 2);
    nothing_unaccounted(&mut session);
}

#[test]
fn transaction_control_fails_as_in_any_function() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function commits() returns void language plpgsql as $$ begin commit; end $$;
         create function rolls_back() returns void language plpgsql as $$ begin rollback; end $$;
         create function vacuums() returns void language plpgsql as $$ begin execute 'vacuum'; end $$;
         create function indexes() returns void language plpgsql as $$ begin execute 'create index concurrently on side (id)'; end $$;
         create function listens() returns void language plpgsql as $$ begin execute 'listen anybody'; end $$;
         create function prepares() returns void language plpgsql as $$ begin execute 'prepare transaction ''x'''; end $$;
         create table side (id int);
         select jittask.create_scheduled_task(f, now(), f, max_attempts => 1)
         from unnest('{commits, rolls_back, vacuums, indexes, listens, prepares}'::text[]) f",
    );
    cluster.ended(6);
    let mut session = cluster.app();
    let codes: Vec<String> =
        all(&mut session, "select concat_ws(' ', task, status, error_code) from jittask.records order by task");
    assert_eq!(
        codes,
        [
            "commits failed 2D000",
            "indexes failed 25001",
            "listens failed 0A000",
            "prepares failed 0A000",
            "rolls_back failed 2D000",
            "vacuums failed 25001"
        ]
    );
    nothing_unaccounted(&mut session);
}

#[test]
fn a_function_that_terminates_its_own_backend_is_counted() {
    let cluster = Cluster::ready(&[]);
    neighbours(&cluster);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create table outbox (id int);
         create function run(contract) returns void language plpgsql as $$
         begin
             insert into outbox values ($1.id);
             if $1.id = 4 then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); end if;
         end $$;
         select jittask.create_date_task('ends itself', 'contract', 'due', 'run', max_attempts => 2, retry_backoff => '200 ms');
         insert into contract select id, now() from generate_series(1, 8) id",
    );
    let wanted: Vec<String> = (1..=8)
        .map(|id| match id {
            4 => "ends_itself 4 failed 2 57P01 the process that executed this attempt was terminated".to_string(),
            _ => format!("ends_itself {id} completed 1"),
        })
        .collect();
    assert_eq!(wait_for_ends(&cluster, 8), wanted);
    let mut session = cluster.app();
    assert_eq!(all::<i32>(&mut session, "select id from outbox order by id"), [1, 2, 3, 5, 6, 7, 8]);
    // The owner's executor was gone for a moment: the other owner's was not.
    let mut superuser = cluster.connect("postgres");
    let odd: i64 = one(
        &mut superuser,
        "select count(*) from jittask.records where task = 'tick_of_neighbour' and delay > interval '1 second'",
    );
    assert_eq!(odd, 0);
    let attempts: i64 =
        one(&mut superuser, "select count(*) from jittask.records where task like 'tick%' and attempt > 1");
    assert_eq!(attempts, 0);
    nothing_unaccounted(&mut superuser);
}

/// kill -9 of its own process takes the server down each time: the last time after max_attempts + 1 of them.
#[test]
fn a_function_that_brings_the_server_down_fails_in_the_end() {
    let cluster = Cluster::ready(&[]);
    neighbours(&cluster);
    cluster.sql(
        "postgres",
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function die(contract) returns void language plpgsql as $$
         begin
             if $1.id = 3 then copy (select 1) to program 'kill -9 $PPID; sleep 10'; end if;
         end $$;
         select jittask.create_date_task('dies', 'contract', 'due', 'die', max_attempts => 2, retry_backoff => '100 ms');
         insert into contract select id, now() + interval '1 second' from generate_series(1, 6) id",
    );
    let ends = cluster.wait_until("the ends, after recovery", SOON, || {
        let mut session = cluster.try_connect("postgres", "postgres").ok()?;
        let rows = session
            .query(
                "select concat_ws(' ', row_key ->> 'id', status, attempt, error_code) from jittask.records
                 where task = 'dies' and status in ('completed', 'failed') order by row_key",
                &[],
            )
            .ok()?;
        Some(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()).filter(|ends| ends.len() == 6)
    });
    assert_eq!(
        ends,
        ["1 completed 1", "2 completed 1", "3 failed 2 57P02", "4 completed 1", "5 completed 1", "6 completed 1"]
    );
    let deaths = cluster.log().matches("was terminated by signal 9").count();
    assert!((2..=3).contains(&deaths), "{deaths} times");
    // Others were interrupted, which is not an attempt; what fell due in a recovery is late, and runs.
    let mut session = cluster.connect("postgres");
    cluster.wait_for(SOON, "select bool_and(completed > 3) from jittask.tasks where name like 'tick%'");
    let odd: Vec<String> = all(
        &mut session,
        "select r::text from jittask.records r where task like 'tick%' and status not in ('pending', 'executing')
         and (attempt > 1 or status = 'failed' or status = 'cancelled')",
    );
    assert!(odd.is_empty(), "{odd:#?}");
    nothing_unaccounted(&mut session);
}
