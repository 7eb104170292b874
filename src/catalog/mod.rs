//! Our tables as Rust types; the only place with SQL on them. Every function here does its bookkeeping as the
//! extension's owner and leaves the transaction to its caller.

pub mod adopt;
pub mod arrears;
pub mod backlog;
pub mod calendar;
pub mod capture;
pub mod compact;
pub mod definition;
pub mod due;
pub mod filter;
pub mod follow;
pub mod function;
pub mod health;
pub mod home;
pub mod internal;
pub mod key;
pub mod ledger;
pub mod outlook;
pub mod path;
pub mod pause;
pub mod places;
pub mod rename;
pub mod replacement;
pub mod replan;
pub mod resolved;
pub mod series;
pub mod shape;
pub mod status;
pub mod store;
pub mod target;
pub mod task;
pub mod texts;
pub mod trust;
pub mod watch;
