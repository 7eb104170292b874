//! Row keys out of tuples, rows into heaps. A key value is rendered the same way in a trigger and in a scan,
//! whatever the session's settings are: as JSON, times in UTC and ISO 8601.

use super::shape::{self, Shape};
use super::value;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::{CStr, c_char};

/// Can a column of this type be part of a row key?
pub fn is_key_type(kind: Oid) -> bool {
    let base = value::base_type(kind);
    let known = [
        pg_sys::INT2OID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::NUMERICOID,
        pg_sys::UUIDOID,
        pg_sys::TEXTOID,
        pg_sys::VARCHAROID,
        pg_sys::BPCHAROID,
        pg_sys::DATEOID,
        pg_sys::TIMESTAMPOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::BYTEAOID,
        pg_sys::BOOLOID,
    ];
    // SAFETY: a look-up in the cache of types, whose entry is released in it.
    known.contains(&base) || unsafe { pg_sys::type_is_enum(base) }
}

/// A key value as JSON text: numbers and booleans bare, everything else a string.
pub fn key_json(kind: Oid, value: Datum) -> String {
    key_json_of_base(value::base_type(kind), value)
}

/// The same for a type that is known to be no domain.
pub fn key_json_of_base(base: Oid, value: Datum) -> String {
    match base {
        pg_sys::INT2OID => (value.value() as i16).to_string(),
        pg_sys::INT4OID => (value.value() as i32).to_string(),
        pg_sys::INT8OID => (value.value() as i64).to_string(),
        pg_sys::BOOLOID => (if value.value() != 0 { "true" } else { "false" }).to_string(),
        pg_sys::NUMERICOID => number(output(base, value)),
        // Trailing blanks do not count in char(n), and an input function without its length would not add them.
        pg_sys::BPCHAROID => quote(output(base, value).trim_end_matches(' ')),
        pg_sys::DATEOID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => quote(&iso(base, value)),
        pg_sys::BYTEAOID => quote(&hex(value)),
        _ => quote(&output(base, value)),
    }
}

/// Equal numerics must render equally: 1.0 and 1.00 are the same key.
fn number(text: String) -> String {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') || text.contains("Inf") {
        return quote(&text);
    }
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn output(kind: Oid, value: Datum) -> String {
    // SAFETY: the value is of this type, so its output function may have it. That gives a C string, which is ours to
    // free.
    unsafe {
        let (mut function, mut variable) = (Oid::INVALID, false);
        pg_sys::getTypeOutputInfo(kind, &mut function, &mut variable);
        let written = pg_sys::OidOutputFunctionCall(function, value);
        let text = CStr::from_ptr(written).to_string_lossy().into_owned();
        pg_sys::pfree(written.cast());
        text
    }
}

fn iso(kind: Oid, value: Datum) -> String {
    let mut buffer = [0 as c_char; 128];
    let utc = 0;
    // SAFETY: the value is of one of the three types that it knows, and the offset is in this frame. What it writes
    // ends with a NUL and is shorter than the buffer by far: "infinity", or a date of six digits for the year, a time
    // and an offset.
    unsafe {
        pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), value, kind, &utc);
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}

fn hex(value: Datum) -> String {
    // SAFETY: the value is a bytea and not NULL; the bytes are copied.
    let bytes: Vec<u8> = unsafe { pgrx::FromDatum::from_datum(value, false) }.unwrap_or_default();
    bytes.iter().fold(String::from("\\x"), |text, byte| text + &format!("{byte:02x}"))
}

/// Joins the key columns' JSON texts: one column stands for itself, several become an array.
pub fn join_key(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        many => format!("[{}]", many.join(",")),
    }
}

/// Appends a row to one of our heaps that has no index and no trigger. Needs no privilege, no snapshot and no
/// search_path, which is why a user's transaction may do it at any moment. The block where it lies now. None, and nothing done,
/// if somebody has given it an index, a trigger or what else it was not made with, or if a value that it requires is missing.
pub fn append(relation: Oid, made: &Shape, values: &[Option<Datum>]) -> Option<u32> {
    if made.columns.iter().zip(values).any(|(column, value)| column.is_required && value.is_none()) {
        return None;
    }
    // SAFETY: RowExclusiveLock is taken here and kept until the transaction ends, so the table stays as it was found.
    // It has the columns of `made`, for each of which callers give a value of its type. The tuple is ours until it is
    // freed.
    unsafe {
        let heap = pg_sys::table_open(relation, pg_sys::RowExclusiveLock as i32);
        if shape::table_differs(heap, made).is_err() || !pg_sys::RelationGetIndexList(heap).is_null() {
            pg_sys::table_close(heap, pg_sys::NoLock as i32);
            return None;
        }
        let mut data: Vec<Datum> = values.iter().map(|value| value.unwrap_or(Datum::from(0))).collect();
        let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
        let tuple = pg_sys::heap_form_tuple((*heap).rd_att, data.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::simple_heap_insert(heap, tuple);
        let place = (*tuple).t_self.ip_blkid;
        pg_sys::heap_freetuple(tuple);
        pg_sys::table_close(heap, pg_sys::NoLock as i32);
        Some(u32::from(place.bi_hi) << 16 | u32::from(place.bi_lo))
    }
}

/// The subtransaction that is running.
pub fn subtransaction() -> u32 {
    // SAFETY: it reads the state of this process's transaction.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// Bytes of a row, or of another value of variable length.
pub fn size(value: Datum) -> usize {
    // SAFETY: the value is one of variable length and not NULL; its header says how long it is.
    unsafe { pgrx::varlena::varsize_any(value.cast_mut_ptr()) }
}

/// The name of a type as SQL writes it, qualified where needed.
pub fn type_name(kind: Oid) -> String {
    // SAFETY: a C string in the current memory context, which is copied; an OID that is no type's raises.
    unsafe {
        let written = pg_sys::format_type_extended(kind, -1, pg_sys::FORMAT_TYPE_FORCE_QUALIFY as u16);
        CStr::from_ptr(written).to_string_lossy().into_owned()
    }
}

/// A type's name for people: those of PostgreSQL without their schema.
pub fn shown_type(kind: Oid) -> String {
    let name = type_name(kind);
    name.strip_prefix("pg_catalog.").map(str::to_string).unwrap_or(name)
}
