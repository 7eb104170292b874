//! Who has something to audit (`executor::audit`): only where nothing else is to be done, unless that has been so for very long.
//! In the scheduler, in its pass.

use super::pass::Pass;
use crate::catalog::upkeep::audited;
use crate::settings;
use schedule::Instant;
use std::cell::Cell;

/// How often to look while there is something to audit: microseconds, and parts of the time between two audits.
const LOOK_EVERY: i64 = 60_000_000;
const LOOKS: i64 = 10;

thread_local! {
    /// When to look again, and by which interval that is so. Microseconds.
    static NEXT: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

/// How often each task is audited. Microseconds; None: never.
pub fn interval() -> Option<i64> {
    let seconds = i64::from(settings::AUDIT_INTERVAL.get());
    (seconds > 0).then_some(seconds * 1_000_000)
}

/// Adds them to the pass, and when to look again: a scheduler with nothing else to do sleeps until then.
pub(super) fn find(now: Instant, pass: &mut Pass) {
    let Some(interval) = interval() else { return };
    let (next, of) = NEXT.get();
    // Not longer than an interval from now: the clock may have been set back.
    if of == interval && (now.0 + 1..=now.0 + interval).contains(&next) {
        pass.next = pass.next.min(next);
        return;
    }
    let is_idle = pass.owners.is_empty();
    let owners = audited::owners(interval);
    for (owner, begins) in owners.iter().filter(|(_, begins)| *begins <= now) {
        if is_idle || begins.0 < now.0 - interval {
            pass.owners.push((*owner, true));
        }
    }
    let first = owners.iter().map(|(_, begins)| begins.0).min().unwrap_or(i64::MAX);
    let next = first.min(now.0 + interval).max(now.0 + LOOK_EVERY.min(interval / LOOKS));
    NEXT.set((next, interval));
    pass.next = pass.next.min(next);
}
