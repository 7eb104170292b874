//! The server's C interface, made safe: the only place with `unsafe`.
//! No SQL on our tables, and no rule of jittask's.
//!
//! What the SAFETY comments in here lean on, and do not say again:
//! - This library starts no thread. All of it runs on the main thread of a process of the server's, which alone reads
//!   and writes the server's variables. The one signal handler of ours is in `flight`.
//! - The bridge's functions, those of `pg_sys`, turn an ERROR into a panic, which unwinds like any other. Those that we
//!   declare ourselves do not: an ERROR in them jumps over every frame to the nearest [`boundary::catch`], or out of
//!   all our code.
//! - Catalogs are asked inside of a transaction: SQL functions, triggers and hooks are called in one, workers open
//!   theirs by [`xact::run`].
//! - What the server allocates for us lives in the memory context that is current then: a transaction's, a statement's
//!   or that of the session of SPI that is open. Whoever keeps such a pointer for longer says so.
//! - A datum is a value of the type that is named beside it, and lives as long as the tuple or the rows that it was
//!   taken from.

mod bind;
pub mod boundary;
pub mod bulk;
pub mod captures;
pub mod clock;
pub mod counters;
pub mod current_run;
pub mod databases;
mod deaths;
pub mod digest;
pub mod executor;
pub mod expression;
pub mod flight;
mod genuine;
mod guc;
pub mod invalidation;
pub mod invoke;
pub mod json;
pub mod keyword;
pub mod limit;
mod limits;
pub mod lock;
pub mod meaning;
pub mod memory;
pub mod name;
pub mod notify;
pub mod object;
pub mod part;
mod planners;
pub mod planning;
mod prepared;
mod privileged;
mod process;
mod raw;
pub mod row;
pub mod session;
pub mod shape;
pub mod shmem;
pub mod slots;
pub mod sql;
pub mod tid;
pub mod told;
pub mod trigger;
pub mod tuple;
pub mod user;
pub mod utility;
pub mod value;
pub mod version;
pub mod wake;
pub mod walk;
pub mod worker;
pub mod xact;
pub mod zone;

use pgrx::pg_sys;
use std::ffi::CStr;

/// Reports misspelt settings under `prefix`.
pub fn reserve_guc_prefix(prefix: &'static CStr) {
    // SAFETY: the prefix is a C string that lives for ever, and no other thread defines settings.
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::EmitWarningsOnPlaceholders(prefix.as_ptr());
        #[cfg(not(feature = "pg14"))]
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr());
    }
}

/// Drops the environment's RUST_BACKTRACE: the bridge would put our call stack into the DETAIL of users' errors.
pub fn silence_backtraces() {
    // SAFETY: the postmaster, or a backend that loads the library, has one thread here: nobody reads the environment
    // meanwhile.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
}
