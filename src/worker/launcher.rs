//! The launcher: one for the cluster, connected to no database. It starts a scheduler for each database that may have
//! the extension, again when that one's next due time comes, and after CREATE EXTENSION was committed.

use crate::pg::shmem::{self, Database, DatabaseState, Death, Shared};
use crate::pg::{clock, databases, flight, worker, xact};
use crate::settings;
use pgrx::prelude::*;
use schedule::Instant;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::Ordering::*;

/// Without any event the databases are looked through this often.
const LOOK_EVERY: i64 = 60_000_000;
/// Where there are more databases than slots, one without the extension that had none is looked into this often. Whoever
/// installs the extension there takes a slot itself.
const TURN_EVERY: i64 = 600_000_000;
/// How long a started scheduler may take to show itself.
const START_PATIENCE: i64 = 10_000_000;
/// When the server has no worker slot left, the next try is after this.
const NO_WORKER_PAUSE: i64 = 200_000;
const FIRST_BACKOFF: i64 = 500_000;
const LONGEST_BACKOFF: i64 = 60_000_000;

thread_local! {
    static COMPLAINED_AT: Cell<i64> = const { Cell::new(0) };
    /// Databases without the extension that had to give their slots to others, and when. Microseconds since 1970.
    static WITHOUT_SLOT: RefCell<HashMap<u32, i64>> = RefCell::new(HashMap::new());
}

/// Registers the worker with the postmaster.
pub fn register() {
    worker::register_static("jittask launcher", c"jittask_launcher");
}

#[unsafe(no_mangle)]
#[pg_guard]
extern "C-unwind" fn jittask_launcher(_argument: pgrx::pg_sys::Datum) {
    let Some(shared) = shmem::shared() else { return };
    worker::at_exit(leave, 0);
    worker::take_signals();
    worker::connect_nowhere();
    shared.launcher.enter();
    note_crashes(shared);
    let mut jumps = clock::Jumps::new();
    loop {
        if worker::reload_if_asked() {
            wake_all(shared);
        }
        if jumps.look().is_some() {
            forget_times(shared);
            wake_all(shared);
        }
        shared.launcher.beat();
        let next = if settings::ENABLED.get() { look(shared) } else { clock::now().0 + LOOK_EVERY };
        worker::wait_until(Instant(next));
    }
}

/// The clock was set: who was given time has as much from now on.
fn forget_times(shared: &Shared) {
    let now = clock::now().0;
    for slot in &shared.databases {
        if !slot.scheduler.is_alive() {
            slot.scheduler.since.store(now, Release);
        }
        slot.keep_out_until.fetch_min(now + START_PATIENCE, AcqRel);
    }
}

/// Settings or the clock changed: a database that sleeps because jittask was off, by an old horizon, or until an instant
/// that is nearer now, is looked at again.
fn wake_all(shared: &Shared) {
    let asleep = shared.databases.iter().filter(|slot| slot.state() == DatabaseState::Asleep);
    asleep.for_each(Database::look_again);
}

/// What executors were executing when one of them took the server down.
fn note_crashes(shared: &Shared) {
    for crash in flight::take_crashes(|index| shared.executors[index].process.is_alive()) {
        shared.note_death(crash, Death::Crash);
    }
}

#[pg_guard]
extern "C-unwind" fn leave(_code: i32, _argument: pgrx::pg_sys::Datum) {
    if let Some(shared) = shmem::shared() {
        shared.launcher.leave();
    }
}

/// One look at all databases; when to look again, at the latest.
fn look(shared: &Shared) -> i64 {
    let now = clock::now().0;
    let found = match xact::run(databases::list) {
        Ok(found) => found,
        Err(failure) => {
            failure.log("read the list of databases");
            return now + 1_000_000;
        }
    };
    forget_dropped(shared, &found);
    let wanted = found.iter().filter(|database| settings::serves(&database.name));
    wanted
        .filter_map(|database| slot_of(shared, database.oid.to_u32(), now))
        .map(|slot| serve(shared, slot, now))
        .fold(now + LOOK_EVERY, i64::min)
}

/// The slot of a database, taken from one that has no need of it if need be; None: it has none, and it is not its turn.
fn slot_of(shared: &Shared, oid: u32, now: i64) -> Option<&Database> {
    WITHOUT_SLOT.with_borrow_mut(|without| {
        let waits = without.get(&oid).is_some_and(|at| (0..TURN_EVERY).contains(&(now - at)));
        if waits {
            return shared.known_database(oid);
        }
        let (slot, before) = shared.database_by_turns(oid)?;
        without.extend(before.map(|before| (before, now)));
        without.remove(&oid);
        Some(slot)
    })
}

fn forget_dropped(shared: &Shared, found: &[databases::Found]) {
    let is_there = |oid: u32| found.iter().any(|database| database.oid.to_u32() == oid);
    WITHOUT_SLOT.with_borrow_mut(|without| without.retain(|oid, _| is_there(*oid)));
    for slot in &shared.databases {
        let oid = slot.oid.load(Acquire);
        if oid != 0 && !is_there(oid) && !slot.scheduler.is_alive() && shared.executors_of(oid).next().is_none() {
            shared.forget_limits_of(oid);
            slot.free(oid);
        }
    }
}

/// Starts the database's scheduler if it is time; when to look at it again.
fn serve(shared: &Shared, slot: &Database, now: i64) -> i64 {
    let keep_out = slot.keep_out_until.load(Acquire);
    if now < keep_out {
        return keep_out;
    }
    match slot.state() {
        DatabaseState::Absent => now + LOOK_EVERY,
        DatabaseState::Asleep => {
            let wake_at = slot.wake_at.load(Acquire);
            if now >= wake_at || slot.changed.load(Acquire) { start(shared, slot, now) } else { wake_at }
        }
        DatabaseState::Served if slot.scheduler.is_alive() => now + LOOK_EVERY,
        DatabaseState::Served => {
            let patience = slot.scheduler.since.load(Acquire) + START_PATIENCE;
            if now < patience { patience } else { start(shared, slot, now) }
        }
        DatabaseState::Unknown => {
            // A scheduler that failed is tried again, later each time.
            let failures = slot.failures.load(Acquire);
            let pause = if failures == 0 { 0 } else { (FIRST_BACKOFF << failures.min(10)).min(LONGEST_BACKOFF) };
            let due = slot.scheduler.since.load(Acquire) + pause;
            if failures > 0 && now < due { due } else { start(shared, slot, now) }
        }
    }
}

fn start(shared: &Shared, slot: &Database, now: i64) -> i64 {
    slot.scheduler.since.store(now, Release);
    slot.serve();
    let database = slot.oid.load(Acquire);
    if worker::start("jittask scheduler", "jittask scheduler", c"jittask_scheduler", database as usize, worker::pid()) {
        return now + START_PATIENCE;
    }
    slot.look_again();
    complain(shared, now);
    now + NO_WORKER_PAUSE
}

/// There was no worker slot: for status(), and at most one line a minute in the log.
pub fn complain(shared: &Shared, now: i64) {
    shared.note_no_worker(now);
    if (now - COMPLAINED_AT.get()).abs() > 60_000_000 {
        COMPLAINED_AT.set(now);
        log!("jittask could not start a worker: all max_worker_processes slots are in use");
    }
}
