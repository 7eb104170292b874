//! When must a date-field task be planned? Asked by the scheduler, to send an executor, and by the executor itself.

use crate::pg::shmem::Limit;
use crate::settings;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// What there is to look through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing now; next time at the instant.
    Nothing(Instant),
    /// The near future has to be extended: only the window beyond what is closed.
    Window,
    /// The whole window from the floor on: the safety net, or nothing is known yet. What is due about now at once, the rest
    /// in a sweep.
    Everything,
    /// To go on with a sweep.
    Sweep,
}

/// The planning horizon in microseconds.
pub fn horizon() -> i64 {
    i64::from(settings::PLANNING_HORIZON.get()) * 1_000_000
}

/// The scan interval in microseconds.
pub fn scan_interval() -> i64 {
    i64::from(settings::SCAN_INTERVAL.get()) * 1000
}

/// What was due this long ago is looked through at once, what was due earlier in a sweep. Microseconds.
pub fn span_of_recent() -> i64 {
    scan_interval().max(60_000_000)
}

/// From where on all is looked through at once.
pub fn recent(now: Instant) -> Instant {
    Instant(now.0 - span_of_recent())
}

/// Must the published horizon move on? When half of it has passed.
pub fn must_extend(limit: &Limit, now: Instant) -> bool {
    limit.planned_to.load(Acquire) < now.0 + horizon() / 2
}

/// Is the window up to the horizon still open to writers under an older limit?
pub fn is_open(limit: &Limit) -> bool {
    limit.closed_to.load(Acquire) < limit.planned_to.load(Acquire)
}

/// Is it time for a scan, if the table has changed? Its change counters are asked for only then.
pub fn asks_for_changes(limit: &Limit, now: Instant) -> bool {
    now.0 >= limit.scanned_at.load(Acquire) + scan_interval()
}

/// Are there captured rows to be planned, now?
pub fn is_captured(limit: &Limit, now: Instant) -> bool {
    limit.captures.waiting().is_some() && now.0 >= limit.retry_at.load(Acquire)
}

/// `signature` is None where the change counters say nothing (views, foreign tables), or need not be asked.
pub fn of(limit: &Limit, signature: Option<i64>, now: Instant) -> Need {
    of_time(limit, signature, asks_for_changes(limit, now), now)
}

/// The same where it is known that the table has not changed, or too early to ask.
pub fn without_scan(limit: &Limit, now: Instant) -> Need {
    let signature = limit.signature.load(Acquire);
    of_time(limit, Some(signature), asks_for_changes(limit, now), now)
}

fn of_time(limit: &Limit, signature: Option<i64>, is_scan_time: bool, now: Instant) -> Need {
    let retry_at = limit.retry_at.load(Acquire);
    if now.0 < retry_at {
        return Need::Nothing(Instant(retry_at));
    }
    let scanned_at = limit.scanned_at.load(Acquire);
    if scanned_at == 0 {
        return Need::Everything;
    }
    if is_scan_time && signature.is_none_or(|signature| signature != limit.signature.load(Acquire)) {
        return Need::Everything;
    }
    if must_extend(limit, now) || (is_open(limit) && is_scan_time) {
        return Need::Window;
    }
    let is_behind = limit.behind_to.load(Acquire) != 0 || !limit.has_no_arrears.load(Acquire);
    let resume_at = limit.resume_at.load(Acquire);
    if is_behind && now.0 >= resume_at {
        return Need::Sweep;
    }
    let next_scan = if is_scan_time { now.0 } else { scanned_at } + scan_interval();
    let extend_at = limit.planned_to.load(Acquire) - horizon() / 2;
    let resume_at = if is_behind { resume_at } else { i64::MAX };
    Need::Nothing(Instant(next_scan.min(extend_at).min(resume_at)))
}
