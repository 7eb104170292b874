//! What is to come: the rows of captured tables that may be due, how far each task is planned, and what of the agenda is due
//! now. Steps: plan and claim. Entries themselves are written by [`super::ledger`] alone.

pub mod arrears;
pub mod backlog;
pub mod candidates;
pub mod compact;
pub mod due;
pub mod outlook;
pub mod series;
