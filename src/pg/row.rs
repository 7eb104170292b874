//! The row that fired a trigger, and its key. What the key's columns are is looked up once for many rows of a statement.

use super::genuine;
use super::tuple::{join_key, key_json_of_base};
use super::{boundary, shape, value};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

/// A row as a trigger sees it: the new one.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    shape: pg_sys::TupleDesc,
    /// The trigger that it fired, on the table or the partition that holds it.
    pub source: Rc<Source>,
    /// It is new, or its date is.
    pub is_dated: bool,
}

/// A trigger on one table.
pub struct Source {
    trigger: Oid,
    /// The table, or the partition.
    pub relation: Oid,
    /// The trigger's first argument.
    pub token: i64,
    /// Number and type of the date's column, which the second one names; None where it is missing.
    date: Option<(i32, Oid)>,
    /// Number and base type of each column that the others name; None where one is missing.
    key: Option<Vec<(i32, Oid)>>,
    /// Those named after an empty argument, of which one must have changed: number and type. None: any row counts.
    watched: Option<Vec<(i32, Oid)>>,
}

// As in utils/datum.h; called inside of `catch` alone.
unsafe extern "C-unwind" {
    #[link_name = "datum_image_eq"]
    fn raw_image_eq(a: Datum, b: Datum, by_value: bool, length: i32) -> bool;
}

thread_local! {
    static LAST: RefCell<Option<Rc<Source>>> = const { RefCell::new(None) };
    /// Some table is not what it was: anybody may have altered it since.
    static IS_STALE: Cell<bool> = const { Cell::new(false) };
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

extern "C-unwind" fn relation_changed(_argument: Datum, _relation: Oid) {
    IS_STALE.set(true);
}

/// What was looked up may have changed: another command, another transaction.
pub fn forget_source() {
    LAST.take();
}

impl Row {
    /// The row that fired the trigger. None where anybody has put the function into a trigger of their own.
    ///
    /// # Safety
    /// `call` must be the call information of a function that is being called. The row must not outlive the call.
    pub unsafe fn of_trigger(call: pg_sys::FunctionCallInfo) -> Option<Row> {
        // SAFETY: a call as a trigger has a TriggerData, whose relation is open and locked by the statement. A row's
        // trigger has its tuple, one of an UPDATE both; they stay until it returns.
        unsafe {
            if !pgrx::trigger_support::called_as_trigger(call) {
                return None;
            }
            let data = &*(*call).context.cast::<pg_sys::TriggerData>();
            // One without a row has a null tuple.
            let is_update = pgrx::trigger_support::trigger_fired_by_update(data.tg_event);
            let tuple = if is_update { data.tg_newtuple } else { data.tg_trigtuple };
            if tuple.is_null() || !pgrx::trigger_support::trigger_fired_for_row(data.tg_event) {
                return None;
            }
            let shape = (*data.tg_relation).rd_att;
            let source = source(data, shape)?;
            let mut row = Row { tuple, shape, source, is_dated: !is_update };
            if is_update {
                let old = data.tg_trigtuple;
                row.is_dated = row.source.date.is_some_and(|date| row.differs_in(date, old));
                let watched = row.source.watched.as_ref();
                if watched.is_some_and(|watched| !watched.iter().any(|column| row.differs_in(*column, old))) {
                    return None;
                }
            }
            Some(row)
        }
    }

    /// Does it differ in a column from what it was?
    ///
    /// # Safety
    /// `old` must be of this row's shape, and the type the column's.
    unsafe fn differs_in(&self, (number, kind): (i32, Oid), old: pg_sys::HeapTuple) -> bool {
        let (mut length, mut by_value) = (0, false);
        // SAFETY: it writes what the cache of types knows into this frame.
        unsafe { pg_sys::get_typlenbyval(kind, &mut length, &mut by_value) };
        // SAFETY: both tuples are of this shape and stay until the trigger returns.
        match unsafe { (self.value_in(old, number), self.value_in(self.tuple, number)) } {
            (Some(old), Some(new)) => {
                // SAFETY: two values of the type whose length this is; one call, and nothing is owned.
                let is_same = unsafe { boundary::catch(|| raw_image_eq(old, new, by_value, length.into())) };
                !is_same.unwrap_or_else(|failure| failure.raise())
            }
            (old, new) => old.is_some() != new.is_some(),
        }
    }

    /// The value of a column; None for NULL.
    ///
    /// # Safety
    /// `tuple` must be of this row's shape.
    unsafe fn value_in(&self, tuple: pg_sys::HeapTuple, number: i32) -> Option<Datum> {
        let mut null = false;
        // SAFETY: as the caller says; a number beyond the last column reads as NULL.
        let value = unsafe { pg_sys::SPI_getbinval(tuple, self.shape, number, &mut null) };
        (!null).then_some(value)
    }

    /// Its key; None where a column is missing or null.
    pub fn key(&self) -> Option<String> {
        let columns = self.source.key.as_ref().filter(|columns| !columns.is_empty())?;
        let values = columns.iter().map(|(number, base)| {
            // SAFETY: it is this row's own tuple, which stays until the trigger returns, as this row does.
            unsafe { self.value_in(self.tuple, *number) }.map(|value| key_json_of_base(*base, value))
        });
        values.collect::<Option<Vec<String>>>().map(|values| join_key(&values))
    }
}

/// The trigger that is being called; None where it is nobody's of ours.
///
/// # Safety
/// `data` must be that of a trigger's call, and `form` that of its relation.
unsafe fn source(data: &pg_sys::TriggerData, form: pg_sys::TupleDesc) -> Option<Rc<Source>> {
    // SAFETY: the call has a trigger and an open relation, as the caller says.
    let (trigger, relation) = unsafe { (&*data.tg_trigger, (*data.tg_relation).rd_id) };
    if !LISTENS.replace(true) {
        // SAFETY: once in a process, whose table of callbacks has room. It lives as long as the library, and only sets
        // a cell.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), Datum::from(0)) };
    }
    if IS_STALE.take() {
        forget_source();
        genuine::forget();
    }
    let last = LAST.with_borrow(Clone::clone);
    if let Some(last) = last.filter(|last| last.trigger == trigger.tgoid && last.relation == relation) {
        return Some(last);
    }
    // SAFETY: a trigger has as many arguments as it says, each a C string in the relation's cache entry.
    let mut arguments = (0..trigger.tgnargs as usize).map(|i| unsafe { CStr::from_ptr(*trigger.tgargs.add(i)) });
    let token = arguments.next()?.to_string_lossy().parse().ok()?;
    // SAFETY: it is a trigger of this relation, which the statement has open and locked.
    if !unsafe { genuine::is_ours(trigger, relation, token) } {
        return None;
    }
    // SAFETY: the form is that of the open relation, and the name is a C string.
    let column = |name: &CStr| unsafe {
        let number = pg_sys::SPI_fnumber(form, name.as_ptr());
        (number > 0).then(|| (number, pg_sys::SPI_gettypeid(form, number)))
    };
    let date = arguments.next().and_then(column);
    let key = arguments.by_ref().take_while(|name| !name.is_empty());
    let key = key.map(|name| column(name).map(|(number, kind)| (number, value::base_type(kind)))).collect();
    let is_stored = |number: i32| {
        const VIRTUAL: u8 = b'v';
        // SAFETY: a column of the open relation, by its number.
        unsafe { (*shape::attribute(data.tg_relation, number as usize - 1)).attgenerated as u8 != VIRTUAL }
    };
    // A column that has another name by now, or whose value no row has: then nobody can say, and any row counts.
    let watched = arguments.map(|name| column(name).filter(|(number, _)| is_stored(*number)));
    let watched = watched.collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty());
    let source = Rc::new(Source { trigger: trigger.tgoid, relation, token, date, key, watched });
    LAST.replace(Some(source.clone()));
    Some(source)
}
