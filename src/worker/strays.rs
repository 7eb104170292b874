//! Takes triggers off tables whose tasks were dropped by somebody who may have none there any more. In the scheduler, in
//! transactions of its own, each for one task.

use crate::catalog::task::triggers;
use crate::pg::{clock, xact};

/// After a table that was in use. Microseconds.
const PAUSE: i64 = 10_000_000;
/// So long at a time. Microseconds.
const TIME: i64 = 50_000;

/// Where it is.
#[derive(Default)]
pub struct Strays {
    /// The last task that was looked at.
    last: i32,
    /// One of those before it is to be tried again.
    are_some_used: bool,
    /// Not before this. Microseconds since 1970.
    next: i64,
}

impl Strays {
    /// Looks for some; when to come again for certain. Whoever leaves some wakes the scheduler, so that each waking has its look.
    pub fn work(&mut self) -> i64 {
        let (now, stop_at) = (clock::now().0, clock::monotonic() + TIME);
        if now < self.next {
            return self.next;
        }
        while let Ok(Some(task)) = xact::run(|| triggers::next_left(self.last)) {
            if clock::monotonic() > stop_at {
                return now;
            }
            self.last = task;
            self.are_some_used |= !drop(task);
        }
        self.last = 0;
        let are_some_used = std::mem::take(&mut self.are_some_used);
        self.next = if are_some_used { now + PAUSE } else { 0 };
        if are_some_used { self.next } else { i64::MAX }
    }
}

/// False where somebody uses the table or the task.
fn drop(task: i32) -> bool {
    xact::run(|| triggers::drop_left(task)).unwrap_or_else(|failure| {
        if !failure.is_lock() {
            failure.log("drop the triggers that a dropped task has left");
        }
        false
    })
}
