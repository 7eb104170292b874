//! jittask: tasks that fall due because of a date in a table, or of a schedule, run inside PostgreSQL.
//!
//! The flow is the order of the folders: a row changes (`capture`) or time passes (`worker/executor/plan`) → the agenda
//! → claim → run → record (`worker/executor`). `api` is what a person calls, `catalog` our tables, `pg` the server's C
//! interface and the only unsafe code, `crates/schedule` the pure rules of when. See ARCHITECTURE.md.

use pgrx::prelude::*;

mod api;
mod capture;
mod catalog;
mod error;
mod pg;
mod settings;
mod worker;

pg_module_magic!(name, version);

/// Called by the server when it loads the library. Workers, shared memory and hooks need shared_preload_libraries;
/// loaded later, only the SQL functions are there, and say so.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::silence_backtraces();
    // A long search for the next occurrence can be cancelled.
    schedule::set_interrupt_check(pg::worker::check_interrupts);
    if !pg::worker::is_preloading() {
        return;
    }
    settings::init();
    capture::init();
    pg::shmem::init();
    pg::utility::init();
    pg::flight::init();
    worker::init();
}
