//! Old records go, in small transactions, so that nothing blocks and nothing bloats. In the scheduler.

use crate::catalog::record;
use crate::pg::{clock, xact};
use crate::settings;
use pgrx::prelude::*;
use schedule::Instant;

/// Records removed in one transaction.
const PORTION: i64 = 2000;
/// Pause between two portions, and between two looks when nothing is left to remove. Microseconds.
const NEXT_PORTION: i64 = 200_000;
const NEXT_LOOK: i64 = 600_000_000;

/// When it is time for the next portion. Microseconds since 1970.
pub struct Retention {
    next: i64,
    /// The setting at the last look.
    minutes: i64,
    /// The last look found no full portion any more.
    is_done: bool,
}

impl Retention {
    /// The first look comes a minute after the start.
    pub fn new() -> Self {
        Retention { next: clock::now().0 + 60_000_000, minutes: minutes(), is_done: false }
    }

    /// Is nothing left to remove for the time being?
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Removes a portion if it is time, or if the process would like to end; when to come again.
    pub fn work(&mut self, is_ending: bool) -> i64 {
        let (now, minutes) = (clock::now().0, minutes());
        if minutes != self.minutes {
            // Whoever has changed it wants to see what it does.
            (self.minutes, self.next, self.is_done) = (minutes, now, false);
        }
        if is_ending && !self.is_done {
            self.next = self.next.min(now + NEXT_PORTION);
        }
        if minutes == 0 {
            self.is_done = true;
            return i64::MAX;
        }
        if now >= self.next {
            let cutoff = Instant(now - minutes * 60_000_000);
            let removed = xact::run(|| record::remove_older(cutoff, PORTION)).unwrap_or_else(|failure| {
                warning!("jittask cannot remove old records: {}", failure.message);
                0
            });
            self.is_done = removed < PORTION;
            self.next = now + if self.is_done { NEXT_LOOK } else { NEXT_PORTION };
        }
        self.next
    }
}

fn minutes() -> i64 {
    i64::from(settings::RECORD_RETENTION.get())
}
