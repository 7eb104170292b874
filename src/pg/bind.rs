//! What is bound to a statement's parameters.

use super::clock;
use pgrx::datum::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use schedule::Instant;
use std::ffi::c_char;

/// A bound value: its type and the datum, or NULL.
#[derive(Clone, Copy)]
pub struct Arg(pub(super) Oid, pub(super) Option<Datum>);

impl Arg {
    /// The datum.
    pub fn value(&self) -> Option<Datum> {
        self.1
    }
}

/// Binds a value; `Option` binds NULL.
pub fn arg<T: IntoDatum>(value: T) -> Arg {
    Arg(T::type_oid(), value.into_datum())
}

/// Binds a `timestamptz`.
pub fn at(value: Instant) -> Arg {
    Arg(pg_sys::TIMESTAMPTZOID, Some(Datum::from(clock::to_pg(value))))
}

/// Binds a `timestamptz` or NULL.
pub fn maybe_at(value: Option<Instant>) -> Arg {
    value.map_or(Arg(pg_sys::TIMESTAMPTZOID, None), at)
}

/// Binds a datum that came out of another statement.
pub fn datum(kind: Oid, value: Option<Datum>) -> Arg {
    Arg(kind, value)
}

/// Binds `timestamptz[]`.
pub fn ats(values: impl Iterator<Item = Instant>) -> Arg {
    let values: Vec<i64> = values.map(clock::to_pg).collect();
    array(
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZARRAYOID,
        values.into_iter().map(Datum::from).collect(),
        8,
        true,
        b'd',
    )
}

/// Binds `date[]` from days since 2000.
pub fn dates(values: impl Iterator<Item = i32>) -> Arg {
    array(pg_sys::DATEOID, pg_sys::DATEARRAYOID, values.map(Datum::from).collect(), 4, true, b'i')
}

/// Binds an array of raw values of a date column's type.
pub fn raw_array(kind: schedule::ColumnKind, values: impl Iterator<Item = i64>) -> Arg {
    match kind {
        schedule::ColumnKind::Date => dates(values.map(|value| value as i32)),
        schedule::ColumnKind::Local => {
            array(pg_sys::TIMESTAMPOID, pg_sys::TIMESTAMPARRAYOID, values.map(Datum::from).collect(), 8, true, b'd')
        }
        schedule::ColumnKind::Instant => {
            array(pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZARRAYOID, values.map(Datum::from).collect(), 8, true, b'd')
        }
    }
}

/// Binds an array of values of a base type.
pub fn values(kind: Oid, values: Vec<Datum>) -> Arg {
    let (mut length, mut by_value, mut align) = (0_i16, false, 0 as c_char);
    // SAFETY: look-ups in the cache of types, which write into this frame.
    let array_type = unsafe {
        pg_sys::get_typlenbyvalalign(kind, &mut length, &mut by_value, &mut align);
        pg_sys::get_array_type(kind)
    };
    array(kind, array_type, values, length.into(), by_value, align as u8)
}

/// Binds an array of rows.
pub fn row_array(row: Oid, kind: Oid, values: Vec<Datum>) -> Arg {
    array(row, kind, values, -1, false, b'd')
}

fn array(element: Oid, kind: Oid, mut values: Vec<Datum>, size: i32, by_value: bool, align: u8) -> Arg {
    // SAFETY: as many values as there are, all of the element's type, whose length, passing and alignment these are.
    // They are copied into the array, which is in the current memory context.
    let built = unsafe {
        pg_sys::construct_array(values.as_mut_ptr(), values.len() as i32, element, size, by_value, align as c_char)
    };
    Arg(kind, Some(Datum::from(built)))
}
