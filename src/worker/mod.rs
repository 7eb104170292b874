//! The background processes: launcher → schedulers → executors.

mod attempt;
mod audits;
mod compaction;
mod dispatch;
mod events;
mod executor;
mod launcher;
mod need;
mod overrun;
mod pass;
mod retention;
mod scheduler;
mod strays;
mod survey;
mod top_up;
mod watch;
mod watched;

/// Registers the launcher; only while shared_preload_libraries are loaded.
pub fn init() {
    launcher::register();
}
