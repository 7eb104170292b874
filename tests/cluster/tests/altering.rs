//! Altered tasks: the next run follows the new definition, what did not change goes on as planned, and whatever fails
//! leaves all as it was. What alter_task answers to each parameter is in tests/sql/alter.sql.

use cluster::postgres::Client;
use cluster::{Cluster, SOON, all, ends, nothing_unaccounted, one};

const CONTRACTS: &str = "
create table contract (id int primary key, due timestamptz, other timestamptz, ends timestamptz, amount int default 0);
create index on contract (due);
create index on contract (other);
create table outbox (what text, id int, at timestamptz default clock_timestamp());
create function run(contract) returns void language sql as $$ insert into outbox values ('run', $1.id) $$;
create function other(contract) returns void language sql as $$ insert into outbox values ('other', $1.id) $$;";

fn effects(session: &mut Client) -> Vec<String> {
    all(session, "select concat_ws(' ', what, id) from outbox order by at")
}

/// One change after the other, each to be seen in the run that follows it.
#[test]
fn the_next_run_follows_the_new_definition() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql("select jittask.create_date_task('rows', 'contract', 'due', 'run')");
    let mut session = cluster.app();
    // Each change, and the row that is written after it; what its effect is, or the end of its occurrence.
    let steps = [
        ("{}", "(1, now())", "run 1"),
        (r#"{"service_function": "other"}"#, "(2, now())", "other 2"),
        (r#"{"body": "insert into public.outbox values ('body', row_data.id)"}"#, "(3, now())", "body 3"),
        (r#"{"body": "insert into public.outbox values ('new body', row_data.id)"}"#, "(4, now())", "new body 4"),
        (
            r#"{"body": "insert into public.outbox values ('sql', row_data.id)", "language": "sql"}"#,
            "(5, now())",
            "sql 5",
        ),
        (r#"{"service_function": "run", "before": "1 hour"}"#, "(6, now() + interval '1 hour')", "run 6"),
        (r#"{"after": "1 hour"}"#, "(7, now() - interval '1 hour')", "run 7"),
        (r#"{"after": null, "filter": "amount > 7"}"#, "(8, now(), null, null, 8)", "run 8"),
        (r#"{"filter": "amount > 8"}"#, "(9, now(), null, null, 9)", "run 9"),
        (r#"{"filter": null, "date_column": "other"}"#, "(10, now() + interval '1 year', now())", "run 10"),
        (r#"{"date_column": "due", "repeat": "daily"}"#, "(11, now() - interval '3 days')", "run 11"),
        (r#"{"rule": "every 2 hours"}"#, "(12, now() - interval '20 hours')", "run 12"),
        (r#"{"repeat": "none", "end_column": "ends"}"#, "(13, now(), null, now() + interval '1 minute')", "run 13"),
        (r#"{"end_column": null, "capture": "scan", "name": "lines"}"#, "(14, now() + interval '1 second')", "run 14"),
        (r#"{"capture": "trigger", "name": "rows"}"#, "(15, now())", "run 15"),
    ];
    cluster.turn("jittask.scan_interval", "500ms");
    let mut name = "rows";
    for (number, (changes, row, effect)) in steps.iter().enumerate() {
        session.execute("select jittask.alter_task($1, $2::text::jsonb)", &[&name, changes]).unwrap();
        name = if changes.contains("lines") { "lines" } else { "rows" };
        session.batch_execute(&format!("insert into contract values {row}")).unwrap();
        cluster.wait_for(SOON, &format!("select count(*) > {number} from outbox"));
        // A scan may have found the row: what its trigger has captured would be judged by the next definition.
        cluster.wait_for(SOON, "select not exists (select from jittask.capture)");
        let effects = effects(&mut session);
        assert_eq!(effects.len(), number + 1, "{effects:?}");
        assert_eq!(effects.last().map(String::as_str), Some(*effect), "after {changes}");
    }
    // Records follow the name.
    assert_eq!(all::<String>(&mut session, "select distinct task from jittask.records"), ["rows"]);
    assert_eq!(ends(&mut session).split(' ').next(), Some("completed"), "{}", ends(&mut session));
    nothing_unaccounted(&mut session);
}

/// catch_up, attempts, backoff, timeout and overlap of what is waiting already are those of the new definition.
#[test]
fn what_waits_follows_too() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function fail() returns void language plpgsql as $$ begin raise 'never' using errcode = 'P0042'; end $$;
         create function sleep() returns void language sql as $$ select pg_sleep(60) $$;
         select jittask.create_scheduled_task('fails', now(), 'fail', max_attempts => 5, retry_backoff => '3 seconds'),
             jittask.create_scheduled_task('sleeps', now() + interval '4 seconds', 'sleep', max_attempts => 1)",
    );
    cluster.wait_for(
        SOON,
        "select exists (select from jittask.records where task = 'fails' and attempt = 1 and status = 'pending')",
    );
    cluster.app_sql(
        r#"select jittask.alter_task('fails', '{"max_attempts": 2}'), jittask.alter_task('sleeps', '{"timeout": "1 second"}')"#,
    );
    cluster.ended(2);
    let told: Vec<String> = all(
        &mut cluster.app(),
        "select concat_ws(' ', task, status, attempt, error_code) from jittask.records order by task",
    );
    assert_eq!(told, ["fails failed 2 P0042", "sleeps failed 1 57014"]);
}

/// A new schedule moves what is planned, and makes nothing past due; another change leaves the occurrence as it is.
#[test]
fn only_what_changed_is_planned_anew() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "create function tick() returns void language sql as $$ insert into outbox values ('tick') $$;
         select jittask.create_scheduled_task('clock', now() + interval '30 minutes', 'tick', repeat => 'hourly', catch_up => 'all');
         select jittask.create_date_task('rows', 'contract', 'due', 'run');
         insert into contract select id, now() + interval '30 minutes' from generate_series(1, 20) id",
    );
    let planned =
        "select string_agg(id || ' ' || due_at, ', ' order by id) from jittask.records where status = 'pending'";
    cluster.wait_for(SOON, "select count(*) >= 21 from jittask.records where status = 'pending'");
    let mut session = cluster.app();
    let before: String = one(&mut session, planned);
    session
        .batch_execute(
            r#"select jittask.alter_task(name, '{"max_attempts": 7, "description": "as before"}') from jittask.tasks;
               select jittask.alter_task('rows', '{"name": "lines", "service_function": "other"}')"#,
        )
        .unwrap();
    assert_eq!(one::<String>(&mut session, planned), before);
    // Into the past: what would have been due there is not made up for.
    session
        .batch_execute(
            r#"select jittask.alter_task('lines', '{"before": "2 hours"}');
               select jittask.alter_task('clock', jsonb_build_object('start_at', now() - interval '3 hours' + interval '2 seconds', 'repeat', 'hourly'))"#,
        )
        .unwrap();
    cluster.wait_for(SOON, "select exists (select from outbox)");
    assert_eq!(effects(&mut session), ["tick"]);
    assert_eq!(ends(&mut session), "completed 1, pending 1");
    // existing_rows asks for it.
    session.batch_execute(r#"select jittask.alter_task('lines', '{"existing_rows": "2 hours"}')"#).unwrap();
    cluster.wait_for(SOON, "select count(*) = 20 from outbox where what = 'other'");
    nothing_unaccounted(&mut session);
}

/// A change that fails half-way, or whose transaction is rolled back, leaves the planned work as it was.
#[test]
fn a_failing_change_leaves_the_work_as_it_was() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'amount = 0');
         insert into contract values (1, now() + interval '3 seconds')",
    );
    cluster.wait_for(SOON, "select count(*) = 1 from jittask.records where status = 'pending'");
    let mut session = cluster.app();
    let exported: String = one(&mut session, "select jittask.export_task('rows')::text");
    for changes in [
        r#"{"body": "insert into outbox values ('body')", "before": "1 day", "filter": "amount >"}"#,
        r#"{"before": "1 day", "body": "begin broken"}"#,
        r#"{"before": "1 day", "name": "lines", "colour": "red"}"#,
        r#"{"capture": "scan", "date_column": "missing"}"#,
    ] {
        session.execute("select jittask.alter_task('rows', $1::text::jsonb)", &[&changes]).unwrap_err();
    }
    session
        .batch_execute(r#"begin; select jittask.alter_task('rows', '{"before": "1 day", "body": "null", "name": "lines"}'); rollback"#)
        .unwrap();
    assert_eq!(one::<String>(&mut session, "select jittask.export_task('rows')::text"), exported);
    cluster.ended(1);
    assert_eq!(effects(&mut session), ["run 1"]);
    session.batch_execute("insert into contract values (2, now())").unwrap();
    cluster.ended(2);
    assert_eq!(effects(&mut session), ["run 1", "run 2"]);
    nothing_unaccounted(&mut session);
}

/// What one alteration has taken back, and nobody has planned again, is not lost for the next one.
#[test]
fn what_falls_due_between_two_alterations_runs() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(CONTRACTS);
    cluster.app_sql(
        "select jittask.create_date_task('rows', 'contract', 'due', 'run', time_zone => 'UTC');
         insert into contract select id, clock_timestamp() + interval '1 s' + id * interval '5 ms' from generate_series(1, 400) id",
    );
    cluster.wait_for(SOON, "select coalesce(sum(key_count), 0) = 400 from jittask.agenda");
    let mut session = cluster.app();
    // Nothing is due at another time by it.
    for i in 0..150 {
        let zone = ["Etc/UTC", "UTC"][i % 2];
        session
            .execute("select jittask.alter_task('rows', jsonb_build_object('time_zone', $1::text))", &[&zone])
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    cluster.wait_for(SOON, "select count(*) = 400 from outbox");
    nothing_unaccounted(&mut session);
}
