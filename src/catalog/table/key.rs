//! Row keys. Kept as the compact JSON of their values (`42`, `["a",1]`), shown as `{"id": 42}`, equal where that text is.

use crate::error::{Error, Kind, Result};
use crate::pg::boundary::Failure;
use crate::pg::{digest, sql, tuple, value};
use pgrx::pg_sys::Oid;
use schedule::Instant;
use serde_json::Value;

/// One column of a row key.
#[derive(Clone, Debug)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// Its type, or the type under a domain.
    pub kind: Oid,
}

/// The key of the only "row" that a scheduled task has.
pub const NO_ROW: &str = "";

/// An occurrence of one task, for sets of them in this process's memory: there may be millions.
pub type Occurrence = u128;

/// Of a key's [`mark`] and a nominal instant.
pub fn occurrence(mark: u128, nominal_at: Instant) -> Occurrence {
    digest::pair(mark, nominal_at.0)
}

/// What stands for a key in this process.
pub fn mark(key: &str) -> u128 {
    digest::mark(key.as_bytes())
}

/// A key has at most so many bytes. It stands in the agenda, in records and in what stands for it in their index, and is read by
/// processes that work for all; no unique index takes one that is nearly as long.
pub const MOST_BYTES: usize = 1 << 20;

/// Keys in one array have at most so many bytes: an array of the server's has at most 1 GB, and a key may be of a megabyte.
pub const STATEMENT_BYTES: usize = 4 << 20;

/// Splits what has keys into runs of at most `most`, and of few bytes.
pub fn portions<T>(all: &[T], most: usize, most_bytes: usize, key: impl Fn(&T) -> &str) -> Vec<&[T]> {
    let (mut portions, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (i, one) in all.iter().enumerate() {
        let length = key(one).len();
        if i > first && (i - first == most || bytes + length > most_bytes) {
            portions.push(&all[first..i]);
            (first, bytes) = (i, 0);
        }
        bytes += length;
    }
    if first < all.len() {
        portions.push(&all[first..]);
    }
    portions
}

/// A stored key as people see it: `{"id": 42}`.
pub fn shown<'a>(key: &str, columns: impl ExactSizeIterator<Item = &'a str>) -> Value {
    let values = match serde_json::from_str(key).unwrap_or_default() {
        Value::Array(values) if columns.len() > 1 => values,
        one => vec![one],
    };
    Value::Object(columns.map(str::to_string).zip(values).collect())
}

/// The plain texts of a key's values, one for each column.
fn split(key: &str, columns: usize) -> Vec<String> {
    if columns == 1 && key.bytes().all(|c| c.is_ascii_digit()) {
        return vec![key.to_string()];
    }
    let parsed: Value = serde_json::from_str(key).unwrap_or(Value::Null);
    match parsed {
        Value::Array(values) if columns > 1 => values.into_iter().map(plain).collect(),
        other => vec![plain(other)],
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// From `{"id": 42}`, brought into the stored form by the columns' own types.
pub fn from_json(row_key: &Value, columns: &[KeyColumn]) -> Result<String> {
    let names = || columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = || {
        Error::new(Kind::Invalid, format!("invalid row key {row_key}"))
            .hint(format!("Give a JSON object of the key columns: {}.", names()))
    };
    let object = row_key.as_object().filter(|object| object.len() == columns.len()).ok_or_else(wrong)?;
    let values: Result<Vec<String>> =
        columns
            .iter()
            .map(|column| {
                let value = object.get(&column.name).ok_or_else(wrong)?;
                if value.is_null() || value.is_array() || value.is_object() {
                    return Err(wrong());
                }
                let value =
                    value::parse(column.kind, &plain(value.clone())).map_err(|failure| {
                        Error::new(Kind::Invalid, format!("invalid row key {row_key}: {}", failure.message))
                            .hint(format!("Column \"{}\" is of type {}.", column.name, tuple::shown_type(column.kind)))
                    })?;
                Ok(tuple::key_json(column.kind, value))
            })
            .collect();
    let key = tuple::join_key(&values?);
    if key.len() > MOST_BYTES {
        return Err(Error::new(Kind::TooMuch, format!("a row key of {} bytes is too long", key.len()))
            .hint(format!("A key has at most {MOST_BYTES} bytes.")));
    }
    Ok(key)
}

/// From a row of results whose columns `first…` are the key columns; None if one is null. Raises 40001 if one is of another
/// type than it was when the table was looked up: its values would be read for what they are not.
pub fn from_row(rows: &sql::Rows, row: usize, first: usize, columns: &[KeyColumn]) -> Option<String> {
    let values: Option<Vec<String>> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let kind = rows.kind(first + i);
            if kind != column.kind && value::base_type(kind) != column.kind {
                Failure::changed(format!("column \"{}\" was altered while it was read", column.name)).raise();
            }
            rows.datum(row, first + i).map(|value| tuple::key_json(column.kind, value))
        })
        .collect();
    values.map(|values| tuple::join_key(&values))
}

/// Is this the row of a stored key?
pub fn is_of_row(key: &str, rows: &sql::Rows, row: usize, first: usize, columns: &[KeyColumn]) -> bool {
    if let [column] = columns
        && let Some(value) = value::integer(column.kind, key)
    {
        return rows.datum(row, first).is_some_and(|found| value::same_integer(column.kind, found, value));
    }
    from_row(rows, row, first, columns).as_deref() == Some(key)
}

/// A stored key's value; it was written by us, so it reads.
fn read(column: &KeyColumn, text: &str) -> pgrx::pg_sys::Datum {
    // Most keys are integers, and there are many of them.
    if let Some(value) = value::integer(column.kind, text) {
        return value;
    }
    value::parse(column.kind, text).unwrap_or_else(|failure| failure.raise())
}

/// The arguments of a statement about one row: one value for each key column.
pub fn values_of(key: &str, columns: &[KeyColumn]) -> Vec<sql::Arg> {
    let texts = split(key, columns.len());
    columns.iter().zip(texts).map(|(column, text)| sql::datum(column.kind, Some(read(column, &text)))).collect()
}

/// The arguments for `unnest($1, $2, …)`: one array for each key column.
pub fn columns_of(keys: &[&str], columns: &[KeyColumn]) -> Vec<sql::Arg> {
    let mut lists: Vec<Vec<pgrx::pg_sys::Datum>> = vec![Vec::with_capacity(keys.len()); columns.len()];
    for key in keys {
        for ((list, column), text) in lists.iter_mut().zip(columns).zip(split(key, columns.len())) {
            list.push(read(column, &text));
        }
    }
    columns.iter().zip(lists).map(|(column, list)| sql::values(column.kind, list)).collect()
}
