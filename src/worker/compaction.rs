//! Gives back the room that a flood took in the agenda, when it is over. In the scheduler, in transactions of its own.

use crate::catalog::agenda::compact;
use crate::pg::{clock, xact};

/// Between two looks. Microseconds.
const PAUSE: i64 = 10_000_000;
/// The longest pause, where an old snapshot keeps all that was deleted.
const LONGEST_PAUSE: i64 = 600_000_000;
/// It has been nearly empty for so long, before it is rewritten: younger snapshots than this see nothing of what was deleted.
const SETTLED: i64 = 2 * compact::YOUNG;

/// When it is time for the next look. Microseconds since 1970.
pub struct Compaction {
    next: i64,
    pause: i64,
    /// Since when it has been seen to be nearly empty. By the monotonic clock.
    empty_since: Option<i64>,
}

impl Compaction {
    /// The first look comes ten seconds after the start.
    pub fn new() -> Self {
        Compaction { next: clock::now().0 + PAUSE, pause: PAUSE, empty_since: None }
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
            // Who is about to end has had nothing to do for long.
            if !is_ending && !self.has_settled() {
                self.next = now + if self.empty_since.is_some() { SETTLED } else { self.pause };
                return self.next;
            }
            self.empty_since = None;
            if rewrite() {
                self.pause = if is_large() { (2 * self.pause).min(LONGEST_PAUSE) } else { PAUSE };
            }
            self.next = now + self.pause;
        }
        self.next
    }

    /// Has it been nearly empty for a moment?
    fn has_settled(&mut self) -> bool {
        let is_empty = xact::run(compact::may_be_small).unwrap_or(false);
        let now = clock::monotonic();
        self.empty_since = is_empty.then(|| self.empty_since.unwrap_or(now));
        self.empty_since.is_some_and(|since| now - since >= SETTLED)
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
