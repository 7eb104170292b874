//! What existing_rows and make_up ask for runs, whatever catch_up and its window say, and once: also after its records
//! have gone. And what nobody asks for is not due: by an alteration, or by an UPDATE that has nothing to do with it.

use cluster::postgres::Client;
use cluster::{Cluster, Load, SOON, all, nothing_unaccounted, now, one};

const SCHEMA: &str = "
create table bill (id int primary key, due timestamptz, open boolean default true, note text);
create index on bill (due);
create table outbox (task text, id int);
create function run(bill) returns void language sql as $$ insert into public.outbox select task, $1.id from jittask.current_run() $$;";

/// What each task has done, in the order of names.
fn done(session: &mut Client) -> Vec<String> {
    let done = "select task || ': ' || string_agg(id::text, ' ' order by id) from outbox group by task order by task";
    all(session, done)
}

/// Until a scan has looked through everything that was asked for.
fn looked_through(cluster: &Cluster) {
    cluster.wait_for(SOON, "select bool_and(looks_from is null) from jittask.task where dropped_at is null");
}

#[test]
fn existing_rows_run_once_also_after_their_records_have_gone() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "insert into bill select i, now() - i * interval '1 day' from generate_series(1, 5) i;
         select jittask.create_date_task('asked', 'bill', 'due', 'run', existing_rows => '3 days 1 hour', catch_up_window => '1 second'),
             jittask.create_date_task('none', 'bill', 'due', 'run', existing_rows => '1 year', catch_up => 'none'),
             jittask.create_date_task('daily', 'bill', 'due', 'run', repeat => 'daily', existing_rows => '36 hours', catch_up_window => '1 second', filter => 'id = 5')",
    );
    cluster.ended(3 + 5 + 2);
    looked_through(&cluster);
    let mut session = cluster.app();
    assert_eq!(done(&mut session), ["asked: 1 2 3", "daily: 5", "none: 1 2 3 4 5"]);
    // As retention does when their time has come, and not before the window of a second is over: row 5 had an occurrence
    // at the instant of its creation.
    cluster.wait_past(now() + 1.5);
    cluster.sql("postgres", "delete from jittask.record");
    cluster.app_sql("insert into bill values (100, now() + interval '1 hour'); update bill set note = 'seen'");
    cluster.wait_past(now() + 4.0);
    assert_eq!(done(&mut session), ["asked: 1 2 3", "daily: 5", "none: 1 2 3 4 5"]);
}

#[test]
fn what_falls_due_in_a_pause_is_no_existing_row() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "insert into bill values (1, now() - interval '1 hour'), (2, now() + interval '1 second'), (3, now() + interval '1 hour');
         select jittask.create_date_task(title, 'bill', 'due', 'run', existing_rows => '1 day', enabled => false)
         from unnest(array['altered', 'made up', 'resumed']) title",
    );
    cluster.wait_past(now() + 2.0);
    cluster.app_sql(
        "select jittask.resume_task('resumed'), jittask.resume_task('made_up', make_up => '1 hour'),
             jittask.alter_task('altered', '{\"enabled\": true}')",
    );
    looked_through(&cluster);
    cluster.ended(1 + 2 + 1);
    let mut session = cluster.app();
    assert_eq!(done(&mut session), ["altered: 1", "made_up: 1 2", "resumed: 1"]);
    nothing_unaccounted(&mut session);
}

#[test]
fn make_up_runs_what_the_window_or_catch_up_would_not() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s"), ("jittask.planning_horizon", "10s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "create function tick() returns void language sql as $$ insert into public.outbox select 'ticks', 0 $$;
         select jittask.create_date_task('narrow', 'bill', 'due', 'run', catch_up_window => '1 second'),
             jittask.create_date_task('none', 'bill', 'due', 'run', catch_up => 'none'),
             jittask.create_date_task('not', 'bill', 'due', 'run', catch_up => 'all'),
             jittask.create_scheduled_task('ticks', now() + interval '2 seconds', 'tick', rule => 'FREQ=SECONDLY;INTERVAL=2;COUNT=4', catch_up_window => '1 second');
         select jittask.pause_task(name) from jittask.tasks",
    );
    cluster.app_sql("insert into bill values (1, now() + interval '1 second')");
    cluster.wait_past(now() + 12.0);
    cluster.app_sql(
        "select jittask.resume_task('narrow', make_up => '1 hour'), jittask.resume_task('none', make_up => '1 hour'),
             jittask.resume_task('ticks', make_up => '1 hour'), jittask.resume_task('not')",
    );
    looked_through(&cluster);
    cluster.ended(6);
    cluster.wait_past(now() + 2.0);
    let mut session = cluster.app();
    assert_eq!(done(&mut session), ["narrow: 1", "none: 1", "ticks: 0 0 0 0"]);
    nothing_unaccounted(&mut session);
}

#[test]
fn an_alteration_makes_nothing_past_due() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s"), ("jittask.planning_horizon", "10s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "create function tick() returns void language sql as $$ insert into public.outbox select 'ticks', 0 $$;
         select jittask.create_date_task('paused', 'bill', 'due', 'run'),
             jittask.create_date_task('widened', 'bill', 'due', 'run', catch_up_window => '1 second'),
             jittask.create_scheduled_task('ticks', now() + interval '1 hour', 'tick', rule => 'every 1 hour');
         select jittask.alter_task(name, '{\"enabled\": false}') from jittask.tasks where name <> 'widened'",
    );
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.tasks where state = 'paused'"), 2);
    cluster.app_sql("insert into bill values (1, now() - interval '5 seconds'), (2, now() + interval '1 second'), (3, now() + interval '7 seconds')");
    cluster.wait_past(now() + 4.0);
    let load = Load::watch();
    cluster.app_sql(
        "select jittask.alter_task('paused', '{\"enabled\": true}'), jittask.alter_task('ticks', '{\"enabled\": true}'),
             jittask.alter_task('widened', '{\"catch_up_window\": \"1 day\"}')",
    );
    // Also what was written in the pause, and is due after it, on time.
    cluster.wait_for(SOON, "select count(*) = 2 from outbox where id = 3");
    let late: f64 = one(
        &mut session,
        "select max(extract(epoch from delay))::float8 from jittask.records where row_key ->> 'id' = '3'",
    );
    load.assert_within(1.5, late, "the lateness");
    cluster.wait_past(now() + 3.0);
    assert_eq!(done(&mut session), ["paused: 3", "widened: 2 3"]);
    let next: bool = one(
        &mut session,
        "select next_due_at between now() and now() + interval '1 hour' from jittask.tasks where name = 'ticks'",
    );
    assert!(next);
}

#[test]
fn an_update_of_something_else_makes_no_row_due_that_was_overdue_before() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "insert into bill values (1, now() - interval '2 hours', true), (2, now() - interval '2 hours', false), (3, now() - interval '2 hours', true);
         select jittask.create_date_task('open', 'bill', 'due', 'run', filter => 'open');
         update bill set note = 'x', open = open, due = due;
         update bill set due = due + interval '1 second' where id = 3;
         update bill set open = true where id = 2;
         alter table bill alter note type varchar(100)",
    );
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    // The column that the filter reads has another name now, which the triggers know of, and then one that nobody knows.
    cluster.app_sql(
        "alter table bill rename open to is_open; update bill set note = 'y'; insert into bill values (4, now())",
    );
    cluster.wait_for(SOON, "select count(*) = 3 from outbox");
    cluster.wait_past(now() + 2.0);
    let mut session = cluster.app();
    assert_eq!(done(&mut session), ["open: 2 3 4"]);
    nothing_unaccounted(&mut session);
}

/// What is older than records are kept has run, as far as anybody can know: it is not asked for a second time.
#[test]
fn what_is_forgotten_is_not_made_up_for() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "1s"), ("jittask.record_retention", "1d")]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "insert into bill values (1, now() - interval '3 days'), (2, now() - interval '2 hours');
         select jittask.create_date_task('bills', 'bill', 'due', 'run', existing_rows => '10 days', catch_up_window => '1 second')",
    );
    cluster.ended(2);
    looked_through(&cluster);
    cluster.sql("postgres", "delete from jittask.record where nominal_at < now() - interval '1 day'");
    cluster.app_sql(
        "select jittask.pause_task('bills'); select jittask.resume_task('bills', make_up => '10 days');
         select jittask.alter_task('bills', '{\"existing_rows\": \"20 days\"}');
         insert into bill values (3, now())",
    );
    looked_through(&cluster);
    cluster.ended(3 - 1);
    cluster.wait_past(now() + 2.0);
    assert_eq!(done(&mut cluster.app()), ["bills: 1 2 3"]);
}
