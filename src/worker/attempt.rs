//! What a failed attempt of one occurrence comes to: another one later, or the end. In the executor that ran it, after
//! its transaction was rolled back, or in the scheduler, when the executor died of it. The caller owns the transaction.

use super::events;
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::record::{self, Outcome, Record};
use crate::catalog::ledger::{Ledger, Writer, owed};
use crate::catalog::task;
use crate::pg::boundary::Failure;
use crate::pg::part::Part;
use crate::pg::shmem::{Death, Interruption};
use crate::pg::{clock, xact};
use schedule::Instant;

/// The message of an attempt that took too long.
pub const TIMED_OUT: &str = "the attempt took longer than the task's timeout";

/// What the server says of one that was cancelled.
const CANCELLED: &str = "canceling statement due to user request";

/// An attempt that failed, or was interrupted by one of us.
pub fn ended(entry: &Entry, failure: &Failure, interruption: Interruption, started_at: Instant, writer: Writer) {
    match interruption {
        // Also where it failed by itself in the same moment: nobody wants it any more. That it would not wait any longer for a
        // lock is no failure of its own, but how executors keep several rows together.
        Interruption::Cancelled if failure.is_lock() => {
            let (sqlstate, message) = ("57014".to_string(), CANCELLED.to_string());
            cancelled(entry, &Failure { sqlstate, message, ..Default::default() }, started_at, writer);
        }
        Interruption::Cancelled => cancelled(entry, failure, started_at, writer),
        // Meant for a row that had just ended: this one is not at fault.
        Interruption::Another if failure.is_cancel() => {}
        Interruption::Timeout if failure.is_cancel() => {
            let failure = Failure { message: TIMED_OUT.to_string(), ..failure.clone() };
            failed(entry, &failure, started_at, writer);
        }
        _ => failed(entry, failure, started_at, writer),
    }
}

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
        Some(run_at) => entries::retry_later(entry.id, attempt, started_at, failure, run_at),
        None => end(entry, Some(started_at), attempt, Outcome::Failed(failure.clone()), writer),
    }
}

/// Ends a single-key entry that cancel_record interrupted.
fn cancelled(entry: &Entry, failure: &Failure, started_at: Instant, writer: Writer) {
    if !drop_if_recorded(entry, writer) {
        end(entry, Some(started_at), entry.attempt + 1, Outcome::Interrupted(failure.clone()), writer);
    }
}

/// Another run was first: what was rolled back leaves nothing, and does not count as an attempt. Where that cannot be read,
/// for an index that is broken, the attempt counts.
fn drop_if_recorded(entry: &Entry, writer: Writer) -> bool {
    let look = || record::recorded(entry.task, entry.occurrence.nominal_at, &entry.keys) == [true];
    let is_recorded = bearable(xact::savepoint(look)).unwrap_or(false);
    if is_recorded {
        let mut ledger = Ledger::open(entry.task, writer);
        ledger.forget_twice(1);
        ledger.close();
        entries::delete(entry.id);
    }
    is_recorded
}

/// Writes the record, or notes that it is owed: whatever refuses it, the function is not called again for that.
fn end(entry: &Entry, started_at: Option<Instant>, attempt: i32, outcome: Outcome, writer: Writer) {
    let status = outcome.status();
    let records = [Record { started_at, attempt, ..Record::of(entry, 0, outcome) }];
    let written = xact::savepoint(|| {
        let mut ledger = Ledger::open(entry.task, writer);
        ledger.end(&records);
        ledger.note_last(started_at.map(|at| (at, status)));
        ledger.close();
        xact::settle_deferred();
    });
    match bearable(written) {
        Ok(()) => {
            events::remember(&records);
            // Not under the savepoint: an index scan could not tell that it is dead.
            entries::delete(entry.id);
        }
        Err(refusal) => {
            owed::owe(entry.id, status, started_at, attempt, record::failure(&records[0]), &refusal.message);
        }
    }
}

/// An interruption is no fault of what was interrupted.
fn bearable<T>(result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Err(failure) if failure.is_cancel() => failure.raise(),
        result => result,
    }
}

/// Tries to write what an entry, held by the transaction, owes: its record alone.
pub fn pay(entry: &Entry, writer: Writer) {
    if drop_if_recorded(entry, writer) {
        return;
    }
    let Some(owed) = owed::owed(entry.id) else { return };
    let outcome = match task::by_id(entry.task) {
        None => Outcome::Cancelled("dropped"),
        Some(task) if task.is_dropped => Outcome::Cancelled("dropped"),
        Some(_) if owed.status == "cancelled" => Outcome::Interrupted(owed.failure),
        Some(_) => Outcome::Failed(owed.failure),
    };
    end(entry, owed.started_at, entry.attempt, outcome, writer);
}

/// An attempt whose process died. The others of its entry did nothing: they run alone from now on, so that a next
/// death tells which.
pub fn died(entry_id: i64, part: Part, started_at: Instant, death: Death) {
    let Some(entry) = entries::hold(entry_id) else { return };
    let count = entry.keys.len();
    if count > 1 {
        entries::put_aside(&entry, &(0..count).collect::<Vec<_>>());
    }
    // A batch that was given as an array does not say which row it was.
    if part == Part::All && count > 1 {
        return;
    }
    if let Some(single) = entries::hold(entry_id + part.row().unwrap_or_default() as i64) {
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
