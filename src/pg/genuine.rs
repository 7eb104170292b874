//! Is a trigger that calls our function one that we made? Anybody may put the function into a trigger of their own, and
//! what it writes is read by others' processes. In the user's own transaction: no privilege is needed, nothing is waited
//! for, and a task's row is read as it is now, whatever the transaction's snapshot.

use super::lock;
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_int};

/// So many answers are kept.
const MOST: usize = 10_000;

thread_local! {
    /// By trigger and table; right until some table is not what it was.
    static KNOWN: RefCell<HashMap<(u32, u32), bool>> = RefCell::new(HashMap::new());
}

// As in catalog/partition.h. May raise: see `ancestors`.
unsafe extern "C-unwind" {
    fn get_partition_ancestors(relation: Oid) -> *mut pg_sys::List;
}

/// Some table is not what it was.
pub fn forget() {
    KNOWN.with_borrow_mut(HashMap::clear);
}

/// Is it the trigger of the task with this token, on the task's table or a partition of it? The name says whose trigger it
/// is, and a table has but one of a name.
///
/// # Safety
/// `trigger` must be one of the open relation's, and `relation` the OID of that.
pub unsafe fn is_ours(trigger: &pg_sys::Trigger, relation: Oid, token: i64) -> bool {
    let place = (trigger.tgoid.to_u32(), relation.to_u32());
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&place).copied()) {
        return known;
    }
    // SAFETY: the name is in the relation's cache entry, which stays while the statement has the relation open.
    let name = unsafe { CStr::from_ptr(trigger.tgname) }.to_string_lossy();
    let is_named = ["insert", "update"].iter().any(|kind| name == format!("jittask_{}_{kind}", token as u64));
    // SAFETY: the statement that fires the trigger has the relation open and locked.
    let is_ours = is_named && unsafe { watches(relation, token) };
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(place, is_ours);
    });
    is_ours
}

/// Has the task of this token this table, or one that it is a partition of?
///
/// # Safety
/// `relation` must be open and locked.
unsafe fn watches(relation: Oid, token: i64) -> bool {
    let (Some(tasks), Some(index)) = (lock::relation(c"task"), lock::relation(c"task_token_key")) else {
        return false;
    };
    // An administrator rebuilds them, who is not waited for, and is no attacker.
    if !lock::try_read(tasks) || !lock::try_read(index) {
        return true;
    }
    // SAFETY: both were just locked, until the transaction ends.
    let Some(table) = (unsafe { table_of(tasks, index, token) }) else { return false };
    // SAFETY: a look-up in the cache; and the relation is locked, as this function's caller says.
    table == relation || unsafe { pg_sys::get_rel_relispartition(relation) && ancestors(relation).contains(&table) }
}

/// The tables that it is a partition of, from the nearest on.
///
/// # Safety
/// `relation` must be a partition, open and locked.
unsafe fn ancestors(relation: Oid) -> Vec<Oid> {
    // SAFETY: the list is in the current memory context, of OIDs, and has as many elements as its length says. It reads
    // pg_inherits, and an ERROR in that, a cancel or want of memory, is not caught: it passes the trigger's frames by.
    unsafe {
        let list = get_partition_ancestors(relation);
        if list.is_null() {
            return Vec::new();
        }
        (0..(*list).length as usize).map(|i| (*(*list).elements.add(i)).oid_value).collect()
    }
}

/// The table of the task with this token, unless it was dropped.
///
/// # Safety
/// `tasks` and `index`, which is of one column of it, a bigint, must be locked until the transaction ends.
unsafe fn table_of(tasks: Oid, index: Oid, token: i64) -> Option<Oid> {
    // SAFETY: both are locked, so they may be opened without a lock. The tuple lies in a buffer that the scan has
    // pinned until its end, and is read before that; its columns are found by their names in the table's own shape.
    unsafe {
        let no_lock = pg_sys::NoLock as c_int;
        let number = |name: &CStr| pg_sys::get_attnum(tasks, name.as_ptr());
        let (column, table, dropped) = (number(c"token"), number(c"relation"), number(c"dropped_at"));
        if [column, table, dropped].contains(&0) {
            return None;
        }
        let heap = pg_sys::table_open(tasks, no_lock);
        let mut key = pg_sys::ScanKeyData::default();
        let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
        pg_sys::ScanKeyInit(&mut key, column, equal, pg_sys::F_INT8EQ.into(), Datum::from(token));
        // Without a snapshot: by one taken now, since no invalidation tells of this table.
        let scan = pg_sys::systable_beginscan(heap, index, true, std::ptr::null_mut(), 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let value = |number: i16| {
            let mut null = false;
            let value = pg_sys::SPI_getbinval(tuple, (*heap).rd_att, number.into(), &mut null);
            (!null).then_some(value)
        };
        let found = if tuple.is_null() || value(dropped).is_some() { None } else { value(table) };
        let found = found.map(|value| Oid::from(value.value() as u32));
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(heap, no_lock);
        found
    }
}
