//! Who has something to audit (`executor::audit`): only where nothing else is to be done, unless that has been so for very long.
//! In the scheduler, in its pass.

use super::pass::Pass;
use crate::catalog::upkeep::audited;
use crate::settings;
use schedule::Instant;
use std::cell::Cell;

/// How often to look, and how often of the time between two audits. Microseconds.
const LOOK_EVERY: i64 = 60_000_000;
const LOOKS: i64 = 10;

thread_local! {
    static LOOKED_AT: Cell<i64> = const { Cell::new(0) };
}

/// How often each task is audited. Microseconds; None: never.
pub fn interval() -> Option<i64> {
    let seconds = i64::from(settings::AUDIT_INTERVAL.get());
    (seconds > 0).then_some(seconds * 1_000_000)
}

/// Adds them to the pass, and when to look again.
pub(super) fn find(now: Instant, pass: &mut Pass) {
    let Some(interval) = interval() else { return };
    let pause = LOOK_EVERY.min(interval / LOOKS);
    let since = now.0 - LOOKED_AT.get();
    if (0..pause).contains(&since) {
        pass.next = pass.next.min(now.0 + pause - since);
        return;
    }
    LOOKED_AT.set(now.0);
    pass.next = pass.next.min(now.0 + pause);
    let is_idle = pass.owners.is_empty();
    let found = audited::owners(interval, now, Instant(now.0 - interval));
    pass.owners.extend(found.into_iter().filter(|(_, is_late)| is_idle || *is_late).map(|(owner, _)| (owner, true)));
}
