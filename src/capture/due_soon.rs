//! The triggers' WHEN condition: one comparison in shared memory for each row written.

use crate::pg::{shmem, worker};
use crate::settings;
use pgrx::prelude::*;
use std::cell::Cell;
use std::sync::atomic::Ordering::*;

thread_local! {
    static IS_SERVED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// True also where nothing is known of the token: then the executors find out. But for databases that none ever comes to.
fn may_be_due(token: i64, value: i64) -> bool {
    match shmem::shared().and_then(|shared| shared.limit(token)) {
        Some(slot) => slot.planned_to.load(Acquire) == 0 || value <= slot.limit.load(Acquire),
        None => is_served(),
    }
}

/// Looked up once: jittask.databases and the name of a database that is in use stay what they are.
fn is_served() -> bool {
    let look = || worker::database_name().is_none_or(|name| settings::serves(&name));
    let is_served = IS_SERVED.get().unwrap_or_else(look);
    IS_SERVED.set(Some(is_served));
    is_served
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
