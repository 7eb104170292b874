//! A walk along an index on (role, instant, id) or (task, instant), of so many entries at most: what was deleted but is kept by
//! somebody's snapshot costs a look each, and a statement would pass all of it before it finds the first row. Needs no privilege
//! and no search_path.

use super::{boundary, lock, raw, xact};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::ffi::CStr;

/// Where an entry lies in the index: its instant as in the datum, and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Microseconds since 2000.
    pub at: i64,
    /// The id.
    pub id: i64,
}

impl Place {
    /// The front of the index.
    pub const FRONT: Place = Place { at: i64::MIN, id: i64::MIN };
    /// Behind all entries.
    pub const LAST: Place = Place { at: i64::MAX, id: i64::MAX };
    /// Before all entries whose instant is infinity.
    pub const END: Place = Place { at: i64::MAX, id: i64::MIN };
}

/// What a walk has to find.
pub struct Task<'a> {
    /// Whose entries.
    pub role: Oid,
    /// From there on.
    pub from: Place,
    /// Up to there, exclusively.
    pub until: Place,
    /// Not these ids.
    pub except: &'a [i64],
    /// So many at most.
    pub count: usize,
    /// After so many entries of the index, seen or not, it stops.
    pub steps: usize,
}

/// What it found.
#[derive(Default)]
pub struct Found {
    /// What the snapshot sees, in order.
    pub seen: Vec<Place>,
    /// The same of those that were left out.
    pub left_out: Vec<Place>,
    /// It stopped: from there on it may go on. None: the walk came to its end, or found as many as it was to.
    pub rest: Option<Place>,
}

// As in access/genam.h, access/itup.h and executor/tuptable.h. `raw_deform` raises nothing: it reads a tuple by its shape.
unsafe extern "C-unwind" {
    #[link_name = "index_getnext_tid"]
    fn raw_next(scan: pg_sys::IndexScanDesc, direction: pg_sys::ScanDirection::Type) -> pg_sys::ItemPointer;
    #[link_name = "index_fetch_heap"]
    fn raw_fetch(scan: pg_sys::IndexScanDesc, slot: *mut pg_sys::TupleTableSlot) -> bool;
    #[link_name = "index_deform_tuple"]
    fn raw_deform(tuple: pg_sys::IndexTuple, shape: pg_sys::TupleDesc, values: *mut Datum, nulls: *mut bool);
    #[link_name = "slot_getsomeattrs_int"]
    fn raw_deform_slot(slot: *mut pg_sys::TupleTableSlot, columns: std::ffi::c_int);
}

/// A table and its index, open.
pub struct Walk {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
}

/// Runs `body` with these two of our relations open, under a snapshot taken then. None: the index is not there, not valid, or not
/// one by so many columns.
pub fn along<T>(table: &CStr, (index, columns): (&CStr, i16), body: impl FnOnce(&Walk) -> T) -> Option<T> {
    let (table, index) = (lock::relation(table)?, lock::relation(index)?);
    // SAFETY: AccessShareLock is taken here and kept until the transaction ends. The slot is made for the table, and
    // dropped under the same resource owner, which savepoints put back. After an ERROR the abort closes all.
    unsafe {
        let shared = pg_sys::AccessShareLock as i32;
        let table = pg_sys::table_open(table, shared);
        let index = pg_sys::index_open(index, shared);
        let value = is_usable(index, (*table).rd_id, columns).then(|| {
            let slot = pg_sys::table_slot_create(table, std::ptr::null_mut());
            let walk = Walk { table, index, slot };
            let value = xact::statement(|| body(&walk));
            raw::drop_slot(slot);
            value
        });
        pg_sys::index_close(index, pg_sys::NoLock as i32);
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        value
    }
}

/// Is it valid, a b-tree, and of all rows of the table, by so many columns?
///
/// # Safety
/// `index` must be open and locked.
unsafe fn is_usable(index: pg_sys::Relation, table: Oid, columns: i16) -> bool {
    // SAFETY: the cache entry of an open index has its rows of pg_class and pg_index, the latter whole, and they stay
    // under its lock.
    unsafe {
        let Some(state) = (*index).rd_index.as_ref() else { return false };
        let is_whole =
            pg_sys::heap_attisnull((*index).rd_indextuple, pg_sys::Anum_pg_index_indpred as i32, std::ptr::null_mut());
        let is_btree = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID;
        state.indisvalid
            && state.indrelid == table
            && is_btree
            && is_whole
            && (state.indnatts, state.indnkeyatts) == (columns, columns)
    }
}

impl Walk {
    /// Walks.
    pub fn go(&self, task: &Task) -> Found {
        let mut found = Found::default();
        let steps = Cell::new(task.steps);
        if task.from >= task.until {
            return found;
        }
        // What is left of the first instant, then the later ones: so it goes on in the midst of many of one instant.
        let first = [
            key(1, pg_sys::BTEqualStrategyNumber, pg_sys::F_OIDEQ, Datum::from(task.role)),
            key(2, pg_sys::BTEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_EQ, Datum::from(task.from.at)),
            key(3, pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_INT8GE, Datum::from(task.from.id)),
        ];
        if self.scan(task, &first, &steps, &mut found) {
            let later = [
                key(1, pg_sys::BTEqualStrategyNumber, pg_sys::F_OIDEQ, Datum::from(task.role)),
                key(2, pg_sys::BTGreaterStrategyNumber, pg_sys::F_TIMESTAMPTZ_GT, Datum::from(task.from.at)),
            ];
            self.scan(task, &later, &steps, &mut found);
        }
        found
    }

    /// True if it came to the end of what the keys allow, and there may be more of it.
    fn scan(&self, task: &Task, keys: &[pg_sys::ScanKeyData], steps: &Cell<usize>, found: &mut Found) -> bool {
        // SAFETY: table and index are open, and `along` has a snapshot active, as long as there is a walk. The scan
        // copies the keys, of which there are as many as is said, and is ended here or by the abort. Under the boundary
        // calls are of unguarded functions alone, and nothing has to be dropped.
        unsafe {
            let scan = self.begin(keys);
            let (seen, left_out, rest) = (RefCell::new(vec![]), RefCell::new(vec![]), Cell::new(None));
            let last = Cell::new(None);
            let is_open = boundary::catch(|| {
                while !raw_next(scan, pg_sys::ScanDirection::ForwardScanDirection).is_null() {
                    let place = place_of(scan);
                    if place >= task.until {
                        return false;
                    }
                    // Not between two versions of one entry: the later may be the one that is seen.
                    if steps.get() == 0 && last.replace(Some(place)) != Some(place) {
                        rest.set(Some(place));
                        return false;
                    }
                    last.set(Some(place));
                    steps.set(steps.get().saturating_sub(1));
                    if raw_fetch(scan, self.slot) {
                        let is_left_out = task.except.contains(&place.id);
                        let into = if is_left_out { &left_out } else { &seen };
                        into.borrow_mut().push(place);
                        if found.seen.len() + seen.borrow().len() == task.count {
                            return false;
                        }
                    }
                }
                true
            });
            let is_open = is_open.unwrap_or_else(|failure| failure.raise());
            pg_sys::index_endscan(scan);
            found.seen.extend(seen.take());
            found.left_out.extend(left_out.take());
            found.rest = rest.get();
            is_open
        }
    }

    /// Shows `see` the rows of `task` before the instant `until`, the latest first, by these columns, until it has seen enough and
    /// says false. After so many entries of the index, seen or not, it stops. True if it came to the end.
    pub fn back<const N: usize>(
        &self,
        task: i32,
        until: i64,
        columns: [&CStr; N],
        steps: usize,
        mut see: impl FnMut([Option<Datum>; N]) -> bool,
    ) -> bool {
        let keys = [
            key(1, pg_sys::BTEqualStrategyNumber, pg_sys::F_INT4EQ, Datum::from(task)),
            key(2, pg_sys::BTLessStrategyNumber, pg_sys::F_TIMESTAMPTZ_LT, Datum::from(until)),
        ];
        let mut left = steps;
        !self.backward(&keys, columns, |_, values| {
            left = left.saturating_sub(1);
            values.is_none_or(&mut see) && left > 0
        })
    }

    /// Shows `see` the entries of a role below a place and down to an instant, the latest first, by these columns, until it has
    /// seen enough and says false, or so many entries of the index were passed. Below which place there may be more; None: it came
    /// to the end.
    pub fn down<const N: usize>(
        &self,
        (role, below, least): (Oid, Place, i64),
        columns: [&CStr; N],
        steps: usize,
        mut see: impl FnMut(Place, [Option<Datum>; N]) -> bool,
    ) -> Option<Place> {
        let role = key(1, pg_sys::BTEqualStrategyNumber, pg_sys::F_OIDEQ, Datum::from(role));
        let at = |strategy: u32, function: u32, at: i64| key(2, strategy, function, Datum::from(at));
        // What is left of the instant, then the earlier ones.
        let rest = vec![
            role,
            at(pg_sys::BTEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_EQ, below.at),
            key(3, pg_sys::BTLessStrategyNumber, pg_sys::F_INT8LT, Datum::from(below.id)),
        ];
        let earlier = vec![
            role,
            at(pg_sys::BTLessStrategyNumber, pg_sys::F_TIMESTAMPTZ_LT, below.at),
            at(pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_GE, least),
        ];
        let (mut left, mut last) = (steps, None);
        for keys in [rest, earlier] {
            let mut is_enough = left == 0;
            let stopped = self.backward(&keys, columns, |place, values| {
                // Not between two versions of one entry: the later may be the one that is seen.
                if is_enough && last != Some(place) {
                    return false;
                }
                last = Some(place);
                left = left.saturating_sub(1);
                is_enough |= left == 0 || values.is_some_and(|values| !see(place, values));
                true
            });
            if stopped {
                return last;
            }
        }
        None
    }

    /// Shows `see` each entry of the index that these keys allow, the last first, and its row if the snapshot sees it, until it says
    /// false. Did it?
    fn backward<const N: usize>(
        &self,
        keys: &[pg_sys::ScanKeyData],
        columns: [&CStr; N],
        see: impl FnMut(Place, Option<[Option<Datum>; N]>) -> bool,
    ) -> bool {
        let (see, is_stopped) = (RefCell::new(see), Cell::new(false));
        // SAFETY: as in `scan`. Of a row that was fetched the slot is filled up to the last of columns that the table has; of a row
        // of ours that raises nothing that is not a broken file, and there it is caught.
        unsafe {
            let numbers = columns.map(|column| pg_sys::get_attnum((*self.table).rd_id, column.as_ptr()));
            let last = numbers.iter().copied().max().unwrap_or_default();
            let scan = self.begin(keys);
            let seen = boundary::catch(|| {
                while !raw_next(scan, pg_sys::ScanDirection::BackwardScanDirection).is_null() {
                    let place = place_of(scan);
                    let values = raw_fetch(scan, self.slot).then(|| {
                        raw_deform_slot(self.slot, last.into());
                        numbers.map(|number| value_of(self.slot, number))
                    });
                    if !(see.borrow_mut())(place, values) {
                        return is_stopped.set(true);
                    }
                }
            });
            seen.unwrap_or_else(|failure| failure.raise());
            pg_sys::index_endscan(scan);
        }
        is_stopped.get()
    }

    /// # Safety
    /// The table and its index must be open, and a snapshot active. The scan must be ended, or the transaction aborted.
    unsafe fn begin(&self, keys: &[pg_sys::ScanKeyData]) -> pg_sys::IndexScanDesc {
        let count = keys.len() as i32;
        // SAFETY: the caller's promise. The scan copies the keys, of which there are as many as is said.
        unsafe {
            let snapshot = raw::active_snapshot();
            #[cfg(feature = "pg18")]
            let scan = pg_sys::index_beginscan(self.table, self.index, snapshot, std::ptr::null_mut(), count, 0);
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(self.table, self.index, snapshot, count, 0);
            // The place is known of what is not seen too.
            (*scan).xs_want_itup = true;
            pg_sys::index_rescan(scan, keys.as_ptr().cast_mut(), count, std::ptr::null_mut(), 0);
            scan
        }
    }
}

/// A column's value, by its number; None: NULL, or no column.
///
/// # Safety
/// The slot must be filled up to that column.
unsafe fn value_of(slot: *mut pg_sys::TupleTableSlot, number: i16) -> Option<Datum> {
    let place = usize::try_from(number - 1).ok()?;
    // SAFETY: the caller's promise.
    unsafe { (!*(*slot).tts_isnull.add(place)).then(|| *(*slot).tts_values.add(place)) }
}

/// Where the entry lies that a scan has just come to.
///
/// # Safety
/// The scan must have been asked for index tuples, of an index as `is_usable` wants it, and have come to one. Of one by two columns
/// the id is 0.
unsafe fn place_of(scan: pg_sys::IndexScanDesc) -> Place {
    let mut values = [Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
    let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
    // SAFETY: the tuple is there, with its shape, until the scan goes on; no index has more columns than the arrays.
    unsafe { raw_deform((*scan).xs_itup, (*scan).xs_itupdesc, values.as_mut_ptr(), nulls.as_mut_ptr()) };
    Place { at: values[1].value() as i64, id: values[2].value() as i64 }
}

fn key(column: i16, strategy: u32, function: u32, value: Datum) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: it fills a key in this frame. The functions are the server's own, and the value is of the type that they
    // compare.
    unsafe { pg_sys::ScanKeyInit(&mut key, column, strategy as u16, Oid::from(function), value) };
    key
}
