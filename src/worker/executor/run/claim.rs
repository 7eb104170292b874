//! Claiming due entries, running and recording them, several in one transaction; and what happens when that fails: the
//! entries in halves, then the rows under savepoints, where a row's own error counts, and what else fails alone. In an
//! executor, which owns these transactions.

use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::{Writer, owed, record};
use crate::catalog::task::home;
use crate::pg::boundary::Failure;
use crate::pg::shmem::{Interruption, QUICK};
use crate::pg::{clock, current_run, session, user, worker, xact};
use crate::worker::executor::run::batch::{self, Mode, Try};
use crate::worker::executor::run::fair_share::Turns;
use crate::worker::executor::run::unnoted::Attempt;
use crate::worker::executor::session::{MOST, Me};
use crate::worker::{attempt, events};
use std::cell::RefCell;
use std::sync::atomic::Ordering::*;
use text::sqlstate;

thread_local! {
    /// What the transaction now running, or the one that just failed, has claimed.
    static CLAIMED: RefCell<Option<Entry>> = const { RefCell::new(None) };
}

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
    take_in_hand(me, &entry);
    if was_idle {
        me.wake_scheduler();
    }
    me.merged.set(1);
    first_try(me, &entry);
    more(me, entry, begun);
    Step::Ran
}

/// It was rolled back: what it had in hand is dealt with, if it had anything.
fn rolled_back(me: &Me, failure: Failure) {
    events::forget();
    match CLAIMED.take() {
        Some(entry) => after_failure(me, entry, failure),
        None => {
            // The scheduler sends another one if there is work, later each time it fails.
            failure.log("claim what is due; the executor ends");
            worker::exit(0);
        }
    }
}

/// Nothing executes any more: others may see and claim what is left of it.
fn let_out_of_hand(me: &Me) {
    let claimed = CLAIMED.take();
    if let Some(entry) = claimed.filter(|_| batch::was_broken())
        && let Err(failure) = xact::run(|| batch::look_again(me, &entry))
    {
        failure.log("check a broken task again");
    }
    if me.wake_at_end.take() {
        me.wake_scheduler();
    }
    current_run::leave();
    me.slot.rest();
    me.slot.task.store(0, Release);
    me.slot.entry.store(0, Release);
}

/// Further entries of a date-field task in the same transaction, while it is young: a commit costs more than many a run. If
/// one of them fails, all of them run again, in halves and halves of halves, and what fails by itself is at fault. Rows that
/// were put aside do the same among themselves, each under a savepoint.
fn more(me: &Me, first: Entry, begun: i64) {
    let task = first.task;
    let is_fit = !first.forced && first.attempt == 0 && (first.alone || me.failing.get() != task);
    let is_dated = || me.prepared.task(task).is_some_and(|prepared| prepared.task.kind == TaskKind::DateField);
    if !is_fit || !is_dated() {
        return;
    }
    let (mut last, mut goes_on) = (first, true);
    while goes_on
        && me.merged.get() < me.most.get()
        && clock::monotonic() - begun < YOUNG
        && !me.blocked.tasks().contains(&task)
        && let Some(entry) = me.wanted(Vec::new()).claim_after(&last)
    {
        me.slot.rest();
        take_in_hand(me, &entry);
        me.merged.set(me.merged.get() + 1);
        if entry.alone {
            goes_on = put_aside_before(me, &entry, Try::Sharing);
        } else {
            batch::run(me, &entry, Mode::Together, Try::First);
        }
        last = entry;
    }
}

/// The entry as it was claimed. Together, but for rows that were put aside, and tasks whose last entry had some that fail.
fn first_try(me: &Me, entry: &Entry) {
    if entry.owes {
        return attempt::pay(entry, Writer::Executor(me.index));
    }
    if entry.alone {
        put_aside_before(me, entry, Try::UnderSavepoint);
        return;
    }
    let mode = match entry.keys.len() {
        1 => Mode::Alone,
        _ if me.failing.get() == entry.task => Mode::Savepoints,
        _ => Mode::Together,
    };
    batch::run(me, entry, mode, Try::First);
}

/// A row that has failed before, under a savepoint: so that it can be noted without another transaction if it fails again.
/// False where that may be for others' sake, who share the transaction, or where it has to wait for a lock: it runs in one
/// of its own, next.
fn put_aside_before(me: &Me, entry: &Entry, try_: Try) -> bool {
    me.is_entry_done.set(false);
    let mark = events::mark();
    let result = xact::savepoint(|| {
        batch::run(me, entry, Mode::Alone, try_);
        xact::settle_deferred();
    });
    match result {
        // By the transaction that has locked it. Deleted by the savepoint's, it would have two of them, and no index scan
        // could tell that it is dead: every claim would pass all that went before.
        Ok(()) if me.is_entry_done.take() => entries::delete(entry.id),
        Ok(()) => {}
        Err(failure) if failure.is_cancel() => failure.raise(),
        Err(failure) => {
            events::forget_from(mark);
            let interruption = me.slot.take_interruption(entry.id, me.slot.position.load(Acquire));
            me.slot.rest();
            if try_ == Try::Sharing && !sqlstate::is_own(&failure.sqlstate) && interruption == Interruption::None {
                // If it is the others' company that it does not bear, it is not put to it again at once.
                me.most.set(if failure.is_lock() { me.most.get() } else { 1 });
                return false;
            }
            note(me, entry.id, &failure, interruption);
            me.wake_at_end.set(true);
        }
    }
    true
}

fn take_in_hand(me: &Me, entry: &Entry) {
    me.slot.total.store(entry.keys.len() as i32, Release);
    me.slot.task.store(entry.task, Release);
    me.slot.entry.store(entry.id, Release);
    CLAIMED.replace(Some(entry.clone()));
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
        if took > QUICK && self.slot.total.load(Acquire) == 1 && self.merged.get() == 1 {
            self.slot.slow_until.store(clock::monotonic() + SLOW_FOR, Release);
        }
    }

    /// Entries that other executors have claimed, also between two of their transactions.
    pub fn others_in_hand(&self) -> Vec<i64> {
        self.shared.in_hand(self.database, Some(self.slot))
    }
}

/// The run's transaction was rolled back.
fn after_failure(me: &Me, entry: Entry, failure: Failure) {
    let merged = me.merged.replace(1);
    if merged > 1 && !failure.is_cancel() && !me.slot.is_meant(entry.id) {
        me.most.set(merged / 2);
        me.slot.take_interruption(entry.id, 0);
        return me.slot.rest();
    }
    let position = usize::try_from(me.slot.position.load(Acquire)).unwrap_or_default();
    let locked = position.checked_sub(1).filter(|_| failure.is_lock());
    let started_at = batch::started_at();
    let mut interruption = Interruption::None;
    let done = settle(me, &entry, &failure, &mut interruption).unwrap_or_else(|| {
        let again = xact::run(|| {
            if let Some(entry) = entries::hold(entry.id) {
                batch::run(me, &entry, Mode::Savepoints, Try::Again(locked));
            }
        });
        again.or_else(|failure| {
            events::forget();
            // The COMMIT failed although each row went well under its savepoint: all of them alone.
            settle(me, &entry, &failure, &mut interruption)
                .unwrap_or_else(|| xact::undisturbed(|| entries::put_all_aside(entry.id)))
        })
    });
    me.slot.rest();
    // A retry may be due while this executor is busy with something else.
    me.wake_scheduler();
    if let Err(why) = done {
        me.unnoted.remember(&me.blocked, Attempt::new(entry, failure, interruption, started_at), &why);
    }
}

/// What the failure is counted as, where it is clear which row is at fault: one that ran alone, or the one that was
/// interrupted, which `interruption` says. None: the rows have to be tried one by one.
fn settle(me: &Me, entry: &Entry, failure: &Failure, interruption: &mut Interruption) -> Option<Result<(), Failure>> {
    let position = me.slot.position.load(Acquire);
    if position == 0 && failure.is_cancel() && entry.keys.len() > 1 && !entry.alone {
        return settle_call(me, entry, failure);
    }
    *interruption = me.slot.take_interruption(entry.id, position);
    me.slot.rest();
    if is_refused_unrun(failure) {
        return Some(xact::undisturbed(|| owed::wait(entry.id, entry.occurrence.due_at, &failure.message)));
    }
    if entry.alone || entry.keys.len() == 1 {
        return Some(xact::undisturbed(|| note(me, entry.id, failure, *interruption)));
    }
    let is_interrupted = failure.is_cancel() || *interruption == Interruption::Cancelled;
    (is_interrupted && position > 0).then(|| {
        xact::undisturbed(|| {
            entries::put_all_aside(entry.id);
            note(me, entry.id + i64::from(position - 1), failure, *interruption);
        })
    })
}

/// The same of a call with all rows of an entry that was interrupted. By cancel_record for the sake of one: the others run
/// by themselves. By pg_cancel_backend: it was an attempt of each.
fn settle_call(me: &Me, entry: &Entry, failure: &Failure) -> Option<Result<(), Failure>> {
    let cancelled = me.slot.take_cancelled(entry.id);
    let interruption = me.slot.take_interruption(entry.id, 0);
    me.slot.rest();
    let (rows, why) = match (cancelled, interruption) {
        (Some(position), _) => (position - 1..position, Interruption::Cancelled),
        (None, Interruption::None) => (0..entry.keys.len() as i32, Interruption::None),
        // It took too long: the rows are tried one by one, as after an error.
        _ => return None,
    };
    Some(xact::undisturbed(|| {
        entries::put_all_aside(entry.id);
        rows.for_each(|row| note(me, entry.id + i64::from(row), failure, why));
    }))
}

/// Was it a record that could not be written, of something that did not run: skipped, or cancelled?
fn is_refused_unrun(failure: &Failure) -> bool {
    record::was_refused() && !batch::has_run() && !failure.is_cancel()
}

/// The failure of a row that ran alone is an attempt, also if it was its record that failed.
fn note(me: &Me, entry: i64, failure: &Failure, interruption: Interruption) {
    let Some(entry) = entries::hold(entry) else { return };
    let writer = Writer::Executor(me.index);
    if is_refused_unrun(failure) {
        return owed::wait(entry.id, entry.occurrence.due_at, &failure.message);
    }
    if record::was_refused() && !failure.is_cancel() && interruption != Interruption::Cancelled {
        let message = format!("its record cannot be written: {}", failure.message);
        attempt::failed(&entry, &Failure { message, ..failure.clone() }, batch::started_at(), writer);
        return owed::note(entry.id, &failure.message);
    }
    attempt::ended(&entry, failure, interruption, batch::started_at(), writer);
}
