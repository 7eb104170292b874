//! Which tasks prepared transactions have changed, in shared memory: at their COMMIT PREPARED, in another session, these are
//! planned anew, and no others. What finds no room here is left word of in the transaction itself (`pg::wake`).

use super::worker;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// All that may be pending.
pub const CHANGES: usize = 512;
/// Of one transaction.
const EACH: usize = 8;
/// In place of a token while its slot is being filled; tokens have other bits set.
const FILLING: i64 = 1;

/// One task that a transaction has changed.
#[repr(C)]
pub struct Change {
    /// 0: free.
    token: AtomicI64,
    database: AtomicU32,
    transaction: AtomicU32,
}

impl Change {
    fn is_here(&self) -> bool {
        ![0, FILLING].contains(&self.token.load(Acquire)) && self.database.load(Acquire) == worker::database().to_u32()
    }

    fn is_pending(&self) -> bool {
        // SAFETY: any number may be asked for. The server looks into shared memory, under a lock that it takes and
        // releases.
        unsafe { pg_sys::TransactionIdIsInProgress(self.transaction.load(Acquire).into()) }
    }
}

/// The calling transaction, which is about to be prepared, has changed these tasks: keeps as many as there is room for, and
/// gives back the others. What has ended makes room: `forget` is told of it.
pub fn keep(changes: &[Change], tokens: &[i64], forget: impl Fn(i64)) -> Vec<i64> {
    // SAFETY: it reads this process's own state.
    let transaction = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    if changes.iter().all(|change| change.token.load(Acquire) != 0) {
        finish(changes, forget);
    }
    let is_kept = |token: i64| {
        let is_free = |change: &&Change| change.token.compare_exchange(0, FILLING, AcqRel, Acquire).is_ok();
        let free = changes.iter().find(is_free);
        free.into_iter().for_each(|change| {
            change.database.store(worker::database().to_u32(), Release);
            change.transaction.store(transaction.into_inner(), Release);
            change.token.store(token, Release);
        });
        free.is_some()
    };
    let kept = tokens.iter().take(EACH).take_while(|token| is_kept(**token)).count();
    tokens[kept..].to_vec()
}

/// After a COMMIT PREPARED: what has changed by transactions of this database that are not pending any more. One that was
/// undone has a task planned once more than it need be.
pub fn finish(changes: &[Change], forget: impl Fn(i64)) {
    for change in changes.iter().filter(|change| change.is_here() && !change.is_pending()) {
        let token = change.token.load(Acquire);
        // Forgotten before the slot is free: whoever finds it free may rely on that.
        forget(token);
        let _ = change.token.compare_exchange(token, 0, AcqRel, Acquire);
    }
}
