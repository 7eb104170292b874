//! Running what is due, as the owner. Steps: claim, run, record.
//!
//! [`claim`] takes entries, several in one transaction; [`batch`] runs one entry's rows and records them; [`call`] hands one row to
//! the function, as [`fetch`] has read it. [`execution`] says what is executing, [`ladder`] what follows when it fails, and
//! [`fair_share`] which task is next.

pub mod batch;
pub mod call;
pub mod claim;
pub mod execution;
pub mod fair_share;
pub mod fetch;
pub mod ladder;
pub mod missed;
pub mod rung;
pub mod unnoted;
