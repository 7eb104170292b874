//! Row keys. Kept as the compact JSON of their values (`42`, `["a",1]`), shown as `{"id": 42}`, compared by a
//! 128-bit hash of that text, which must never change between versions: records are unique by it.

use crate::error::{Error, Kind, Result};
use crate::pg::boundary::Failure;
use crate::pg::{sql, tuple};
use pgrx::pg_sys::Oid;
use serde_json::Value;

/// One column of a row key.
#[derive(Clone, Debug)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// Its type without domains, qualified, for a cast: a domain's checks are its owner's code.
    pub sql_type: String,
    /// Its type.
    pub kind: Oid,
    /// Of `character(n)`: n. Such values are padded, here as in the table.
    pub padded_to: Option<usize>,
}

/// The key of the only "row" that a scheduled task has.
pub const NO_ROW: &str = "";

/// The hash that the records are unique by: XXH3, 128 bits, seed 0, over the key's text.
pub fn hash(key: &str) -> u128 {
    xxhash_rust::xxh3::xxh3_128(key.as_bytes())
}

/// The plain texts of a key's values, one for each column, to be cast to the columns' types.
pub fn split(key: &str, columns: usize) -> Vec<String> {
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
    let values: Result<Vec<String>> = columns
        .iter()
        .map(|column| {
            let value = object.get(&column.name).ok_or_else(wrong)?;
            if value.is_null() || value.is_array() || value.is_object() {
                return Err(wrong());
            }
            let written = column.pad(plain(value.clone())).ok_or_else(wrong)?;
            // A literal is read by the type's own input function, where a cast from text might be somebody's function.
            let literal = pgrx::spi::quote_literal(written);
            let rows = readable(&format!("select {literal}::{}", column.sql_type)).map_err(|reason| {
                Error::new(Kind::Invalid, format!("invalid row key {row_key}: {reason}")).hint(format!(
                    "Column \"{}\" is of type {}.",
                    column.name,
                    super::target::shown_type(column.kind)
                ))
            })?;
            rows.datum(0, 1).map(|datum| tuple::key_json(column.kind, datum)).ok_or_else(wrong)
        })
        .collect();
    Ok(tuple::join_key(&values?))
}

/// Runs a statement; its error is returned. The caller must end in an ERROR of its own then, since nothing was undone.
fn readable(statement: &str) -> std::result::Result<sql::Rows, String> {
    pgrx::PgTryBuilder::new(std::panic::AssertUnwindSafe(|| Ok(sql::once(statement, &[]))))
        .catch_others(|caught| Err(Failure::taken(&caught).message))
        .execute()
}

impl KeyColumn {
    /// None where the text is too long for the column.
    fn pad(&self, text: String) -> Option<String> {
        match self.padded_to {
            None => Some(text),
            Some(length) => (text.chars().count() <= length).then(|| format!("{text:<length$}")),
        }
    }
}

/// From a row of results whose columns `first…` are the key columns; None if one is null.
pub fn from_row(rows: &sql::Rows, row: usize, first: usize, columns: &[KeyColumn]) -> Option<String> {
    let values: Option<Vec<String>> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| rows.datum(row, first + i).map(|value| tuple::key_json(column.kind, value)))
        .collect();
    values.map(|values| tuple::join_key(&values))
}

/// The arguments for `unnest($n::text[]::type[], …)`: one text array for each key column.
pub fn columns_of(keys: &[&str], columns: usize) -> Vec<sql::Arg> {
    let mut split_up: Vec<Vec<String>> = vec![Vec::with_capacity(keys.len()); columns];
    for key in keys {
        for (list, value) in split_up.iter_mut().zip(split(key, columns)) {
            list.push(value);
        }
    }
    split_up.into_iter().map(sql::arg).collect()
}
