//! How much of a task's past may wait in the agenda: a rule of seconds that was missed for a year is tens of millions of
//! occurrences. More of it is entered when half of that has run. For the scheduler, which plans series, and for executors,
//! which sweep through tables; in their transactions.

use crate::catalog::ledger;
use crate::pg::{sql, user};
use schedule::Instant;

/// Entries of one task that wait, at most, when more of the past is entered: some 5 MB.
pub const MOST: i64 = 20_000;
/// Entries that are looked at for each that may wait.
const LOOKED_AT: i64 = 4;
/// A planner that met so many looks again after this. Microseconds.
pub const PAUSE: i64 = 500_000;

/// Does a task have as many entries of what is nominally before an instant as may wait? If it `was_full` a moment ago, it is so
/// until half of them have run.
pub fn is_full(task: i32, before: Instant, was_full: bool) -> bool {
    let most = if was_full { MOST / 2 } else { MOST };
    // An entry holds one occurrence at least, and they are counted already: mostly nothing else is asked.
    ledger::pending(task) > most && entries(task, before, most + 1) > most
}

/// So many at most; those that wait for a retry are not there to be worked off. From the latest on: what has run is dead in the
/// index until VACUUM comes, and is mostly earlier.
fn entries(task: i32, before: Instant, most: i64) -> i64 {
    let statement = "select count(*) filter (where attempt = 0) from (
             select attempt from jittask.agenda where task_id = $1 and nominal_at < $2
             order by nominal_at desc limit $3) waiting";
    let arguments = [sql::arg(task), sql::at(before), sql::arg(LOOKED_AT * most)];
    user::as_extension_owner(|| sql::run_in_index_order(statement, &arguments)).get(0, 1).unwrap_or_default()
}
