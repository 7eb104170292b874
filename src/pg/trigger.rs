//! The C entry point of the capture trigger.

use super::row::{self, Row};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::CStr;

/// Is told the tag of a command, and whether it is about what was dropped.
type CommandHandler = fn(&str, bool);

thread_local! {
    static HANDLER: Cell<Option<fn(&Row)>> = const { Cell::new(None) };
    static COMMAND_HANDLER: Cell<Option<CommandHandler>> = const { Cell::new(None) };
}

/// Who handles commands that changed objects, by their tag; true: at sql_drop.
pub fn set_command_handler(handler: fn(&str, bool)) {
    COMMAND_HANDLER.set(Some(handler));
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
/// Only the server may call it, as a function.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn capture_row(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the call is the one that is going on, and the row is dropped before it returns: handlers borrow it.
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

/// `jittask.schema_changed()`, an event trigger.
///
/// # Safety
/// Only the server may call it, as a function.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn schema_changed(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    row::forget_source();
    // SAFETY: the call is the one that is going on.
    let command = unsafe { command(call) };
    if let (Some((tag, is_drop)), Some(handler)) = (command, COMMAND_HANDLER.get()) {
        handler(&tag, is_drop);
    }
    pg_sys::Datum::from(0)
}

/// `ALTER TABLE`, and whether this is about what was dropped; None where nobody but an event trigger should call.
///
/// # Safety
/// `call` must be the call information of a function that is being called.
unsafe fn command(call: pg_sys::FunctionCallInfo) -> Option<(String, bool)> {
    // SAFETY: a call's context is null or a node, whose tag says which struct it is. The event is a C string; the tag's
    // name is one of the server's constants.
    unsafe {
        let data = (*call).context.cast::<pg_sys::EventTriggerData>();
        if data.is_null() || (*data).type_ != pg_sys::NodeTag::T_EventTriggerData {
            return None;
        }
        let name = pg_sys::GetCommandTagName((*data).tag);
        let is_drop = CStr::from_ptr((*data).event) == c"sql_drop";
        Some((CStr::from_ptr(name).to_string_lossy().into_owned(), is_drop))
    }
}
