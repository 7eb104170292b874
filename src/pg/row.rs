//! The row that fired a trigger, and its key. What the key's columns are is looked up once for many rows of a statement.

use super::tuple::{join_key, key_json_of_base};
use super::value;
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::rc::Rc;

/// A row as a trigger sees it: the new one.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    shape: pg_sys::TupleDesc,
    /// The trigger that it fired, on the table or the partition that holds it.
    pub source: Rc<Source>,
}

/// A trigger on one table.
pub struct Source {
    trigger: Oid,
    /// The table, or the partition.
    pub relation: Oid,
    /// The trigger's first argument.
    pub token: i64,
    /// Number and base type of each column that the other arguments name; None where one is missing.
    key: Option<Vec<(i32, Oid)>>,
}

thread_local! {
    static LAST: RefCell<Option<Rc<Source>>> = const { RefCell::new(None) };
}

/// What was looked up may have changed: another command, another transaction.
pub fn forget_source() {
    LAST.take();
}

impl Row {
    /// The row that fired the trigger. None where anybody has put the function into a trigger of another kind.
    ///
    /// # Safety
    /// `call` must be the call information of a trigger function.
    pub unsafe fn of_trigger(call: pg_sys::FunctionCallInfo) -> Option<Row> {
        unsafe {
            if !pgrx::trigger_support::called_as_trigger(call) {
                return None;
            }
            let data = &*(*call).context.cast::<pg_sys::TriggerData>();
            // One without a row has a null tuple.
            let tuple = if pgrx::trigger_support::trigger_fired_by_update(data.tg_event) {
                data.tg_newtuple
            } else {
                data.tg_trigtuple
            };
            if tuple.is_null() || !pgrx::trigger_support::trigger_fired_for_row(data.tg_event) {
                return None;
            }
            let shape = (*data.tg_relation).rd_att;
            Some(Row { tuple, shape, source: source(data, shape)? })
        }
    }

    /// Its key; None where a column is missing or null.
    pub fn key(&self) -> Option<String> {
        let columns = self.source.key.as_ref()?;
        let values = columns.iter().map(|(number, base)| unsafe {
            let mut null = false;
            let value = pg_sys::SPI_getbinval(self.tuple, self.shape, *number, &mut null);
            (!null).then(|| key_json_of_base(*base, value))
        });
        values.collect::<Option<Vec<String>>>().map(|values| join_key(&values))
    }
}

unsafe fn source(data: &pg_sys::TriggerData, shape: pg_sys::TupleDesc) -> Option<Rc<Source>> {
    let (trigger, relation) = unsafe { (&*data.tg_trigger, (*data.tg_relation).rd_id) };
    let last = LAST.with_borrow(Clone::clone);
    if let Some(last) = last.filter(|last| last.trigger == trigger.tgoid && last.relation == relation) {
        return Some(last);
    }
    let mut arguments = (0..trigger.tgnargs as usize).map(|i| unsafe { CStr::from_ptr(*trigger.tgargs.add(i)) });
    let token = arguments.next()?.to_string_lossy().parse().ok()?;
    let key = arguments.map(|name| unsafe { column(shape, &CString::from(name)) }).collect();
    let source = Rc::new(Source { trigger: trigger.tgoid, relation, token, key });
    LAST.replace(Some(source.clone()));
    Some(source)
}

unsafe fn column(shape: pg_sys::TupleDesc, name: &CStr) -> Option<(i32, Oid)> {
    unsafe {
        let number = pg_sys::SPI_fnumber(shape, name.as_ptr());
        (number > 0).then(|| (number, value::base_type(pg_sys::SPI_gettypeid(shape, number))))
    }
}
