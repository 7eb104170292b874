//! Is a row still as it was read? Its place in the heap tells: what a newer snapshot sees there is the same version. And
//! where no transaction has ended since, and this one has changed nothing in the table, nothing needs to be looked at.
//!
//! A place cannot be given to another row meanwhile: the transaction's first snapshot, which stays active, keeps all
//! versions that anybody has removed since.

use super::sql::Rows;
use super::tid::Tid;
use super::{boundary, raw, xact};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashMap;

/// The heaps of one transaction's rows.
#[derive(Default)]
pub struct Versions {
    heaps: HashMap<u32, Heap>,
    /// How many transactions had ended when the rows were read. While that stays the same, nobody else's changes have come
    /// into sight.
    ended: u64,
}

struct Heap {
    /// The file that the places are in: a TRUNCATE or rewrite by the transaction itself makes them void.
    file: Oid,
    slot: *mut pg_sys::TupleTableSlot,
}

/// Where a row version lies.
#[derive(Clone, Copy)]
pub struct Place {
    relation: Oid,
    tid: Tid,
}

impl Place {
    /// From the columns `tableoid` and `ctid` of a statement.
    pub fn of(rows: &Rows, row: usize, table: usize, place: usize) -> Option<Place> {
        Some(Place { relation: rows.get(row, table)?, tid: Tid::of(rows, row, place)? })
    }
}

impl Versions {
    /// Rows are about to be read, by a snapshot taken after this.
    pub fn begin(&mut self) {
        // SAFETY: a transaction is open, and no parallel operation. The snapshot is a static one, read at once. An
        // ERROR, for want of memory at this process's first call, is not caught: it ends the process, for no boundary
        // is round it.
        self.ended = unsafe { (*raw::latest_snapshot()).snapXactCompletionCount };
    }

    /// Notes a heap that rows were just read from; its lock is held until the transaction ends.
    pub fn note(&mut self, place: Place) {
        // SAFETY: the statement that read the row holds its table's lock until the transaction ends, so none need be
        // taken. The slot is the transaction's, not a savepoint's, and is dropped by `close` before that ends.
        self.heaps.entry(place.relation.to_u32()).or_insert_with(|| unsafe {
            let relation = pg_sys::table_open(place.relation, pg_sys::NoLock as i32);
            let is_heap = !(*relation).rd_tableam.is_null();
            let slot =
                if is_heap { pg_sys::table_slot_create(relation, std::ptr::null_mut()) } else { std::ptr::null_mut() };
            let file = (*(*relation).rd_rel).relfilenode;
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
            Heap { file, slot }
        });
    }

    /// Does the active snapshot, that of [`xact::statement`], see this very version?
    pub fn is_current(&self, place: Place) -> bool {
        let heap = self.heaps.get(&place.relation.to_u32()).filter(|heap| !heap.slot.is_null());
        let Some(heap) = heap else { return false };
        let (relation, tid) = (place.relation, place.tid.data());
        // SAFETY: `has` is made for `catch`; the table was noted, so it is locked, and a snapshot is active.
        let is_there = unsafe { boundary::catch(|| heap.has(relation, tid, self.ended)) };
        is_there.unwrap_or_else(|failure| failure.raise())
    }

    /// Lets go of them, before the transaction ends.
    pub fn close(self) {
        for heap in self.heaps.values().filter(|heap| !heap.slot.is_null()) {
            // SAFETY: made by `note`, in this transaction and under the resource owner that is current again; dropped
            // once.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(heap.slot) };
        }
    }
}

impl Heap {
    /// Is the version there?
    ///
    /// # Safety
    /// Inside of [`boundary::catch`] alone, with an active snapshot, of a relation that the transaction has locked and
    /// that is this heap's.
    unsafe fn has(&self, relation: Oid, mut tid: pg_sys::ItemPointerData, ended: u64) -> bool {
        // SAFETY: the relation is locked. All calls are unguarded ones or read its cache entry while it is open, and
        // nothing here is to be dropped when an ERROR jumps over this frame.
        unsafe {
            let relation = raw::table_open(relation, pg_sys::NoLock as i32);
            let is_same_file = (*(*relation).rd_rel).relfilenode == self.file;
            let is_untouched = is_same_file && is_untouched(relation) && xact::ended_before() == ended;
            let is_there = is_untouched || is_same_file && self.fetch(relation, &mut tid);
            raw::table_close(relation, pg_sys::NoLock as i32);
            is_there
        }
    }

    /// Does the active snapshot see a row version at this place?
    ///
    /// # Safety
    /// As of `has`; `relation` must be open and have the file that it had when the slot was made.
    unsafe fn fetch(&self, relation: pg_sys::Relation, tid: &mut pg_sys::ItemPointerData) -> bool {
        // SAFETY: with the same file it has the access method for which the slot was made, and the methods' table is in
        // its cache entry. A place beyond the file's end raises, which `catch` takes.
        unsafe {
            let Some(fetch) = (*(*relation).rd_tableam).tuple_fetch_row_version else { return false };
            let is_seen = fetch(relation, tid, raw::active_snapshot(), self.slot);
            if let Some(clear) = (*(*self.slot).tts_ops).clear {
                clear(self.slot);
            }
            is_seen
        }
    }
}

/// Has this transaction itself changed nothing in the table? The server counts such changes, unless it is told not to.
///
/// # Safety
/// `relation` must be open.
unsafe fn is_untouched(relation: pg_sys::Relation) -> bool {
    // SAFETY: null, or this process's counts of the table, which stay until its statistics are reported between
    // transactions.
    unsafe { (*relation).pgstat_info.as_ref() }.is_some_and(|counts| counts.trans.is_null())
}
