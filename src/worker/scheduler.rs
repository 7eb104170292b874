//! The scheduler: one for a database with something due soon, connected as the bootstrap superuser. It reads jittask's
//! own tables and the system catalogs only, never a user's table and never a filter; plans scheduled tasks, whose
//! occurrences are arithmetic; sends executors to the owners that have work; and sleeps until the next due instant. A pass
//! is several transactions, each of which leaves a state that is right by itself.

use super::audits;
use super::compaction::Compaction;
use super::dispatch::{self, EARLY, Starts};
use super::events;
use super::pass::Pass;
use super::retention::Retention;
use super::strays;
use super::survey;
use super::top_up;
use super::watch;
use super::watched;
use crate::catalog::agenda::candidates;
use crate::catalog::agenda::outlook::Outlook;
use crate::catalog::task::{at_work, home};
use crate::pg::boundary::Failure;
use crate::pg::shmem::{self, Database, DatabaseState, Shared};
use crate::pg::{clock, user, worker, xact};
use crate::settings;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// With nothing due for this long the scheduler ends; the launcher brings it back.
const SLEEP_AFTER: i64 = 600_000_000;
/// It comes once a day in any case: records grow old.
const LONGEST_SLEEP: i64 = 86_400_000_000;
/// Minimum time between passes, so that frequent commits share one. Milliseconds.
const REST: i64 = 5;

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
    slot.serve();
    let (mut kept, mut jumps) = (Kept::new(), clock::Jumps::new());
    loop {
        worker::reload_if_asked();
        watch::clock(shared, slot);
        if jumps.look().is_some() {
            kept = Kept::new();
        }
        slot.scheduler.beat();
        let begun = clock::monotonic();
        let Some(next) = kept.round(shared, slot, database) else { continue };
        // Announced before the deadlines are read once more: one that an executor sets from now on wakes this process.
        slot.sleeps_until.store(clock::monotonic().saturating_add(next.saturating_sub(clock::now().0)), SeqCst);
        worker::wait_until(Instant(next.min(watch::deadlines(shared, database.to_u32()))));
        let rested = (clock::monotonic() - begun) / 1000;
        if rested < REST {
            worker::rest(REST - rested);
        }
    }
}

/// What a scheduler keeps from pass to pass, until the clock is set.
struct Kept {
    starts: Starts,
    retention: Retention,
    compaction: Compaction,
    outlook: Outlook,
}

impl Kept {
    fn new() -> Kept {
        Kept {
            starts: Starts::default(),
            retention: Retention::new(),
            compaction: Compaction::new(),
            outlook: Outlook::default(),
        }
    }

    /// A pass, the executors that it asks for, and the small work behind it; when to look again, None: at once. Ends the process
    /// where nothing is to be done for long.
    fn round(&mut self, shared: &Shared, slot: &Database, database: Oid) -> Option<i64> {
        slot.changed.store(false, Release);
        let pass = self.pass(shared, slot);
        if pass.is_absent {
            end(slot, DatabaseState::Absent, i64::MAX);
        }
        slot.failures.store(0, Release);
        let retry = dispatch::all(shared, slot, &pass.owners, &pass.task_owners, &self.outlook, &mut self.starts);
        let next_check = if pass.is_asleep { i64::MAX } else { watch::next_check(shared, database.to_u32()) };
        let next = pass.next.min(retry).min(watch::deadlines(shared, database.to_u32()));
        let next = next.min(watch::next_death(shared, database.to_u32())).min(next_check);
        let now = clock::now().0;
        let may_sleep = !pass.watches
            && next_check == i64::MAX
            && pass.next.min(retry) - now > SLEEP_AFTER
            && shared.executors_of(database.to_u32()).next().is_none();
        let look_again_at = self.outlook.look_again_at().filter(|_| !pass.is_asleep);
        if may_sleep && look_again_at.is_some() {
            // Who comes next begins at the front, but nobody would come for what somebody has not told of.
            self.outlook = Outlook::default();
            return None;
        }
        let mut next = look_again_at.map_or(next, |at| at.0.min(next));
        if !pass.is_asleep {
            next = next.min(self.retention.work(may_sleep)).min(self.compaction.work(may_sleep));
        }
        // Not before old records are gone, or those of a task that runs once a month would stay.
        if may_sleep && (pass.is_asleep || self.retention.is_done()) {
            end(slot, DatabaseState::Asleep, (pass.next.min(retry) - EARLY).min(now + LONGEST_SLEEP));
        }
        Some(next)
    }

    /// The pass, or what there is to do after one that failed.
    fn pass(&mut self, shared: &Shared, slot: &Database) -> Pass {
        worker::report(Some("jittask: looking what is due"));
        let pass = pass(shared, slot, &mut self.outlook).unwrap_or_else(|failure| {
            failure.log("look what is due");
            // Whatever it has looked at is undone.
            slot.schema_changed.store(true, Release);
            self.outlook = Outlook::default();
            Pass { watches: true, ..Pass::asleep(clock::now().0 + 1_000_000) }
        });
        worker::report(None);
        pass
    }
}

/// Ends the process on purpose. What was changed since the pass is for the next scheduler.
fn end(slot: &Database, state: DatabaseState, wake_at: i64) -> ! {
    slot.end_service(state, wake_at);
    worker::exit(0)
}

#[pg_guard]
extern "C-unwind" fn leave(_code: i32, argument: pgrx::pg_sys::Datum) {
    let Some(slot) = shmem::shared().and_then(|shared| shared.database(argument.value() as u32)) else { return };
    // Not by `end`: it failed, or was told to go.
    if slot.state() == DatabaseState::Served {
        slot.failures.fetch_add(1, AcqRel);
        slot.look_again();
    }
    slot.waits_since.store(0, Release);
    slot.scheduler.leave();
}

/// A pass. Locks on tasks and series end with the portion that took them: whoever alters or drops one waits for no more.
fn pass(shared: &Shared, slot: &Database, outlook: &mut Outlook) -> Result<Pass, Failure> {
    let now = clock::now();
    let (mut pass, counted) = xact::run(|| begin(shared, now))?;
    // Counted once: committed, whatever becomes of the rest of the pass.
    watch::forget(shared, worker::database().to_u32(), &counted);
    events::tell();
    pass.next = events::next_try().map_or(pass.next, |at| at.0.min(pass.next));
    if pass.is_asleep || pass.is_absent {
        *outlook = Outlook::default();
    } else {
        let up_since = slot.up_since.load(Acquire);
        let up_since = if up_since == 0 { now } else { Instant(up_since.min(now.0)) };
        pass.next = pass.next.min(top_up::all(now, up_since)?);
        xact::run(|| find_work(shared, slot, now, outlook, &mut pass))?;
    }
    Ok(pass)
}

/// May anything run here? What came up, and who died. With the deaths that it has counted; entries.
fn begin(shared: &Shared, now: Instant) -> (Pass, Vec<i64>) {
    let asleep = Pass::asleep(now.0 + 2 * SLEEP_AFTER);
    if user::extension().is_none() {
        return (Pass { is_absent: true, ..asleep }, Vec::new());
    }
    let database = worker::database().to_u32();
    let is_here = home::is_here();
    if !settings::ENABLED.get() || !is_here {
        watch::went_down(shared, database);
        // Where much is written in a copy, this process stays: the next row that is captured would start another one.
        let is_written = !is_here && candidates::discard_all();
        let next = if is_written { now.0 + SLEEP_AFTER / 2 } else { asleep.next };
        return (Pass { next, ..asleep }, Vec::new());
    }
    let settings = user::Settings::begin();
    settings.wait_at_most(1_000_000);
    let to_adopt = watch::came_up(shared, database, now);
    let counted = watch::count_deaths(shared, database, now);
    settings.end();
    let owners = to_adopt.into_iter().map(|owner| (owner, true)).collect();
    (Pass { is_asleep: false, owners, ..asleep }, counted)
}

/// Who has something to run or to plan, and when the next has.
fn find_work(shared: &Shared, slot: &Database, now: Instant, outlook: &mut Outlook, pass: &mut Pass) {
    // Dropped since the pass began: the next one sees it.
    if user::extension().is_none() {
        pass.next = now.0;
        return;
    }
    let database = worker::database().to_u32();
    let settings = user::Settings::begin();
    settings.wait_at_most(1_000_000);
    look(shared, slot, now, outlook, pass);
    watched::find_planning(shared, now, pass);
    strays::find(slot, now, pass);
    audits::find(now, pass);
    pass.task_owners = at_work::owners();
    // Limits are there by now, to note in them what is found.
    if survey::go_on(shared, database) {
        pass.next = now.0;
    }
    settings.end();
}

/// Who has something to run, and when the next has.
fn look(shared: &Shared, slot: &Database, now: Instant, outlook: &mut Outlook, pass: &mut Pass) {
    let database = slot.oid.load(Acquire);
    // Before any snapshot: what is told of from here on is for the next pass.
    let told = slot.told.take();
    let next = outlook.look(&told, &shared.in_hand(database, None));
    if next.goes_on {
        pass.next = now.0;
    }
    for (owner, run_at) in next.by_owner {
        if run_at.0 > now.0 + EARLY {
            pass.next = pass.next.min(run_at.0 - EARLY);
            continue;
        }
        pass.owners.push((owner, false));
        pass.next = pass.next.min(now.0 + 1_000_000);
        // It may lie behind where they look, for it was locked, or has come late.
        let own = shared.executors_of(database).filter(|slot| slot.owner.load(Acquire) == owner.to_u32());
        own.for_each(|slot| slot.due_from.tell(run_at));
    }
}
