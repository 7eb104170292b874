//! The launcher: one for the cluster, connected to no database. It starts a scheduler for each database that may have
//! the extension, again when that one's next due time comes, and after CREATE EXTENSION was committed.

use crate::pg::shmem::{self, Database, DatabaseState, Death, Shared};
use crate::pg::{clock, databases, flight, worker, xact};
use crate::settings;
use pgrx::prelude::*;
use schedule::Instant;
use std::cell::Cell;
use std::sync::atomic::Ordering::*;

/// Without any event the databases are looked through this often.
const LOOK_EVERY: i64 = 60_000_000;
/// How long a started scheduler may take to show itself.
const START_PATIENCE: i64 = 10_000_000;
/// When the server has no worker slot left, the next try is after this.
const NO_WORKER_PAUSE: i64 = 200_000;
const FIRST_BACKOFF: i64 = 500_000;
const LONGEST_BACKOFF: i64 = 60_000_000;

thread_local! {
    static COMPLAINED_AT: Cell<i64> = const { Cell::new(0) };
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
    asleep.for_each(|slot| slot.set_state(DatabaseState::Unknown));
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
        .filter_map(|database| shared.database_by_turns(database.oid.to_u32()))
        .map(|slot| serve(shared, slot, now))
        .fold(now + LOOK_EVERY, i64::min)
}

fn forget_dropped(shared: &Shared, found: &[databases::Found]) {
    for slot in &shared.databases {
        let oid = slot.oid.load(Acquire);
        let gone = oid != 0 && !found.iter().any(|database| database.oid.to_u32() == oid);
        if gone && !slot.scheduler.is_alive() && shared.executors_of(oid).next().is_none() {
            shared.forget_limits_of(oid);
            slot.failures.store(0, Relaxed);
            slot.task_owner.store(0, Release);
            slot.keep_out_until.store(0, Relaxed);
            slot.set_state(DatabaseState::Unknown);
            slot.oid.store(0, Release);
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
    slot.set_state(DatabaseState::Served);
    let database = slot.oid.load(Acquire);
    if worker::start("jittask scheduler", "jittask scheduler", c"jittask_scheduler", database as usize, worker::pid()) {
        return now + START_PATIENCE;
    }
    slot.set_state(DatabaseState::Unknown);
    complain(shared, now);
    now + NO_WORKER_PAUSE
}

/// There was no worker slot: for status(), and at most one line a minute in the log.
pub fn complain(shared: &Shared, now: i64) {
    shared.note_no_worker(now);
    if (now - COMPLAINED_AT.get()).abs() > 60_000_000 {
        COMPLAINED_AT.set(now);
        log!("jittask could not start a worker: max_worker_processes is used up");
    }
}
