//! What was planned for the future is taken back and planned anew from now: after a task or its calendar changed. In the
//! caller's transaction. Nothing past becomes due by it.

use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::enter::{self, New};
use crate::catalog::task::{self, Task};
use crate::catalog::{agenda, series, tally};
use crate::error::Result;
use crate::pg::{clock, wake};
use schedule::{Base, Instant};

/// Plans a task anew by this definition.
pub fn task(task: &Task, definition: &Definition) -> Result<()> {
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
    tally::add(task.id, tally::Writer::Session, tally::Counts { entered, ..Default::default() }, None);
    wake::forget_limit_at_commit(task.token);
    Ok(())
}

/// Plans all tasks anew that skip the holidays of a calendar.
pub fn calendar(name: &str) -> Result<()> {
    let now: Instant = clock::transaction_start();
    for using in task::using_calendar(name) {
        task::set_counts_from(using.id, now);
        task(&using, &using.definition)?;
    }
    Ok(())
}
