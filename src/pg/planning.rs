//! How long planning takes, in shared memory: the step that an executor is at, the time that a task's planning is given, and
//! the owners whose planning was ended because others waited. Planning reads users' tables, views and filters, which may
//! take for ever; what it has done so far is rolled back harmlessly. Whatever is lost here is found out again.

use super::clock;
use crate::settings;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// A task's planning is given no more than this the first time, however long an attempt of it may take. Microseconds.
const FIRST: i64 = 60_000_000;
/// And no less than this.
const LEAST: i64 = 1_000_000;
/// What came to no end by nobody's fault is tried again after this, and later each time. Microseconds.
const SOON: i64 = 500_000;
/// Owners that are remembered.
pub const OWNERS: usize = 64;

/// What an executor reads of an owner's outside of a run of a row: it plans a task, or reads the rows of an entry ahead.
#[repr(C)]
pub struct Step {
    /// When it began, by [`clock::monotonic`], which also names it; 0: none.
    pub(super) since: AtomicI64,
    /// The token of the task that is planned; 0: rows are read ahead.
    pub(super) token: AtomicI64,
    /// By which of its limits.
    pub(super) limit: AtomicU64,
    /// How long it may take. Microseconds.
    pub(super) given: AtomicI64,
}

impl Step {
    /// Begins one; of a task with which of its limits, if it has one.
    pub fn begin(&self, token: i64, limit: Option<u64>) {
        self.token.store(token, Release);
        self.limit.store(limit.unwrap_or_default(), Release);
        self.since.store(clock::monotonic(), SeqCst);
    }

    /// It ended.
    pub fn end(&self) {
        self.since.store(0, Release);
    }

    /// How long the one that is under way has been so, if there is one.
    pub fn took(&self) -> Option<i64> {
        let since = self.since.load(Acquire);
        (since != 0).then(|| clock::monotonic() - since)
    }

    /// Likewise, if it plans a task.
    pub fn planned_for(&self) -> Option<i64> {
        self.took().filter(|_| self.token.load(Acquire) != 0)
    }

    /// What it was given; microseconds.
    pub fn given(&self) -> i64 {
        self.given.load(Acquire)
    }
}

/// How long the planning of one task may take.
#[repr(C)]
pub struct Pace {
    /// Longer than the first time: microseconds, or 0.
    allowed: AtomicI64,
    /// It was ended after so long, and nobody has said so yet: microseconds, or 0.
    pub(super) untold: AtomicI64,
    /// Because others waited.
    pub(super) for_others: AtomicBool,
    /// The log has it.
    is_logged: AtomicBool,
    /// How often in a row it came to no end by nobody's fault, as it seemed.
    failures: AtomicU32,
}

impl Pace {
    pub(super) fn clear(&self) {
        self.allowed.store(0, Release);
        self.untold.store(0, Release);
        self.is_logged.store(false, Release);
        self.failures.store(0, Release);
    }

    /// How often in a row it came to no end by nobody's fault.
    pub fn failures(&self) -> u32 {
        self.failures.load(Acquire)
    }

    /// It has come to an end, or its limit was made anew meanwhile.
    pub fn set_failures(&self, failures: u32) {
        self.failures.store(failures, Release);
    }

    /// It came to none once more: how long to wait. Soon at first, for a lock is released, and who cancelled it does so once.
    pub fn pause_after_failure(&self) -> i64 {
        let failures = self.failures.fetch_add(1, AcqRel);
        (SOON << failures.min(16)).min(scan_interval())
    }

    /// How long it may take, of a task whose attempts may take `timeout`, where nobody's may take more than `most`.
    pub fn allowed(&self, timeout: i64, most: i64) -> i64 {
        first(timeout, most).max(self.allowed.load(Acquire).min(most))
    }

    /// All of it was looked through in this time: as large as the table is, it is given twice that.
    pub fn succeeded(&self, took: i64) {
        self.allowed.fetch_max(took.saturating_mul(2), AcqRel);
        self.is_logged.store(false, Release);
    }

    /// It took longer than it was given: twice as long the next time.
    pub fn ran_over(&self, given: i64) {
        self.allowed.fetch_max(given.saturating_mul(2), AcqRel);
    }

    /// Has the log heard of it since it went well the last time? Asked by whoever tells it.
    pub fn is_logged(&self) -> bool {
        self.is_logged.swap(true, AcqRel)
    }

    /// To be said in the task's problem: its planning was ended after so long, because others waited or not.
    pub fn untold(&self) -> Option<(i64, bool)> {
        let took = self.untold.load(Acquire);
        (took != 0).then(|| (took, self.for_others.load(Acquire)))
    }

    /// It was said.
    pub fn told(&self) {
        self.untold.store(0, Release);
    }
}

pub(super) fn scan_interval() -> i64 {
    i64::from(settings::SCAN_INTERVAL.get()) * 1000
}

/// The first time.
pub fn first(timeout: i64, most: i64) -> i64 {
    timeout.clamp(LEAST, FIRST).min(most)
}

/// An owner whose planning was ended because others waited.
#[repr(C)]
pub struct Planner {
    /// The database and the role; 0: free.
    pub(super) who: AtomicU64,
    pub(super) took: AtomicI64,
    /// By [`clock::monotonic`].
    pub(super) ended_at: AtomicI64,
    /// Nothing of the owner's is planned before this, by the same clock.
    pub(super) rests_until: AtomicI64,
}
