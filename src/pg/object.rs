//! Objects of the server by their OIDs, where a name could come to mean another between two looks.

use super::{sql, xact};
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// dependent_objects_still_exist.
const DEPENDED_ON: &str = "2BP01";

/// A schema's OID; invalid where there is none.
pub fn schema(name: &CStr) -> Oid {
    // SAFETY: the name is a C string; a look-up in the catalog cache that keeps nothing.
    unsafe { pg_sys::get_namespace_oid(name.as_ptr(), true) }
}

/// Drops a function. Whoever calls has seen to it that it may go: no privilege is looked at. Where somebody has made an
/// object that depends on it (a view needs no right to call what it names), it stays, under a name that is in nobody's way.
pub fn drop_function(function: Oid) {
    let Err(failure) = xact::savepoint(|| drop(pg_sys::ProcedureRelationId, function)) else { return };
    if failure.sqlstate != DEPENDED_ON {
        failure.raise();
    }
    let rows = sql::once(
        "select format('alter function %I.%I rename to %I', n.nspname, p.proname, 'dropped_' || replace(gen_random_uuid()::text, '-', ''))
         from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where p.oid = $1",
        &[sql::arg(function)],
    );
    if let Some(rename) = rows.get::<String>(0, 1) {
        sql::once(&rename, &[]);
    }
}

/// Drops a trigger, and its copies on partitions, likewise.
pub fn drop_trigger(trigger: Oid) {
    drop(pg_sys::TriggerRelationId, trigger);
}

fn drop(class: Oid, object: Oid) {
    let address = pg_sys::ObjectAddress { classId: class, objectId: object, objectSubId: 0 };
    // SAFETY: the address lives in this frame. The server locks the object, and what depends on it, until the
    // transaction ends; an object that is gone raises.
    unsafe {
        pg_sys::performDeletion(&address, pg_sys::DropBehavior::DROP_RESTRICT, 0);
        pg_sys::CommandCounterIncrement();
    }
}
