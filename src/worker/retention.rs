//! Old records go, in small transactions, so that nothing blocks and nothing bloats. In the scheduler.

use crate::catalog::forget::{self, Gone};
use crate::pg::{clock, xact};
use crate::settings;
use pgrx::prelude::*;
use schedule::Instant;
use std::collections::BTreeSet;

/// Records removed in one transaction.
const PORTION: i64 = 2000;
/// Pause between two portions. Microseconds.
const NEXT_PORTION: i64 = 200_000;

/// When it is time for the next portion. Microseconds since 1970.
pub struct Retention {
    next: i64,
    /// The setting at the last look.
    seconds: i64,
    /// The last look found no full portion any more.
    is_done: bool,
    /// Where the records lay that have gone since the indexes were summed up.
    ranges: BTreeSet<i64>,
}

impl Retention {
    /// The first look comes a minute after the start, or earlier.
    pub fn new() -> Self {
        let next = clock::now().0 + next_look(seconds()).min(60_000_000);
        Retention { next, seconds: seconds(), is_done: false, ranges: BTreeSet::new() }
    }

    /// Is nothing left to remove for the time being?
    pub fn is_done(&self) -> bool {
        self.is_done && self.ranges.is_empty()
    }

    /// Removes a portion if it is time, or if the process would like to end; when to come again.
    pub fn work(&mut self, is_ending: bool) -> i64 {
        let (now, seconds) = (clock::now().0, seconds());
        if seconds != self.seconds {
            // Whoever has changed it wants to see what it does.
            (self.seconds, self.next, self.is_done) = (seconds, now, false);
        }
        if is_ending && !self.is_done() {
            self.next = self.next.min(now + NEXT_PORTION);
        }
        if seconds == 0 {
            self.is_done = true;
            self.ranges.clear();
            return i64::MAX;
        }
        if now >= self.next {
            // After the last portion. By now hardly a snapshot sees it; what one sees is summed up as well.
            self.sum_up();
            let cutoff = Instant(now - seconds * 1_000_000);
            let gone = xact::run(|| forget::records_before(cutoff, PORTION)).unwrap_or_else(|failure| {
                warning!("jittask cannot remove old records: {}", failure.message);
                Gone { count: 0, ranges: Vec::new() }
            });
            self.ranges.extend(gone.ranges);
            self.is_done = gone.count < PORTION;
            self.next = now + if self.is_done { next_look(seconds) } else { NEXT_PORTION };
        }
        self.next
    }

    fn sum_up(&mut self) {
        if self.ranges.is_empty() {
            return;
        }
        match xact::run(|| forget::sum_up(&self.ranges)) {
            Ok(false) => {}
            Ok(true) => self.ranges.clear(),
            Err(failure) => {
                warning!("jittask cannot sum up the records' indexes: {}", failure.message);
                self.ranges.clear();
            }
        }
    }
}

/// Pause between two looks when nothing is left to remove: what is kept for a short time only is not kept for much longer.
/// Microseconds.
fn next_look(seconds: i64) -> i64 {
    (seconds * 500_000).clamp(1_000_000, 600_000_000)
}

fn seconds() -> i64 {
    i64::from(settings::RECORD_RETENTION.get())
}
