//! How much of a task's past may wait in the agenda: a rule of seconds that was missed for a year is tens of millions of
//! occurrences. More of it is entered when half of that has run. For the scheduler, which plans series, and for executors,
//! which sweep through tables; in their transactions.

use crate::catalog::ledger;
use crate::pg::{clock, walk};
use schedule::Instant;

/// Entries of one task that wait, at most, when more of the past is entered: some 5 MB.
pub const MOST: i64 = 20_000;
/// Entries of the index that are looked at for each that may wait: what has run is dead there until VACUUM comes, which any
/// snapshot may hold up.
const LOOKED_AT: i64 = 2;
/// And so many times as many occurrences may wait where it cannot be seen so what they wait for.
const AT_ALL: i64 = 4;
/// A planner that met so many looks again after this. Microseconds.
pub const PAUSE: i64 = 500_000;

/// Does a task have as many entries of what is nominally before an instant as may wait? If it `was_full` a moment ago, it is so
/// until half of them have run.
pub fn is_full(task: i32, before: Instant, was_full: bool) -> bool {
    let most = if was_full { MOST / 2 } else { MOST };
    // An entry holds one occurrence at least, and they are counted already: mostly nothing else is asked.
    let pending = ledger::pending(task);
    pending > most && are_more(task, before, most).unwrap_or(pending > AT_ALL * MOST)
}

/// Those that wait for a retry are not there to be worked off. From the latest on, for what has run is mostly earlier. None: that
/// cannot be seen in a moment.
fn are_more(task: i32, before: Instant, than: i64) -> Option<bool> {
    let steps = usize::try_from(LOOKED_AT * than).ok()?;
    let mut count = 0;
    let is_whole = walk::along(c"agenda", (c"agenda_occurrence", 2), |walk| {
        walk.back(task, clock::to_pg(before), [c"attempt"], steps, |[attempt]| {
            count += i64::from(attempt.is_some_and(|attempt| attempt.value() as i16 == 0));
            count <= than
        })
    });
    (count > than || is_whole?).then_some(count > than)
}
