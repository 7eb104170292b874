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
}

impl Retention {
    /// The first look comes a minute after the start.
    pub fn new() -> Self {
        Retention { next: clock::now().0 + 60_000_000 }
    }

    /// Removes a portion if it is time; when to come again.
    pub fn work(&mut self) -> i64 {
        let (now, minutes) = (clock::now().0, i64::from(settings::RECORD_RETENTION.get()));
        if minutes == 0 {
            return i64::MAX;
        }
        if now >= self.next {
            let cutoff = Instant(now - minutes * 60_000_000);
            let removed = xact::run(|| record::remove_older(cutoff, PORTION)).unwrap_or_else(|failure| {
                warning!("jittask cannot remove old records: {}", failure.message);
                0
            });
            self.next = now + if removed == PORTION { NEXT_PORTION } else { NEXT_LOOK };
        }
        self.next
    }
}
