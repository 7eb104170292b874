//! Claiming the oldest due entry, running it and recording it in one transaction; and what happens when that
//! transaction fails: the rows again under savepoints, those at fault alone, and only there a failure counts.

use super::Me;
use super::batch::{self, Mode};
use crate::catalog::agenda::{self, Entry};
use crate::catalog::record::{self, Outcome, Record};
use crate::catalog::tally::{self, Counts, Writer};
use crate::catalog::task;
use crate::pg::boundary::Failure;
use crate::pg::{clock, current_run, session, sql, worker, xact};
use pgrx::prelude::*;
use schedule::Instant;
use std::cell::RefCell;
use std::sync::atomic::Ordering::*;

thread_local! {
    /// What the transaction now running, or the one that just failed, has claimed.
    static CLAIMED: RefCell<Option<Entry>> = const { RefCell::new(None) };
}

/// What a transaction of [`one`] came to.
enum Step {
    Nothing,
    Ran,
    /// The entry is of another task than the last one: the session has to be made new first.
    OtherTask(i32),
}

/// Runs one due entry, if there is one. True if there was.
pub fn one(me: &Me, last_task: &mut i32) -> bool {
    let result = xact::run(|| {
        let in_hand = me.others_in_hand();
        let Some(entry) = agenda::claim(me.owner, clock::now(), &in_hand) else { return Step::Nothing };
        if entry.task != *last_task {
            return Step::OtherTask(entry.task);
        }
        take_in_hand(me, &entry);
        batch::run(me, &entry, if entry.alone || entry.keys.len() == 1 { Mode::Alone } else { Mode::Together });
        Step::Ran
    });
    let found = match result {
        Ok(Step::Nothing) => false,
        Ok(Step::Ran) => true,
        Ok(Step::OtherTask(task)) => {
            separate(task, last_task);
            true
        }
        Err(failure) => {
            match CLAIMED.take() {
                Some(entry) => after_failure(me, entry, failure),
                None => {
                    warning!("jittask cannot claim work: {}", failure.message);
                    worker::wait_until(Instant(clock::now().0 + 200_000));
                }
            }
            true
        }
    };
    CLAIMED.replace(None);
    current_run::set(None);
    me.slot.started_at.store(0, Release);
    me.slot.task.store(0, Release);
    me.slot.entry.store(0, Release);
    found
}

fn take_in_hand(me: &Me, entry: &Entry) {
    me.slot.total.store(entry.keys.len() as i32, Release);
    me.slot.task.store(entry.task, Release);
    me.slot.entry.store(entry.id, Release);
    CLAIMED.replace(Some(entry.clone()));
}

/// Between two tasks the session is made new, in a transaction of its own: rolled back with a run, it would be undone.
fn separate(task: i32, last_task: &mut i32) {
    if *last_task != 0 {
        sql::forget_plans();
        if let Err(failure) = xact::run(session::reset) {
            warning!("jittask executor leaves, its session cannot be reset: {}", failure.message);
            worker::exit(0);
        }
    }
    *last_task = task;
}

impl Me {
    /// Entries that other executors have claimed, also between two of their transactions.
    fn others_in_hand(&self) -> Vec<i64> {
        let others = self.shared.executors_of(self.database).filter(|slot| !std::ptr::eq(*slot, self.slot));
        others.map(|slot| slot.entry.load(Acquire)).filter(|entry| *entry != 0).collect()
    }
}

fn after_failure(me: &Me, entry: Entry, failure: Failure) {
    me.slot.started_at.store(0, Release);
    if entry.alone || entry.keys.len() == 1 {
        return note_failure(me, entry, failure);
    }
    let again = xact::run(|| {
        if let Some(entry) = agenda::hold(entry.id) {
            batch::run(me, &entry, Mode::Savepoints);
        }
    });
    if again.is_err() {
        // The COMMIT failed although each row went well under its savepoint: all of them alone.
        me.slot.started_at.store(0, Release);
        let apart = xact::run(|| {
            if let Some(entry) = agenda::hold(entry.id) {
                agenda::put_aside(&entry, &(0..entry.keys.len()).collect::<Vec<_>>());
            }
        });
        if let Err(failure) = apart {
            warning!("jittask cannot put rows aside: {}", failure.message);
            worker::wait_until(Instant(clock::now().0 + 200_000));
        }
    }
}

/// The failure of a row that ran alone is an attempt.
fn note_failure(me: &Me, entry: Entry, failure: Failure) {
    let noted = xact::run(|| {
        let Some(entry) = agenda::hold(entry.id) else { return };
        let key = entry.keys.first().cloned().unwrap_or_default();
        if record::recorded(entry.task, entry.occurrence.nominal_at, std::slice::from_ref(&key)) == [true] {
            // Another run was first: this one was rolled back and leaves nothing.
            tally::add(entry.task, Writer::Executor(me.index), Counts { entered: -1, ..Default::default() }, None);
            return agenda::delete(entry.id);
        }
        let task = task::by_id(entry.task);
        let timing = task.as_ref().filter(|task| !task.is_dropped).and_then(|task| task.timing().ok());
        let (attempt, now, started_at) = (entry.attempt + 1, clock::now(), batch::started_at());
        let next = timing.and_then(|timing| {
            let next = schedule::next_retry_at(now, attempt as u32, timing.max_attempts, timing.retry_backoff);
            // Nobody is at fault when two transactions collide: again at once.
            next.map(|next| if ["40001", "40P01"].contains(&failure.sqlstate.as_str()) { now } else { next })
        });
        match next {
            Some(run_at) => agenda::retry_later(entry.id, attempt, started_at, &failure, run_at),
            None => {
                let ended = Record {
                    id: entry.id,
                    key,
                    started_at: Some(started_at),
                    finished_at: now,
                    attempt,
                    outcome: Outcome::Failed(failure.clone()),
                };
                let records = [ended];
                record::insert(entry.task, entry.occurrence, &records);
                tally::add(entry.task, Writer::Executor(me.index), Counts::of(&records), Some((started_at, "failed")));
                agenda::delete(entry.id);
            }
        }
    });
    if let Err(failure) = noted {
        warning!("jittask cannot note a failed attempt: {}", failure.message);
        worker::wait_until(Instant(clock::now().0 + 200_000));
    }
}
