//! Cancelling and retrying single occurrences, by record id. In the caller's transaction.

use super::{check_writable, writing};
use crate::catalog::ledger::record::{self, Outcome, Record};
use crate::catalog::ledger::{Ledger, Writer, entries, owed};
use crate::catalog::task;
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::part::Part;
use crate::pg::shmem::{self, Interruption};
use crate::pg::{clock, lock, sql, user, wake, worker};
use pgrx::prelude::*;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

#[pg_extern(sql = false)]
fn cancel_record(id: Option<i64>) -> bool {
    sql::session(|| check_writable().and_then(|()| cancel(id)).or_raise())
}

fn cancel(id: Option<i64>) -> Result<bool> {
    let Some(id) = positive(id)? else { return Ok(false) };
    let begun = clock::now().0;
    loop {
        let Some((entry, position)) = entries::find(id) else {
            return match record::ended(id) {
                Some(ended) => check_owner(ended.task).map(|_| false),
                None => Ok(false),
            };
        };
        check_owner(entry.task)?;
        if interrupt(entry.id, position) {
            return Ok(true);
        }
        if let Some(held) = entries::hold(entry.id).filter(|held| position < held.keys.len()) {
            entries::take_out(&held, position);
            let ended = Record::of(&held, position, Outcome::Cancelled("cancelled"));
            let mut ledger = Ledger::open(held.task, Writer::Session);
            ledger.end_once(vec![ended]);
            ledger.close();
            return Ok(true);
        }
        // In a batch that executes another row just now: waited for as for a lock.
        let patience = lock::timeout();
        if patience > 0 && clock::now().0 - begun > patience {
            return Err(Error::new(Kind::Busy, format!("record {id} is in a batch that is being executed"))
                .hint("Try again in a moment, or with a longer lock_timeout."));
        }
        worker::wait_until(Instant(clock::now().0 + 10_000));
    }
}

/// Interrupts the executor that executes this very row.
fn interrupt(entry: i64, position: usize) -> bool {
    let here = worker::database().to_u32();
    let Some(shared) = shmem::shared() else { return false };
    let mut executors = shared.executors_of(here);
    executors.any(|slot| {
        slot.entry.load(Acquire) == entry && slot.interrupt(entry, Part::Row(position), Interruption::Cancelled)
    })
}

#[pg_extern(sql = false)]
fn retry_record(id: Option<i64>) -> bool {
    sql::session(|| writing(|| retry(id)).or_raise())
}

fn retry(id: Option<i64>) -> Result<bool> {
    let Some(id) = positive(id)? else { return Ok(false) };
    let Some(ended) = record::ended(id) else {
        let Some((entry, _)) = entries::find(id) else { return Ok(false) };
        let task = check_owner(entry.task)?;
        // It has failed, only its record could not be written yet.
        let runs_again = entry.owes && !task.is_dropped && owed::run_again(id);
        if runs_again {
            wake::at_commit();
        }
        return Ok(runs_again);
    };
    check_owner(ended.task)?;
    if ended.status == "completed" {
        return Ok(false);
    }
    // Paused or not, it stays so until this is committed.
    let Some(task) = task::keep(ended.task) else { return Ok(false) };
    // Of a paused task it waits for the resumption, as retries do.
    let run_at = if task.enabled || ended.forced { clock::now() } else { Instant::MAX };
    let mut ledger = Ledger::open(task.id, Writer::Session);
    let is_open = ledger.reopen(&task, id, &ended, run_at);
    ledger.close();
    if is_open {
        wake::at_commit();
    }
    Ok(is_open)
}

/// None for what no record ever has, and could not be reckoned with.
fn positive(id: Option<i64>) -> Result<Option<i64>> {
    let id = id.ok_or_else(|| Error::new(Kind::Null, "the record's id must not be null"))?;
    Ok((id > 0).then_some(id))
}

/// The owner's, and superusers'.
fn check_owner(task: i32) -> Result<task::Task> {
    let denied =
        || Error::new(Kind::Denied, "must be owner of the record's task").hint("SET ROLE to the task's owner first.");
    let task = task::by_id(task).ok_or_else(denied)?;
    if user::may_act_as(task.owner) || user::is_superuser() { Ok(task) } else { Err(denied()) }
}
