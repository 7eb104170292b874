//! The executor: one for a database, owner and slot, connected *as the owner*, so that no user code in it could ever be
//! more. It plans the owner's date-field tasks, claims what is due, runs it and records it, oldest first.

mod audit;
mod blocked;
mod plan;
mod prepare;
mod run;
mod session;
mod slices;
mod step;
mod strays;

use crate::catalog::agenda::due;
use crate::catalog::table::path;
use crate::pg::part::Part;
use crate::pg::shmem::{self, Death, Executor, Interruption, Shared};
use crate::pg::{clock, flight, invalidation, sql, user, worker, xact};
use crate::settings;
use crate::worker::executor::run::claim;
use crate::worker::executor::run::fair_share::Turns;
use crate::worker::executor::session::Me;
use crate::worker::{events, watch};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

#[unsafe(no_mangle)]
#[pg_guard]
extern "C-unwind" fn jittask_executor(argument: pgrx::pg_sys::Datum) {
    let index = argument.value();
    let Some(shared) = shmem::shared() else { return };
    let slot = &shared.executors[index];
    let (database, owner) = (slot.database.load(Acquire), Oid::from(slot.owner.load(Acquire)));
    slot.enter();
    flight::enter(index, database);
    worker::at_exit(leave, index);
    worker::take_signals();
    worker::connect_as(Oid::from(database), owner);
    // A role's own settings could have changed it.
    if user::current() != owner || user::session() != owner {
        error!("jittask executor is not connected as its owner; check ALTER ROLE … SET role");
    }
    if let Err(failure) = xact::run(path::keep_to_superusers) {
        error!("jittask executor cannot set its search_path: {}", failure.message);
    }
    slot.connect();
    invalidation::listen();
    let me = Me::new(shared, index, database, owner);
    work(&me);
    events::tell_last();
    worker::exit(0)
}

#[pg_guard]
extern "C-unwind" fn leave(_code: i32, argument: pgrx::pg_sys::Datum) {
    let Some(shared) = shmem::shared() else { return };
    let slot = &shared.executors[argument.value()];
    let database = slot.database.load(Acquire);
    let home = shared.databases.iter().find(|slot| slot.oid.load(Acquire) == database);
    if !slot.was_connected()
        && let Some(home) = home
    {
        home.refused_owner.store(slot.owner.load(Acquire), Release);
    }
    shared.note_planning_that_ended(slot);
    if !is_kept_out(shared, database) && !slot.is_reclaimed() {
        note_death(shared, slot);
    }
    slot.leave();
    // Whoever waits for a slot, or for the rest of this one's work, is dispatched anew.
    if let Some(home) = home {
        home.scheduler.wake();
    }
    shared.databases.iter().filter(|slot| slot.slot_wanted.load(Acquire)).for_each(|slot| {
        slot.scheduler.wake();
    });
}

/// What it ran is an attempt, which the scheduler counts. Where rows were read ahead nobody knows by which row it ended.
fn note_death(shared: &Shared, slot: &Executor) {
    let (entry, part) = (slot.entry.load(Acquire), slot.part.load());
    let (started_at, reads_ahead) = (slot.started_at.load(Acquire), slot.step.took().is_some() && entry > 0);
    if started_at == 0 && !reads_ahead {
        return;
    }
    let timed_out = slot.take_interruption(entry, part) == Interruption::Timeout;
    let death = if timed_out { Death::Timeout } else { Death::Terminated };
    let run = flight::Ended {
        database: slot.database.load(Acquire),
        entry,
        part: if reads_ahead { Part::All } else { part },
        started_at: if started_at == 0 { clock::now().0 } else { started_at },
    };
    shared.note_death(run, death);
}

/// Does somebody drop, rename or copy the database?
fn is_kept_out(shared: &Shared, database: u32) -> bool {
    let slot = shared.databases.iter().find(|slot| slot.oid.load(Acquire) == database);
    slot.is_none_or(|slot| clock::now().0 < slot.keep_out_until.load(Acquire))
}

/// Until there is nothing to do for `jittask.executor_idle`, or another owner needs the slot.
fn work(me: &Me) {
    let mut idle_since = clock::now().0;
    let (mut turns, mut was_idle, mut jumps) = (Turns::default(), true, clock::Jumps::new());
    // At the start there may be a lot to run, which goes before looking through the past.
    let mut had_nothing = false;
    loop {
        worker::check_interrupts();
        worker::reload_if_asked();
        if let Some(home) = me.home() {
            watch::clock(me.shared, home);
        }
        if jumps.look().is_some() {
            idle_since = clock::now().0;
            me.blocked.forget();
        }
        me.slot.process.beat();
        sql::forget_old_plans();
        if !settings::ENABLED.get() || xact::in_recovery() {
            return;
        }
        me.slot.begin_work();
        let mut worked = look_if_asked(me, had_nothing);
        me.unnoted.note(&me.blocked);
        events::tell();
        worked |= claim::one(me, &mut turns, was_idle);
        was_idle = !worked;
        had_nothing = !worked;
        if worked {
            idle_since = clock::now().0;
        }
        if worked || me.slot.look.load(Acquire) {
            if must_yield(me, true) {
                return;
            }
            continue;
        }
        if audit::go_on(me) {
            continue;
        }
        me.slot.end_work();
        worker::report(None);
        if me.slot.is_lent() {
            return;
        }
        let idle_end = idle_since + i64::from(settings::EXECUTOR_IDLE.get()) * 1000;
        let next = next_run_at(me, &turns).into_iter().chain(events::next_try()).min().map_or(i64::MAX, |at| at.0);
        // What is not told yet keeps it, but from nobody who needs the slot.
        let is_over = clock::now().0 >= idle_end.max(soon(next)) && events::next_try().is_none();
        if is_over || must_yield(me, false) || is_spare(me) {
            return;
        }
        let tidy_at = idle_since + TIDY_AFTER;
        if turns.has_run && clock::now().0 >= tidy_at {
            claim::tidy(&mut turns);
        }
        let wake_at = next.min(idle_end.max(soon(next))).min(me.slices.next_at());
        worker::wait_until(Instant(if turns.has_run { wake_at.min(tidy_at) } else { wake_at }));
    }
}

/// Plans, and takes off what dropped tasks have left, if the scheduler has asked for it. True if anything came into the agenda.
fn look_if_asked(me: &Me, had_nothing: bool) -> bool {
    if !me.slot.look.swap(false, AcqRel) {
        return false;
    }
    let worked = plan::all(me, had_nothing);
    strays::drop_some(me);
    if worked {
        me.wake_scheduler();
    }
    worked
}

/// An executor that has been idle for so long makes its session new. Microseconds.
const TIDY_AFTER: i64 = 1_000_000;

/// An idle executor stays for what is due within its warm-up time, so that it is not started again for it.
fn soon(next: i64) -> i64 {
    if next < clock::now().0 + 500_000 { next } else { 0 }
}

/// So far ahead an idle executor looks itself; for what comes later the scheduler wakes it. Much that lies there may have been
/// withdrawn, and be dead in the index. Microseconds.
const AHEAD: i64 = 2_000_000;

fn next_run_at(me: &Me, turns: &Turns) -> Option<Instant> {
    let until = Instant(clock::now().0 + AHEAD);
    let next = || due::next_run_at(me.owner, &me.others_in_hand(), &me.blocked.tasks(), turns.since(), until);
    let next = xact::run(next).unwrap_or(None);
    next.into_iter().chain(me.blocked.until()).chain(turns.look_again_at()).min()
}

/// Another owner waits and all slots are taken: an idle executor goes, a busy one if its owner has more than its share.
fn must_yield(me: &Me, is_busy: bool) -> bool {
    if is_kept_out(me.shared, me.database) {
        return true;
    }
    if !me.shared.is_slot_wanted() {
        return false;
    }
    // With one executor left for this owner, it works for a second before it makes room.
    !is_busy || has_another_anywhere(me) || clock::now().0 > me.slot.process.since.load(Relaxed) + 1_000_000
}

/// Another owner's work waits for long, and this executor has nothing to do and is not its owner's only one.
fn is_spare(me: &Me) -> bool {
    // Of two that are idle only one goes.
    has_another_anywhere(me) && {
        me.slot.offer(true);
        let is_called = me.shared.take_call_for_help();
        me.slot.offer(is_called);
        is_called
    }
}

fn has_another_anywhere(me: &Me) -> bool {
    me.shared.executors_for(me.owner.to_u32()).count() > 1
}
