//! Gives back the room that a flood took in the agenda, when it is over. In the scheduler, in transactions of its own.

use crate::catalog::agenda::compact;
use crate::pg::{clock, xact};

/// Between two looks. Microseconds.
const PAUSE: i64 = 10_000_000;
/// The longest pause, where an old snapshot keeps all that was deleted.
const LONGEST_PAUSE: i64 = 600_000_000;

/// When it is time for the next look. Microseconds since 1970.
pub struct Compaction {
    next: i64,
    pause: i64,
}

impl Compaction {
    /// The first look comes ten seconds after the start.
    pub fn new() -> Self {
        Compaction { next: clock::now().0 + PAUSE, pause: PAUSE }
    }

    /// Looks if it is time, or if the process is about to end; when to come again for certain. Whatever wakes the scheduler
    /// may have been the end of a flood, so that each waking has its look.
    pub fn work(&mut self, is_ending: bool) -> i64 {
        let now = clock::now().0;
        if now >= self.next || is_ending && self.pause == PAUSE {
            if !is_large() {
                *self = Compaction::new();
                return i64::MAX;
            }
            if rewrite() {
                self.pause = if is_large() { (2 * self.pause).min(LONGEST_PAUSE) } else { PAUSE };
            }
            self.next = now + self.pause;
        }
        self.next
    }
}

fn is_large() -> bool {
    xact::run(compact::is_large).unwrap_or(false)
}

/// False where there is much in it, or somebody uses it.
fn rewrite() -> bool {
    xact::run(compact::agenda).unwrap_or_else(|failure| {
        // Somebody may use the agenda just now.
        if !failure.is_lock() {
            failure.log("compact table jittask.agenda");
        }
        false
    })
}
