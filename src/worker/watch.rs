//! What the scheduler watches over beside the clock: runs whose time is up, runs that died, and since when its database
//! is served at all.

use super::attempt;
use crate::catalog::upkeep::health;
use crate::pg::shmem::{Database, Death, Interruption, Shared};
use crate::pg::{clock, xact};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::Instant;
use std::cell::Cell;
use std::sync::atomic::Ordering::*;

/// A process that is told to end by a shutdown of the server is not alone: the scheduler dies within this too, and
/// nothing is counted. Microseconds.
const SHUTDOWN_MICROS: i64 = 300_000;
/// A run that goes on this long after it was interrupted is ended with its process.
const GRACE: i64 = 4_000_000;

/// The least time between two looks at the schema, and the most while a task waits for what nobody tells of. Microseconds.
const CHECK_EVERY: i64 = 1_000_000;
const CHECK_MISSING_EVERY: i64 = 10_000_000;
/// A look at the schema takes this much of a pass; it goes on in the next one, when what is due has been sent to executors.
const CHECK_TIME: i64 = 30_000;

thread_local! {
    /// A look is under way: all tasks up to this one have been looked at.
    static LOOKED_TO: Cell<Option<i32>> = const { Cell::new(None) };
    /// What it has found so far.
    static FOUND_WANTS: Cell<bool> = const { Cell::new(false) };
    /// Up to this task they are looked at one by one: something failed when they were looked at together.
    static SINGLY_TO: Cell<i32> = const { Cell::new(i32::MIN) };
    static CHECKED_AT: Cell<i64> = const { Cell::new(0) };
    static WANTS_LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// Interrupts runs and planning whose time is up, ends those that do not heed it; when to look again.
pub fn deadlines(shared: &Shared, database: u32) -> i64 {
    let mut pause = i64::MAX;
    for slot in shared.executors_of(database) {
        let deadline = slot.deadline.load(Acquire);
        if deadline == 0 {
            continue;
        }
        let left = deadline - clock::monotonic();
        if left > 0 {
            pause = pause.min(left);
        } else if left <= -GRACE {
            // It catches query_canceled, or never looks: SIGTERM cannot be caught in SQL.
            slot.terminate(Interruption::Timeout);
            pause = pause.min(GRACE);
        } else {
            slot.time_is_up(deadline);
            pause = pause.min(500_000);
        }
    }
    clock::now().0.saturating_add(pause)
}

/// Looks at the clock. After a jump forward it is as if nobody had been there in the time that never was: what was due in
/// it is late, and each task's catch_up says what becomes of it.
pub fn clock(shared: &Shared, slot: &Database) {
    if let Some(by) = slot.clock_jump() {
        log!("jittask noticed that the clock was set by {} s", by / 1_000_000);
        shared.forget_times(slot.oid.load(Acquire));
        // Not later than now in any case, or all that falls due would be late until then.
        let (now, up_since) = (clock::now().0, slot.up_since.load(Acquire));
        if up_since != 0 && (by > 0 || up_since > now) {
            slot.up_since.store(now, Release);
        }
    }
}

/// The database is served from now on, if it was not: what was due before is late because nobody was there. Sees whether
/// tasks have what they need; gives the owners of those whose table is there again. In the scheduler's transaction.
pub fn came_up(shared: &Shared, database: u32, now: Instant) -> Vec<Oid> {
    let Some(slot) = shared.database(database) else { return Vec::new() };
    let is_new = slot.up_since.compare_exchange(0, now.0, AcqRel, Acquire).is_ok();
    if !is_new && now.0 < next_check(shared, database) {
        return Vec::new();
    }
    if LOOKED_TO.get().is_none() {
        slot.schema_changed.store(false, Release);
        CHECKED_AT.set(now.0);
        FOUND_WANTS.set(false);
        SINGLY_TO.set(i32::MIN);
        LOOKED_TO.set(Some(i32::MIN));
    }
    look_at_tasks()
}

/// Goes on with the look at the tasks, portion by portion, for a moment.
fn look_at_tasks() -> Vec<Oid> {
    let until = clock::monotonic() + CHECK_TIME;
    let mut to_adopt = Vec::new();
    while let Some(after) = LOOKED_TO.get() {
        let Some(found) = look_at_some(after) else { continue };
        FOUND_WANTS.set(FOUND_WANTS.get() || found.wants_looks);
        to_adopt.extend(found.to_adopt);
        LOOKED_TO.set(found.last);
        if clock::monotonic() > until {
            break;
        }
    }
    if LOOKED_TO.get().is_none() {
        WANTS_LOOKS.set(FOUND_WANTS.get());
    }
    to_adopt
}

/// The next tasks after this one, under a savepoint: what one of them brings about must not end everybody's pass, nor keep the others
/// from being looked at. None: from now on one by one.
fn look_at_some(after: i32) -> Option<health::Found> {
    let is_single = after < SINGLY_TO.get();
    let count = if is_single { 1 } else { health::PORTION };
    match xact::savepoint(|| health::check(after, count)) {
        Ok(found) => Some(found),
        Err(failure) if is_single => {
            failure.log("check whether a task has what it needs");
            Some(health::left_out(after))
        }
        Err(_) => {
            SINGLY_TO.set(health::last_of(after, count).unwrap_or(i32::MAX));
            None
        }
    }
}

/// Counts the attempts of runs whose process died, and gives their entries, to be forgotten once that is committed: until
/// then nobody may claim them. In the scheduler's transaction.
pub fn count_deaths(shared: &Shared, database: u32, now: Instant) -> Vec<i64> {
    let mut counted = Vec::new();
    for died in shared.deaths.iter().filter(|died| died.database.load(Acquire) == database) {
        let (entry, part, death) = (died.entry.load(Acquire), died.part.load(), died.death());
        if entry > 0 && (death == Death::Crash || now.0 - died.noted_at.load(Acquire) > SHUTDOWN_MICROS) {
            let started_at = Instant(died.started_at.load(Acquire));
            // Under a savepoint: what one of them brings about must not end everybody's pass.
            match xact::savepoint(|| attempt::died(entry, part, started_at, death)) {
                Ok(()) => counted.push(entry),
                Err(failure) => failure.log("count the attempt of a run whose process died"),
            }
        }
    }
    counted
}

/// The deaths of these entries are counted, and committed.
pub fn forget(shared: &Shared, database: u32, counted: &[i64]) {
    for died in shared.deaths.iter().filter(|died| died.database.load(Acquire) == database) {
        if counted.contains(&died.entry.load(Acquire)) {
            died.entry.store(0, Release);
        }
    }
}

/// When to see again whether tasks have what they need: at once after a change of the schema, but once a second at most.
pub fn next_check(shared: &Shared, database: u32) -> i64 {
    if LOOKED_TO.get().is_some() {
        return CHECKED_AT.get();
    }
    let is_changed = shared.database(database).is_some_and(|slot| slot.schema_changed.load(Acquire));
    let pause = match (is_changed, WANTS_LOOKS.get()) {
        (true, _) => CHECK_EVERY,
        (false, true) => CHECK_MISSING_EVERY,
        (false, false) => return i64::MAX,
    };
    // Not later than that from now: the clock may have been set back meanwhile.
    (CHECKED_AT.get() + pause).min(clock::now().0 + pause)
}

/// When the next death is to be counted.
pub fn next_death(shared: &Shared, database: u32) -> i64 {
    let waiting =
        shared.deaths.iter().filter(|died| died.database.load(Acquire) == database && died.entry.load(Acquire) > 0);
    waiting.map(|died| died.noted_at.load(Acquire) + SHUTDOWN_MICROS + 1000).min().unwrap_or(i64::MAX)
}

/// Nothing is run here for the time being.
pub fn went_down(shared: &Shared, database: u32) {
    if let Some(slot) = shared.database(database) {
        slot.up_since.store(0, Release);
    }
}
