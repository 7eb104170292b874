//! Gives back the room that a flood took in the agenda, when it is over. In the scheduler, in a transaction of its own.

use crate::catalog::compact;
use crate::pg::{clock, xact};
use pgrx::prelude::*;

/// Between two looks. Microseconds.
const PAUSE: i64 = 10_000_000;
/// lock_not_available: somebody uses the agenda just now.
const LOCKED: &str = "55P03";

/// When it is time for the next look. Microseconds since 1970.
pub struct Compaction {
    next: i64,
}

impl Compaction {
    /// The first look comes ten seconds after the start.
    pub fn new() -> Self {
        Compaction { next: clock::now().0 + PAUSE }
    }

    /// Looks if it is time, or if the process is about to end; when to come again for certain. Whatever wakes the scheduler
    /// may have been the end of a flood, so that each waking has its look.
    pub fn work(&mut self, is_ending: bool) -> i64 {
        let now = clock::now().0;
        if now >= self.next || is_ending {
            self.next = now + PAUSE;
            if !is_large() {
                return i64::MAX;
            }
        }
        self.next
    }
}

/// True where it is large and stays so for now.
fn is_large() -> bool {
    let done =
        xact::run(compact::is_large).and_then(|is_large| if is_large { xact::run(compact::agenda) } else { Ok(true) });
    match done {
        Ok(is_small) => return !is_small,
        Err(failure) if failure.sqlstate == LOCKED => {}
        Err(failure) => warning!("jittask cannot give back the agenda's room: {}", failure.message),
    }
    true
}
