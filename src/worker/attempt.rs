//! What a failed attempt of one occurrence comes to: another one later, or the end. In the executor that ran it, after
//! its transaction was rolled back, or in the scheduler, when the executor died of it. The caller owns the transaction.

use super::events;
use crate::catalog::agenda::{self, Entry};
use crate::catalog::record::{self, Outcome, Record};
use crate::catalog::tally::{self, Counts, Writer};
use crate::catalog::task;
use crate::pg::boundary::Failure;
use crate::pg::clock;
use crate::pg::shmem::Death;
use schedule::Instant;

/// The message of an attempt that took too long.
pub const TIMED_OUT: &str = "the attempt took longer than the task's timeout";

/// Notes that the attempt of this single-key entry, held by the transaction, failed.
pub fn failed(entry: &Entry, failure: &Failure, started_at: Instant, writer: Writer) {
    if drop_if_recorded(entry, writer) {
        return;
    }
    let task = task::by_id(entry.task).filter(|task| !task.is_dropped);
    let timing = task.and_then(|task| task.timing().ok());
    let (attempt, now) = (entry.attempt + 1, clock::now());
    let next = timing.and_then(|timing| {
        let next = schedule::next_retry_at(now, attempt.unsigned_abs(), timing.max_attempts, timing.retry_backoff);
        // Nobody is at fault when two transactions collide: again at once.
        next.map(|next| if ["40001", "40P01"].contains(&failure.sqlstate.as_str()) { now } else { next })
    });
    match next {
        Some(run_at) => agenda::retry_later(entry.id, attempt, started_at, failure, run_at),
        None => end(entry, Some(started_at), attempt, Outcome::Failed(failure.clone()), writer),
    }
}

/// Ends a single-key entry that cancel_record interrupted.
pub fn cancelled(entry: &Entry, failure: &Failure, started_at: Instant, writer: Writer) {
    if !drop_if_recorded(entry, writer) {
        end(entry, Some(started_at), entry.attempt + 1, Outcome::Interrupted(failure.clone()), writer);
    }
}

/// Another run was first: what was rolled back leaves nothing, and does not count as an attempt.
fn drop_if_recorded(entry: &Entry, writer: Writer) -> bool {
    let is_recorded = record::recorded(entry.task, entry.occurrence.nominal_at, &entry.keys) == [true];
    if is_recorded {
        tally::add(entry.task, writer, Counts { entered: -1, ..Default::default() }, None);
        agenda::delete(entry.id);
    }
    is_recorded
}

fn end(entry: &Entry, started_at: Option<Instant>, attempt: i32, outcome: Outcome, writer: Writer) {
    let status = outcome.status();
    let records = [Record { started_at, attempt, ..Record::of(entry, 0, outcome) }];
    record::insert(entry.task, &records);
    events::remember(&records);
    tally::add(entry.task, writer, Counts::of(&records), started_at.map(|at| (at, status)));
    agenda::delete(entry.id);
}

/// An attempt whose process died. The others of its entry did nothing: they run alone from now on, so that a next
/// death tells which.
pub fn died(entry_id: i64, position: i32, started_at: Instant, death: Death) {
    let Some(entry) = agenda::hold(entry_id) else { return };
    let count = entry.keys.len();
    if count > 1 {
        agenda::put_aside(&entry, &(0..count).collect::<Vec<_>>());
    }
    // A batch that was given as an array does not say which row it was.
    if position == 0 && count > 1 {
        return;
    }
    let index = i64::from(position.max(1) - 1);
    if let Some(single) = agenda::hold(entry_id + index) {
        failed(&single, &failure_of(death), started_at, Writer::Scheduler);
    }
}

fn failure_of(death: Death) -> Failure {
    let (sqlstate, message) = match death {
        Death::Crash => ("57P02", "the process that executed this attempt ended unexpectedly"),
        Death::Terminated => ("57P01", "the process that executed this attempt was terminated"),
        Death::Timeout => ("57014", TIMED_OUT),
    };
    Failure { sqlstate: sqlstate.to_string(), message: message.to_string(), ..Default::default() }
}
