//! The tables of ours whose rows are written without a statement, as sql/20-tables.sql makes them.

use crate::pg::shape::{Column, Index, Shape};
use pgrx::pg_sys::{BOOLOID, INT2OID, INT4OID, INT8OID, OIDOID, Oid, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID};
use std::ffi::CStr;

const fn required(name: &'static CStr, kind: Oid) -> Column {
    Column { name, kind, is_required: true }
}

const fn optional(name: &'static CStr, kind: Oid) -> Column {
    Column { name, kind, is_required: false }
}

const fn brin(name: &'static CStr, columns: &'static [i16]) -> Index {
    Index { name, is_brin: true, is_unique: false, columns, is_partial: false }
}

const fn partial(name: &'static CStr, columns: &'static [i16]) -> Index {
    Index { name, is_brin: false, is_unique: false, columns, is_partial: true }
}

/// How many columns a record has.
pub const RECORD_COLUMNS: usize = 16;

/// `jittask.record`.
pub static RECORD: Shape = Shape {
    columns: &[
        required(c"id", INT8OID),
        required(c"nominal_at", TIMESTAMPTZOID),
        optional(c"started_at", TIMESTAMPTZOID),
        required(c"finished_at", TIMESTAMPTZOID),
        required(c"task_id", INT4OID),
        optional(c"pid", INT4OID),
        required(c"key", TEXTOID),
        optional(c"result", TEXTOID),
        optional(c"status", Oid::INVALID),
        optional(c"attempt", INT2OID),
        optional(c"forced", BOOLOID),
        optional(c"due_at", TIMESTAMPTZOID),
        optional(c"error_code", TEXTOID),
        optional(c"error", TEXTOID),
        optional(c"error_context", TEXTOID),
        optional(c"reason", TEXTOID),
    ],
    indexes: &[
        Index {
            name: c"record_occurrence",
            is_brin: false,
            is_unique: true,
            // Nominal instant, task, and what stands for the key.
            columns: &[2, 5, 0],
            is_partial: false,
        },
        partial(c"record_moved", &[12]),
        brin(c"record_started_at", &[3]),
        brin(c"record_finished_at", &[4]),
        brin(c"record_id", &[1]),
        partial(c"record_not_completed", &[1]),
        partial(c"record_failed", &[4]),
    ],
};

/// `jittask.capture`.
pub static CAPTURE: Shape = Shape {
    columns: &[
        required(c"token", INT8OID),
        required(c"relation", OIDOID),
        required(c"is_dated", BOOLOID),
        optional(c"keys", TEXTARRAYOID),
    ],
    indexes: &[],
};
