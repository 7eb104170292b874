//! JSON as a function's argument. The bridge's own type calls what it cannot read an internal error.

use crate::error::{Error, Kind, Result};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::{FromDatum, pg_sys};
use serde_json::Value;
use std::ffi::CStr;

/// An argument of type `jsonb`, read. What is nested too deep to be read raises 22023.
pub struct Json(pub Value);

impl FromDatum for Json {
    /// # Safety
    /// The datum must be NULL, as is said, or a jsonb.
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _kind: pg_sys::Oid) -> Option<Json> {
        if is_null {
            return None;
        }
        // SAFETY: the datum is a jsonb and not NULL. Detoasted it is whole, and its header says how long it is; the
        // text is a C string in the current memory context, read before that ends.
        let text = unsafe {
            let value = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let size = pgrx::varsize_any(value) as i32;
            let value = value.cast::<pg_sys::Jsonb>();
            CStr::from_ptr(pg_sys::JsonbToCString(std::ptr::null_mut(), &raw mut (*value).root, size))
        };
        match read(text.to_bytes()) {
            Ok(value) => Some(Json(value)),
            Err(error) => error.raise(),
        }
    }
}

// SAFETY: what the bridge does for its own types. The value owns all that it has: nothing of it lies in the argument.
unsafe impl<'fcx> ArgAbi<'fcx> for Json {
    /// # Safety
    /// The argument must be a jsonb.
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the argument is of the type that the SQL function declares, jsonb.
        let value = unsafe { arg.unbox_arg_using_from_datum() };
        value.unwrap_or_else(|| Error::new(Kind::Null, "JSON must not be null").raise())
    }

    /// # Safety
    /// The argument must be a jsonb.
    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: likewise.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

fn read(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|error| match error.to_string() {
        why if why.starts_with("recursion limit") => {
            Error::new(Kind::Invalid, "the JSON is nested too deep").hint("Arrays and objects can be nested 127 deep.")
        }
        why => Error::new(Kind::Invalid, format!("the JSON cannot be read: {why}")),
    })
}
