//! The server's C interface, made safe: the only place with `unsafe`.
//! No SQL on our tables, and no rule of jittask's.

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
pub mod expression;
pub mod flight;
mod genuine;
mod guc;
pub mod invalidation;
pub mod invoke;
pub mod json;
pub mod lock;
pub mod meaning;
pub mod memory;
pub mod notify;
pub mod object;
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
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::EmitWarningsOnPlaceholders(prefix.as_ptr());
        #[cfg(not(feature = "pg14"))]
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr());
    }
}

/// Drops the environment's RUST_BACKTRACE: the bridge would put our call stack into the DETAIL of users' errors.
pub fn silence_backtraces() {
    // The postmaster, or a backend that loads the library, has one thread here.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
}
