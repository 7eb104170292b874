//! The scheduler: one for a database with something due soon, connected as the bootstrap superuser. It reads jittask's
//! own tables and the system catalogs only, never a user's table and never a filter; plans scheduled tasks, whose
//! occurrences are arithmetic; sends executors to the owners that have work; and sleeps until the next due instant. Each
//! pass is a transaction.

use super::compaction::Compaction;
use super::dispatch::{self, EARLY, Starts};
use super::events;
use super::need;
use super::retention::Retention;
use super::survey;
use super::watch;
use super::watched;
use crate::catalog::due::{self, Floor};
use crate::catalog::enter::{self, New};
use crate::catalog::tally::{self, Counts, Writer};
use crate::catalog::task::{self, Task};
use crate::catalog::{capture, health, home, series};
use crate::pg::shmem::{self, Database, DatabaseState, Shared};
use crate::pg::{clock, user, worker, xact};
use crate::settings;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::{Base, Instant};
use std::sync::atomic::Ordering::*;

/// With nothing due for this long the scheduler ends; the launcher brings it back.
const SLEEP_AFTER: i64 = 600_000_000;
/// It comes once a day in any case: records grow old.
const LONGEST_SLEEP: i64 = 86_400_000_000;
/// From pass to pass at least: who writes often calls often. Milliseconds.
const REST: i64 = 5;
/// Occurrences of one scheduled task that are planned at a time.
const TOP_UP: usize = 2000;
/// And for how long, in one pass. Microseconds.
const TOP_UP_TIME: i64 = 50_000;

/// What a pass found.
pub(super) struct Pass {
    /// The extension is not here.
    is_absent: bool,
    /// Nothing may run here, or nothing has to.
    is_asleep: bool,
    /// When to look again.
    pub(super) next: i64,
    /// Who has work now, and whether there may be something to plan.
    pub(super) owners: Vec<(Oid, bool)>,
    /// There are date-field tasks, whose tables are watched.
    pub(super) watches: bool,
    /// Deaths that it has counted; entries.
    counted: Vec<i64>,
    /// Who has tasks at all.
    task_owners: Vec<Oid>,
}

#[unsafe(no_mangle)]
#[pg_guard]
extern "C-unwind" fn jittask_scheduler(argument: pgrx::pg_sys::Datum) {
    let database = Oid::from(argument.value() as u32);
    let Some(shared) = shmem::shared() else { return };
    let Some(slot) = shared.database(database.to_u32()) else { return };
    slot.scheduler.enter();
    worker::at_exit(leave, argument.value());
    worker::take_signals();
    worker::connect(database);
    slot.set_state(DatabaseState::Served);
    let (mut starts, mut jumps) = (Starts::default(), clock::Jumps::new());
    let (mut retention, mut compaction, mut floor) = (Retention::new(), Compaction::new(), Floor::default());
    loop {
        worker::reload_if_asked();
        watch::clock(shared, slot);
        if jumps.look().is_some() {
            (starts, retention, compaction) = (Starts::default(), Retention::new(), Compaction::new());
            floor = Floor::default();
        }
        slot.scheduler.beat();
        let begun = clock::monotonic();
        slot.changed.store(false, Release);
        worker::report(Some("jittask: looking what is due"));
        let pass = xact::run(|| pass(shared, &mut floor)).unwrap_or_else(|failure| {
            warning!("jittask scheduler: {}", failure.message);
            // Whatever it has looked at is undone.
            slot.schema_changed.store(true, Release);
            Pass {
                is_absent: false,
                is_asleep: true,
                next: clock::now().0 + 1_000_000,
                owners: Vec::new(),
                watches: true,
                counted: Vec::new(),
                task_owners: Vec::new(),
            }
        });
        watch::forget(shared, &pass.counted);
        events::tell();
        worker::report(None);
        if pass.is_absent {
            end(slot, DatabaseState::Absent, i64::MAX);
        }
        slot.failures.store(0, Release);
        let retry = dispatch::all(shared, slot, &pass.owners, &pass.task_owners, floor.since(), &mut starts);
        let next_check = if pass.is_asleep { i64::MAX } else { watch::next_check(shared, database.to_u32()) };
        let next = pass.next.min(retry).min(watch::deadlines(shared, database.to_u32()));
        let next = next.min(watch::next_death(shared, database.to_u32())).min(next_check);
        let now = clock::now().0;
        let may_sleep = !pass.watches
            && next_check == i64::MAX
            && pass.next.min(retry) - now > SLEEP_AFTER
            && shared.executors_of(database.to_u32()).next().is_none();
        // Not before old records are gone, or those of a task that runs once a month would stay.
        let next =
            if pass.is_asleep { next } else { next.min(retention.work(may_sleep)).min(compaction.work(may_sleep)) };
        if may_sleep && (pass.is_asleep || retention.is_done()) {
            end(slot, DatabaseState::Asleep, (pass.next.min(retry) - EARLY).min(now + LONGEST_SLEEP));
        }
        // Announced before the deadlines are read once more: one that an executor sets from now on wakes this process.
        slot.sleeps_until.store(clock::monotonic().saturating_add(next.saturating_sub(clock::now().0)), SeqCst);
        worker::wait_until(Instant(next.min(watch::deadlines(shared, database.to_u32()))));
        let rested = (clock::monotonic() - begun) / 1000;
        if rested < REST {
            worker::rest(REST - rested);
        }
    }
}

/// Ends the process on purpose. What was changed since the pass is for the next scheduler.
fn end(slot: &Database, state: DatabaseState, wake_at: i64) -> ! {
    slot.wake_at.store(wake_at, Release);
    if state == DatabaseState::Absent {
        slot.task_owner.store(0, Release);
    }
    slot.set_state(if slot.changed.load(Acquire) { DatabaseState::Unknown } else { state });
    worker::exit(0)
}

#[pg_guard]
extern "C-unwind" fn leave(_code: i32, argument: pgrx::pg_sys::Datum) {
    let Some(slot) = shmem::shared().and_then(|shared| shared.database(argument.value() as u32)) else { return };
    // Not by `end`: it failed, or was told to go.
    if slot.state() == DatabaseState::Served {
        slot.failures.fetch_add(1, AcqRel);
        slot.set_state(DatabaseState::Unknown);
    }
    slot.scheduler.leave();
}

fn pass(shared: &Shared, floor: &mut Floor) -> Pass {
    let now = clock::now();
    let asleep = Pass {
        is_absent: false,
        is_asleep: true,
        next: now.0 + 2 * SLEEP_AFTER,
        owners: Vec::new(),
        watches: false,
        counted: Vec::new(),
        task_owners: Vec::new(),
    };
    if user::extension().is_none() {
        return Pass { is_absent: true, ..asleep };
    }
    let database = worker::database().to_u32();
    let is_here = home::is_here();
    if !settings::ENABLED.get() || !is_here {
        watch::went_down(shared, database);
        // Where much is written in a copy, this process stays: the next row that is captured would start another one.
        let is_written = !is_here && capture::discard_all();
        return if is_written { Pass { next: now.0 + SLEEP_AFTER / 2, ..asleep } } else { asleep };
    }
    let settings = user::Settings::begin();
    settings.set(c"lock_timeout", c"1s");
    let to_adopt = watch::came_up(shared, database, now);
    let counted = watch::count_deaths(shared, database, now);
    // What was counted may be retried, but is left out of this pass: once it is forgotten, another one.
    let next = if counted.is_empty() { asleep.next } else { now.0 };
    let owners = to_adopt.into_iter().map(|owner| (owner, true)).collect();
    let mut pass = Pass { is_asleep: false, counted, next, owners, ..asleep };
    top_up(now, &mut pass);
    let next_by_owner = due::next_by_owner(&shared.in_hand(database, None), floor.begin());
    floor.note(next_by_owner.iter().map(|(_, run_at)| *run_at).min(), now);
    pass.next = floor.look_again_at().map_or(pass.next, |at| at.0.min(pass.next));
    for (owner, run_at) in next_by_owner {
        if run_at.0 <= now.0 + EARLY {
            pass.owners.push((owner, false));
            pass.next = pass.next.min(now.0 + 1_000_000);
        } else {
            pass.next = pass.next.min(run_at.0 - EARLY);
        }
    }
    watched::find_planning(shared, now, &mut pass);
    pass.task_owners = task::owners();
    // Limits are there by now, to note in them what is found.
    if survey::go_on(shared, database) {
        pass.next = now.0;
    }
    settings.end();
    pass
}

/// Keeps each scheduled task's series in the agenda up to beyond the horizon. Those that have missed something come last:
/// it may be very much, of one owner, and the others' must not run out meanwhile.
fn top_up(now: Instant, pass: &mut Pass) {
    let horizon = need::horizon();
    let Some(mut end) = series::earliest_end() else { return };
    if end.0 < now.0 + horizon / 2 {
        let is_done = top_up_some(now, Some((now, i32::MIN)), Instant(now.0 + horizon)) & top_up_some(now, None, now);
        if !is_done {
            // What is due now waits for this. The rest comes with the next pass, which is at once.
            pass.next = now.0;
            return;
        }
        end = series::earliest_end().unwrap_or(Instant(i64::MAX));
    }
    pass.next = pass.next.min((end.0 - horizon / 2).max(now.0 + 1_000_000));
}

/// Those whose planned series end after `last` and before `until`, for a moment. False if there are more.
fn top_up_some(now: Instant, mut last: Option<(Instant, i32)>, until: Instant) -> bool {
    let stop_at = clock::monotonic() + TOP_UP_TIME;
    loop {
        let some = task::to_top_up(until, last);
        let Some(end) = some.last() else { return true };
        last = Some(*end);
        for (_, task) in &some {
            if clock::monotonic() > stop_at || !top_up_one(*task, now, stop_at) {
                return false;
            }
        }
    }
}

/// False if there is more of it that was missed. Executors know then that what they find is not the last (`executor::late`).
fn top_up_one(task: i32, now: Instant, stop_at: i64) -> bool {
    // As it is now that its series is locked: whoever alters it waits.
    let Some(task) = task::by_id(task).filter(|task| task.enabled && !task.is_dropped) else { return true };
    let horizon = Instant(now.0 + need::horizon());
    loop {
        // Under a savepoint: one task's trouble is not the others'.
        match xact::savepoint(|| plan_series(&task, now, horizon)) {
            Ok(true) if clock::monotonic() > stop_at => return false,
            Ok(true) => {}
            Ok(false) => return true,
            Err(failure) => {
                warning!("jittask cannot plan task \"{}\": {}", task.name, failure.message);
                return true;
            }
        }
    }
}

/// True if there are more in the past.
fn plan_series(task: &Task, now: Instant, horizon: Instant) -> bool {
    let timing = match task.timing() {
        Ok(timing) => timing,
        Err(problem) => {
            health::mark(task.id, problem.message());
            return false;
        }
    };
    let (Some(base), Some(planned)) = (timing.start_at, series::hold(task.id)) else { return false };
    if planned.due_at >= horizon {
        return false;
    }
    let window = schedule::span_micros(timing.catch_up_window);
    let from = Instant(planned.due_at.0 + 1).max(task.floor(now, window));
    let mut next: Vec<New> = Vec::new();
    let mut last = None;
    for occurrence in timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from).take(TOP_UP) {
        last = Some(occurrence);
        next.push(New::scheduled(occurrence, task.looks_from.is_some() && occurrence.due_at < now));
        if occurrence.due_at > horizon {
            break;
        }
    }
    enter::insert(task.owner, task.id, &next);
    tally::add(task.id, Writer::Scheduler, Counts { entered: next.len() as i64, ..Default::default() }, None);
    series::set(task.id, last);
    let is_behind = last.is_some_and(|last| last.due_at < now);
    if let Some(asked) = task.looks_from.filter(|_| !is_behind) {
        task::set_looked_through(task.id, asked);
    }
    is_behind
}
