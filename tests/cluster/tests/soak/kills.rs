//! `kill -9` at random moments, and how soon work goes on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cluster::Cluster;
use cluster::postgres::Client;

use super::random::Random;
use super::{Plan, load};

/// Who is killed; the title of its process.
const VICTIMS: [&str; 4] = ["executor", "scheduler", "launcher", "postmaster"];
/// The server has to come back within this.
const RECOVERY: Duration = Duration::from_secs(30);
/// A first run, of what fell due after the recovery, has to be there this long after it.
const FIRST_RUN: Duration = Duration::from_secs(5);

/// What came of one kill.
pub struct Kill {
    pub victim: &'static str,
    /// From the kill to the first session that was let in.
    pub recovery: Duration,
    /// From there to the first effect of an occurrence that was due after it.
    pub first_run: Duration,
}

/// All kills of the plan, in the first two thirds of its time.
pub fn kill_all(cluster: &mut Cluster, plan: &Plan, begun: Instant, random: &mut Random) -> Vec<Kill> {
    let mut kills = Vec::new();
    for done in 0..plan.kills {
        // Somewhere in its share of what is left, or within two seconds where no time is set.
        let share = (plan.time * 2 / 3).saturating_sub(begun.elapsed()) / (plan.kills - done) as u32;
        let pause = if plan.time.is_zero() { Duration::from_secs(1) } else { share };
        sleep(Duration::from_millis(random.between(0, 2 * pause.as_millis() as u64 + 1)));
        let kill = kill(cluster, VICTIMS[random.between(0, VICTIMS.len() as u64) as usize]);
        println!(
            "{:>4} s: {} killed, server back after {:.1?}, first run {:.1?} later",
            begun.elapsed().as_secs(),
            kill.victim,
            kill.recovery,
            kill.first_run
        );
        kills.push(kill);
    }
    kills
}

fn kill(cluster: &mut Cluster, victim: &'static str) -> Kill {
    let mut session = cluster.connect("postgres");
    let killed_at = load::now(&mut session);
    let begun = Instant::now();
    if victim == "postmaster" {
        cluster.kill_postmaster();
        cluster.start_again();
    } else {
        let title = format!("jittask {victim}");
        cluster.wait_until(&title, RECOVERY, || {
            let process = cluster.processes().into_iter().find(|process| process.title.contains(&title))?;
            // It may end by itself in this very moment.
            cluster.try_kill9(process.pid).then_some(())
        });
        // Until the postmaster has noticed, all goes on for a moment.
        cluster
            .wait_until("the server to go down", RECOVERY, || session.simple_query("select 1").is_err().then_some(()));
    }
    drop(session);
    let mut session = cluster.wait_until("the server", RECOVERY, || cluster.try_connect("postgres", "postgres").ok());
    let recovery = begun.elapsed();
    let recovered_at = load::now(&mut session);
    nothing_is_left_executing(&mut session, killed_at);
    let first_run = first_run(cluster, &mut session, recovered_at);
    nothing_is_left_executing(&mut session, killed_at);
    Kill { victim, recovery, first_run }
}

/// What executed before the kill died in it: nobody may see it executing ever again.
fn nothing_is_left_executing(session: &mut Client, killed_at: DateTime<Utc>) {
    let left = session
        .query_one("select count(*) from jittask.progress where started_at < $1", &[&killed_at])
        .map(|row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 0, "something still executes that began before {killed_at}");
}

fn first_run(cluster: &Cluster, session: &mut Client, recovered_at: DateTime<Utc>) -> Duration {
    let query = "select min(at) from outbox where at >= $1 and due_at >= $1";
    let at = cluster.wait_until("a run of what fell due after the recovery", FIRST_RUN, || {
        session.query_one(query, &[&recovered_at]).unwrap().get::<_, Option<DateTime<Utc>>>(0)
    });
    (at - recovered_at).to_std().unwrap_or_default()
}
