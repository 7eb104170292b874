//! Functions of the server as they are. The bridge saves the processor's state around each call, so that an ERROR becomes a
//! panic; for what is called many times a row that would cost as much as the row's record. Only functions that raise
//! nothing where they are called here, or that are called inside of [`super::boundary::catch`]; which of the two stands
//! beside each. Their signatures are those of the server's headers, the same in all versions that we build for.

use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::c_int;

unsafe extern "C-unwind" {
    /// utils/timestamp.h. Raises nothing: it asks the system and reckons.
    #[link_name = "GetCurrentTimestamp"]
    pub(super) fn current_timestamp() -> i64;
    /// access/xact.h. May raise, by what it invalidates: inside of `catch` alone.
    #[link_name = "CommandCounterIncrement"]
    pub(super) fn command_counter_increment();
    /// utils/snapmgr.h. May raise, for want of memory: inside of `catch` alone. Needs a transaction.
    #[link_name = "GetTransactionSnapshot"]
    pub(super) fn transaction_snapshot() -> pg_sys::Snapshot;
    /// utils/snapmgr.h. Raises nothing: it reads a pointer. There must be an active snapshot.
    #[link_name = "GetActiveSnapshot"]
    pub(super) fn active_snapshot() -> pg_sys::Snapshot;
    /// utils/snapmgr.h. Raises in parallel mode, in which none of our code runs; and, outside of `catch`, if there is
    /// no memory for its arrays when a process calls it first. Needs a transaction.
    #[link_name = "GetLatestSnapshot"]
    pub(super) fn latest_snapshot() -> pg_sys::Snapshot;
    /// utils/snapmgr.h. May raise, for want of memory: inside of `catch` alone.
    #[link_name = "PushActiveSnapshot"]
    pub(super) fn push_active_snapshot(snapshot: pg_sys::Snapshot);
    /// utils/snapmgr.h. Raises nothing: it frees. The active snapshot must be the caller's.
    #[link_name = "PopActiveSnapshot"]
    pub(super) fn pop_active_snapshot();
    /// utils/guc.h. Raises nothing: it counts; the server relies on that when a subtransaction starts.
    #[link_name = "NewGUCNestLevel"]
    pub(super) fn new_guc_nest_level() -> c_int;
    /// utils/guc.h. Called with `false` alone, as an abort calls it: then old values are put back without allocating,
    /// and the assign hooks that are told of them may not fail (utils/misc/README).
    #[link_name = "AtEOXact_GUC"]
    pub(super) fn end_of_guc_nest_level(is_commit: bool, level: c_int);
    /// utils/memutils.h. Raises nothing by itself; callbacks on a context only release (utils/mmgr/README).
    #[link_name = "MemoryContextReset"]
    pub(super) fn memory_context_reset(context: pg_sys::MemoryContext);
    /// executor/spi.h. Raises nothing for a column that is not the system's: beyond the last one it says NULL.
    #[link_name = "SPI_getbinval"]
    pub(super) fn spi_getbinval(
        tuple: pg_sys::HeapTuple,
        shape: pg_sys::TupleDesc,
        column: c_int,
        is_null: *mut bool,
    ) -> Datum;
    /// executor/spi.h. Likewise: beyond the last column it gives the invalid OID.
    #[link_name = "SPI_gettypeid"]
    pub(super) fn spi_gettypeid(shape: pg_sys::TupleDesc, column: c_int) -> Oid;
    /// access/table.h. May raise, as may whatever reads the catalogs: inside of `catch` alone.
    #[link_name = "table_open"]
    pub(super) fn table_open(relation: Oid, lock: pg_sys::LOCKMODE) -> pg_sys::Relation;
    /// access/table.h. Inside of `catch` alone.
    #[link_name = "table_close"]
    pub(super) fn table_close(relation: pg_sys::Relation, lock: pg_sys::LOCKMODE);
    /// executor/tuptable.h. Raises nothing: it marks as filled a virtual slot that is empty.
    #[link_name = "ExecStoreVirtualTuple"]
    pub(super) fn store_virtual_tuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
    /// executor/tuptable.h. Raises nothing where the resource owner that the slot was made under is current: it gives
    /// back a buffer and a counted tuple descriptor that this one has, or has none, and frees.
    #[link_name = "ExecDropSingleTupleTableSlot"]
    pub(super) fn drop_slot(slot: *mut pg_sys::TupleTableSlot);
}
