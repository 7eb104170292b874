//! Announcing how occurrences ended. After the run's commit, in a transaction of its own: a NOTIFY that fails (its
//! queue may be full) changes no record.

use crate::catalog::ledger::record::Record;
use crate::pg::{notify, xact};
use crate::settings::{NOTIFY, Notify};
use pgrx::prelude::*;
use std::cell::RefCell;

thread_local! {
    static ENDED: RefCell<Vec<(i64, &'static str)>> = const { RefCell::new(Vec::new()) };
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

/// The transaction was committed: tells.
pub fn tell() {
    let ended = ENDED.take();
    if ended.is_empty() {
        return;
    }
    let told = xact::run(|| {
        for (record, status) in &ended {
            notify::send(&format!("{{\"record\": {record}, \"status\": \"{status}\"}}"));
        }
    });
    if let Err(failure) = told {
        warning!("jittask cannot notify: {}", failure.message);
    }
}
