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

/// CPU seconds that the children of `postmaster` with a title that contains `title` spend within `span`, those included
/// that come and go: they are looked at every 0.2 s, so the last of a process that ends is missed.
pub fn watch(postmaster: i32, title: &str, span: Duration) -> f64 {
    let before: HashMap<i32, f64> = current(postmaster, title);
    let mut latest = before.clone();
    let until = Instant::now() + span;
    while Instant::now() < until {
        sleep(LOOK);
        latest.extend(current(postmaster, title));
    }
    latest.iter().map(|(pid, seconds)| seconds - before.get(pid).unwrap_or(&0.0)).sum()
}

fn current(postmaster: i32, title: &str) -> HashMap<i32, f64> {
    let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
    pids.filter(|pid| titled(*pid, title)).filter_map(|pid| Some((pid, cpu_seconds(pid)?))).collect()
}

fn titled(pid: i32, title: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(title))
}
