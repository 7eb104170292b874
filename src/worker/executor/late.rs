//! What is late because nobody was there: the server was down, or jittask off. Judged when an entry is claimed, by the
//! task's catch_up. What waits behind other work is not late in this sense and always runs.

use super::Me;
use crate::catalog::agenda::{self, Entry};
use crate::catalog::task::Task;
use crate::pg::clock;
use schedule::{CatchUp, Cycle, Instant};
use std::sync::atomic::Ordering::*;

/// What becomes of an entry.
pub enum Lateness {
    /// It runs, but for the keys marked, which are skipped.
    Run {
        /// By the keys' positions.
        superseded: Vec<bool>,
        /// Nobody was there when it was due.
        is_late: bool,
    },
    /// All of it is skipped.
    Skipped,
    /// Too old to be spoken of: counted only.
    PassedOver,
}

/// Judges an entry by when its database was served.
pub fn judge(me: &Me, entry: &Entry, task: &Task) -> Lateness {
    let count = entry.keys.len();
    let run = |is_late| Lateness::Run { superseded: vec![false; count], is_late };
    let database = me.shared.databases.iter().find(|slot| slot.oid.load(Acquire) == me.database);
    let up_since = Instant(database.map_or(0, |slot| slot.up_since.load(Acquire)));
    if entry.forced || entry.attempt > 0 || entry.alone || entry.occurrence.due_at >= up_since {
        return run(false);
    }
    let Ok(timing) = task.timing() else { return run(false) };
    // Rows that were due at registration already, and that existing_rows asked for: nobody missed them.
    let asked_since = task.counts_from.0 - schedule::span_micros(timing.existing_rows);
    if (asked_since..task.counts_from.0).contains(&entry.occurrence.due_at.0) {
        return run(false);
    }
    if clock::now().0 - entry.occurrence.due_at.0 > schedule::span_micros(timing.catch_up_window) {
        return Lateness::PassedOver;
    }
    match timing.catch_up {
        CatchUp::All => run(true),
        CatchUp::None => Lateness::Skipped,
        CatchUp::Last if timing.schedule.cycle == Cycle::None => run(true),
        CatchUp::Last => {
            let later = agenda::keys_due_between(task.id, entry.occurrence.due_at, up_since);
            let superseded: Vec<bool> = entry.keys.iter().map(|key| later.contains(key)).collect();
            if superseded.contains(&false) { Lateness::Run { superseded, is_late: true } } else { Lateness::Skipped }
        }
    }
}
