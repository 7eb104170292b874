//! Which owners have left triggers on a table that they may not lock from others any more. In the scheduler, in its pass; one of
//! the owner's executors takes them off (`executor::strays`), for a table may have thousands of partitions.

use super::pass::Pass;
use crate::catalog::task::{at_work, triggers};
use crate::pg::shmem::Database;
use schedule::Instant;
use std::sync::atomic::Ordering::Release;

/// How soon to ask an executor again that may be busy. Microseconds.
const AGAIN: i64 = 200_000;

/// Adds them to the pass, and when the next ones are to be tried.
pub(super) fn find(slot: &Database, now: Instant, pass: &mut Pass) {
    let mut is_time = false;
    for owner in at_work::owners_of_left_triggers() {
        let Some((_, at)) = triggers::first_left(owner) else { continue };
        if at <= now {
            pass.owners.push((owner, true));
            is_time = true;
        }
        pass.next = pass.next.min(at.0.max(now.0 + AGAIN));
    }
    slot.has_left_triggers.store(is_time, Release);
}
