//! One claimed entry, in a transaction that others may share: each row is read as it is now, judged, handed to the function, and all of it
//! recorded. The caller commits; if that fails, nothing of it has happened.

use crate::catalog::definition::{TaskKind, Timing};
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::record::{self, Outcome, Record};
use crate::catalog::ledger::{Ledger, Writer};
use crate::catalog::table::function::Takes;
use crate::catalog::task::{self, Task};
use crate::catalog::upkeep::health;
use crate::pg::boundary::Failure;
use crate::pg::bulk::Order;
use crate::pg::part::Part;
use crate::pg::{clock, lock, user, worker, xact};
use crate::worker::events;
use crate::worker::executor::prepare::Prepared;
use crate::worker::executor::run::call::{Call, Judged};
use crate::worker::executor::run::missed::{self, Lateness};
use crate::worker::executor::run::rung::Rung;
use crate::worker::executor::session::Me;
use schedule::Instant;
use std::rc::Rc;
use std::sync::atomic::Ordering::*;
use text::sqlstate;

/// A batch of several rows ends early after this long; the rest is the next batch.
const BATCH_MICROS: i64 = 100_000;

/// What a run leaves to its caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The entry, though all of it has ended: one that was put aside is taken out of the agenda by the transaction that has
    /// locked it.
    Entry,
    /// Nothing.
    Nothing,
}

/// What becomes of an entry.
enum Verdict {
    /// It runs. Its rows that are due once more before this are skipped: only the last one of those missed runs.
    Run { last_before: Option<Instant> },
    /// It ends so, for this reason.
    Skip(&'static str),
    /// The same, and all others of its task that were missed.
    SkipMissed,
    /// Its task is gone.
    Cancel,
    /// Too old to be spoken of: counted only.
    PassOver,
    /// It waits for so many microseconds; None: until it is let go.
    Wait(Option<i64>),
    /// The same with all others of the task, in their order: there may be very many, and nothing is written.
    Queue(i64),
}

/// After the commit of a run: if it found its task broken, what was missing may have come back before that was noted, and
/// nobody would look again. In a transaction of the caller's.
pub fn look_again(me: &Me, entry: &Entry) {
    let prepared = me.prepared.task(entry.task).filter(|prepared| prepared.task.problem.is_some());
    if prepared.is_some_and(|prepared| prepared.try_hold() && prepared.plan().is_ok())
        && !health::heal(entry.task)
        && let Some(home) = me.home()
    {
        home.schema_changed.store(true, Release);
        home.scheduler.wake();
    }
}

struct Batch<'a> {
    me: &'a Me,
    entry: &'a Entry,
    rung: Rung,
    records: Vec<Record>,
    /// To run again by themselves.
    aside: Vec<usize>,
    /// Failed, with attempts left.
    retries: Vec<Retry>,
    /// When the last one started, and how it ended.
    last: Option<(Instant, &'static str)>,
    /// Microseconds that a row, or a batch given as an array, may take.
    timeout: i64,
}

/// A row that failed in a batch, and when it is tried again.
struct Retry {
    position: usize,
    started_at: Instant,
    failure: Failure,
    run_at: Instant,
}

/// Runs the entry inside the caller's transaction.
pub fn run(me: &Me, entry: &Entry, rung: Rung) -> Left {
    let (records, aside, retries) = (Vec::new(), Vec::new(), Vec::new());
    let batch = Batch { me, entry, rung, records, aside, retries, last: None, timeout: i64::MAX };
    me.execution.begin_entry();
    record::begin();
    let Some(prepared) = me.prepared.task(entry.task) else { return batch.end(|| Outcome::Cancelled("dropped")) };
    let task = &prepared.task;
    match batch.judge(task) {
        Verdict::Run { last_before } => return batch.execute(prepared, last_before),
        Verdict::Skip(reason) => return batch.end(|| Outcome::Skipped(reason)),
        Verdict::SkipMissed => {
            missed::skip_others(me, entry, task);
            return batch.end(|| Outcome::Skipped("catch_up"));
        }
        Verdict::Cancel => return batch.end(|| Outcome::Cancelled("dropped")),
        Verdict::PassOver => missed::pass_over(me, entry, task),
        Verdict::Wait(pause) => batch.wait(pause),
        Verdict::Queue(pause) => me.blocked.leave(task.id, Instant(clock::now().0 + pause)),
    }
    Left::Nothing
}

/// How long an occurrence waits for the previous run before it looks again.
const OVERLAP_PAUSE: i64 = 100_000;
/// What falls due beside a run that has taken this long, and is not to wait for it, is skipped at once. Microseconds.
const LONG_RUN: i64 = 1_000_000;

impl Batch<'_> {
    /// By its task as it is now.
    fn judge(&self, task: &Task) -> Verdict {
        let entry = self.entry;
        if task.is_dropped {
            return Verdict::Cancel;
        }
        if task.problem.is_some() || !(task.enabled || entry.origin.is_manual()) {
            return match task::hold_if_held_back(task.id) {
                // Waits until the task is resumed, or what it needs is back.
                Some(true) if task.enabled || !entry.is_fresh() => Verdict::Wait(None),
                Some(true) => Verdict::Skip("paused"),
                // It is just being let go.
                _ => Verdict::Wait(Some(OVERLAP_PAUSE)),
            };
        }
        match missed::judge(self.me, entry, task) {
            Lateness::PassedOver => Verdict::PassOver,
            Lateness::Skipped => Verdict::SkipMissed,
            Lateness::Run { is_late, last_before } => {
                self.overlap(task, is_late).unwrap_or(Verdict::Run { last_before })
            }
        }
    }

    /// What a scheduled task's previous run, if it is still going, means for this one; None: nothing.
    fn overlap(&self, task: &Task, is_late: bool) -> Option<Verdict> {
        let policy = task.definition.overlap.as_deref().unwrap_or("skip");
        if task.kind != TaskKind::Scheduled || policy == "allow" {
            return None;
        }
        // What catch_up asks for runs, what failed before, and what a person asks for: one after the other.
        let entry = self.entry;
        let is_made_up = entry.origin.is_isolated() && entry.attempt == 0;
        let queues = policy == "queue" || !entry.is_fresh() || is_late;
        let wait = |pause: i64| match policy == "queue" || is_late || is_made_up {
            true => Some(Verdict::Queue(pause)),
            false => Some(Verdict::Wait(Some(pause))),
        };
        match self.me.others().find(|slot| slot.task.load(Acquire) == task.id) {
            Some(other) if other.started_at.load(Acquire) == 0 => {
                // It holds another occurrence and has not said yet whether it runs: the one in front looks again first.
                let is_first = entry.id < other.entry.load(Acquire);
                wait(if is_first { OVERLAP_PAUSE / 5 } else { OVERLAP_PAUSE })
            }
            Some(other) if queues => {
                // Not for one that ends in a moment: what waits is looked through for that.
                if policy == "skip" && clock::now().0 - other.started_at.load(Acquire) > LONG_RUN {
                    missed::skip_overlapped(self.me, task);
                }
                wait(OVERLAP_PAUSE)
            }
            Some(_) => Some(Verdict::Skip("overlap")),
            None if queues && !entry.origin.is_manual() => match entries::earlier(task, entry) {
                // Somebody has just claimed it.
                Some(true) => wait(OVERLAP_PAUSE / 5),
                Some(false) => Some(Verdict::Wait(Some(OVERLAP_PAUSE / 5))),
                None => None,
            },
            None => None,
        }
    }

    fn wait(&self, pause: Option<i64>) {
        entries::postpone(self.entry.id, pause.map(|pause| Instant(clock::now().0 + pause)));
    }

    /// The same end for all keys, without running.
    fn end(mut self, outcome: impl Fn() -> Outcome) -> Left {
        let done = record::recorded(self.entry.task, self.entry.occurrence.nominal_at, &self.entry.keys);
        for position in (0..done.len()).filter(|position| !done[*position]) {
            self.note(position, None, outcome());
        }
        self.forget_twice(&done);
        let count = self.entry.keys.len();
        self.finish(count)
    }

    /// Keys that were recorded already were in the agenda twice: they do not count again.
    fn forget_twice(&self, done: &[bool]) {
        let mut ledger = Ledger::open(self.entry.task, Writer::Executor(self.me.index));
        ledger.forget_twice(done.iter().filter(|done| **done).count());
        ledger.close();
    }

    fn execute(mut self, prepared: Rc<Prepared>, last_before: Option<Instant>) -> Left {
        if prepared.task.relation.is_some_and(|relation| !lock::try_read(relation)) || !prepared.try_hold() {
            // The entry stays as it is.
            self.me.blocked.note(prepared.task.id);
            return Left::Nothing;
        }
        worker::report(Some(&format!("jittask: {}", prepared.task.name)));
        let done = self.done();
        self.timeout = prepared.plan().map_or(i64::MAX, |plan| plan.timeout);
        let mut call = match Call::prepare(prepared, self.entry, last_before) {
            Ok(call) => call,
            Err(problem) => {
                // Nothing was tried, so no attempt is counted. Somebody may be changing the task, perhaps mending it.
                let is_marked = health::mark(self.entry.task, problem.message());
                if is_marked {
                    self.me.execution.note_broken();
                }
                self.wait((!is_marked).then_some(OVERLAP_PAUSE));
                return Left::Nothing;
            }
        };
        let settings = user::Settings::begin();
        if !self.rung.waits_for_locks() {
            // A row that somebody has locked does not hold up the others: it runs by itself.
            settings.wait_at_most(100_000);
        }
        let until = if call.takes() == Takes::Rows && self.rung == Rung::Together {
            self.together(&mut call, &done);
            self.entry.keys.len()
        } else {
            self.one_by_one(&mut call, &done)
        };
        settings.end();
        call.close();
        self.forget_twice(&done[..until]);
        self.finish(until)
    }

    /// Keys recorded already: they were in the agenda twice. Nearly never, and the records' unique key tells; so the first
    /// try does not look.
    fn done(&self) -> Vec<bool> {
        if self.rung.is_first() && !self.entry.is_isolated() {
            return vec![false; self.entry.keys.len()];
        }
        record::recorded(self.entry.task, self.entry.occurrence.nominal_at, &self.entry.keys)
    }

    /// Row after row; how many of the keys are done with.
    fn one_by_one(&mut self, call: &mut Call, done: &[bool]) -> usize {
        let begun = clock::now();
        for (position, done) in done.iter().enumerate() {
            if *done {
                continue;
            }
            if self.rung == Rung::Again(Some(position)) {
                self.aside.push(position);
                continue;
            }
            if !self.rung.is_single() && call.is_to_read(position) {
                let under_savepoint = self.rung.is_apart();
                self.me.read_ahead(self.timeout, || call.read_ahead(&self.entry.keys, position, under_savepoint));
            }
            let started_at = self.show(Part::Row(position));
            if !self.rung.is_single() && position > 0 && started_at.0 - begun.0 > BATCH_MICROS {
                return position;
            }
            let outcome = if self.rung.is_apart() {
                xact::savepoint(|| {
                    let outcome = call.row(&self.entry.keys[position], position);
                    xact::settle_deferred();
                    outcome
                })
            } else {
                Ok(call.row(&self.entry.keys[position], position))
            };
            match outcome {
                Ok(outcome) => self.note(position, Some(started_at), outcome),
                // Interrupted: not to be tried again alone, as if nothing had been.
                Err(failure) if failure.is_cancel() => failure.raise(),
                Err(failure) => {
                    match call.timing().filter(|_| sqlstate::is_own(&failure.sqlstate)) {
                        Some(timing) => self.fail(position, started_at, failure, timing),
                        None => self.aside.push(position),
                    }
                    call.renew();
                }
            }
        }
        self.entry.keys.len()
    }

    /// The whole entry in one call.
    fn together(&mut self, call: &mut Call, done: &[bool]) {
        let started_at = self.show(Part::All);
        let judged = call.rows(&self.entry.keys, |position| done[position]);
        let ended_at = clock::now();
        for (position, judged) in judged {
            let outcome = match judged {
                Judged::Done(result) => Outcome::Completed(result),
                Judged::Skip(reason) => Outcome::Skipped(reason),
            };
            self.note_at(position, Some(started_at), outcome, ended_at);
        }
    }

    fn show(&self, part: Part) -> Instant {
        let deadline = clock::monotonic().saturating_add(self.timeout);
        let now = self.me.execution.begin_row(self.entry.id, part, deadline);
        self.me.wake_scheduler_for(deadline);
        now
    }

    fn note(&mut self, position: usize, started_at: Option<Instant>, outcome: Outcome) {
        self.note_at(position, started_at, outcome, clock::now());
    }

    fn note_at(&mut self, position: usize, started_at: Option<Instant>, outcome: Outcome, ended_at: Instant) {
        let ran = matches!(outcome, Outcome::Completed(_) | Outcome::Failed(_));
        let started_at = started_at.filter(|_| ran);
        self.last = started_at.map(|at| (at, outcome.status())).or(self.last);
        let attempt = self.entry.attempt + i32::from(ran);
        self.records.push(Record { started_at, attempt, ..Record::ended(self.entry, position, outcome, ended_at) });
    }

    /// An attempt that counts.
    fn fail(&mut self, position: usize, started_at: Instant, failure: Failure, timing: &Timing) {
        let attempt = self.entry.attempt.unsigned_abs() + 1;
        match schedule::next_retry_at(clock::now(), attempt, timing.max_attempts, timing.retry_backoff) {
            None => self.note(position, Some(started_at), Outcome::Failed(failure)),
            Some(run_at) => self.retries.push(Retry { position, started_at, failure, run_at }),
        }
    }

    /// Records, counts, and what is left of the entry: nothing, the keys from `until` on, or those put aside.
    fn finish(self, until: usize) -> Left {
        if self.rung.is_apart() {
            let is_failing = !(self.aside.is_empty() && self.retries.is_empty())
                || self.records.iter().any(|record| matches!(record.outcome, Outcome::Failed(_)));
            self.me.failing.set(if is_failing { self.entry.task } else { 0 });
        }
        if !self.retries.is_empty() {
            self.me.execution.note_retry();
        }
        let left = user::as_extension_owner(|| self.write(until));
        events::remember(&self.records);
        left
    }

    fn write(&self, until: usize) -> Left {
        // Others write the records of neighbours.
        let order = if self.me.has_company() { Order::Interleaved } else { Order::AsGiven };
        let mut ledger = Ledger::open(self.entry.task, Writer::Executor(self.me.index));
        ledger.end_in(order, &self.records);
        ledger.note_last(self.last);
        ledger.close();
        if !(self.aside.is_empty() && self.retries.is_empty()) {
            let failed = self.retries.iter().map(|retry| retry.position);
            let rest = self.aside.iter().copied().chain(failed).chain(until..self.entry.keys.len());
            entries::put_aside(self.entry, &rest.collect::<Vec<_>>());
            for retry in &self.retries {
                let id = self.entry.id + retry.position as i64;
                entries::retry_later(id, self.entry.attempt + 1, retry.started_at, &retry.failure, retry.run_at);
            }
        } else if until < self.entry.keys.len() {
            entries::keep_rest(self.entry, until);
        } else if self.rung.is_aside() {
            return Left::Entry;
        } else {
            entries::delete(self.entry.id);
        }
        Left::Nothing
    }
}
