//! The SQL functions, in the user's own session and transaction: arguments, privileges, then the catalog.
//! Their SQL declarations, defaults and comments are in `sql/`.

mod alter;
mod calendar;
mod checks;
mod control;
mod create;
mod name;
mod preview;
mod read;
mod records;
mod replan;
mod source;
mod status;

use crate::error::{Error, Kind, Result};

/// 55000 where the library was not preloaded: without it nothing would ever run.
fn require_preloaded() -> Result<()> {
    crate::pg::shmem::shared().map(|_| ()).ok_or_else(|| {
        Error::new(Kind::State, "jittask is not in shared_preload_libraries")
            .hint("Add jittask to shared_preload_libraries in postgresql.conf and restart the server.")
    })
}
