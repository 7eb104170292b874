//! Tasks whose table somebody has locked. An executor that waited for the lock would not be there for the owner's other
//! tasks, so it leaves such a task's entries where they are and looks again a moment later. Known to this process only:
//! nothing is written, however long the lock is held.

use crate::pg::clock;
use schedule::Instant;
use std::cell::RefCell;

/// Microseconds until the table is tried again.
const PAUSE: i64 = 200_000;

/// The tasks, and until when each is left alone.
#[derive(Default)]
pub struct Blocked(RefCell<Vec<(i32, Instant)>>);

impl Blocked {
    /// The task's table is locked.
    pub fn note(&self, task: i32) {
        self.leave(task, Instant(clock::now().0 + PAUSE));
    }

    /// For another reason it is left alone until then.
    pub fn leave(&self, task: i32, until: Instant) {
        self.0.borrow_mut().push((task, until));
    }

    /// Those to leave alone now.
    pub fn tasks(&self) -> Vec<i32> {
        let now = clock::now();
        let mut all = self.0.borrow_mut();
        all.retain(|(_, until)| *until > now);
        all.iter().map(|(task, _)| *task).collect()
    }

    /// The clock was set.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// When the first of them is tried again.
    pub fn until(&self) -> Option<Instant> {
        self.0.borrow().iter().map(|(_, until)| *until).min()
    }
}
