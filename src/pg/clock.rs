//! The one place where the time is read, and the conversion between the server's epoch (2000) and ours (1970).

use pgrx::pg_sys;
use schedule::Instant;

/// Microseconds from 1970-01-01 to 2000-01-01 UTC.
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

/// The clock's time.
pub fn now() -> Instant {
    from_pg(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// The start of the current transaction, what SQL calls `now()`.
pub fn transaction_start() -> Instant {
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
