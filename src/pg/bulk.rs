//! Rows into one of our own tables, many at a time and with its indexes, without a statement around them. Needs no
//! privilege and no search_path. Only while the table is as it was made (`pg::shape`): no NOT NULL, CHECK, trigger or default
//! is looked at, and of indexes only such as ours are kept.

use super::shape::{self, Shape};
use super::{boundary, raw};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;

type Slot = *mut pg_sys::TupleTableSlot;

// As in catalog/index.h and access/genam.h; called inside of `catch` alone.
unsafe extern "C-unwind" {
    #[link_name = "FormIndexDatum"]
    fn raw_form(
        info: *mut pg_sys::IndexInfo,
        slot: Slot,
        state: *mut pg_sys::EState,
        values: *mut Datum,
        nulls: *mut bool,
    );
    #[link_name = "index_insert"]
    fn raw_insert(
        index: pg_sys::Relation,
        values: *mut Datum,
        nulls: *mut bool,
        place: pg_sys::ItemPointer,
        table: pg_sys::Relation,
        check: pg_sys::IndexUniqueCheck::Type,
        is_unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
}

/// A row: one datum, or NULL, for each column.
pub type Row<const N: usize> = [Option<Datum>; N];

/// In which order rows get into the b-trees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they come: the best where no row comes after them in the index.
    AsGiven,
    /// A little more than half of them first, the others in between. Rows in ascending order between others split each page
    /// at its middle and leave the left one half empty (but for narrow indexes of two columns): so that one is filled.
    Interleaved,
}

/// Inserts rows of all columns of a table. Raises 23505 where a unique index has one of them already. Gives the rows back, and
/// why, if the table is not as it was made: then a statement has to insert them.
pub fn insert<const N: usize, I: ExactSizeIterator<Item = Row<N>>>(
    relation: Oid,
    made: &Shape,
    order: Order,
    rows: I,
) -> Result<(), (I, String)> {
    // SAFETY: RowExclusiveLock is taken here and kept until the transaction ends, and ExecOpenIndices takes it on the
    // indexes until they are closed: what was found to be as it was made stays so meanwhile. After an ERROR the abort
    // closes all. Callers give rows of as many columns as `made` has, each of its type.
    unsafe {
        let table = pg_sys::table_open(relation, pg_sys::RowExclusiveLock as i32);
        if let Err(why) = shape::table_differs(table, made) {
            pg_sys::table_close(table, pg_sys::NoLock as i32);
            return Err((rows, why));
        }
        let target: *mut pg_sys::ResultRelInfo = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast();
        (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(target, table, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(target, false);
        let differ = shape::indexes_differ(target, made);
        if differ.is_ok() {
            insert_into(table, target, order, rows);
            pg_sys::ExecCloseIndices(target);
            pg_sys::table_close(table, pg_sys::NoLock as i32);
            pg_sys::CommandCounterIncrement();
            return Ok(());
        }
        pg_sys::ExecCloseIndices(target);
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        differ.map_err(|why| (rows, why))
    }
}

/// Inserts them into the table, and then into each of its indexes.
///
/// # Safety
/// `table` must be open and locked, with N columns, and `target` must be its own, with its indexes open.
unsafe fn insert_into<const N: usize>(
    table: pg_sys::Relation,
    target: *mut pg_sys::ResultRelInfo,
    order: Order,
    rows: impl ExactSizeIterator<Item = Row<N>>,
) {
    // SAFETY: a slot's shape is shortened only while the heap reads it, never beyond its values, and is whole again for
    // the indexes. Slots, shapes and the state are in the current memory context and outlive their use; the arrays of
    // indexes have as many elements as `target` says.
    unsafe {
        let state = pg_sys::CreateExecutorState();
        // A copy of the shape is not counted: counting costs more than all else about a slot.
        let shape = pg_sys::CreateTupleDescCopy((*table).rd_att);
        let may_shorten = !has_missing(table);
        let mut shapes: [pg_sys::TupleDesc; N] = [std::ptr::null_mut(); N];
        let mut slots: Vec<Slot> = Vec::with_capacity(rows.len());
        for row in rows {
            let slot = fill(shape, &row);
            // To the heap without the NULLs at its end: missing columns read as NULL, and take no room.
            let last = row.iter().rposition(Option::is_some).filter(|_| may_shorten).unwrap_or(N - 1);
            if shapes[last].is_null() {
                shapes[last] = shortened(shape, last as i32 + 1);
            }
            (*slot).tts_tupleDescriptor = shapes[last];
            slots.push(slot);
        }
        pg_sys::heap_multi_insert(
            table,
            slots.as_mut_ptr(),
            slots.len() as i32,
            pg_sys::GetCurrentCommandId(true),
            0,
            std::ptr::null_mut(),
        );
        slots.iter().for_each(|slot| (**slot).tts_tupleDescriptor = shape);
        // Index after index: what one descent touches is still near for the next.
        for i in 0..(*target).ri_NumIndices as usize {
            let index = Index {
                table,
                relation: *(*target).ri_IndexRelationDescs.add(i),
                info: *(*target).ri_IndexRelationInfo.add(i),
                state,
                order,
            };
            index.insert(&slots);
        }
        slots.iter().for_each(|slot| raw::drop_slot(*slot));
        pg_sys::FreeExecutorState(state);
    }
}

/// Has the table a column that rows without it do not read as NULL: one that was added with a default when there were rows?
/// Its NULLs must be stored. One that is added later is no danger: rows read its default for this column alone.
///
/// # Safety
/// `table` must be open.
unsafe fn has_missing(table: pg_sys::Relation) -> bool {
    // SAFETY: an open relation has a shape, whose constraints are null or there.
    unsafe { (*(*table).rd_att).constr.as_ref().is_some_and(|all| !all.missing.is_null()) }
}

/// The first columns of a shape; before PostgreSQL 18, which has no function for it, all of them.
///
/// # Safety
/// The shape must have as many.
unsafe fn shortened(shape: pg_sys::TupleDesc, columns: i32) -> pg_sys::TupleDesc {
    #[cfg(feature = "pg18")]
    // SAFETY: it has as many, as the caller says; the copy is in the current memory context.
    unsafe {
        pg_sys::CreateTupleDescTruncatedCopy(shape, columns)
    }
    #[cfg(not(feature = "pg18"))]
    {
        let _ = columns;
        shape
    }
}

/// A slot with the row's values.
///
/// # Safety
/// The shape must have N columns, and must not be counted.
unsafe fn fill<const N: usize>(shape: pg_sys::TupleDesc, row: &Row<N>) -> Slot {
    // SAFETY: a new slot has room for as many values as its shape has columns, N, and is empty until it is stored.
    unsafe {
        let slot = pg_sys::MakeSingleTupleTableSlot(shape, &raw const pg_sys::TTSOpsVirtual);
        for (i, value) in row.iter().enumerate() {
            *(*slot).tts_values.add(i) = value.unwrap_or(Datum::from(0));
            *(*slot).tts_isnull.add(i) = value.is_none();
        }
        raw::store_virtual_tuple(slot)
    }
}

/// One index of the table, open.
#[derive(Clone, Copy)]
struct Index {
    table: pg_sys::Relation,
    relation: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    state: *mut pg_sys::EState,
    order: Order,
}

impl Index {
    /// Inserts the rows that are the index's.
    ///
    /// # Safety
    /// The index must be open and locked, of its table, and the slots be filled and have their places in that.
    unsafe fn insert(self, slots: &[Slot]) {
        // SAFETY: the index is open, and its state and the information about it live as long as the slots.
        let (context, predicate, columns, summarized) = unsafe {
            (
                pg_sys::MakePerTupleExprContext(self.state),
                pg_sys::ExecPrepareQual((*self.info).ii_Predicate, self.state),
                self.predicate_columns(),
                self.summarized_column(),
            )
        };
        // The last row that the predicate was asked about, and its answer.
        let last = Cell::new(None::<(Slot, bool)>);
        let extremes = summarized.map(|column| extremes(slots, column));
        let slots = extremes.as_deref().unwrap_or(slots);
        // 13 of 25, so that the second half fits in between for certain.
        let is_early = |i: &usize| self.order == Order::AsGiven || (i % 25).is_multiple_of(2);
        let (early, late): (Vec<usize>, Vec<usize>) = (0..slots.len()).partition(is_early);
        // SAFETY: all of a batch under one boundary. Calls are of unguarded functions alone, and nothing in here has to
        // be dropped; the context's memory is emptied after each row, when nothing in it is needed any more.
        let inserted = unsafe {
            boundary::catch(|| {
                for slot in early.iter().chain(&late).map(|i| &slots[*i]) {
                    (*context).ecxt_scantuple = *slot;
                    let alike = last.get().filter(|(last, _)| are_alike(*last, *slot, &columns));
                    let is_covered = alike.map_or_else(|| self.is_covered(predicate, context), |(_, answer)| answer);
                    last.set(Some((*slot, is_covered)));
                    if is_covered {
                        self.insert_one(*slot);
                    }
                    raw::memory_context_reset((*context).ecxt_per_tuple_memory);
                }
            })
        };
        inserted.unwrap_or_else(|failure| failure.raise());
    }

    /// The columns that a partial index's predicate reads.
    ///
    /// # Safety
    /// The index must be open.
    unsafe fn predicate_columns(self) -> Vec<usize> {
        // SAFETY: a predicate is on one table, the first, and not on its system columns; ours name columns, never the
        // row as a whole. The set is the server's, or null.
        unsafe {
            let mut numbers: *mut pg_sys::Bitmapset = std::ptr::null_mut();
            pg_sys::pull_varattnos((*self.info).ii_Predicate.cast(), 1, &mut numbers);
            let next = |last: &i32| Some(pg_sys::bms_next_member(numbers, *last)).filter(|number| *number >= 0);
            let numbers = std::iter::successors(next(&-1), next);
            numbers.map(|number| (number + pg_sys::FirstLowInvalidHeapAttributeNumber - 1) as usize).collect()
        }
    }

    /// Is the row of a partial index's?
    ///
    /// # Safety
    /// Inside of [`boundary::catch`] alone. `predicate` must be null or made ready for `context`, in which the row is.
    unsafe fn is_covered(self, predicate: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> bool {
        // SAFETY: as ExecQual does it: the function that was made for the predicate, with what it allocates in the
        // context's own memory. It never gives NULL. The function is called as it is, without the bridge's guard.
        unsafe {
            let Some(evaluate) = predicate.as_ref().and_then(|predicate| predicate.evalfunc) else { return true };
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*context).ecxt_per_tuple_memory;
            let mut null = false;
            let value = evaluate(predicate, context, &raw mut null);
            pg_sys::CurrentMemoryContext = before;
            value.value() != 0
        }
    }

    /// Inserts one row.
    ///
    /// # Safety
    /// Inside of [`boundary::catch`] alone; otherwise as of `insert`.
    unsafe fn insert_one(self, slot: Slot) {
        let mut values = [Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
        // SAFETY: no index has more columns than the arrays. The slot has the row's place, and its state has the row,
        // which expressions are evaluated on. Nothing here is to be dropped when an ERROR jumps over this frame.
        unsafe {
            raw_form(self.info, slot, self.state, values.as_mut_ptr(), nulls.as_mut_ptr());
            let check = if (*self.info).ii_Unique {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
            } else {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
            };
            let (values, nulls, place) = (values.as_mut_ptr(), nulls.as_mut_ptr(), &raw mut (*slot).tts_tid);
            raw_insert(self.relation, values, nulls, place, self.table, check, false, self.info);
        }
    }

    /// The column of an index that holds no rows but the least and the greatest of each range of blocks.
    ///
    /// # Safety
    /// The index must be open.
    unsafe fn summarized_column(self) -> Option<usize> {
        // SAFETY: an open relation has its row of pg_class; each index has a first column.
        let (kind, column) = unsafe { ((*(*self.relation).rd_rel).relam, (*self.info).ii_IndexAttrNumbers[0]) };
        (kind == pg_sys::BRIN_AM_OID && column > 0).then(|| column as usize - 1)
    }
}

/// Have two rows the same in these columns? Of values that are not in the datum itself only NULLs are.
///
/// # Safety
/// The slots must be filled, with these columns.
unsafe fn are_alike(a: Slot, b: Slot, columns: &[usize]) -> bool {
    // SAFETY: the slots have these columns, as the caller says.
    columns.iter().all(|column| unsafe {
        let is_null = |slot: Slot| *(*slot).tts_isnull.add(*column);
        let value = |slot: Slot| *(*slot).tts_values.add(*column);
        is_null(a) == is_null(b) && (is_null(a) || value(a) == value(b))
    })
}

/// Of each run of rows in one block those with the least and the greatest value of a column that compares as an integer,
/// and one with none: to a summary of the block the others say nothing new.
fn extremes(slots: &[Slot], column: usize) -> Vec<Slot> {
    // SAFETY: both closures are for the slots of a batch, which are filled and have the columns of the table that the
    // index is of.
    let value = |slot: &Slot| unsafe {
        (!*(**slot).tts_isnull.add(column)).then(|| (*(**slot).tts_values.add(column)).value() as i64)
    };
    // SAFETY: likewise; the heap has noted each row's place in its slot.
    let block = |slot: &Slot| unsafe { (**slot).tts_tid.ip_blkid };
    let mut found = Vec::new();
    for run in slots.chunk_by(|a, b| (block(a).bi_hi, block(a).bi_lo) == (block(b).bi_hi, block(b).bi_lo)) {
        let valued = || run.iter().filter(|slot| value(slot).is_some());
        found.extend(valued().min_by_key(|slot| value(slot)).copied());
        found.extend(valued().max_by_key(|slot| value(slot)).copied());
        found.extend(run.iter().find(|slot| value(slot).is_none()).copied());
    }
    found
}
