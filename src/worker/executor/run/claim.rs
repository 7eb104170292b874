//! Claiming due entries, running and recording them, several in one transaction; what follows when that fails is in [`ladder`].
//! In an executor, which owns these transactions.

use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::Writer;
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::task::home;
use crate::pg::boundary::Failure;
use crate::pg::shmem::{Interruption, QUICK};
use crate::pg::{clock, session, user, worker, xact};
use crate::worker::executor::run::batch::{self, Left};
use crate::worker::executor::run::fair_share::Turns;
use crate::worker::executor::run::ladder;
use crate::worker::executor::run::rung::Rung;
use crate::worker::executor::session::{MOST, Me};
use crate::worker::{attempt, events};
use std::sync::atomic::Ordering::*;
use text::sqlstate;

/// What a transaction of [`one`] came to.
enum Step {
    Nothing,
    Ran,
    /// The extension was dropped, or tasks were brought here from elsewhere.
    NothingHere,
    /// The entry is of another task than the last one: the session has to be made new first.
    OtherTask(i32),
}

/// For so long an owner of whose rows one took long is not quick. Microseconds.
const SLOW_FOR: i64 = 60_000_000;

/// A transaction takes up no further entries after this long. Microseconds.
const YOUNG: i64 = 25_000;

/// Runs one due entry, if there is one. True if there was. An executor that was idle tells the scheduler first: the run
/// may take long, and other entries be due.
pub fn one(me: &Me, turns: &mut Turns, was_idle: bool) -> bool {
    let begun = clock::monotonic();
    let found = match xact::run(|| claim_and_run(me, turns, was_idle, begun)) {
        Ok(Step::Nothing) => false,
        Ok(Step::Ran) => {
            turns.has_run = true;
            me.most.set((2 * me.most.get()).min(MOST));
            true
        }
        Ok(Step::NothingHere) => worker::exit(0),
        Ok(Step::OtherTask(task)) => {
            separate(turns);
            turns.session = task;
            // Not a run: whether the executor was idle still stands.
            return one(me, turns, was_idle);
        }
        Err(failure) => {
            turns.has_run = true;
            rolled_back(me, failure);
            true
        }
    };
    events::tell();
    if found {
        let took = clock::monotonic() - begun;
        turns.took(took);
        me.note_slowness(took);
    }
    let_out_of_hand(me);
    found
}

/// The run's transaction, which takes up to a thousand entries.
fn claim_and_run(me: &Me, turns: &mut Turns, was_idle: bool, begun: i64) -> Step {
    if user::extension().is_none() || !home::is_here() {
        return Step::NothingHere;
    }
    let Some(entry) = turns.claim(me, was_idle) else { return Step::Nothing };
    if entry.task != turns.session {
        return Step::OtherTask(entry.task);
    }
    me.execution.begin_transaction();
    me.execution.take_in_hand(&entry);
    if was_idle {
        me.wake_scheduler();
    }
    first_try(me, &entry);
    more(me, entry, begun);
    Step::Ran
}

/// It was rolled back: what it had in hand is dealt with, if it had anything.
fn rolled_back(me: &Me, failure: Failure) {
    events::forget();
    match me.execution.entry() {
        Some(entry) => ladder::climb(me, entry, failure),
        None => {
            // The scheduler sends another one if there is work, later each time it fails.
            failure.log("claim what is due; the executor ends");
            worker::exit(0);
        }
    }
}

/// Nothing executes any more: others may see and claim what is left of it.
fn let_out_of_hand(me: &Me) {
    let is_broken = me.execution.take_broken();
    if let Some(entry) = me.execution.entry().filter(|_| is_broken)
        && let Err(failure) = xact::run(|| batch::look_again(me, &entry))
    {
        failure.log("check a broken task again");
    }
    if me.execution.take_retry() {
        me.wake_scheduler();
    }
    me.execution.let_go();
}

/// Further entries of a date-field task in the same transaction, while it is young: a commit costs more than many a run. If
/// one of them fails, all of them run again, in halves and halves of halves, and what fails by itself is at fault. Rows that
/// were put aside do the same among themselves, each under a savepoint.
fn more(me: &Me, first: Entry, begun: i64) {
    let task = first.task;
    let is_fit = !first.origin.is_manual() && first.attempt == 0 && (first.is_isolated() || me.failing.get() != task);
    let is_dated = || me.prepared.task(task).is_some_and(|prepared| prepared.task.kind == TaskKind::DateField);
    if !is_fit || !is_dated() {
        return;
    }
    let (mut last, mut goes_on) = (first, true);
    while goes_on
        && me.execution.entries() < me.most.get()
        && clock::monotonic() - begun < YOUNG
        && !me.blocked.tasks().contains(&task)
        && let Some(entry) = me.wanted(Vec::new()).claim_after(&last)
    {
        me.execution.take_in_hand(&entry);
        if entry.is_isolated() {
            goes_on = put_aside_before(me, &entry, Rung::AsideSharing);
        } else {
            batch::run(me, &entry, Rung::Together);
        }
        last = entry;
    }
}

/// The entry as it was claimed. Together, but for rows that were put aside, and tasks whose last entry had some that fail.
fn first_try(me: &Me, entry: &Entry) {
    if entry.owes {
        return attempt::pay(entry, Writer::Executor(me.index));
    }
    if entry.is_isolated() {
        put_aside_before(me, entry, Rung::Aside);
        return;
    }
    let rung = match entry.keys.len() {
        1 => Rung::Single,
        _ if me.failing.get() == entry.task => Rung::Apart,
        _ => Rung::Together,
    };
    batch::run(me, entry, rung);
}

/// A row that has failed before, under a savepoint: so that it can be noted without another transaction if it fails again.
/// False where that may be for others' sake, who share the transaction, or where it has to wait for a lock: it runs in one
/// of its own, next.
fn put_aside_before(me: &Me, entry: &Entry, rung: Rung) -> bool {
    let mark = events::mark();
    let result = xact::savepoint(|| {
        let left = batch::run(me, entry, rung);
        xact::settle_deferred();
        left
    });
    match result {
        // By the transaction that has locked it. Deleted by the savepoint's, it would have two of them, and no index scan
        // could tell that it is dead: every claim would pass all that went before.
        Ok(Left::Entry) => entries::delete(entry.id),
        Ok(Left::Nothing) => {}
        Err(failure) if failure.is_cancel() => failure.raise(),
        Err(failure) => {
            events::forget_from(mark);
            let interruption = me.execution.take_interruption(entry.id, me.execution.part());
            if rung == Rung::AsideSharing && !sqlstate::is_own(&failure.sqlstate) && interruption == Interruption::None
            {
                // If it is the others' company that it does not bear, it is not put to it again at once.
                me.most.set(if failure.is_lock() { me.most.get() } else { 1 });
                return false;
            }
            ladder::note(me, entry.id, &failure, interruption);
            me.execution.note_retry();
        }
    }
    true
}

/// Between two tasks the session is made new.
fn separate(turns: &mut Turns) {
    if turns.session != 0 {
        tidy(turns);
    }
}

/// Makes the session new, in a transaction of its own: rolled back with a run, it would be undone. Also where nothing has
/// come for a while: what the last run locked or listens to is in others' way.
pub fn tidy(turns: &mut Turns) {
    if std::mem::take(&mut turns.has_run)
        && let Err(failure) = xact::run(session::reset)
    {
        failure.log("reset the session of an executor, which ends");
        worker::exit(0);
    }
}

impl Me {
    /// Did a row by itself take long?
    fn note_slowness(&self, took: i64) {
        if took > QUICK && self.slot.total.load(Acquire) == 1 && self.execution.entries() <= 1 {
            self.slot.slow_until.store(clock::monotonic() + SLOW_FOR, Release);
        }
    }

    /// Entries that other executors have claimed, also between two of their transactions.
    pub fn others_in_hand(&self) -> Vec<i64> {
        self.shared.in_hand(self.database, Some(self.slot))
    }
}
