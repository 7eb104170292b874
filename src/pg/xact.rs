//! Transactions of background workers, with an abort path: the caller gets the error and may go on.

use super::boundary::{self, Failure};
use super::raw;
use pgrx::pg_sys;
use pgrx::pg_sys::PgTryBuilder;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;

unsafe extern "C-unwind" {
    #[link_name = "CommitTransactionCommand"]
    fn raw_commit();
    #[link_name = "AfterTriggerSetState"]
    fn raw_set_constraints(statement: *mut pg_sys::ConstraintsSetStmt);
}

/// Runs `body` in a transaction of its own with SPI open, and commits. Isolation and mode are ours, whatever the
/// role's or session's defaults are. Deferred triggers run at the commit, as the session's role.
pub fn run<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    let context = unsafe { pg_sys::CurrentMemoryContext };
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        begin();
        let value = super::sql::session(body);
        commit();
        Ok(value)
    }))
    .catch_others(|caught| Err(Failure::taken(&caught)))
    .catch_rust_panic(|caught| Err(Failure::taken(&caught)))
    .execute();
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::pgstat_report_stat(false);
    }
    result
}

/// The same where nobody's cancel is heeded: one that comes is meant for what ran before, which has ended.
pub fn undisturbed<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    unsafe { pg_sys::QueryCancelHoldoffCount += 1 };
    let result = run(body);
    // After an error the server has let go of it already.
    unsafe {
        pg_sys::QueryCancelHoldoffCount = 0;
        pg_sys::QueryCancelPending = 0;
    }
    result
}

fn begin() {
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::XactIsoLevel = pg_sys::XACT_READ_COMMITTED as i32;
        pg_sys::XactReadOnly = pg_sys::RecoveryInProgress();
        pg_sys::XactDeferrable = false;
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
}

fn commit() {
    unsafe {
        pg_sys::PopActiveSnapshot();
        boundary::catch(|| raw_commit()).unwrap_or_else(|failure| failure.raise());
    }
}

/// The commit of this transaction does not wait until it is on disk. A later one that does brings it there too; if none
/// comes before a crash, all that it did is undone together.
pub fn commit_without_waiting() {
    unsafe {
        pg_sys::set_config_option(
            c"synchronous_commit".as_ptr(),
            c"off".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        )
    };
}

/// Runs `body` under a savepoint: on an error its effects are gone and the transaction goes on.
pub fn savepoint<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(body())))
            .catch_others(|caught| Err(Failure::taken(&caught)))
            .catch_rust_panic(|caught| Err(Failure::taken(&caught)))
            .execute();
        pg_sys::MemoryContextSwitchTo(context);
        match result {
            Ok(_) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

thread_local! {
    static ENDED: Cell<u64> = const { Cell::new(0) };
}

/// The server's count of ended transactions, as the snapshot of the last [`statement`] has it: it sees none that ended
/// later. 0 if it does not say.
pub fn ended_before() -> u64 {
    ENDED.get()
}

/// Runs `body` under a snapshot taken now, which sees what the transaction did before: as a statement of its own would.
pub fn statement<T>(body: impl FnOnce() -> T) -> T {
    let begin = || unsafe {
        raw::command_counter_increment();
        let snapshot = raw::transaction_snapshot();
        // Not kept in the copy that becomes the active one.
        ENDED.set((*snapshot).snapXactCompletionCount);
        raw::push_active_snapshot(snapshot);
    };
    unsafe { boundary::catch(begin) }.unwrap_or_else(|failure| failure.raise());
    let value = body();
    // After an ERROR the abort of the (sub)transaction drops the snapshot.
    unsafe { raw::pop_active_snapshot() };
    value
}

/// Fires the deferred triggers and checks that are queued, now. Inside a savepoint they then fail for one row.
pub fn settle_deferred() {
    for deferred in [false, true] {
        let mut statement = pg_sys::ConstraintsSetStmt {
            type_: pg_sys::NodeTag::T_ConstraintsSetStmt,
            constraints: std::ptr::null_mut(),
            deferred,
        };
        let statement = &raw mut statement;
        unsafe { boundary::catch(|| raw_set_constraints(statement)) }.unwrap_or_else(|failure| failure.raise());
    }
}

/// Has this transaction written anything?
pub fn has_written() -> bool {
    let id = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    id != pg_sys::InvalidTransactionId
}

/// The next transaction id that will be given out: all below have been started.
pub fn next_xid() -> u64 {
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// The oldest transaction id still running: all below have ended, and a snapshot taken from now on sees them.
pub fn snapshot_xmin() -> u64 {
    unsafe {
        let snapshot = pg_sys::GetLatestSnapshot();
        let next = pg_sys::ReadNextFullTransactionId().value;
        let xmin = (*snapshot).xmin.into_inner() as u64;
        // xmin is at most 2^31 behind: put it into the right epoch.
        let candidate = (next & !0xffff_ffff) | xmin;
        if candidate > next { candidate - (1 << 32) } else { candidate }
    }
}

/// Is a standby or a recovering server?
pub fn in_recovery() -> bool {
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Is this transaction read-only? On a standby each is.
pub fn is_read_only() -> bool {
    unsafe { pg_sys::XactReadOnly }
}
