//! What our processes hold in memory, over time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::postgres::{Client, Config};
use cluster::processes::{self, Memory};

const KINDS: [&str; 3] = ["launcher", "scheduler", "executor"];
const EVERY: Duration = Duration::from_secs(2);
/// Caches fill in a process's first minute.
const SETTLED: Duration = Duration::from_secs(60);
/// What a settled process may grow by; kB.
const MOST_GROWTH: i64 = 8 * 1024;
/// What any of our processes may hold of its own; kB.
const MOST: i64 = 100 * 1024;

/// The largest process of each kind within one minute, and how many occurrences were completed until then.
#[derive(Clone, Copy, Default)]
pub struct Minute {
    pub largest: [Memory; 3],
    pub effects: i64,
}

/// One process, from its first sample to its last.
#[derive(Clone, Debug)]
pub struct Life {
    pub kind: &'static str,
    pub lived: Duration,
    /// Private memory when it had settled, if it lived that long; kB.
    pub settled: Option<i64>,
    /// Private memory in the end; kB.
    pub last: i64,
}

/// Samples until told to stop.
pub fn watch(config: &Config, datadir: &Path, stopped: &AtomicBool) -> (Vec<Minute>, Vec<Life>) {
    let begun = Instant::now();
    let (mut minutes, mut lives): (Vec<Minute>, BTreeMap<i32, (Instant, Life)>) = Default::default();
    let mut session: Option<Client> = None;
    while !stopped.load(Ordering::Acquire) {
        let minute = (begun.elapsed().as_secs() / 60) as usize;
        minutes.resize(minute + 1, Minute::default());
        sample(datadir, &mut minutes[minute], &mut lives);
        if session.as_ref().is_none_or(Client::is_closed) {
            session = config.connect(cluster::postgres::NoTls).ok();
        }
        let count = session.as_mut().and_then(|session| {
            session.query_one("select sum(completed)::bigint from jittask.tally", &[]).ok()?.get::<_, Option<i64>>(0)
        });
        minutes[minute].effects = count.unwrap_or(minutes[minute].effects);
        sleep(EVERY);
    }
    (minutes, lives.into_values().map(|(_, life)| life).collect())
}

fn sample(datadir: &Path, minute: &mut Minute, lives: &mut BTreeMap<i32, (Instant, Life)>) {
    for process in processes::of(datadir) {
        let kind = (0..KINDS.len()).find(|kind| process.title.contains(&format!("jittask {}", KINDS[*kind])));
        let (Some(kind), Some(memory)) = (kind, processes::memory(process.pid)) else { continue };
        let largest = &mut minute.largest[kind];
        largest.resident = largest.resident.max(memory.resident);
        largest.private = largest.private.max(memory.private);
        let new = Life { kind: KINDS[kind], lived: Duration::ZERO, settled: None, last: memory.private };
        let (since, life) = lives.entry(process.pid).or_insert((Instant::now(), new));
        life.lived = since.elapsed();
        life.last = memory.private;
        if life.settled.is_none() && life.lived >= SETTLED {
            life.settled = Some(memory.private);
        }
    }
}

/// No process grows once it has settled, and none is large.
pub fn assert_flat(lives: &[Life]) {
    let grown: Vec<&Life> = lives
        .iter()
        .filter(|life| life.last > MOST || life.settled.is_some_and(|settled| life.last - settled > MOST_GROWTH))
        .collect();
    assert!(grown.is_empty(), "processes grew: {grown:#?}");
}

/// The table by minute, in MB.
pub fn table(minutes: &[Minute]) -> String {
    let mut text = String::from(
        "| minute | launcher | scheduler | executor | completed |\n| ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (number, minute) in minutes.iter().enumerate() {
        let cell = |kind: usize| {
            let Memory { private, resident, .. } = minute.largest[kind];
            format!("{:.1} / {:.1}", private as f64 / 1024.0, resident as f64 / 1024.0)
        };
        text += &format!("| {} | {} | {} | {} | {} |\n", number + 1, cell(0), cell(1), cell(2), minute.effects);
    }
    text
}

/// For each kind the process that lived longest after it had settled: how long, and its growth in kB.
pub fn longest(lives: &[Life]) -> Vec<(&'static str, Duration, i64)> {
    KINDS
        .iter()
        .filter_map(|kind| {
            let settled = lives.iter().filter(|life| life.kind == *kind && life.settled.is_some());
            let life = settled.max_by_key(|life| life.lived)?;
            Some((*kind, life.lived, life.last - life.settled?))
        })
        .collect()
}
