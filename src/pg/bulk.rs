//! Rows into one of our own tables, many at a time and with its indexes, without a statement around them. Needs no
//! privilege and no search_path. Constraints are the indexes' alone: no NOT NULL, CHECK, trigger or default is looked at.

use pgrx::pg_sys::{self, Datum, Oid};

/// A row: one datum, or NULL, for each column.
pub type Row<const N: usize> = [Option<Datum>; N];

/// Inserts rows of all columns of a table. Raises 23505 where a unique index has one of them already.
pub fn insert<const N: usize>(relation: Oid, rows: impl ExactSizeIterator<Item = Row<N>>) {
    unsafe {
        let table = pg_sys::table_open(relation, pg_sys::RowExclusiveLock as i32);
        let columns = (*(*table).rd_att).natts as usize;
        if columns != N {
            pgrx::error!("a table of jittask has {columns} columns and not {N}: run ALTER EXTENSION jittask UPDATE");
        }
        let state = pg_sys::CreateExecutorState();
        let target: *mut pg_sys::ResultRelInfo = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast();
        (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(target, table, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(target, false);
        // A copy of the shape is not counted: counting costs more than all else about a slot.
        let shape = pg_sys::CreateTupleDescCopy((*table).rd_att);
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> = rows.map(|row| fill(shape, &row)).collect();
        pg_sys::heap_multi_insert(
            table,
            slots.as_mut_ptr(),
            slots.len() as i32,
            pg_sys::GetCurrentCommandId(true),
            0,
            std::ptr::null_mut(),
        );
        for slot in &slots {
            index(target, *slot, state);
            pg_sys::MemoryContextReset((*pg_sys::MakePerTupleExprContext(state)).ecxt_per_tuple_memory);
            pg_sys::ExecDropSingleTupleTableSlot(*slot);
        }
        pg_sys::ExecCloseIndices(target);
        pg_sys::FreeExecutorState(state);
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        pg_sys::CommandCounterIncrement();
    }
}

unsafe fn fill<const N: usize>(shape: pg_sys::TupleDesc, row: &Row<N>) -> *mut pg_sys::TupleTableSlot {
    unsafe {
        let slot = pg_sys::MakeSingleTupleTableSlot(shape, &raw const pg_sys::TTSOpsVirtual);
        for (i, value) in row.iter().enumerate() {
            *(*slot).tts_values.add(i) = value.unwrap_or(Datum::from(0));
            *(*slot).tts_isnull.add(i) = value.is_none();
        }
        pg_sys::ExecStoreVirtualTuple(slot)
    }
}

unsafe fn index(target: *mut pg_sys::ResultRelInfo, slot: *mut pg_sys::TupleTableSlot, state: *mut pg_sys::EState) {
    let none = std::ptr::null_mut();
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, std::ptr::null_mut(), none);
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, std::ptr::null_mut(), none, false);
    }
}
