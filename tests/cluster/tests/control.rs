//! What a function sees of its run, internal functions, and pause, resume, drop and run_task while work is going on.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, all, one};

const SOON: Duration = Duration::from_secs(30);

const CONTRACTS: &str = "
create table contract (id bigint primary key, due timestamptz, title text);
create index on contract (due);
create table outbox (task text, record_id bigint, row_key jsonb, nominal_at timestamptz, due_at timestamptz, attempt int);
create function run(contract) returns void language sql as $$ insert into outbox select * from jittask.current_run() $$;";

fn states(session: &mut Client) -> Vec<String> {
    all(
        session,
        "select concat_ws(' ', row_key ->> 'id', status, reason) from jittask.records order by (row_key ->> 'id')::int, due_at",
    )
}

#[test]
fn an_internal_function_calls_two_service_functions() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create function mail(text, int) returns void language sql as $$ insert into outbox (task) values ('mail ' || $1 || $2) $$;
         create function book(contract) returns void language sql as $$ insert into outbox (task) values ('book ' || $1.title) $$;
         create function count_up() returns int language sql as $$ select 7 $$;
         select jittask.create_date_task('合同到期提醒', 'contract', 'due',
             body => 'perform public.mail(row_data.title, public.count_up()); perform public.book(row_data);');
         select jittask.create_date_task('合同到期提醒', 'contract', 'due',
             body => $b$ declare n int := 3; begin
                 insert into public.outbox select * from jittask.current_run();
                 insert into public.outbox (task) values (current_user || ' ' || session_user || n); end $b$);
         select jittask.create_date_task('in SQL', 'contract', 'due', language => 'sql',
             body => $b$ insert into public.outbox (task) values ('sql ' || row_data.title) $b$);
         insert into contract values (1, now() + interval '1 second', 'a');",
    );
    let mut session = cluster.app();
    let names: Vec<String> = all(&mut session, "select name from jittask.tasks order by name");
    assert!(names.iter().all(|name| name.is_ascii()), "{names:?}");
    assert_eq!(names[1], format!("{}_2", names[0]));
    cluster.wait_for(SOON, "select count(*) = 3 from jittask.records where status in ('completed', 'failed')");
    let errors: Vec<String> = all(&mut session, "select error from jittask.records where error is not null");
    assert!(errors.is_empty(), "{errors:?}");
    let mut effects: Vec<String> = all(&mut session, "select task from outbox");
    effects.sort();
    let mut wanted = vec!["mail a7", "book a", "sql a", "app app3", names[1].as_str()];
    wanted.sort();
    assert_eq!(effects, wanted);
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where result is not null"), 0);
    // The functions go with their tasks.
    session.batch_execute("select jittask.drop_task(name) from jittask.tasks").unwrap();
    let left: i64 =
        one(&mut session, "select count(*) from pg_proc where pronamespace = 'jittask_inner'::regnamespace");
    assert_eq!(left, 0);
}

#[test]
fn current_run_says_which_occurrence_is_served() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create function clock() returns void language sql as $$ insert into outbox select * from jittask.current_run() $$;
         select jittask.create_scheduled_task('clock', now() + interval '1 second', 'clock');
         select jittask.create_date_task('rows', 'contract', 'due', 'run', before => '2 hours');
         insert into contract select id, now() + interval '2 hours 1 second' from generate_series(1, 5) id;",
    );
    cluster.wait_for(SOON, "select count(*) = 6 from jittask.records where status = 'completed'");
    let mut session = cluster.app();
    let differing: Vec<String> = all(
        &mut session,
        "select format('%s | %s', r, o) from (select task, id, row_key, nominal_at, due_at, attempt from jittask.records) r
         full join outbox o on o.record_id = r.id
         where row(r.*) is distinct from row(o.*)",
    );
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox where row_key is null"), 1);
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.current_run()"), 0, "nothing runs here");
}

#[test]
fn a_paused_task_runs_nothing_and_can_make_up_for_it() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run');
         insert into contract values (1, now() + interval '1 second'), (2, now() + interval '3 seconds'),
             (3, now() + interval '5 seconds'), (4, now() + interval '1 hour');",
    );
    cluster.wait_for(SOON, "select count(*) = 1 from outbox");
    cluster.app_sql("select jittask.pause_task('rows', 'a note')");
    let mut session = cluster.app();
    assert_eq!(one::<String>(&mut session, "select state || ' ' || problem from jittask.tasks"), "paused a note");
    cluster.wait_for(SOON, "select exists (select from jittask.records where reason = 'paused')");
    cluster.app_sql("select jittask.resume_task('rows')");
    cluster.wait_for(SOON, "select count(*) = 2 from outbox");
    assert_eq!(states(&mut session), ["1 completed", "2 skipped paused", "3 completed", "4 pending"]);
    // Again, and now it makes up for what was missed.
    session.batch_execute("select jittask.pause_task('rows')").unwrap();
    session.batch_execute("insert into contract values (5, now() + interval '1 second')").unwrap();
    cluster.wait_for(SOON, "select clock_timestamp() > due + interval '500 ms' from contract where id = 5");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 2);
    session.batch_execute("select jittask.resume_task('rows', make_up => '1 hour')").unwrap();
    cluster.wait_for(SOON, "select count(*) = 4 from outbox");
    assert_eq!(states(&mut session), ["1 completed", "2 completed", "3 completed", "4 pending", "5 completed"]);
    assert_eq!(one::<i64>(&mut session, "select sum(abs(unaccounted))::bigint from jittask.accounts"), 0);
    let error = session.batch_execute("select jittask.resume_task('rows')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55000");
}

#[test]
fn a_dropped_task_lets_running_work_end_and_cancels_the_rest() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create or replace function run(contract) returns void language plpgsql as $$
         begin
             perform pg_advisory_xact_lock(1);
             insert into outbox select * from jittask.current_run();
         end $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run');
         select jittask.create_date_task('others', 'contract', 'due', 'run', before => '1 minute');",
    );
    let mut gate = cluster.app();
    gate.batch_execute("select pg_advisory_lock(1)").unwrap();
    cluster.app_sql("insert into contract values (1, now()), (2, now() + interval '50 minutes'), (3, now() + interval '51 minutes')");
    cluster.wait_for(SOON, "select count(*) = 2 from jittask.records where status = 'executing'");
    cluster.wait_for(SOON, "select count(*) = 4 from jittask.records where status = 'pending'");
    let mut session = cluster.app();
    // The run has the table open, so the trigger cannot go yet: refused after a second, unless the session wants to wait.
    let error = session.batch_execute("select jittask.drop_task('rows')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55P03");
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.tasks"), 2);
    let drop_both = "set lock_timeout = '20s'; select jittask.drop_task('rows');
                     select jittask.drop_task('others', keep_records => false); reset lock_timeout";
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| session.batch_execute(drop_both));
        cluster.wait_for(
            SOON,
            "select exists (select from pg_locks where not granted and relation = 'contract'::regclass)",
        );
        gate.batch_execute("select pg_advisory_unlock(1)").unwrap();
        dropping.join().unwrap().unwrap();
    });
    cluster.wait_for(SOON, "select count(*) >= 1 from outbox where task = 'rows'");
    cluster.wait_for(SOON, "select not exists (select from jittask.progress)");
    assert_eq!(states(&mut session), ["1 completed", "2 cancelled dropped", "3 cancelled dropped"]);
    // Nothing is left on the table.
    let left: i64 =
        one(&mut session, "select count(*) from pg_trigger where tgrelid = 'contract'::regclass and not tgisinternal");
    assert_eq!(left, 0);
    session.batch_execute("insert into contract values (9, now()); update contract set due = now()").unwrap();
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.tasks"), 0);
}

#[test]
fn run_task_runs_whatever_schedule_filter_and_pause_say() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'false');
         create function clock() returns void language sql as $$ insert into outbox select * from jittask.current_run() $$;
         select jittask.create_scheduled_task('clock', now() + interval '1 day', 'clock', repeat => 'daily', enabled => false);
         insert into contract values (1, now() + interval '1 year'), (2, null);",
    );
    let mut session = cluster.app();
    let mut ids: Vec<i64> = Vec::new();
    for call in ["'rows', '{\"id\": 1}'", "'rows', '{\"id\": 2}'", "'rows', '{\"id\": 1}'", "'clock'"] {
        ids.push(one(&mut session, &format!("select jittask.run_task({call})")));
    }
    cluster.wait_for(SOON, "select count(*) = 4 from outbox");
    assert_eq!(all::<i64>(&mut session, "select record_id from outbox order by record_id"), ids);
    let ran: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, row_key ->> 'id', status) from jittask.records where id = any (select record_id from outbox) order by id",
    );
    assert_eq!(ran, ["rows 1 completed", "rows 2 completed", "rows 1 completed", "clock completed"]);
    let error = session.batch_execute("select jittask.run_task('rows')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22023");
    // A row that is not there is skipped.
    session.batch_execute("select jittask.run_task('rows', '{\"id\": 77}')").unwrap();
    cluster.wait_for(SOON, "select exists (select from jittask.records where reason = 'row_deleted')");
    // In a transaction that is rolled back, nothing runs.
    session.batch_execute("begin; select jittask.run_task('clock'); rollback").unwrap();
    assert_eq!(one::<i64>(&mut session, "select sum(abs(unaccounted))::bigint from jittask.accounts"), 0);
}

/// Another session has the table: creating and altering give up after a second, and leave nothing.
#[test]
fn a_busy_table_is_55p03_and_leaves_nothing() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql("select jittask.create_date_task('there', 'contract', 'due', 'run')");
    let mut session = cluster.app();
    let left =
        "select (select count(*) from jittask.tasks) + (select count(*) from pg_trigger where tgname like 'jittask%')
        + (select count(*) from pg_proc where pronamespace = 'jittask_filter'::regnamespace)";
    let before = one::<i64>(&mut session, left);
    let mut holder = cluster.app();
    holder.batch_execute("begin; lock table contract in access exclusive mode").unwrap();
    for statement in [
        "select jittask.create_date_task('plain', 'contract', 'due', 'run')",
        "select jittask.create_date_task('filtered', 'contract', 'due', 'run', filter => 'id > 3')",
        "select jittask.alter_task('there', '{\"filter\": \"id > 3\"}')",
        "select jittask.drop_task('there')",
    ] {
        let error = session.batch_execute(statement).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "55P03", "{statement}");
    }
    holder.batch_execute("commit").unwrap();
    assert_eq!(one::<i64>(&mut session, left), before);
}

/// What ran, and why another row will not, in words.
#[test]
fn explain_row_tells_what_has_run() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('there', 'contract', 'due', 'run');
         insert into contract values (1, now() + interval '1 second')",
    );
    cluster.wait_for(SOON, "select count(*) = 1 from jittask.records where status = 'completed'");
    let mut session = cluster.app();
    let verdict = "select detail from jittask.explain_row('there', '{\"id\": 1}') where step = 'verdict'";
    assert!(one::<String>(&mut session, verdict).starts_with("ran for "));
}

/// What somebody has cancelled is not planned again, whatever becomes of its task, and the function is not called for it.
#[test]
fn what_is_cancelled_stays_so_when_the_task_is_altered() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create sequence calls;
         create function tick() returns void language sql as $$ select nextval('calls') $$;
         select jittask.create_scheduled_task('ticks', now() + interval '4 s', 'tick', rule => 'every 1 second');",
    );
    cluster.wait_for(SOON, "select count(*) > 100 from jittask.agenda");
    let mut session = cluster.app();
    // The first three, and then something else about when it is due.
    session
        .batch_execute(
            "select jittask.cancel_record(id) from (select id from jittask.records order by due_at limit 3) r;
             select jittask.alter_task('ticks', '{\"time_zone\": \"Etc/UTC\"}')",
        )
        .unwrap();
    cluster.wait_for(SOON, "select count(*) >= 3 from jittask.records where status = 'completed'");
    session.batch_execute("select jittask.pause_task('ticks')").unwrap();
    cluster.wait_for(SOON, "select not exists (select from jittask.progress)");
    let ended: Vec<String> = all(
        &mut session,
        "select status::text from jittask.records where status in ('cancelled', 'completed', 'failed') order by due_at limit 6",
    );
    assert_eq!(ended, ["cancelled", "cancelled", "cancelled", "completed", "completed", "completed"]);
    let (calls, completed) =
        ("select last_value from calls", "select count(*) from jittask.records where status = 'completed'");
    assert_eq!(one::<i64>(&mut session, calls), one::<i64>(&mut session, completed));
    cluster::nothing_unaccounted(&mut session);
}

/// An occurrence that came into the agenda twice ends once.
#[test]
fn what_came_in_twice_can_be_cancelled_and_dropped() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function tick() returns void language sql as '';
         select jittask.create_scheduled_task('once', now(), 'tick')",
    );
    cluster.wait_for(SOON, "select count(*) = 1 from jittask.records where status = 'completed'");
    for id in [300_000_000, 400_000_000] {
        cluster.sql(
            "postgres",
            &format!(
                "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys)
                     select {id}, 'app', task_id, 'infinity', nominal_at, nominal_at, array[key] from jittask.record;
                 update jittask.tally set entered = entered + 1 where ctid = (select ctid from jittask.tally limit 1)"
            ),
        );
    }
    let mut session = cluster.app();
    assert!(one::<bool>(&mut session, "select jittask.cancel_record(300000000)"));
    session.batch_execute("select jittask.drop_task('once')").unwrap();
    let left: Vec<String> = all(&mut session, "select status::text from jittask.records");
    assert_eq!(left, ["completed"]);
    cluster::nothing_unaccounted(&mut session);
}
