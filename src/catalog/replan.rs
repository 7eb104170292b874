//! What was planned for the future is taken back and planned anew from now: after a task was changed, in the transaction of
//! whoever did; and after its calendar was, in the scheduler, once that is committed. So nobody who is about to change a
//! calendar, and takes his time, keeps the tasks that use it from running. Nothing past becomes due by it.

use super::definition::{Definition, TaskKind};
use super::enter::{self, New};
use super::task::{self, Task};
use super::{agenda, calendar, series, tally};
use crate::error::Result;
use crate::pg::{clock, sql, user, wake};
use schedule::{Base, Instant};

/// Plans a task anew by this definition.
pub fn task(task: &Task, definition: &Definition, writer: tally::Writer) -> Result<()> {
    let now = clock::transaction_start();
    // The scheduler may be planning it just now: what it enters is withdrawn as well.
    series::wait_for(task.id);
    let mut entered = -agenda::withdraw(task.id, now);
    if task.kind == TaskKind::Scheduled {
        let timing = definition.timing()?;
        let base = Base::Instant(timing.start_at.unwrap_or(now));
        let first = timing.schedule.occurrences(base, &timing.zone, timing.end_at, now).next();
        if let Some(first) = first {
            enter::insert(task.owner, task.id, &[New::scheduled(first, false)]);
            entered += 1;
        }
        series::set(task.id, first);
    }
    tally::add(task.id, writer, tally::Counts { entered, ..Default::default() }, None);
    wake::forget_limit_at_commit(task.token);
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

/// Plans a task anew by its calendar as it is now. False if somebody is changing the task, or nobody can say when it is due:
/// to be tried again.
pub fn by_calendar(id: i32) -> bool {
    if !task::try_lock(id) {
        return false;
    }
    let Some(stored) = task::by_id(id) else { return true };
    // Read before it is planned by: a change that comes meanwhile shows at the next look.
    let seen = stored.definition.holidays_of().and_then(calendar::changed_at);
    // Somebody may have it without the task's row, who is not waited for either.
    if stored.kind == TaskKind::Scheduled && !series::is_free(id) {
        return false;
    }
    let now: Instant = clock::transaction_start();
    task::set_counts_from(id, now);
    note_calendar(id, seen);
    task(&stored, &stored.definition, tally::Writer::Scheduler).is_ok()
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
