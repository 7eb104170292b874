//! The background processes: launcher → schedulers → executors.

mod attempt;
mod executor;
mod launcher;
mod need;
mod scheduler;
mod watch;

/// Registers the launcher; only while shared_preload_libraries are loaded.
pub fn init() {
    launcher::register();
}
