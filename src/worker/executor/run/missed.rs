//! What is late because nobody was there: the server was down, or jittask off. Judged when an entry is claimed, by the
//! task's catch_up. What waits behind other work is not late in this sense and always runs.

use crate::catalog::agenda::series;
use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::record::{Outcome, Record};
use crate::catalog::ledger::{Ledger, Writer};
use crate::catalog::task::Task;
use crate::pg::clock;
use crate::worker::events;
use crate::worker::executor::session::Me;
use schedule::{Base, CatchUp, Cycle, Instant};
use std::sync::atomic::Ordering::*;

/// What becomes of an entry.
pub enum Lateness {
    /// It runs.
    Run {
        /// Nobody was there when it was due.
        is_late: bool,
        /// Its rows that are due once more before this are skipped: only the last one of those missed runs.
        last_before: Option<Instant>,
    },
    /// All of it is skipped.
    Skipped,
    /// Too old to be spoken of: counted only.
    PassedOver,
}

/// Judges an entry by when its database was served.
pub fn judge(me: &Me, entry: &Entry, task: &Task) -> Lateness {
    let run = |is_late| Lateness::Run { is_late, last_before: None };
    let up_since = up_since(me);
    if !entry.is_fresh() || entry.occurrence.due_at >= up_since {
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
        // The agenda does not tell: what was due after the server stopped may not have been looked for yet. The row does.
        CatchUp::Last if task.kind == TaskKind::DateField => {
            Lateness::Run { is_late: true, last_before: Some(up_since) }
        }
        CatchUp::Last => match entries::last_due_before(task, up_since) {
            Some(last) if last > entry.occurrence.due_at => Lateness::Skipped,
            _ if is_behind(task, up_since) => Lateness::Skipped,
            _ => run(true),
        },
    }
}

/// Will the scheduler enter more that was due before `until`? It does so a portion at a time, where very much was missed.
fn is_behind(task: &Task, until: Instant) -> bool {
    let (Some(planned), Ok(timing)) = (series::get(task.id), task.timing()) else { return false };
    let (Some(base), true) = (timing.start_at, planned.due_at < until) else { return false };
    let from = Instant(planned.due_at.0 + 1);
    let next = timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from).next();
    next.is_some_and(|next| next.due_at < until)
}

/// Since when somebody is there.
fn up_since(me: &Me) -> Instant {
    Instant(me.home().map_or(0, |slot| slot.up_since.load(Acquire)))
}

/// Entries that are dealt with in one transaction: an hour without a server is 3,600 of a task every second.
const AT_ONCE: i64 = 5000;

/// Counts an entry that is too old, and a scheduled task's others that are.
pub fn pass_over(me: &Me, entry: &Entry, task: &Task) {
    let mut ledger = Ledger::open(task.id, Writer::Executor(me.index));
    entries::delete(entry.id);
    ledger.pass_over(std::slice::from_ref(entry));
    if task.kind == TaskKind::Scheduled
        && let Ok(timing) = task.timing()
    {
        let until = (clock::now().0 - schedule::span_micros(timing.catch_up_window)).min(up_since(me).0);
        let span = (entry.occurrence.due_at, Instant(until));
        ledger.pass_over(&entries::take_due(task, span, me.others_in_hand(), AT_ONCE));
    }
    ledger.close();
}

/// Skips a scheduled task's other late entries together with one: all of them, or all but the last, by its catch_up.
pub fn skip_others(me: &Me, entry: &Entry, task: &Task) {
    let Ok(timing) = task.timing() else { return };
    let until = match timing.catch_up {
        CatchUp::Last if !is_behind(task, up_since(me)) => entries::last_due_before(task, up_since(me)),
        _ => Some(up_since(me)),
    };
    if let Some(until) = until.filter(|_| task.kind == TaskKind::Scheduled) {
        let from = Instant(entry.occurrence.due_at.0 + 1);
        skip(me, task, &entries::take_due(task, (from, until), me.others_in_hand(), AT_ONCE), "catch_up");
    }
}

/// Skips what has fallen due of a scheduled task since somebody is there, while a run of it is going on: what was missed before,
/// and waits for that run too, is not to stand in the way.
pub fn skip_overlapped(me: &Me, task: &Task) {
    skip(me, task, &entries::take_due(task, (up_since(me), clock::now()), me.others_in_hand(), AT_ONCE), "overlap");
}

fn skip(me: &Me, task: &Task, others: &[Entry], reason: &'static str) {
    let records = others.iter().map(|other| Record::of(other, 0, Outcome::Skipped(reason))).collect();
    let mut ledger = Ledger::open(task.id, Writer::Executor(me.index));
    let ended = ledger.end_once(records);
    ledger.close();
    events::remember(&ended);
}
