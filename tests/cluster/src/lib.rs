//! Throw-away PostgreSQL clusters for tests.
//!
//! A [`Cluster`] is a real server on a data directory of its own, in a short path under `/tmp`. It listens on a free
//! port of 127.0.0.1 and on a Unix socket, preloads `jittask`, and disappears with the value, also when the test panics.
//!
//! The server's programs come from the environment variable `JITTASK_SERVER`, a directory that has `bin/postgres`;
//! `tools/with-server 18 cargo test -p cluster` sets it. PostgreSQL refuses to run as root: started by root, everything
//! that is the server's runs as `postgres`, or as `nobody` where there is no such user.
//!
//! ```no_run
//! use cluster::Cluster;
//! use std::time::Duration;
//!
//! let cluster = Cluster::with(&[("jittask.scan_interval", "2s")]);
//! cluster.sql("postgres", "create extension jittask");
//! let mut session = cluster.connect_as("postgres", "postgres");
//! let done: i64 = cluster.wait_until("a completed record", Duration::from_secs(5), || {
//!     session.query_opt("select id from jittask.records where status = 'completed'", &[]).unwrap().map(|row| row.get(0))
//! });
//! ```

#![forbid(unsafe_code)]

mod clock;
mod command;
mod contracts;
mod lifecycle;
mod load;
mod options;
mod page;
pub mod processes;
mod ready;
mod records;
mod session;
mod standby;
mod template;
mod tree;
mod wait;

pub use contracts::{CONTRACTS, fall_due};
pub use lifecycle::{Cluster, Mode};
pub use load::Load;
pub use options::Options;
pub use postgres;
pub use processes::Process;
pub use ready::{all, one};
pub use records::{SOON, ends, nothing_unaccounted, now};
pub use tree::Tree;
pub use wait::poll;
