//! What a user's transaction does at its end: flush captured keys before the commit, wake our workers after it.

use super::shmem::{Database, DatabaseState, shared};
use super::{told, worker};
use pgrx::pg_sys;
use schedule::Instant;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::Ordering::*;

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
    static LOOK_AGAIN: Cell<bool> = const { Cell::new(false) };
    static SCHEMA_CHANGED: Cell<bool> = const { Cell::new(false) };
    static FORGOTTEN: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
    static LEAVE_WORD: Cell<Option<fn(i64)>> = const { Cell::new(None) };
    /// Tasks of which rows were captured, and the blocks of `jittask.capture` between which they lie; None: nobody knows.
    static CAPTURED: RefCell<HashMap<i64, Option<(u32, u32)>>> = RefCell::new(HashMap::new());
    /// Whose entries the transaction has brought into the agenda, or moved in it, and the first and last instant of each
    /// owner's.
    static ENTERED: RefCell<HashMap<u32, (Instant, Instant)>> = RefCell::new(HashMap::new());
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    static BEFORE_COMMIT: Cell<Option<fn()>> = const { Cell::new(None) };
    static AFTER_ABORT: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// At this transaction's commit, tell the database's scheduler that something changed.
pub fn at_commit() {
    WANTED.set(true);
    register();
}

/// At this transaction's commit, forget how far the task of this token is planned: by then planners see its new state. If it is
/// prepared, the token waits in shared memory for its COMMIT PREPARED; where there is no room, `leave_word` of it in the
/// transaction.
pub fn forget_limit_at_commit(token: i64, leave_word: fn(i64)) {
    FORGOTTEN.with_borrow_mut(|tokens| tokens.push(token));
    LEAVE_WORD.set(Some(leave_word));
    at_commit();
}

/// At this transaction's commit, tell that a row of the task of this token was captured, and in which block.
pub fn captured_at_commit(token: i64, block: Option<u32>) {
    CAPTURED.with_borrow_mut(|captured| {
        let known = captured.entry(token).or_insert(block.map(|block| (block, block)));
        *known = known.zip(block).map(|((from, to), block)| (from.min(block), to.max(block)));
    });
    at_commit();
}

/// At this transaction's commit, tell that entries of this owner came into the agenda, or moved in it, to run between these
/// instants. Those that a savepoint takes back are told of as well.
pub fn entered_at_commit(owner: u32, span: (Instant, Instant)) {
    ENTERED.with_borrow_mut(|entered| {
        let known = entered.entry(owner).or_insert(span);
        *known = told::both(*known, span);
    });
    register();
}

/// At this transaction's commit, let the scheduler see whether tasks still have what they need.
pub fn schema_changed_at_commit() {
    SCHEMA_CHANGED.set(true);
    register();
}

/// At this transaction's commit, tell the launcher to look whether the extension is in this database.
pub fn launcher_at_commit() {
    LOOK_AGAIN.set(true);
    at_commit();
}

/// Runs `flush` before this transaction commits, `forget` when it aborts.
pub fn before_commit(flush: fn(), forget: fn()) {
    BEFORE_COMMIT.set(Some(flush));
    AFTER_ABORT.set(Some(forget));
    register();
}

fn register() {
    if !REGISTERED.replace(true) {
        // SAFETY: once in a process. The functions are there as long as the library, which is never unloaded, are
        // guarded, and ask for no argument.
        unsafe {
            pg_sys::RegisterXactCallback(Some(on_transaction_event), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(on_savepoint_event), std::ptr::null_mut());
            pg_sys::RegisterResourceReleaseCallback(Some(on_release), std::ptr::null_mut());
        }
    }
}

#[pgrx::pg_guard]
extern "C-unwind" fn on_transaction_event(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT => before_end(),
        XACT_EVENT_PRE_PREPARE => {
            before_end();
            leave_word();
        }
        // A prepared transaction wakes at COMMIT PREPARED, through the utility hook.
        XACT_EVENT_PREPARE => {
            prepared();
            undone();
        }
        XACT_EVENT_ABORT => undone(),
        _ => {}
    }
}

/// After a commit, when its locks are released and what it changed in the catalogs is known: woken earlier, an executor
/// could still run the old body of a function that this transaction replaced.
#[pgrx::pg_guard]
extern "C-unwind" fn on_release(
    phase: pg_sys::ResourceReleasePhase::Type,
    is_commit: bool,
    is_top_level: bool,
    _argument: *mut c_void,
) {
    if is_commit && is_top_level && phase == pg_sys::ResourceReleasePhase::RESOURCE_RELEASE_AFTER_LOCKS {
        committed();
    }
}

fn before_end() {
    if let Some(flush) = BEFORE_COMMIT.take() {
        flush();
    }
}

fn committed() {
    // Before anybody is woken, who looks for it.
    let entered = ENTERED.take();
    if !entered.is_empty()
        && let Some(database) = here()
    {
        entered.iter().for_each(|(owner, span)| database.told.tell(*owner, *span));
    }
    let (look_again, schema_changed) = (LOOK_AGAIN.take(), SCHEMA_CHANGED.take());
    for token in FORGOTTEN.take() {
        shared().into_iter().for_each(|shared| shared.forget_limit(token));
    }
    for (token, blocks) in CAPTURED.take() {
        let is_noted = shared().zip(blocks).is_some_and(|(shared, blocks)| shared.note_captured(token, blocks));
        if let (false, Some(database)) = (is_noted, here()) {
            database.has_unknown_captures.store(true, Release);
        }
    }
    // The scheduler is woken once until it has looked, however many temporary tables are made meanwhile.
    let is_first = schema_changed && here().is_some_and(|database| !database.schema_changed.swap(true, AcqRel));
    if WANTED.take() || is_first {
        notify(look_again);
    }
    AFTER_ABORT.set(None);
}

/// Which tasks the transaction has changed is known at its COMMIT PREPARED.
fn leave_word() {
    let Some(leave_word) = LEAVE_WORD.take() else { return };
    let mut tokens = FORGOTTEN.take();
    tokens.sort_unstable();
    tokens.dedup();
    let others = shared().map(|shared| shared.prepare_changes(&tokens)).unwrap_or_default();
    others.into_iter().for_each(leave_word);
}

/// Whether the transaction has changed objects is not known any more at its COMMIT PREPARED: then somebody looks, and so they
/// do at each later one, for this may not be the only one. Of the tasks that it has changed word is left, but where a DBA's
/// trigger refuses it: then all count as changed.
fn prepared() {
    let Some(database) = here() else { return };
    if LOOK_AGAIN.get() || SCHEMA_CHANGED.get() {
        database.has_prepared_changes.store(true, Release);
    }
    if FORGOTTEN.with_borrow(|tokens| !tokens.is_empty()) {
        database.has_prepared_unknown.store(true, Release);
    }
}

/// After COMMIT PREPARED.
pub fn committed_prepared() {
    let (Some(shared), Some(database)) = (shared(), here()) else { return };
    shared.finish_changes();
    if database.has_prepared_unknown.load(Acquire) {
        shared.forget_limits_of(database.oid.load(Acquire));
    }
    let is_changed = database.has_prepared_changes.load(Acquire);
    if is_changed {
        database.schema_changed.store(true, Release);
    }
    database.has_unknown_captures.store(true, Release);
    database.told.tell_all();
    notify(is_changed);
}

/// What a trigger has looked up since a savepoint may not be so any more.
#[pgrx::pg_guard]
extern "C-unwind" fn on_savepoint_event(
    event: pg_sys::SubXactEvent::Type,
    _inner: pg_sys::SubTransactionId,
    _outer: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        super::row::forget_source();
    }
}

fn undone() {
    WANTED.set(false);
    LOOK_AGAIN.set(false);
    SCHEMA_CHANGED.set(false);
    FORGOTTEN.take();
    LEAVE_WORD.set(None);
    CAPTURED.take();
    ENTERED.take();
    BEFORE_COMMIT.set(None);
    if let Some(forget) = AFTER_ABORT.take() {
        forget();
    }
}

fn here() -> Option<&'static Database> {
    shared()?.database_by_turns(worker::database().to_u32()).map(|(slot, _)| slot)
}

/// Tells the scheduler of the current database, or the launcher where there is none.
pub fn notify(look_again: bool) {
    let (Some(shared), Some(database)) = (shared(), here()) else { return };
    database.changed.store(true, Release);
    if look_again && database.state() != DatabaseState::Served {
        database.look_again();
    }
    if !(database.scheduler.is_alive() && database.scheduler.wake()) {
        shared.launcher.wake();
    }
}
