//! Transactions of background workers, with an abort path: the caller gets the error and may go on.

use super::boundary::{self, Failure};
use super::raw;
use pgrx::pg_sys;
use pgrx::pg_sys::PgTryBuilder;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;

// As in access/xact.h and commands/trigger.h; called inside of `catch` alone.
unsafe extern "C-unwind" {
    #[link_name = "CommitTransactionCommand"]
    fn raw_commit();
    #[link_name = "AfterTriggerSetState"]
    fn raw_set_constraints(statement: *mut pg_sys::ConstraintsSetStmt);
}

/// Runs `body` in a transaction of its own with SPI open, and commits. Isolation and mode are ours, whatever the
/// role's or session's defaults are. Deferred triggers run at the commit, as the session's role.
pub fn run<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    // SAFETY: a worker's context between two transactions, which outlives both.
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
    // SAFETY: the error's data was copied and flushed, so that the transaction may be aborted, as the server's own loop
    // does it. After that, or after the commit, none is open, which is when statistics are reported.
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
    // SAFETY: signal handlers set QueryCancelPending, but look at no count of holds.
    unsafe { pg_sys::QueryCancelHoldoffCount += 1 };
    let result = run(body);
    // SAFETY: likewise; a cancel that comes between the two is one of those that are not heeded. After an error the
    // server has let go of the hold already; before `run` there was none, since a worker calls this from no other's
    // hold.
    unsafe {
        pg_sys::QueryCancelHoldoffCount = 0;
        pg_sys::QueryCancelPending = 0;
    }
    result
}

fn begin() {
    // SAFETY: none is open. The mode may be set until the first snapshot is taken, which is at the end of this.
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
    // SAFETY: the active snapshot is that of `begin`: whoever pushed one in the body has popped it. SPI is closed.
    unsafe {
        pg_sys::PopActiveSnapshot();
        boundary::catch(|| raw_commit()).unwrap_or_else(|failure| failure.raise());
    }
}

/// The commit of this transaction does not wait until it is on disk. A later one that does brings it there too; if none
/// comes before a crash, all that it did is undone together.
pub fn commit_without_waiting() {
    // SAFETY: C strings that live for ever, and a transaction is open, at whose end the setting is what it was.
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
    // SAFETY: as PL/pgSQL does it around a block with handlers. The context and the owner belong to the outer
    // transaction, which is open all the time, and are current again in both cases; what `body` left of SPI's is closed
    // by the rollback.
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
    // SAFETY: called inside of `catch`, owns nothing, and a transaction is open. The snapshot is static and read before
    // any other is taken; the server pushes a copy.
    let begin = || unsafe {
        raw::command_counter_increment();
        let snapshot = raw::transaction_snapshot();
        // Not kept in the copy that becomes the active one.
        ENDED.set((*snapshot).snapXactCompletionCount);
        raw::push_active_snapshot(snapshot);
    };
    // SAFETY: `begin` calls functions of `raw` alone and owns nothing.
    unsafe { boundary::catch(begin) }.unwrap_or_else(|failure| failure.raise());
    let value = body();
    // SAFETY: the active snapshot is the one pushed above: bodies, and the functions that they call, pop what they
    // push. After an ERROR this is not reached, and the abort of the (sub)transaction drops it.
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
        // SAFETY: the node lives in this frame, and the server keeps no pointer to it. No constraint is named: all are
        // meant.
        unsafe { boundary::catch(|| raw_set_constraints(statement)) }.unwrap_or_else(|failure| failure.raise());
    }
}

/// Has this transaction written anything?
pub fn has_written() -> bool {
    // SAFETY: it reads this process's own state, and needs no transaction.
    let id = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    id != pg_sys::InvalidTransactionId
}

/// The next transaction id that will be given out: all below have been started.
pub fn next_xid() -> u64 {
    // SAFETY: it reads shared memory under a lock that it takes and releases.
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// The oldest transaction id still running: all below have ended, and a snapshot taken from now on sees them.
pub fn snapshot_xmin() -> u64 {
    // SAFETY: a transaction is open. The snapshot is a static one, good until the next is taken, and is read before
    // that.
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
    // SAFETY: it reads shared memory, to which each process of ours is attached.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Does this transaction see the same from its first statement to its last?
pub fn has_one_snapshot() -> bool {
    // SAFETY: a variable of this process alone, copied.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Is this transaction read-only? On a standby each is.
pub fn is_read_only() -> bool {
    // SAFETY: a variable of this process alone, copied.
    unsafe { pg_sys::XactReadOnly }
}
