//! Which occurrence the function that is executing in this process serves.

use schedule::Occurrence;
use std::cell::RefCell;
use std::rc::Rc;

/// What `jittask.current_run()` shows.
#[derive(Clone, Debug)]
pub struct Run {
    /// The task's name.
    pub task: Rc<str>,
    /// None in a batch call.
    pub record_id: Option<i64>,
    /// As stored; None in a batch call and for scheduled tasks.
    pub key: Option<String>,
    /// Names of the key's columns.
    pub key_columns: Rc<[String]>,
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
