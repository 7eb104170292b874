//! A server under load that is killed again and again while people change its tables and tasks: in the end each
//! occurrence that was due has one completed record and one effect, and no process of ours has grown by more than
//! 8 MB after its first minute.
//!
//! `make test` runs the short forms. `SOAK_MINUTES` and `SOAK_KILLS` make the second test the long one of `make soak`,
//! `SOAK_REPORT` is the file its numbers go to; `CRASH_KILLS` is for the first. `SOAK_SEED` repeats the choices of a run.

mod ddl;
mod kills;
mod load;
mod memory;
mod random;
mod report;
mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cluster::Cluster;
use random::Random;

/// What is done to a server.
struct Plan {
    kills: usize,
    /// The kills are spread over the first two thirds of it, so that processes then live long enough to grow.
    time: Duration,
    /// Whether somebody changes tables and tasks all the while.
    ddl: bool,
}

/// All that was measured.
struct Measured {
    kills: Vec<kills::Kill>,
    changes: ddl::Changes,
    minutes: Vec<memory::Minute>,
    growth: Vec<memory::Life>,
    verdict: verdict::Verdict,
}

/// Tells the other threads to end, also when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn run(plan: &Plan) -> (Cluster, Measured) {
    let mut random = Random::from_env();
    let mut cluster = Cluster::ready(&[("jittask.scan_interval", "2s"), ("jittask.planning_horizon", "60s")]);
    load::prepare(&cluster);
    let begun = Instant::now();
    let stopped = AtomicBool::new(false);
    let (config, datadir, seeds) = (cluster.config("postgres", "postgres"), cluster.datadir(), random.fork());
    let (kills, changes, (minutes, growth)) = thread::scope(|scope| {
        let stop = Stop(&stopped);
        let writer = scope.spawn(|| load::write(&config, &stopped, Random::new(seeds[0])));
        let ddl = scope.spawn(|| match plan.ddl {
            true => ddl::change(&config, &stopped, Random::new(seeds[1])),
            false => ddl::Changes::default(),
        });
        let memory = scope.spawn(|| memory::watch(&config, &datadir, &stopped));
        let kills = kills::kill_all(&mut cluster, plan, begun, &mut random);
        while begun.elapsed() < plan.time {
            thread::sleep(Duration::from_millis(100));
        }
        drop(stop);
        writer.join().unwrap();
        (kills, ddl.join().unwrap(), memory.join().unwrap())
    });
    let verdict = verdict::judge(&cluster, plan.ddl);
    (cluster, Measured { kills, changes, minutes, growth, verdict })
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn processes_are_killed_at_random_moments_under_load() {
    let kills = number("CRASH_KILLS", 10) as usize;
    let (cluster, measured) = run(&Plan { kills, time: Duration::ZERO, ddl: false });
    println!("{}", report::section(&cluster, &measured));
    assert_eq!(measured.kills.len(), kills);
}

#[test]
fn kills_and_ddl_under_load_lose_nothing_and_memory_is_flat() {
    let minutes = number("SOAK_MINUTES", 1);
    let kills = number("SOAK_KILLS", 10) as usize;
    let (cluster, measured) = run(&Plan { kills, time: Duration::from_secs(minutes * 60), ddl: true });
    let text = report::section(&cluster, &measured);
    println!("{text}");
    if let Some(path) = std::env::var_os("SOAK_REPORT") {
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(measured.kills.len(), kills);
    measured.changes.assert_all_were_made(minutes);
    memory::assert_flat(&measured.growth);
}
