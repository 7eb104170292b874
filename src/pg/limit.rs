//! A planning limit: what shared memory keeps of each date-field task, read by its triggers and written by whoever plans it.
//! A slot is free, reserved while it is made or freed, or a token's. Only atomics; `limits` has them all, and the rules.

use super::captures::Captures;
use super::planning::Pace;
use super::{clock, worker};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::*, fence};

/// In place of a token while its slot is being made or freed; tokens have other bits set.
pub(super) const RESERVED: u64 = 3;
/// In place of a token in a slot that was used once.
pub(super) const FREE_AGAIN: u64 = 1;

/// What is planned for one date-field task.
#[repr(C)]
pub struct Limit {
    /// 0 or [`FREE_AGAIN`]: free.
    pub(super) token: AtomicU64,
    /// The task's database.
    pub(super) database: AtomicU32,
    /// Whose task it is.
    pub(super) owner: AtomicU32,
    /// Which one it is of all that were made: one that was forgotten and made anew is another. 0: none yet.
    pub(super) serial: AtomicU64,
    /// Column values above this are not due before the horizon: days or microseconds since 2000, as in the datum.
    pub limit: AtomicI64,
    /// Everything due before this is in the agenda or being captured. Microseconds since 1970.
    pub planned_to: AtomicI64,
    /// The window up to here is closed: no writer under an older limit is left. Microseconds since 1970.
    pub closed_to: AtomicI64,
    /// The window between may be closed by a scan that sees all transactions below this as ended.
    pub closing_xid: AtomicU64,
    /// The table's change counters before the last full pass.
    pub signature: AtomicI64,
    /// Last scan, microseconds since 1970.
    pub scanned_at: AtomicI64,
    /// After a failure: not planned again before this. Microseconds since 1970.
    pub retry_at: AtomicI64,
    /// A sweep is under way: what was due before this is still to be looked through. 0: none. Microseconds since 1970.
    pub behind_to: AtomicI64,
    /// How much due time the sweep's last step took. Microseconds.
    pub step: AtomicI64,
    /// The sweep goes on at this time. Microseconds since 1970.
    pub resume_at: AtomicI64,
    /// When the sweep began. Microseconds since 1970.
    pub swept_since: AtomicI64,
    /// A sweep has come to its end: the next ones need not hurry.
    pub is_swept: AtomicBool,
    /// As much of the past waits in the agenda as may.
    pub is_full: AtomicBool,
    /// Nobody is behind with captured rows: there is nothing of the task in `jittask.arrears`.
    pub has_no_arrears: AtomicBool,
    /// What the triggers have captured.
    pub captures: Captures,
    /// How long its planning may take.
    pub pace: Pace,
}

impl Limit {
    /// Is it somebody's now?
    pub(super) fn is_used(&self) -> bool {
        self.token.load(Acquire) > RESERVED
    }

    /// Nothing is known of when it was looked through: the clock was set.
    pub(super) fn forget_times(&self) {
        self.scanned_at.store(0, Release);
        self.retry_at.store(0, Release);
    }

    /// Is it still this task's? A planner may hold it longer than the task lives. In a copy of the database there is a task
    /// of the same token.
    pub(super) fn is_of(&self, token: i64) -> bool {
        self.token.load(Acquire) == token as u64 && self.database.load(Acquire) == worker::database().to_u32()
    }

    /// Which one it is of all that were made.
    pub fn serial(&self) -> u64 {
        self.serial.load(Acquire)
    }

    /// The task is not planned for this long, and then from scratch. Microseconds.
    pub fn put_off(&self, pause: i64) {
        self.retry_at.store(clock::now().0 + pause, Release);
        self.scanned_at.store(0, Release);
    }

    /// Is it another one by now than this, as far as whoever has written into it must know?
    pub(super) fn is_other(&self, serial: u64) -> bool {
        fence(SeqCst);
        self.serial() != serial
    }

    /// → reserved, if it is as it was seen: free, or a token's.
    pub(super) fn reserve(&self, seen: u64) -> bool {
        let is_ours = self.token.compare_exchange(seen, RESERVED, AcqRel, Acquire).is_ok();
        if is_ours {
            self.serial.store(0, Release);
            fence(SeqCst);
        }
        is_ours
    }

    /// Reserved → free.
    pub(super) fn free(&self) {
        self.clear();
        self.token.store(FREE_AGAIN, Release);
    }

    pub(super) fn clear(&self) {
        let fields = [
            &self.limit,
            &self.planned_to,
            &self.closed_to,
            &self.signature,
            &self.scanned_at,
            &self.retry_at,
            &self.behind_to,
            &self.step,
            &self.resume_at,
            &self.swept_since,
        ];
        [&self.is_swept, &self.is_full, &self.has_no_arrears].iter().for_each(|field| field.store(false, Release));
        self.captures.clear();
        self.pace.clear();
        fields.iter().for_each(|field| field.store(0, Release));
        self.closing_xid.store(0, Release);
    }
}
