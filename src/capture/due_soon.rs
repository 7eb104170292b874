//! The triggers' WHEN condition: one comparison in shared memory for each row written.

use crate::pg::shmem;
use pgrx::prelude::*;
use std::sync::atomic::Ordering::*;

/// True also where nothing is known of the token: then the executors find out.
fn may_be_due(token: i64, value: i64) -> bool {
    shmem::shared()
        .and_then(|shared| shared.limit(token))
        .is_none_or(|slot| slot.planned_to.load(Acquire) == 0 || value <= slot.limit.load(Acquire))
}

/// For a `date` column: days since 2000.
#[pg_extern(sql = false)]
fn due_soon_date(token: i64, value: i32) -> bool {
    value != i32::MAX && may_be_due(token, value.into())
}

/// For `timestamp` and `timestamptz` columns: microseconds since 2000.
#[pg_extern(sql = false)]
fn due_soon_micros(token: i64, value: i64) -> bool {
    value != i64::MAX && may_be_due(token, value)
}
