//! Our tables as Rust types, and the user's objects that tasks name. Room above room: a room uses those before it in this list
//! and never one after it (`make lint`).
//!
//! | room | what is in it | as whom its SQL runs |
//! |---|---|---|
//! | [`calendar`] | working days | the extension's owner |
//! | [`definition`] | what a task says, as one type | – |
//! | [`table`] | the user's table, function, filter and body that a task names | the caller, for what PostgreSQL is to check their rights for; else the extension's owner |
//! | [`task`] | a task as stored, its triggers, and the statements on its table | the extension's owner; statements on the table as the task's owner |
//! | [`ledger`] | agenda, records and counts, which are written together | the extension's owner |
//! | [`agenda`] | what of the agenda is due, and how far it is planned | the extension's owner |
//! | [`upkeep`] | tasks in a world that changes: renames, replacements, calendars | the extension's owner |
//! | [`status`] | how it all is doing | the extension's owner |
//!
//! No function here begins or ends a transaction: that is its caller's.

pub mod agenda;
pub mod calendar;
pub mod definition;
pub mod ledger;
pub mod shape;
pub mod status;
pub mod table;
pub mod task;
pub mod upkeep;
