//! How busy the machine is while something is measured. Limits on time are meant for a machine that has nothing else to do;
//! here they are ratios to a control that runs beside what is measured and suffers as it does.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, park_timeout, spawn};
use std::time::{Duration, Instant};

/// The control works for about 10 ms, which is longer than a time slice, after each pause.
const PAUSE: Duration = Duration::from_millis(100);
const STEPS: u64 = 6_000_000;

/// A control that runs until it is dropped.
pub struct Load {
    begun: Instant,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// The quickest and the slowest piece of work so far, and by how much the control woke too late at most. Nanoseconds.
    quickest: AtomicU64,
    slowest: AtomicU64,
    latest: AtomicU64,
}

impl Load {
    /// Begins to watch how busy the machine is.
    pub fn watch() -> Self {
        let shared = Arc::new(Shared::default());
        shared.quickest.store(u64::MAX, Relaxed);
        shared.work();
        let thread = spawn({
            let shared = Arc::clone(&shared);
            move || shared.watch()
        });
        Load { begun: Instant::now(), shared, thread: Some(thread) }
    }

    /// What a limit for an idle machine comes to on this one, as it has been since the watch began. Seconds.
    pub fn allows(&self, limit: f64) -> f64 {
        let nanos = |value: &AtomicU64| value.load(Relaxed) as f64;
        limit * nanos(&self.shared.slowest) / nanos(&self.shared.quickest) + nanos(&self.shared.latest) / 1e9
    }

    /// # Panics
    /// When it is longer ago that the watch began than the limit for an idle machine comes to on this one. Seconds.
    pub fn assert_over_within(&self, limit: f64, what: &str) {
        self.assert_within(limit, self.begun.elapsed().as_secs_f64(), what);
    }

    /// # Panics
    /// When it took longer than the limit for an idle machine comes to on this one. Seconds.
    pub fn assert_within(&self, limit: f64, taken: f64, what: &str) {
        let allowed = self.allows(limit);
        println!("{what}: {taken:.3} s, of {allowed:.3} s that are allowed here for {limit} s");
        assert!(
            taken < allowed,
            "{what}: {taken:.3} s, which is more than the {allowed:.3} s allowed here for {limit} s"
        );
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot fail but by a panic, and this may be one already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self) {
        loop {
            let begun = Instant::now();
            // Whoever ends the watch does not wait for the pause to be over.
            park_timeout(PAUSE);
            if self.ends.load(Relaxed) {
                return;
            }
            self.latest.fetch_max((begun.elapsed().saturating_sub(PAUSE)).as_nanos() as u64, Relaxed);
            self.work();
        }
    }

    fn work(&self) {
        let begun = Instant::now();
        black_box((0..STEPS).fold(1_u64, |value, step| black_box(value.wrapping_mul(31).wrapping_add(step))));
        let taken = begun.elapsed().as_nanos() as u64;
        self.quickest.fetch_min(taken, Relaxed);
        self.slowest.fetch_max(taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn a_busy_machine_is_allowed_more() {
        let load = Load::watch();
        sleep(Duration::from_millis(300));
        assert!(load.allows(1.0) >= 1.0);
        let before = load.allows(1.0);
        // Three times as many as it can run at once.
        let ends = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..3 * std::thread::available_parallelism().map_or(2, |count| count.get()))
            .map(|_| {
                let ends = Arc::clone(&ends);
                spawn(move || while !ends.load(Relaxed) {})
            })
            .collect();
        sleep(Duration::from_secs(1));
        let after = load.allows(1.0);
        ends.store(true, Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        println!("{before:.2} before, {after:.2} among busy threads");
        assert!(after >= before && after > 1.2, "{before} {after}");
    }
}
