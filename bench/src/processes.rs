//! CPU time of a server's background processes, from /proc: exact to the nanosecond, and nobody is woken by looking.

use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(200);

/// Seconds that a process has been on a CPU; None when it is gone.
pub fn cpu_seconds(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// Adds up what the children of a postmaster with a certain title take from now on.
pub struct Meter {
    postmaster: i32,
    title: &'static str,
    before: HashMap<i32, f64>,
    latest: HashMap<i32, f64>,
    looked_at: Instant,
}

impl Meter {
    /// Of children with a title that contains `title`.
    pub fn start(postmaster: i32, title: &'static str) -> Meter {
        let before = current(postmaster, title);
        Meter { postmaster, title, latest: before.clone(), before, looked_at: Instant::now() }
    }

    /// Looks, so that one that ends is not lost, if the last look was so long ago.
    pub fn look_sometimes(&mut self, every: Duration) {
        if self.looked_at.elapsed() >= every {
            self.look();
            self.looked_at = Instant::now();
        }
    }

    /// CPU seconds so far. Of a process that has ended, those until the last look.
    pub fn look(&mut self) -> f64 {
        self.latest.extend(current(self.postmaster, self.title));
        self.latest.iter().map(|(pid, seconds)| seconds - self.before.get(pid).unwrap_or(&0.0)).sum()
    }
}

/// CPU seconds that these children spend within `span`, those included that come and go.
pub fn watch(postmaster: i32, title: &'static str, span: Duration) -> f64 {
    let mut meter = Meter::start(postmaster, title);
    let until = Instant::now() + span;
    while Instant::now() < until {
        sleep(LOOK);
        meter.look();
    }
    meter.look()
}

fn current(postmaster: i32, title: &str) -> HashMap<i32, f64> {
    let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
    pids.filter(|pid| titled(*pid, title)).filter_map(|pid| Some((pid, cpu_seconds(pid)?))).collect()
}

fn titled(pid: i32, title: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(title))
}
