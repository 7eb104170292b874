//! A process of ours in shared memory: how to wake it, to signal it, and to see whether it lives.

use pgrx::pg_sys;
use std::sync::atomic::Ordering::*;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicUsize};

/// A process of ours, or pid 0.
#[repr(C)]
pub struct Process {
    /// 0 while the slot is free.
    pub pid: AtomicI32,
    pub(super) latch: AtomicUsize,
    /// Microseconds since 1970.
    pub since: AtomicI64,
    /// Microseconds since 1970.
    pub heartbeat: AtomicI64,
}

impl Process {
    /// Enters the calling process.
    pub fn enter(&self) {
        let now = super::clock::now().0;
        self.since.store(now, Relaxed);
        self.heartbeat.store(now, Relaxed);
        // SAFETY: a variable of this process alone. In a worker of ours it was set to the latch in shared memory before
        // our code was called.
        self.latch.store(unsafe { pg_sys::MyLatch } as usize, Release);
        self.pid.store(super::worker::pid(), Release);
    }

    /// Reserves the slot for a process that is about to start. False if it is taken.
    pub fn reserve(&self) -> bool {
        let reserved = self.pid.compare_exchange(0, -1, AcqRel, Acquire).is_ok();
        if reserved {
            self.since.store(super::clock::now().0, Relaxed);
        }
        reserved
    }

    /// Frees a reservation from before `limit` whose process was never seen.
    pub fn leave_if_never_came(&self, limit: i64) {
        if self.since.load(Relaxed) < limit {
            let _ = self.pid.compare_exchange(-1, 0, AcqRel, Acquire);
        }
    }

    /// Takes the calling process out.
    pub fn leave(&self) {
        self.latch.store(0, Release);
        self.pid.store(0, Release);
    }

    /// Wakes the process if there is one. A process that ended leaves its latch in shared memory: a stray wake.
    pub fn wake(&self) -> bool {
        let latch = self.latch.load(Acquire) as *mut pg_sys::Latch;
        if !latch.is_null() {
            // SAFETY: it was a process's latch in shared memory, where it stays as long as the server lives, whoever
            // has it now or nobody. All processes inherit that mapping from the postmaster, at one address; anybody may
            // set any latch in it.
            unsafe { pg_sys::SetLatch(latch) };
        }
        !latch.is_null()
    }

    /// Sends a signal if there is a process.
    pub fn signal(&self, signal: i32) {
        let pid = self.pid.load(Acquire);
        if pid > 0 {
            // As in signal.h.
            unsafe extern "C" {
                fn kill(pid: i32, signal: i32) -> i32;
            }
            // SAFETY: a system call that takes no pointer.
            unsafe { kill(pid, signal) };
        }
    }

    /// Is there a process?
    pub fn is_alive(&self) -> bool {
        self.pid.load(Acquire) != 0
    }

    /// Marks a sign of life.
    pub fn beat(&self) {
        self.heartbeat.store(super::clock::now().0, Relaxed);
    }
}
