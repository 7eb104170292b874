//! The background processes: launcher → schedulers → executors.

mod executor;
mod launcher;
mod need;
mod scheduler;

/// Registers the launcher; only while shared_preload_libraries are loaded.
pub fn init() {
    launcher::register();
}
