//! The C entry point of the capture trigger.

use super::tuple::Row;
use pgrx::pg_sys;
use std::cell::Cell;

thread_local! {
    static HANDLER: Cell<Option<fn(&Row)>> = const { Cell::new(None) };
}

/// Who handles captured rows.
pub fn set_handler(handler: fn(&Row)) {
    HANDLER.set(Some(handler));
}

/// Tells the server the calling convention of `capture_row`.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_capture_row() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

/// `jittask.capture_row()`.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn capture_row(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    let row = unsafe { Row::of_trigger(call) };
    if let (Some(row), Some(handler)) = (row, HANDLER.get()) {
        handler(&row);
    }
    // An AFTER trigger's result is not looked at, but must not be NULL by flag.
    pg_sys::Datum::from(0)
}

/// Tells the server the calling convention of `schema_changed`.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_schema_changed() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

/// `jittask.schema_changed()`: at the commit, the scheduler looks at the system catalogs. Nothing else happens here,
/// so that no user's DDL can fail or wait because of it.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn schema_changed(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    super::wake::schema_changed_at_commit();
    pg_sys::Datum::from(0)
}
