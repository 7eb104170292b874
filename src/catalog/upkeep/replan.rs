//! What was planned for the future is taken back and planned anew from now: after a task was changed, in the transaction of
//! whoever did; and after its calendar was, in the scheduler, once that is committed. So nobody who is about to change a
//! calendar, and takes long about it, keeps the tasks that use it from running. Nothing past becomes due by it.

use crate::catalog::agenda::{arrears, candidates, series};
use crate::catalog::calendar;
use crate::catalog::definition::{Definition, TaskKind, Timing};
use crate::catalog::ledger::record;
use crate::catalog::ledger::{Ledger, New, Writer};
use crate::catalog::table::key::NO_ROW;
use crate::catalog::task::{self, Task};
use crate::error::Result;
use crate::pg::walk::Place;
use crate::pg::{clock, shmem, sql, user};
use schedule::{Base, Instant, Occurrence};
use std::cell::Cell;
use std::sync::atomic::Ordering::Acquire;

/// Plans a task anew by this definition, after somebody has altered it. What of its past is not in the agenda yet was due by the
/// old one, and is passed over: by rows, since nobody can tell how many occurrences of captured rows that were.
pub fn task(task: &Task, definition: &Definition, writer: Writer) -> Result<()> {
    let now = clock::transaction_start();
    // Before anything is taken back.
    let timing = definition.timing()?;
    // The scheduler may be planning it just now: what it enters is withdrawn as well.
    series::wait_for(task.id);
    let mut ledger = Ledger::open(task.id, writer);
    ledger.withdraw(now);
    ledger.pass_over_unplanned(arrears::forget(task.id) + missed(task, now));
    if task.kind == TaskKind::Scheduled {
        plan_series(task, &timing, now, &mut ledger);
    }
    ledger.close();
    candidates::plan_anew_at_commit(task.token);
    Ok(())
}

/// Occurrences that are looked at for one that has not ended.
const AHEAD: usize = 1000;

/// A series goes on from now, with what has not ended: what somebody has cancelled stays so.
fn plan_series(task: &Task, timing: &Timing, now: Instant, ledger: &mut Ledger) {
    let base = Base::Instant(timing.start_at.unwrap_or(now));
    let is_new = |next: &Occurrence| record::known(task.id, &[(NO_ROW, next.nominal_at)]).is_empty();
    let mut last = None;
    for next in timing.schedule.occurrences(base, &timing.zone, timing.end_at, now).take(AHEAD) {
        last = Some(next);
        if is_new(&next) {
            ledger.enter(task.owner, &[New::scheduled(next, false)]);
            break;
        }
    }
    series::set(task.id, last);
}

/// Occurrences of a series that were missed, by its old timing, and wait for others to be worked off before they are entered.
fn missed(task: &Task, now: Instant) -> i64 {
    let (Ok(timing), Some(planned)) = (task.timing(), series::get(task.id)) else { return 0 };
    let (Some(base), from) = (timing.start_at, Instant(planned.due_at.0 + 1)) else { return 0 };
    if from >= now || !task.enabled {
        return 0;
    }
    let missed = timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from);
    missed.take_while(|next| next.due_at < now).count() as i64
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
    /// Somebody is changing the task, nobody can say when it is due, or its past is being looked through: to be tried again.
    Later,
}

/// Entries that are taken back at a time, so that the scheduler's pass goes on.
const PORTION: usize = 5000;

thread_local! {
    /// Of which task what lies in the agenda from which place on was taken back, and committed or undone with all else.
    static TAKEN_BACK: Cell<Option<(i32, Place)>> = const { Cell::new(None) };
}

/// Plans a task anew by its calendar as it is now. What was planned by the old one is taken back before, portion by portion,
/// the latest first: what runs meanwhile is judged by the new one as it is. It counts from the first portion on: what is taken back
/// and falls due before the last one is planned again, and runs late; also when the calendar has changed once more by then.
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
    // Before anything is taken back: its zone may be missing.
    let Ok(timing) = stored.timing() else { return Replanned::Later };
    if is_swept(stored.token) {
        return Replanned::Later;
    }
    let now: Instant = clock::transaction_start();
    let since = begin(id, now);
    let below = TAKEN_BACK.take().filter(|(of, _)| *of == id).map_or(Place::LAST, |(_, below)| below);
    let mut ledger = Ledger::open(id, Writer::Scheduler);
    let rest = ledger.withdraw_some(&stored, now, below, PORTION);
    ledger.close();
    if let Some(rest) = rest {
        TAKEN_BACK.set(Some((id, rest)));
        return Replanned::Partly;
    }
    note_calendar(id, seen);
    // One that is behind goes on from where it is: what was due stays due, and its future comes with it.
    if stored.kind == TaskKind::Scheduled && series::get(id).is_none_or(|planned| planned.due_at >= since) {
        let mut ledger = Ledger::open(id, Writer::Scheduler);
        plan_series(&stored, &timing, since, &mut ledger);
        ledger.close();
    }
    candidates::plan_anew_at_commit(stored.token);
    Replanned::Done
}

/// From when on it counts: from now, unless some of it is taken back already, by this change or an earlier one, and nobody has
/// planned it since.
fn begin(id: i32, now: Instant) -> Instant {
    user::as_extension_owner(|| {
        let statement = "with begun as (update jittask.task set counts_from = $2, is_unplanned = true where id = $1 and not is_unplanned)
             select case when is_unplanned then counts_from else $2 end from jittask.task where id = $1";
        sql::run(statement, &[sql::arg(id), sql::at(now)]).at(0, 1).unwrap_or(now)
    })
}

/// Is its past being looked through? What it has still to find there would not count any more; what it runs meanwhile is judged
/// by the calendar as it is.
fn is_swept(token: i64) -> bool {
    shmem::shared().and_then(|shared| shared.limit(token)).is_some_and(|limit| limit.behind_to.load(Acquire) != 0)
}

/// The task is planned by its calendar as it was changed then.
pub fn note_calendar(id: i32, seen: Option<Instant>) {
    if seen.is_some() {
        user::as_extension_owner(|| {
            // A series is planned with it; the rows of a table are by an executor, which says so.
            let statement = "update jittask.task set calendar_at = $2, is_unplanned = is_unplanned and kind = 'date_field' where id = $1";
            sql::run(statement, &[sql::arg(id), sql::maybe_at(seen)])
        });
    }
}
