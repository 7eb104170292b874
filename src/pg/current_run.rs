//! Which occurrence the function that is executing in this process serves.

use schedule::Occurrence;
use std::cell::RefCell;

/// What `jittask.current_run()` shows.
#[derive(Clone, Debug)]
pub struct Run {
    /// The task's name.
    pub task: String,
    /// None in a batch call.
    pub record_id: Option<i64>,
    /// None in a batch call and for scheduled tasks.
    pub row_key: Option<serde_json::Value>,
    /// When it is due.
    pub occurrence: Occurrence,
    /// From 1.
    pub attempt: i32,
}

thread_local! {
    static CURRENT: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Sets or clears it.
pub fn set(run: Option<Run>) {
    CURRENT.replace(run);
}

/// The run, inside one.
pub fn get() -> Option<Run> {
    CURRENT.with_borrow(Clone::clone)
}
