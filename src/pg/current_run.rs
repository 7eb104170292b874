//! Which occurrence the function that is executing in this process serves.

use schedule::Occurrence;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What `jittask.current_run()` shows: of all rows of an entry at once, so that a row costs next to nothing.
#[derive(Debug)]
pub struct Run {
    /// The task's name.
    pub task: Rc<str>,
    /// The first row's record id.
    pub entry: i64,
    /// As stored; none of a scheduled task.
    pub keys: Option<Rc<[String]>>,
    /// Names of the key's columns.
    pub key_columns: Rc<[String]>,
    /// When it is due.
    pub occurrence: Occurrence,
    /// From 1.
    pub attempt: i32,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Run>>> = const { RefCell::new(None) };
    static POSITION: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The row at this position is handed to the function; None: all of them.
pub fn enter(run: &Rc<Run>, position: Option<usize>) {
    CURRENT.replace(Some(run.clone()));
    POSITION.set(position);
}

/// The function has returned, or failed.
pub fn leave() {
    CURRENT.take();
}

/// The run, inside one, and the position in it.
pub fn get() -> Option<(Rc<Run>, Option<usize>)> {
    CURRENT.with_borrow(Clone::clone).map(|run| (run, POSITION.get()))
}
