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
use crate::pg::{clock, flight, lock, user, worker, xact};
use crate::worker::events;
use crate::worker::executor::prepare::Prepared;
use crate::worker::executor::run::call::{Call, Judged};
use crate::worker::executor::run::missed::{self, Lateness};
use crate::worker::executor::session::Me;
use schedule::Instant;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::*;
use text::sqlstate;

/// How rows are kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: the fast way, for the first try.
    Together,
    /// By savepoints: those that fail are put aside.
    Savepoints,
    /// One row; one that was put aside runs under the caller's savepoint and may share the transaction ([`Try::Sharing`]).
    Alone,
}

/// A batch of several rows ends early after this long; the rest is the next batch.
const BATCH_MICROS: i64 = 100_000;

thread_local! {
    static STARTED_AT: Cell<Instant> = const { Cell::new(Instant(0)) };
    static MARKED: Cell<bool> = const { Cell::new(false) };
    static HAS_RUN: Cell<bool> = const { Cell::new(false) };
}

/// Did the last run come to a row at all? What is skipped or cancelled does not.
pub fn has_run() -> bool {
    HAS_RUN.get()
}

/// When the row that ran last started.
pub fn started_at() -> Instant {
    STARTED_AT.get()
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

/// Did the run find its task broken? Asked once.
pub fn was_broken() -> bool {
    MARKED.take()
}

struct Batch<'a> {
    me: &'a Me,
    entry: &'a Entry,
    mode: Mode,
    records: Vec<Record>,
    /// To run again by themselves.
    aside: Vec<usize>,
    /// Failed, with attempts left.
    retries: Vec<Retry>,
    try_: Try,
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

/// Is it the entry's first transaction?
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// Yes.
    First,
    /// Yes, of a row that was put aside, under a savepoint: the caller takes the entry out of the agenda.
    UnderSavepoint,
    /// The same, after others in the transaction: it hardly waits for somebody's lock.
    Sharing,
    /// Another one was rolled back. A row that somebody has locked, by its position, is put aside without waiting again.
    Again(Option<usize>),
}

/// Runs the entry inside the caller's transaction.
pub fn run(me: &Me, entry: &Entry, mode: Mode, try_: Try) {
    let (records, aside, retries) = Default::default();
    let mut batch = Batch { me, entry, mode, try_, records, aside, retries, last: None, timeout: i64::MAX };
    STARTED_AT.set(clock::now());
    HAS_RUN.set(false);
    record::begin();
    let prepared = me.prepared.task(entry.task);
    match prepared.as_ref().map(|prepared| &prepared.task) {
        None => batch.all(|| Outcome::Cancelled("dropped")),
        Some(task) if task.is_dropped => batch.all(|| Outcome::Cancelled("dropped")),
        Some(task) if task.problem.is_some() || !(task.enabled || entry.forced) => {
            if task::hold_if_held_back(task.id) != Some(true) {
                // It is just being let go.
                return entries::postpone(entry.id, Some(Instant(clock::now().0 + 100_000)));
            }
            // Waits until the task is resumed, or what it needs is back.
            if task.enabled || entry.forced || entry.alone || entry.attempt > 0 {
                return entries::postpone(entry.id, None);
            }
            batch.all(|| Outcome::Skipped("paused"));
        }
        Some(task) => match missed::judge(me, entry, task) {
            Lateness::PassedOver => return missed::pass_over(me, entry, task),
            Lateness::Skipped => {
                missed::skip_others(me, entry, task);
                batch.all(|| Outcome::Skipped("catch_up"));
            }
            Lateness::Run { is_late, last_before } => match batch.overlap(task, is_late) {
                Overlap::Go => return batch.execute(prepared, last_before),
                Overlap::Skip => batch.all(|| Outcome::Skipped("overlap")),
                Overlap::Wait(pause) => return entries::postpone(entry.id, Some(Instant(clock::now().0 + pause))),
                Overlap::Queue(pause) => return me.blocked.leave(task.id, Instant(clock::now().0 + pause)),
            },
        },
    }
    batch.finish(entry.keys.len());
}

enum Overlap {
    Go,
    Skip,
    /// This many microseconds.
    Wait(i64),
    /// The same with all others of the task, in their order: there may be very many, and nothing is written.
    Queue(i64),
}

/// How long an occurrence waits for the previous run before it looks again.
const OVERLAP_PAUSE: i64 = 100_000;
/// What falls due beside a run that has taken this long, and is not to wait for it, is skipped at once. Microseconds.
const LONG_RUN: i64 = 1_000_000;

impl Batch<'_> {
    /// What a scheduled task's previous run, if it is still going, means for this one.
    fn overlap(&self, task: &Task, is_late: bool) -> Overlap {
        let policy = task.definition.overlap.as_deref().unwrap_or("skip");
        if task.kind != TaskKind::Scheduled || policy == "allow" {
            return Overlap::Go;
        }
        // What catch_up asks for runs, what failed before, and what a person asks for: one after the other.
        let entry = self.entry;
        let is_made_up = entry.alone && entry.attempt == 0 && !entry.forced;
        let queues = policy == "queue" || entry.forced || entry.alone || entry.attempt > 0 || is_late;
        let wait = |pause: i64| match policy == "queue" || is_late || is_made_up {
            true => Overlap::Queue(pause),
            false => Overlap::Wait(pause),
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
            Some(_) => Overlap::Skip,
            None if queues && !entry.forced => match entries::earlier(task, entry) {
                // Somebody has just claimed it.
                Some(true) => wait(OVERLAP_PAUSE / 5),
                Some(false) => Overlap::Wait(OVERLAP_PAUSE / 5),
                None => Overlap::Go,
            },
            None => Overlap::Go,
        }
    }

    /// The same end for all keys, without running.
    fn all(&mut self, outcome: impl Fn() -> Outcome) {
        let done = record::recorded(self.entry.task, self.entry.occurrence.nominal_at, &self.entry.keys);
        for position in (0..done.len()).filter(|position| !done[*position]) {
            self.note(position, None, outcome());
        }
        self.forget_twice(&done);
    }

    /// Keys that were recorded already were in the agenda twice: they do not count again.
    fn forget_twice(&self, done: &[bool]) {
        let mut ledger = Ledger::open(self.entry.task, Writer::Executor(self.me.index));
        ledger.forget_twice(done.iter().filter(|done| **done).count());
        ledger.close();
    }

    fn execute(mut self, prepared: Option<Rc<Prepared>>, last_before: Option<Instant>) {
        let Some(prepared) = prepared else { return };
        if prepared.task.relation.is_some_and(|relation| !lock::try_read(relation)) || !prepared.try_hold() {
            // The entry stays as it is.
            return self.me.blocked.note(prepared.task.id);
        }
        worker::report(Some(&format!("jittask: {}", prepared.task.name)));
        let done = self.done();
        self.timeout = prepared.plan().map_or(i64::MAX, |plan| plan.timeout);
        let mut call = match Call::prepare(prepared, self.entry, last_before) {
            Ok(call) => call,
            Err(problem) => {
                // Nothing was tried, so no attempt is counted.
                if !health::mark(self.entry.task, problem.message()) {
                    // Somebody is changing the task, perhaps mending it.
                    return entries::postpone(self.entry.id, Some(Instant(clock::now().0 + 100_000)));
                }
                MARKED.set(true);
                return entries::postpone(self.entry.id, None);
            }
        };
        let settings = user::Settings::begin();
        if self.mode != Mode::Alone || self.try_ == Try::Sharing {
            // A row that somebody has locked does not hold up the others: it runs by itself.
            settings.wait_at_most(100_000);
        }
        let until = if call.takes() == Takes::Rows && self.mode == Mode::Together {
            self.together(&mut call, &done);
            self.entry.keys.len()
        } else {
            self.one_by_one(&mut call, &done)
        };
        settings.end();
        call.close();
        self.forget_twice(&done[..until]);
        self.finish(until);
    }

    /// Keys recorded already: they were in the agenda twice. Nearly never, and the records' unique key tells; so the first
    /// try does not look.
    fn done(&self) -> Vec<bool> {
        if self.try_ == Try::First && !self.entry.alone {
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
            if self.try_ == Try::Again(Some(position)) {
                self.aside.push(position);
                continue;
            }
            if self.mode != Mode::Alone && call.is_to_read(position) {
                let under_savepoint = self.mode == Mode::Savepoints;
                self.me.read_ahead(self.timeout, || call.read_ahead(&self.entry.keys, position, under_savepoint));
            }
            let started_at = self.show(position + 1);
            if self.mode != Mode::Alone && position > 0 && started_at.0 - begun.0 > BATCH_MICROS {
                return position;
            }
            let outcome = match self.mode {
                Mode::Savepoints => xact::savepoint(|| {
                    let outcome = call.row(&self.entry.keys[position], position);
                    xact::settle_deferred();
                    outcome
                }),
                _ => Ok(call.row(&self.entry.keys[position], position)),
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
        let started_at = self.show(0);
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

    /// Shows the row as executing, in shared memory: visible to others without a write.
    fn show(&self, position: usize) -> Instant {
        let now = clock::now();
        STARTED_AT.set(now);
        HAS_RUN.set(true);
        let slot = self.me.slot;
        flight::note(self.entry.id, position as i32, now.0);
        slot.position.store(position as i32, Release);
        slot.started_at.store(now.0, Release);
        let deadline = clock::monotonic().saturating_add(self.timeout);
        slot.deadline.store(deadline, SeqCst);
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
    fn finish(self, until: usize) {
        if self.mode == Mode::Savepoints {
            let is_failing = !(self.aside.is_empty() && self.retries.is_empty())
                || self.records.iter().any(|record| matches!(record.outcome, Outcome::Failed(_)));
            self.me.failing.set(if is_failing { self.entry.task } else { 0 });
        }
        if !self.retries.is_empty() {
            self.me.wake_at_end.set(true);
        }
        user::as_extension_owner(|| self.write(until));
        events::remember(&self.records);
    }

    fn write(&self, until: usize) {
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
        } else if matches!(self.try_, Try::UnderSavepoint | Try::Sharing) {
            self.me.is_entry_done.set(true);
        } else {
            entries::delete(self.entry.id);
        }
    }
}
