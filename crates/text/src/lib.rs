//! Work on text that needs no server: cutting SQL into pieces, renaming in it, wrapping a body, and small codecs. Pure: no
//! PostgreSQL, no clock, no I/O.

#![forbid(unsafe_code)]

pub mod lexer;
pub mod plpgsql;
pub mod renaming;
pub mod row_hints;
pub mod sqlstate;
