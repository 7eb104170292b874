//! Many records: a plain role finds what it looks for by an index, and the old ones go in small portions, none of them
//! younger than its task's catch_up_window.

use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{Cluster, SOON, all, nothing_unaccounted, one};

/// Records of 100 tasks of three roles over 100 days, of which a thousandth failed. JITTASK_RECORDS says how many.
fn records() -> i64 {
    std::env::var("JITTASK_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_000)
}

fn filled(cluster: &Cluster, records: i64) {
    cluster
        .sql("postgres", "create role other login; create role third login; grant usage on schema jittask to public");
    for (number, role) in ["app", "other", "third"].iter().enumerate() {
        cluster
            .connect_as("postgres", role)
            .batch_execute(&format!(
                "select jittask.create_scheduled_task(format('task %s', i), '2100-01-01', body => 'null') from generate_series({number}, 99, 3) i"
            ))
            .unwrap();
    }
    cluster.sql(
        "postgres",
        &format!(
            "insert into jittask.record (id, task_id, nominal_at, started_at, finished_at, status, attempt, forced, key, result, error)
             select -i, t.id, at, at, at + interval '20 ms', case when i % 1000 = 0 then 'failed' else 'completed' end::jittask.record_status,
                    1, false, '', 'ok', case when i % 1000 = 0 then 'no luck' end
             from generate_series({records}, 1, -1) i, lateral (select now() - i * interval '100 days' / {records} as at) a,
                  lateral (select id from jittask.task where name = 'task_' || i % 100) t"
        ),
    );
    let mut superuser = cluster.connect("postgres");
    for table in ["record", "task", "agenda"] {
        superuser.batch_execute(&format!("vacuum analyze jittask.{table}")).unwrap();
    }
}

/// What people ask, as a role that sees a third of it.
const QUESTIONS: [(&str, &str); 5] = [
    ("one task's day", "task = 'task_0' and due_at >= now() - interval '2 days' and due_at < now() - interval '1 day'"),
    ("one task's last ones", "task = 'task_0' and due_at > now() - interval '3 hours'"),
    (
        "all failures of yesterday",
        "status = 'failed' and finished_at >= date_trunc('day', now()) - interval '1 day' and finished_at < date_trunc('day', now())",
    ),
    ("a range of started_at", "started_at between now() - interval '50 hours' and now() - interval '49 hours'"),
    ("one record", "id = -3000"),
];

#[test]
fn a_plain_role_finds_records_by_an_index() {
    let cluster = Cluster::ready(&[("jittask.record_retention", "0")]);
    let records = records();
    filled(&cluster, records);
    let pages: i64 = one(
        &mut cluster.connect("postgres"),
        "select relpages::bigint from pg_class where oid = 'jittask.record'::regclass",
    );
    let mut session = cluster.app();
    for (what, condition) in QUESTIONS {
        let query = format!("select * from jittask.records where {condition}");
        let plan: Vec<String> = all(&mut session, &format!("explain (analyze, buffers) {query}"));
        let whole = plan.iter().any(|line| line.contains("Seq Scan on record"));
        assert!(!whole, "{what}: {plan:#?}");
        let found = session.query(&query, &[]).unwrap().len();
        assert!(found > 0, "{what}: nothing found");
        let best = (0..3).map(|_| timed(&mut session, &query)).min().unwrap();
        let read = pages_read(&plan);
        println!("{what}: {found} of {records} records in {best:?}, {read} of {pages} pages");
        assert!(read < pages / 50, "{what} reads {read} of {pages} pages: {plan:#?}");
    }
}

/// By the whole statement: its first line of buffers, `Buffers: shared hit=254 read=2`.
fn pages_read(plan: &[String]) -> i64 {
    let line = plan.iter().find(|line| line.contains("Buffers: shared")).unwrap();
    line.split([' ', '=']).filter_map(|word| word.parse::<i64>().ok()).sum()
}

/// Older than record_retention and than the task's own window, in portions that keep nobody waiting.
#[test]
fn old_records_go_but_none_younger_than_its_window() {
    let cluster = Cluster::ready(&[("jittask.record_retention", "0")]);
    filled(&cluster, 20_000);
    cluster.sql(
        "postgres",
        "update jittask.task set definition = jsonb_set(definition, '{catch_up_window}', '\"80 days\"') where name = 'task_7'",
    );
    let oldest = |session: &mut Client, condition: &str| -> f64 {
        one(
            session,
            &format!(
                "select extract(epoch from now() - min(due_at))::float8 / 86400 from jittask.records where {condition}"
            ),
        )
    };
    let mut superuser = cluster.connect("postgres");
    let before: i64 = one(&mut superuser, "select count(*) from jittask.records where status <> 'pending'");
    assert_eq!(before, 20_000);
    // Scheduled tasks have a window of 32 days, one here has 80.
    for (retention, most, most_of_7) in [("50d", 50.0, 80.0), ("1d", 32.0, 80.0)] {
        cluster.turn("jittask.record_retention", retention);
        let is_done = format!(
            "select coalesce(min(due_at) > now() - interval '{most} days 1 minute', false) from jittask.records where task <> 'task_7'"
        );
        cluster.wait_for(SOON, &is_done);
        cluster.wait_for(
            SOON,
            &is_done
                .replace("<> 'task_7'", "= 'task_7'")
                .replace(&format!("{most} days"), &format!("{most_of_7} days")),
        );
        let (others, seven) = (oldest(&mut superuser, "task <> 'task_7'"), oldest(&mut superuser, "task = 'task_7'"));
        assert!(others > most - 0.2, "a record of {others} days is the oldest, with a retention of {retention}");
        assert!(seven > most_of_7 - 1.0, "a record of {seven} days is the oldest of the task with the long window");
    }
    // What is left was not touched, and the counts outlive what went.
    let young: i64 = one(
        &mut superuser,
        "select count(*) from jittask.records where status <> 'pending' and due_at > now() - interval '31 days'",
    );
    assert_eq!(young, 20_000 * 31 / 100 - 1);
    nothing_unaccounted(&mut superuser);
}

/// What waits stays as it is, and its records' ids with it.
#[test]
fn the_agenda_gives_back_what_a_flood_took() {
    let cluster = Cluster::ready(&[("jittask.executor_idle", "1s"), ("autovacuum", "off")]);
    cluster.app_sql(
        "create table call (id int primary key, due timestamptz); create index on call (due);
         create function answer(call) returns void language sql as '';
         create function tick() returns void language sql as '';
         select jittask.create_date_task('calls', 'call', 'due', 'answer');
         select jittask.create_scheduled_task('later', now() + '20 minutes', 'tick', repeat => 'hourly');
         insert into call select -id, now() + '30 minutes' from generate_series(1, 300) id;
         insert into call select id, now() + id * interval '10 microseconds' from generate_series(1, 30000) id",
    );
    let size = "select pg_total_relation_size('jittask.agenda')";
    let mut session = cluster.connect("postgres");
    cluster.wait_for(SOON, "select sum(entered) >= 30300 from jittask.accounts");
    let (before, waits): (i64, String) = (one(&mut session, size), one(&mut session, WAITS));
    assert!(before > 4 << 20, "the agenda has only {before} bytes");
    cluster.ended_within(SOON, 30_000);
    cluster.wait_for(SOON, &format!("{size} < 200000"));
    assert_eq!(one::<String>(&mut session, WAITS), waits);
    nothing_unaccounted(&mut session);
    // And what comes next runs.
    cluster.app_sql("insert into call values (0, now())");
    cluster.ended_within(SOON, 30_001);
}

const WAITS: &str = "select string_agg(concat_ws(' ', id, task, row_key, due_at), ',' order by id) from jittask.records where due_at > now() + '10 minutes'";

fn timed(session: &mut Client, query: &str) -> Duration {
    let begun = Instant::now();
    session.query(query, &[]).unwrap();
    begun.elapsed()
}

/// Where old records lay, new ones come to lie. What is looked for by time or by id is found as quickly as before.
#[test]
fn indexes_forget_what_has_gone() {
    let cluster = Cluster::ready(&[("jittask.record_retention", "0"), ("autovacuum", "off")]);
    filled(&cluster, 20_000);
    let mut superuser = cluster.connect("postgres");
    let size = "select pg_relation_size('jittask.record')";
    let before: i64 = one(&mut superuser, size);
    cluster.turn("jittask.record_retention", "40d");
    cluster.wait_for(
        SOON,
        "select min(due_at) > now() - interval '40 days 1 minute' from jittask.records where status <> 'pending'",
    );
    // The last portion's indexes are summed up with the next look, which a change of the setting brings.
    cluster.turn("jittask.record_retention", "57601min");
    let summaries = "select count(*) from jittask.record where due_at is null";
    assert!(one::<i64>(&mut superuser, summaries) > 7_000);
    superuser.batch_execute("vacuum jittask.record").unwrap();
    let refill = "insert into jittask.record (id, task_id, nominal_at, started_at, finished_at, key)
        select 1000000 + i, t.id, at, at, at, '' from generate_series(1, 10000) i,
            lateral (select now() - interval '1 hour' + i * interval '100 milliseconds' as at) a,
            lateral (select id from jittask.task where name = 'task_' || i % 100) t";
    superuser.batch_execute(refill).unwrap();
    assert_eq!(one::<i64>(&mut superuser, size), before, "new records did not come to lie where the old ones were");
    superuser.batch_execute("analyze jittask.record").unwrap();
    let mut session = cluster.app();
    for condition in [
        "started_at between now() - interval '20 minutes' and now() - interval '19 minutes'",
        "id = -2000",
        "id = 1005000",
    ] {
        let plan: Vec<String> = all(
            &mut session,
            &format!("explain (analyze, timing off) select * from jittask.records where {condition}"),
        );
        let lossy = plan
            .iter()
            .filter_map(|line| line.split_once("lossy="))
            .map(|(_, count)| count.trim().parse::<i64>().unwrap());
        assert!(lossy.sum::<i64>() <= 2 * 64, "{condition}: {plan:#?}");
    }
}

/// While a task's past is looked through, which takes its time, records of what is looked through stay.
#[test]
fn what_is_looked_through_is_not_forgotten_meanwhile() {
    let cluster = Cluster::ready(&[("jittask.record_retention", "1s"), ("jittask.scan_interval", "500ms")]);
    cluster.app_sql(
        "create table outbox (id int);
         create table contract (id int primary key, due timestamptz); create index on contract (due);
         create function run(contract) returns void language sql as $$ insert into public.outbox values ($1.id) $$;
         create function slow(int) returns boolean language plpgsql immutable as $$ begin perform pg_sleep(0.02); return true; end $$;
         select jittask.create_date_task('rows', 'contract', 'due', 'run', filter => 'slow(id)', catch_up_window => '8 seconds');
         insert into contract select id, clock_timestamp() + interval '1 s' + id * interval '100 ms' from generate_series(1, 250) id",
    );
    let mut session = cluster.app();
    // The table changes all the time, so each scan reads the whole window.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(35) {
        session.batch_execute("update contract set due = due where id = 250").unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(one::<i64>(&mut session, "select count(distinct id) from outbox"), 250);
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 250);
    assert!(one::<i64>(&mut session, "select count(*) from jittask.records") < 150, "records have gone");
}
