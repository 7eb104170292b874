//! Runs whose process died, in shared memory, until the scheduler of their database has counted the attempt.

use super::part::AtomicPart;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// How a process that was executing came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Death {
    /// It brought the server down.
    Crash = 0,
    /// By pg_terminate_backend, or by itself.
    Terminated = 1,
    /// It did not heed its timeout.
    Timeout = 2,
}

/// A run whose process died, until its database's scheduler has counted the attempt.
#[repr(C)]
pub struct DeathSlot {
    /// 0: free.
    pub entry: AtomicI64,
    /// The database.
    pub database: AtomicU32,
    /// Which of its rows.
    pub part: AtomicPart,
    /// When it started; microseconds since 1970.
    pub started_at: AtomicI64,
    /// When the process died; microseconds since 1970.
    pub noted_at: AtomicI64,
    pub(super) death: AtomicU32,
}

impl DeathSlot {
    /// How.
    pub fn death(&self) -> Death {
        match self.death.load(Acquire) {
            1 => Death::Terminated,
            2 => Death::Timeout,
            _ => Death::Crash,
        }
    }
}
