//! What becomes of occurrences that are first seen after their due time.

use crate::Occurrence;

/// Which late occurrences run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CatchUp {
    /// None of them.
    None,
    /// Only the latest per row, or per scheduled task.
    Last,
    /// All of them.
    All,
}

/// The fate of one late occurrence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Late {
    /// It runs at once.
    Run(Occurrence),
    /// It is recorded as skipped, reason `catch_up`.
    Skip(Occurrence),
}

/// What becomes of the late occurrences of one row, or of one scheduled task. They ascend, are past due and inside
/// `catch_up_window`; the order stays.
///
/// ```
/// use schedule::{CatchUp, Instant, Late, Occurrence, late};
///
/// let missed = [1, 2].map(|at| Occurrence { nominal_at: Instant(at), due_at: Instant(at) });
/// assert_eq!(late(CatchUp::Last, &missed), [Late::Skip(missed[0]), Late::Run(missed[1])]);
/// assert_eq!(late(CatchUp::All, &missed), [Late::Run(missed[0]), Late::Run(missed[1])]);
/// ```
pub fn late(policy: CatchUp, occurrences: &[Occurrence]) -> Vec<Late> {
    let first_run = match policy {
        CatchUp::None => occurrences.len(),
        CatchUp::Last => occurrences.len().saturating_sub(1),
        CatchUp::All => 0,
    };
    let fate = |(index, occurrence): (usize, &Occurrence)| {
        if index < first_run { Late::Skip(*occurrence) } else { Late::Run(*occurrence) }
    };
    occurrences.iter().enumerate().map(fate).collect()
}
