//! Rows into one of our own tables, many at a time and with its indexes, without a statement around them. Needs no
//! privilege and no search_path. Only while the table is as it was made (`pg::shape`): no NOT NULL, CHECK, trigger or default
//! is looked at, and of indexes only such as ours are kept.

use super::shape::{self, Shape};
use super::{boundary, raw};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;

type Slot = *mut pg_sys::TupleTableSlot;

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

unsafe fn insert_into<const N: usize>(
    table: pg_sys::Relation,
    target: *mut pg_sys::ResultRelInfo,
    order: Order,
    rows: impl ExactSizeIterator<Item = Row<N>>,
) {
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
unsafe fn has_missing(table: pg_sys::Relation) -> bool {
    unsafe { (*(*table).rd_att).constr.as_ref().is_some_and(|all| !all.missing.is_null()) }
}

/// The first columns of a shape; before PostgreSQL 18, which has no function for it, all of them.
unsafe fn shortened(shape: pg_sys::TupleDesc, columns: i32) -> pg_sys::TupleDesc {
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::CreateTupleDescTruncatedCopy(shape, columns)
    }
    #[cfg(not(feature = "pg18"))]
    {
        let _ = columns;
        shape
    }
}

unsafe fn fill<const N: usize>(shape: pg_sys::TupleDesc, row: &Row<N>) -> Slot {
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
    unsafe fn insert(self, slots: &[Slot]) {
        let context = unsafe { pg_sys::MakePerTupleExprContext(self.state) };
        let predicate = unsafe { pg_sys::ExecPrepareQual((*self.info).ii_Predicate, self.state) };
        let columns = unsafe { self.predicate_columns() };
        // The last row that the predicate was asked about, and its answer.
        let last = Cell::new(None::<(Slot, bool)>);
        let extremes = unsafe { self.summarized_column() }.map(|column| extremes(slots, column));
        let slots = extremes.as_deref().unwrap_or(slots);
        // 13 of 25, so that the second half fits in between for certain.
        let is_early = |i: &usize| self.order == Order::AsGiven || (i % 25).is_multiple_of(2);
        let (early, late): (Vec<usize>, Vec<usize>) = (0..slots.len()).partition(is_early);
        // All of a batch under one boundary; nothing in here has to be dropped.
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
    unsafe fn predicate_columns(self) -> Vec<usize> {
        unsafe {
            let mut numbers: *mut pg_sys::Bitmapset = std::ptr::null_mut();
            pg_sys::pull_varattnos((*self.info).ii_Predicate.cast(), 1, &mut numbers);
            let next = |last: &i32| Some(pg_sys::bms_next_member(numbers, *last)).filter(|number| *number >= 0);
            let numbers = std::iter::successors(next(&-1), next);
            numbers.map(|number| (number + pg_sys::FirstLowInvalidHeapAttributeNumber - 1) as usize).collect()
        }
    }

    /// Is the row of a partial index's?
    unsafe fn is_covered(self, predicate: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> bool {
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

    unsafe fn insert_one(self, slot: Slot) {
        let mut values = [Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
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
    unsafe fn summarized_column(self) -> Option<usize> {
        let is_brin = unsafe { (*(*self.relation).rd_rel).relam } == pg_sys::BRIN_AM_OID;
        let column = unsafe { (*self.info).ii_IndexAttrNumbers[0] };
        (is_brin && column > 0).then(|| column as usize - 1)
    }
}

/// Have two rows the same in these columns? Of values that are not in the datum itself only NULLs are.
unsafe fn are_alike(a: Slot, b: Slot, columns: &[usize]) -> bool {
    columns.iter().all(|column| unsafe {
        let is_null = |slot: Slot| *(*slot).tts_isnull.add(*column);
        let value = |slot: Slot| *(*slot).tts_values.add(*column);
        is_null(a) == is_null(b) && (is_null(a) || value(a) == value(b))
    })
}

/// Of each run of rows in one block those with the least and the greatest value of a column that compares as an integer,
/// and one with none: to a summary of the block the others say nothing new.
fn extremes(slots: &[Slot], column: usize) -> Vec<Slot> {
    let value = |slot: &Slot| unsafe {
        (!*(**slot).tts_isnull.add(column)).then(|| (*(**slot).tts_values.add(column)).value() as i64)
    };
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
