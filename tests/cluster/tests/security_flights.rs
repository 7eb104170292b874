//! Whose fault was a crash? The file that tells is from a postmaster, and another one may have its process id.

use std::os::unix::fs::FileExt;

use cluster::postgres::Client;
use cluster::{Cluster, SOON, nothing_unaccounted, one};

/// Notes in the file, as an executor of another slot would, that an entry is executing: under a postmaster of this pid that
/// started at this instant (microseconds since 2000).
fn forge(cluster: &Cluster, entry: i64, postmaster: i32, since: i64) {
    const SIZE: u64 = 40;
    const SLOT: u64 = 20;
    let database: u32 =
        one(&mut cluster.connect("postgres"), "select oid from pg_database where datname = current_database()");
    let mut flight = Vec::new();
    flight.extend(database.to_ne_bytes());
    flight.extend(1_i32.to_ne_bytes());
    flight.extend(entry.to_ne_bytes());
    flight.extend(1_700_000_000_000_000_i64.to_ne_bytes());
    flight.extend(0_i32.to_ne_bytes());
    flight.extend(postmaster.to_ne_bytes());
    flight.extend(since.to_ne_bytes());
    assert_eq!(flight.len() as u64, SIZE);
    let file = std::fs::OpenOptions::new().write(true).open(cluster.datadir().join("jittask.flights.2")).unwrap();
    file.write_all_at(&flight, SLOT * SIZE).unwrap();
}

/// A process of the server dies, so that all start anew under the same postmaster; true when tasks are served again.
fn crash(cluster: &Cluster) -> Client {
    let mut victim = cluster.connect("postgres");
    let pid: i32 = one(&mut victim, "select pg_backend_pid()");
    let scheduler = "select pid from jittask.workers where kind = 'scheduler' and pid > 0";
    let before: i32 = cluster.wait_until("a scheduler", SOON, || cluster::all(&mut victim, scheduler).pop());
    cluster.kill9(pid);
    cluster.wait_until("the server to go down", SOON, || victim.simple_query("select 1").is_err().then_some(()));
    cluster.wait_until("another scheduler", SOON, || {
        let mut session = cluster.try_connect("postgres", "app").ok()?;
        let pid: i32 = session.query(scheduler, &[]).ok()?.first()?.get(0);
        (pid != before).then_some(session)
    })
}

#[test]
fn a_run_of_another_postmaster_with_the_same_pid_is_no_attempt() {
    let cluster = Cluster::ready(&[]);
    cluster
        .app_sql("select jittask.create_scheduled_task('t', now() + '5 minutes', body => 'null', repeat => 'hourly')");
    let mut admin = cluster.connect("postgres");
    let entry: i64 = one(&mut admin, "select min(id) from jittask.agenda");
    let postmaster: i32 = std::fs::read_to_string(cluster.datadir().join("postmaster.pid"))
        .unwrap()
        .lines()
        .next()
        .and_then(|line| line.parse().ok())
        .unwrap();
    let since: i64 = one(
        &mut admin,
        "select (extract(epoch from pg_postmaster_start_time() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint",
    );
    let attempts = "select attempt from jittask.records where status = 'pending' order by nominal_at limit 1";
    // Before a power cut the postmaster had this pid as well.
    forge(&cluster, entry, postmaster, since - 86_400_000_000);
    let mut session = crash(&cluster);
    // A death that counts would do so within a moment.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(one::<i32>(&mut session, attempts), 0);
    // It is this very one: a crash that it survives leaves it its start.
    forge(&cluster, entry, postmaster, since);
    let mut session = crash(&cluster);
    cluster.wait_until("the attempt to count", SOON, || (one::<i32>(&mut session, attempts) == 1).then_some(()));
    nothing_unaccounted(&mut cluster.connect("postgres"));
}
