//! The SQL functions, in the user's own session and transaction: arguments, privileges, then the catalog.
//! Their SQL declarations, defaults and comments are in `sql/`.

mod alter;
mod audit;
mod calendar;
mod checks;
mod control;
mod create;
mod name;
mod preview;
mod read;
mod records;
mod simulate;
mod source;
mod status;

use crate::error::{Error, Kind, Result};
use crate::pg::{boundary, sql, user, xact};

/// 55000 where the library was not preloaded: without it nothing would ever run.
fn require_preloaded() -> Result<()> {
    crate::pg::shmem::shared().map(|_| ()).ok_or_else(|| {
        Error::new(Kind::State, "jittask is not in shared_preload_libraries")
            .hint("Add jittask to shared_preload_libraries in postgresql.conf and restart the server.")
    })
}

/// Around all that changes something: 25006 in a read-only transaction. What somebody else has not committed yet, a lock, a row or
/// a name, is waited for one second (55P03), unless the session has set its own lock_timeout.
fn writing<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    check_writable()?;
    let settings = user::Settings::begin();
    let own: Option<String> = sql::once("select pg_catalog.current_setting('lock_timeout')", &[]).get(0, 1);
    if own.as_deref() == Some("0") {
        settings.wait_at_most(1_000_000);
    }
    let result = boundary::with_lock_hint(
        "Another transaction is changing the same object. Try again when it has ended, or with a longer lock_timeout.",
        body,
    );
    settings.end();
    result
}

/// 25006 in a read-only transaction: bookkeeping's statements would pass over that.
fn check_writable() -> Result<()> {
    if !xact::is_read_only() {
        return Ok(());
    }
    if xact::in_recovery() {
        return Err(Error::new(Kind::ReadOnly, "cannot change anything on a standby, which is read-only")
            .hint("Connect to the primary server."));
    }
    Err(Error::new(Kind::ReadOnly, "cannot change anything in a read-only transaction")
        .hint("Begin with BEGIN READ WRITE; see default_transaction_read_only."))
}
