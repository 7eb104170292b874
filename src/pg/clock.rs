//! The one place where the time is read, and the conversion between the server's epoch (2000) and ours (1970).

use pgrx::pg_sys;
use schedule::Instant;

/// Microseconds from 1970-01-01 to 2000-01-01 UTC.
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

/// The clock's time.
pub fn now() -> Instant {
    // SAFETY: it raises nothing and needs nothing.
    from_pg(unsafe { super::raw::current_timestamp() })
}

/// Microseconds of a clock that nobody sets, from some start; the same for all processes.
pub fn monotonic() -> i64 {
    const CLOCK_MONOTONIC: i32 = 1;
    micros(CLOCK_MONOTONIC)
}

/// Microseconds that this process has been at work, whatever else the machine did.
pub fn processor() -> i64 {
    const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
    micros(CLOCK_PROCESS_CPUTIME_ID)
}

fn micros(clock: i32) -> i64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanos: i64,
    }
    // As in time.h, of a 64-bit system.
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    let mut time = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: it writes the time into this frame, or nothing for a clock that there is not.
    unsafe { clock_gettime(clock, &mut time) };
    time.seconds * 1_000_000 + time.nanos / 1000
}

/// The clock less the one that nobody sets: what changes when somebody sets it.
pub fn offset() -> i64 {
    now().0 - monotonic()
}

/// Was the clock set between these two offsets, or the machine suspended, rather than the clock adjusted bit by bit?
pub fn is_jump(before: i64, after: i64) -> bool {
    (after - before).abs() > JUMP
}

/// A smaller step is like being that late. Microseconds.
const JUMP: i64 = 10_000_000;

/// Notices that the clock was set.
pub struct Jumps {
    offset: i64,
}

impl Jumps {
    /// From now on.
    pub fn new() -> Self {
        Jumps { offset: offset() }
    }

    /// By how many microseconds it was set since the last look, if it was.
    pub fn look(&mut self) -> Option<i64> {
        let before = std::mem::replace(&mut self.offset, offset());
        is_jump(before, self.offset).then_some(self.offset - before)
    }
}

/// The start of the current transaction, what SQL calls `now()`.
pub fn transaction_start() -> Instant {
    // SAFETY: it reads the state of this process's transaction.
    from_pg(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() })
}

/// From a `timestamptz` datum's value; infinities saturate.
pub fn from_pg(value: i64) -> Instant {
    Instant(value.saturating_add(EPOCH_SHIFT))
}

/// To a `timestamptz` datum's value.
pub fn to_pg(at: Instant) -> i64 {
    at.0.saturating_sub(EPOCH_SHIFT)
}
