//! The server that all sides of a measure share: durable as in production, with memory for the tables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::postgres::Client;
use cluster::{Cluster, Mode, one};

/// Over the harness's own settings, which sync nothing. The log is long enough that no checkpoint falls into a measure;
/// its segments are kept, as on a server that has run for a while.
const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "1GB"),
    ("min_wal_size", "4GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
];

/// A cluster with the extension and the role `app`.
pub fn start(settings: &[(&str, &str)]) -> Cluster {
    Cluster::ready(&[&SETTINGS, settings].concat())
}

/// Restarts it with another number of executors.
pub fn set_executors(cluster: &mut Cluster, count: u32) {
    cluster.connect("postgres").batch_execute(&format!("alter system set jittask.max_executors = {count}")).unwrap();
    cluster.restart(Mode::Fast);
}

/// Runs one statement outside a transaction block, as superuser: VACUUM, CHECKPOINT.
pub fn maintain(cluster: &Cluster, statement: &str) {
    let mut session = cluster.connect("postgres");
    session.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The process that all others of the server are children of.
pub fn postmaster(cluster: &Cluster) -> i32 {
    let text = std::fs::read_to_string(cluster.datadir().join("postmaster.pid")).unwrap_or_default();
    text.lines().next().and_then(|pid| pid.trim().parse().ok()).unwrap_or_else(|| panic!("no postmaster.pid"))
}

/// The next transaction id, which looking does not take.
pub fn next_xid(session: &mut Client) -> i64 {
    one(session, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
}

/// Bytes of our tables whose name begins with `prefix`, with indexes and TOAST.
pub fn size(session: &mut Client, prefix: &str) -> f64 {
    let query = format!(
        "select coalesce(sum(pg_total_relation_size(oid)), 0)::float8 from pg_class
         where relnamespace = 'jittask'::regnamespace and relkind in ('r', 'S') and starts_with(relname, '{prefix}')"
    );
    one(session, &query)
}

/// Waits until the query gives at least `count`; looks every `every`. When that was, in seconds since 1970.
pub fn wait_for_count(cluster: &Cluster, query: &str, count: i64, every: Duration, limit: Duration) -> f64 {
    wait_for_count_and(cluster, query, count, every, limit, || ())
}

/// The same, and does something after each look in vain.
pub fn wait_for_count_and(
    cluster: &Cluster,
    query: &str,
    count: i64,
    every: Duration,
    limit: Duration,
    mut meanwhile: impl FnMut(),
) -> f64 {
    let mut session = cluster.connect("postgres");
    let statement = session.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let begun = now();
    loop {
        let seen: i64 = session.query_one(&statement, &[]).unwrap_or_else(|error| panic!("{query}: {error}")).get(0);
        if seen >= count {
            return now();
        }
        assert!(now() - begun < limit.as_secs_f64(), "after {limit:?} only {seen} of {count}: {query}");
        meanwhile();
        std::thread::sleep(every);
    }
}

/// The clock, which server and benchmark share, in seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = std::time::Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}
