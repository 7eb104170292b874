//! What one planning pass holds of the rows it has read, until it is looked up whether it is known. In the executor's process,
//! inside the planning transaction of one task.

use crate::pg::tid::Tid;
use schedule::Occurrence;
use std::rc::Rc;

/// A row with something due.
#[derive(Clone)]
pub struct Candidate {
    pub(super) key: Rc<str>,
    pub(super) mark: u128,
    pub(super) place: Option<Tid>,
}

/// One of its occurrences.
pub struct Found {
    /// Which.
    pub occurrence: Occurrence,
    pub(super) row: Candidate,
    /// What becomes of it unless it is known.
    pub(super) verdict: Verdict,
}

/// What becomes of an occurrence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It comes into the agenda.
    Enter,
    /// It was missed, and catch_up does not want it.
    SkipLate,
    /// Older than the window: only counted, and only if it is not recorded.
    PassOver,
}
