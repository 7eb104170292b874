//! The user's objects that a task names: its table and columns, its function or body, its filter. Step: before anything is
//! planned, and again whenever one of them may have changed.

pub mod body;
pub mod filter;
pub mod function;
pub mod key;
pub mod path;
pub mod target;
pub mod trust;
