//! Functions of the server as they are. The bridge saves the processor's state around each call, so that an ERROR becomes a
//! panic; for what is called many times a row that would cost as much as the row's record. Only functions that raise
//! nothing where they are called here, or that are called inside of [`super::boundary::catch`].

use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::c_int;

unsafe extern "C-unwind" {
    #[link_name = "GetCurrentTimestamp"]
    pub(super) fn current_timestamp() -> i64;
    #[link_name = "CommandCounterIncrement"]
    pub(super) fn command_counter_increment();
    #[link_name = "GetTransactionSnapshot"]
    pub(super) fn transaction_snapshot() -> pg_sys::Snapshot;
    #[link_name = "GetActiveSnapshot"]
    pub(super) fn active_snapshot() -> pg_sys::Snapshot;
    #[link_name = "GetLatestSnapshot"]
    pub(super) fn latest_snapshot() -> pg_sys::Snapshot;
    #[link_name = "PushActiveSnapshot"]
    pub(super) fn push_active_snapshot(snapshot: pg_sys::Snapshot);
    #[link_name = "PopActiveSnapshot"]
    pub(super) fn pop_active_snapshot();
    #[link_name = "NewGUCNestLevel"]
    pub(super) fn new_guc_nest_level() -> c_int;
    #[link_name = "AtEOXact_GUC"]
    pub(super) fn end_of_guc_nest_level(is_commit: bool, level: c_int);
    #[link_name = "MemoryContextReset"]
    pub(super) fn memory_context_reset(context: pg_sys::MemoryContext);
    #[link_name = "SPI_getbinval"]
    pub(super) fn spi_getbinval(
        tuple: pg_sys::HeapTuple,
        shape: pg_sys::TupleDesc,
        column: c_int,
        is_null: *mut bool,
    ) -> Datum;
    #[link_name = "SPI_gettypeid"]
    pub(super) fn spi_gettypeid(shape: pg_sys::TupleDesc, column: c_int) -> Oid;
    #[link_name = "table_open"]
    pub(super) fn table_open(relation: Oid, lock: pg_sys::LOCKMODE) -> pg_sys::Relation;
    #[link_name = "table_close"]
    pub(super) fn table_close(relation: pg_sys::Relation, lock: pg_sys::LOCKMODE);
    #[link_name = "ExecStoreVirtualTuple"]
    pub(super) fn store_virtual_tuple(slot: *mut pg_sys::TupleTableSlot) -> *mut pg_sys::TupleTableSlot;
    #[link_name = "ExecDropSingleTupleTableSlot"]
    pub(super) fn drop_slot(slot: *mut pg_sys::TupleTableSlot);
}
