//! Announcing how occurrences ended. After the run's commit, in a transaction of its own: a NOTIFY that fails (its
//! queue may be full) changes no record, and one that would wait for another's COMMIT is tried again later.

use crate::catalog::ledger::record::Record;
use crate::pg::{clock, notify, user, xact};
use crate::settings::{NOTIFY, Notify};
use pgrx::prelude::*;
use schedule::Instant;
use std::cell::{Cell, RefCell};

/// After a try that found somebody committing their own. Microseconds.
const PAUSE: i64 = 400_000;
/// So many wait at most; who listens has the records.
const MOST: usize = 10_000;

thread_local! {
    static ENDED: RefCell<Vec<(i64, &'static str)>> = const { RefCell::new(Vec::new()) };
    /// Committed, and not told yet.
    static UNTOLD: RefCell<Vec<(i64, &'static str)>> = const { RefCell::new(Vec::new()) };
    /// No try before this. By the monotonic clock.
    static NOT_BEFORE: Cell<i64> = const { Cell::new(0) };
}

/// Remembers records that the current transaction writes.
pub fn remember(records: &[Record]) {
    let wanted = NOTIFY.get();
    if wanted == Notify::none {
        return;
    }
    let ends = records.iter().map(|record| (record.id, record.outcome.status()));
    ENDED
        .with_borrow_mut(|ended| ended.extend(ends.filter(|(_, status)| wanted == Notify::all || *status == "failed")));
}

/// The transaction was rolled back.
pub fn forget() {
    forget_from(0);
}

/// How many are remembered: where a savepoint begins.
pub fn mark() -> usize {
    ENDED.with_borrow(Vec::len)
}

/// The savepoint was rolled back.
pub fn forget_from(mark: usize) {
    ENDED.with_borrow_mut(|ended| ended.truncate(mark));
}

/// The transaction was committed: tells, and what could not be told before.
pub fn tell() {
    UNTOLD.with_borrow_mut(|untold| untold.append(&mut ENDED.take()));
    if clock::monotonic() >= NOT_BEFORE.get() {
        tell_now();
    }
}

/// When what is not told yet is to be tried again.
pub fn next_try() -> Option<Instant> {
    let is_waiting = UNTOLD.with_borrow(|untold| !untold.is_empty());
    is_waiting.then(|| Instant(clock::now().0 + (NOT_BEFORE.get() - clock::monotonic()).max(0)))
}

/// The process is about to end: what cannot be told now is not told.
pub fn tell_last() {
    tell_now();
    let lost = UNTOLD.take().len();
    if lost > 0 {
        log!(
            "jittask could not notify of {lost} ends of runs: the COMMIT of another session is holding up all notifications"
        );
    }
}

fn tell_now() {
    let mut untold = UNTOLD.take();
    if untold.is_empty() {
        return;
    }
    let told = xact::run(|| {
        // Until the commit, which is when it waits: who notifies goes first to last, and another's COMMIT may take long.
        let settings = user::Settings::begin();
        settings.wait_at_most(100_000);
        for (record, status) in &untold {
            notify::send(&format!("{{\"record\": {record}, \"status\": \"{status}\"}}"));
        }
    });
    let Err(failure) = told else { return };
    let lost = if failure.is_lock() { untold.len().saturating_sub(MOST) } else { untold.len() };
    if lost > 0 {
        failure.log(&format!("notify of {lost} ends of runs"));
    }
    untold.drain(..lost);
    NOT_BEFORE.set(clock::monotonic() + PAUSE);
    UNTOLD.set(untold);
}
