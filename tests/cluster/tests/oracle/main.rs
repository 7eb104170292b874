//! Everything that falls due runs, once, and nothing else: 200,000 rows of which 20,000 fall due at one instant, while
//! sessions change a thousand rows in all the ways that a row can change. A trigger of the test's own remembers each
//! version of each row; the commit timestamps of its rows say from when to when a version was valid.

mod writers;

use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cluster::postgres::Client;
use cluster::{Cluster, all, one};

/// The instant that most rows share lies this far ahead: beyond the planning horizon, so that it passes them.
const AHEAD: Duration = Duration::from_secs(26);

/// Which occurrences should have an effect, and which have. A version that was replaced less than a second before it
/// fell due may have run or not; one that was replaced earlier must not have run; one that is still there must have.
/// `$1` is the last instant that counts.
const VERDICT: &str = "
with version as (
    select src, key, due, pg_xact_commit_timestamp(xmin) as from_at,
           lead(pg_xact_commit_timestamp(xmin)) over (partition by src, key order by seq) as until_at
    from history),
wanted as (
    select src, key, due, bool_or(until_at is null) as must
    from version
    where due <= $1 and (until_at is null or (from_at < until_at and until_at > due - interval '1 second'))
    group by src, key, due),
ran as (select src, key, due_at as due, count(*) as times from outbox group by src, key, due_at)
select case when times > 1 then 'twice' when times is null and must then 'missing'
            when wanted.key is null then 'uncalled for' when must then 'right' else 'either' end as verdict,
       src, count(*) as rows, (array_agg(key || ' @ ' || due order by key))[1:5]::text as examples
from wanted full join ran using (src, key, due)
where must or times is not null
group by 1, 2 order by 1, 2";

/// What helps to find out why something is missing.
const STATE: [(&str, &str); 4] = [
    ("candidates", "select format('%s %s %s keys', token, relation::regclass, cardinality(keys)) from jittask.capture"),
    (
        "records",
        "select format('%s %s %s %s %s', task, status, reason, error_code, count(*)) from jittask.records group by task, status, reason, error_code",
    ),
    (
        "activity",
        "select format('%s %s %s %s xact %s %s', pid, backend_type, wait_event_type, wait_event, clock_timestamp() - xact_start, query)
         from pg_stat_activity where backend_type like 'jittask%'",
    ),
    (
        "workers",
        "select format('%s %s, last seen %s ago', kind, state, clock_timestamp() - heartbeat_at) from jittask.workers",
    ),
];

#[test]
fn what_runs_is_what_was_valid_at_its_due_instant() {
    let cluster = Cluster::ready(&[
        ("jittask.planning_horizon", "10s"),
        ("jittask.scan_interval", "1s"),
        ("max_prepared_transactions", "10"),
        ("track_commit_timestamp", "on"),
    ]);
    let mut superuser = cluster.connect("postgres");
    superuser
        .batch_execute(&format!(
            "create extension postgres_fdw;
             create server loopback foreign data wrapper postgres_fdw options (host '{}', port '{}', dbname 'postgres');
             create user mapping for app server loopback options (user 'app', password_required 'false');
             grant usage on foreign server loopback to app;",
            cluster.socket_dir().display(),
            cluster.port()
        ))
        .unwrap();
    let due: DateTime<Utc> = Utc::now() + AHEAD;
    cluster.app_sql(&include_str!("schema.sql").replace(":due", &literal(due)));
    println!("200,000 rows and five tasks are there {:?} before the instant", (due - Utc::now()).to_std().unwrap());

    thread::scope(|scope| {
        for (_, writer) in writers::ALL {
            let cluster = &cluster;
            scope.spawn(move || writer(cluster, due));
        }
    });
    let last: DateTime<Utc> = one(&mut superuser, "select max(due) from history where due < now() + interval '1 hour'");
    let changed: i64 = one(&mut superuser, "select count(*) from history where seq > 200400");
    println!(
        "{changed} changes; the last of the near future is {:?} after the instant",
        (last - due).to_std().unwrap()
    );
    assert!(changed >= 1000, "only {changed} changes");
    cluster.wait_for(
        Duration::from_secs(90),
        &format!(
            "select clock_timestamp() > {0} and not exists (select from jittask.records
             where status in ('pending', 'executing', 'overdue') and due_at <= {0})",
            literal(last)
        ),
    );
    // The safety net has looked through everything once more.
    cluster.wait_for(
        Duration::from_secs(20),
        &format!("select clock_timestamp() > {} + interval '3 seconds'", literal(last)),
    );
    judge(&cluster, &mut superuser, last);
    report(&mut superuser, due);
}

fn judge(cluster: &Cluster, session: &mut Client, last: DateTime<Utc>) {
    let mut wrong = String::new();
    let mut right = 0;
    for row in session.query(VERDICT, &[&last]).unwrap() {
        let (verdict, source, rows, examples): (&str, &str, i64, &str) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        println!("{verdict:13} {source:8} {rows:6}");
        match verdict {
            "right" => right += rows,
            "either" => {}
            _ => wrong += &format!("{rows} rows of {source} {verdict}: {examples}\n"),
        }
    }
    if !wrong.is_empty() {
        for (what, query) in STATE {
            println!("{what}: {:#?}", all::<String>(session, query));
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", cluster.log());
    assert!(right > 20_000, "only {right} occurrences");
    let early: i64 = one(session, "select count(*) from outbox where at < due_at");
    assert_eq!(early, 0, "rows ran before they were due");
    let accounts: Vec<String> =
        all(session, "select format('%s: %s', task, unaccounted) from jittask.accounts where unaccounted <> 0");
    assert!(accounts.is_empty(), "unaccounted: {accounts:?}");
    // What the records say is what happened.
    let differing: i64 = one(
        session,
        "select count(*) from
           (select task, concat_ws('/', row_key ->> 'id', row_key ->> 'region') as key, due_at
            from jittask.records where status = 'completed') r
         full join outbox o on o.src = r.task and o.key = r.key and o.due_at = r.due_at
         where r.task is null or o.src is null",
    );
    assert_eq!(differing, 0, "records and effects differ");
    let odd: Vec<String> = all(
        session,
        "select distinct format('%s %s %s %s %s', task, status, reason, error_code, error) from jittask.records
         where status not in ('completed', 'skipped') and due_at < now()",
    );
    assert!(odd.is_empty(), "{odd:?}");
}

fn report(session: &mut Client, due: DateTime<Utc>) {
    let row = session
        .query_one(
            "select count(*), extract(epoch from min(at) - $1)::float8, extract(epoch from max(at) - $1)::float8
             from outbox where due_at = $1",
            &[&due],
        )
        .unwrap();
    println!(
        "{} occurrences of one instant: first {:.3} s, last {:.3} s after it",
        row.get::<_, i64>(0),
        row.get::<_, f64>(1),
        row.get::<_, f64>(2)
    );
}

/// An instant as an SQL literal.
fn literal(at: DateTime<Utc>) -> String {
    format!("timestamptz '{}'", at.format("%Y-%m-%d %H:%M:%S%.6f+00"))
}
