//! Running what is due, as the owner. Steps: claim, run, record.
//!
//! [`claim`] takes entries, several in one transaction, and decides what happens when that fails; [`batch`] runs one entry's rows
//! and records them; [`call`] hands one row to the function, as [`fetch`] has read it. [`fair_share`] says which task is next.

pub mod batch;
pub mod call;
pub mod claim;
pub mod fair_share;
pub mod fetch;
pub mod missed;
pub mod unnoted;
