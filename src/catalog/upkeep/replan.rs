//! What was planned for the future is taken back and planned anew from now: after a task was changed, in the transaction of
//! whoever did; and after its calendar was, in the scheduler, once that is committed. So nobody who is about to change a
//! calendar, and takes his time, keeps the tasks that use it from running. Nothing past becomes due by it.

use crate::catalog::agenda::{arrears, candidates, series};
use crate::catalog::calendar;
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::ledger::{Ledger, New, Writer};
use crate::catalog::task::{self, Task};
use crate::error::Result;
use crate::pg::{clock, sql, user};
use schedule::{Base, Instant};
use std::cell::Cell;

/// Plans a task anew by this definition.
pub fn task(task: &Task, definition: &Definition, writer: Writer) -> Result<()> {
    let now = clock::transaction_start();
    // The scheduler may be planning it just now: what it enters is withdrawn as well.
    series::wait_for(task.id);
    let mut ledger = Ledger::open(task.id, writer);
    ledger.withdraw(now);
    arrears::forget(task.id);
    if task.kind == TaskKind::Scheduled {
        let timing = definition.timing()?;
        let base = Base::Instant(timing.start_at.unwrap_or(now));
        let first = timing.schedule.occurrences(base, &timing.zone, timing.end_at, now).next();
        if let Some(first) = first {
            ledger.enter(task.owner, &[New::scheduled(first, false)]);
        }
        series::set(task.id, first);
    }
    ledger.close();
    candidates::plan_anew_at_commit(task.token);
    Ok(())
}

/// Those of these tasks whose calendar is not the one any more that they were planned by.
pub fn stale(ids: &[i32]) -> Vec<i32> {
    let statement = "select t.id from jittask.task t
         join jittask.calendar c on t.definition ->> 'skip_holidays' = 'true' and c.name = coalesce(t.definition ->> 'calendar', 'default')
         where t.id = any($1) and t.dropped_at is null and t.calendar_at is distinct from c.changed_at order by t.id";
    let rows = user::as_extension_owner(|| sql::run(statement, &[sql::arg(ids.to_vec())]));
    (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect()
}

/// What became of a task that was to be planned anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Replanned {
    /// It is.
    Done,
    /// Some of what is planned was taken back; there is more.
    Partly,
    /// Somebody is changing the task, or nobody can say when it is due: to be tried again.
    Later,
}

/// Entries that are taken back at a time, so that the scheduler's pass goes on.
const PORTION: i64 = 5000;

thread_local! {
    /// Of which task what is nominally due after which instant was taken back, and committed or undone with all else.
    static TAKEN_BACK: Cell<Option<(i32, Instant)>> = const { Cell::new(None) };
}

/// Plans a task anew by its calendar as it is now. What was planned by the old one is taken back before, portion by portion,
/// the latest first: what runs meanwhile is judged by the new one as it is.
pub fn by_calendar(id: i32) -> Replanned {
    if !task::try_lock(id) {
        return Replanned::Later;
    }
    let Some(stored) = task::by_id(id) else { return Replanned::Done };
    // Read before it is planned by: a change that comes meanwhile shows at the next look.
    let seen = stored.definition.holidays_of().and_then(calendar::changed_at);
    // Somebody may have it without the task's row, who is not waited for either.
    if stored.kind == TaskKind::Scheduled && !series::is_free(id) {
        return Replanned::Later;
    }
    let now: Instant = clock::transaction_start();
    let until = TAKEN_BACK.take().filter(|(of, _)| *of == id).map_or(Instant::MAX, |(_, until)| until);
    let mut ledger = Ledger::open(id, Writer::Scheduler);
    let earliest = ledger.withdraw_some(now, until, PORTION);
    ledger.close();
    if let Some(earliest) = earliest {
        TAKEN_BACK.set(Some((id, earliest)));
        return Replanned::Partly;
    }
    task::set_counts_from(id, now);
    note_calendar(id, seen);
    let planned = task(&stored, &stored.definition, Writer::Scheduler);
    if planned.is_ok() { Replanned::Done } else { Replanned::Later }
}

/// The task is planned by its calendar as it was changed then.
pub fn note_calendar(id: i32, seen: Option<Instant>) {
    if seen.is_some() {
        user::as_extension_owner(|| {
            let statement = "update jittask.task set calendar_at = $2 where id = $1";
            sql::run(statement, &[sql::arg(id), sql::maybe_at(seen)])
        });
    }
}
