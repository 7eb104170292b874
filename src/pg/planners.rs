//! Whose planning is ended, and who rests then: the rules by which owners share executors while they plan, kept in what
//! shared memory knows of it (`pg::planning`). In executors and schedulers; atomics alone.

use super::clock;
use super::part::Part;
use super::planning::{Planner, scan_interval};
use super::shmem::{Executor, Interruption, Shared};
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// While another owner finds no executor, planning goes on for this long at least, and for twice as long the next time, up to
/// [`MOST_PATIENT`]: the first look through a large table is to succeed some time. Microseconds.
const PATIENT: i64 = 1_000_000;
const MOST_PATIENT: i64 = 16_000_000;
/// Then the owner plans nothing for so many times as long, times the number of owners who rest: together they take a tenth.
const REST: i64 = 9;
/// And is slow for so many times as long, but for no more than an hour.
const SLOW: i64 = 60;
const SLOW_FOR: i64 = 3_600_000_000;

fn who(database: u32, owner: u32) -> u64 {
    u64::from(database) << 32 | u64::from(owner)
}

impl Executor {
    /// The limit of the step under way: its deadline. Microseconds of the monotonic clock.
    pub fn give(&self, micros: i64) -> i64 {
        self.step.given.store(micros, Release);
        let deadline = self.step.since.load(Acquire).saturating_add(micros);
        self.deadline.store(deadline, SeqCst);
        deadline
    }

    /// Interrupts what it is at when its time is up, if that is still what the deadline was meant for.
    pub fn time_is_up(&self, deadline: i64) {
        if self.deadline.load(Acquire) != deadline {
            return;
        }
        match self.step.since.load(Acquire) {
            0 => {
                self.interrupt(self.entry.load(Acquire), self.part.load(), Interruption::Timeout);
            }
            since => {
                self.mean(-since, Part::All, Interruption::Timeout);
                self.process.signal(2);
            }
        }
    }

    /// What is under way: a part of an entry, or a step by the negative of its beginning.
    pub(super) fn under_way(&self) -> (i64, Part) {
        match self.step.since.load(Acquire) {
            0 => (self.entry.load(Acquire), self.part.load()),
            since => (-since, Part::All),
        }
    }

    /// Was the step under way interrupted because its time was up? Asked once.
    pub fn take_time_up(&self) -> bool {
        self.take_interruption(-self.step.since.load(Acquire), Part::All) == Interruption::Timeout
    }

    /// Has it been at something for longer than a moment, so that nobody knows when it is free?
    fn is_stuck(&self) -> bool {
        let started_at = self.started_at.load(Acquire);
        self.step.took().is_some_and(|took| took >= PATIENT)
            || started_at != 0 && clock::now().0 - started_at >= PATIENT
    }
}

impl Shared {
    /// Tasks of a database whose past is being looked through, and since when: in a sweep, which may pause, or in one transaction.
    pub fn looking_back(&self, database: u32) -> Vec<(i64, Instant)> {
        let (now, sweeps) = (clock::now(), self.sweeps(database));
        let planned = self.executors_of(database).filter_map(|slot| {
            let (token, took) = (slot.step.token.load(Acquire), slot.step.planned_for()?);
            Some((token, Instant(now.0 - took)))
        });
        sweeps.into_iter().chain(planned).collect()
    }

    /// The calling executor's process ends. If that is in the middle of planning, its task is left alone for a while: its time
    /// was up, others waited, or what it reads ends the process each time.
    pub fn note_planning_that_ended(&self, slot: &Executor) {
        let Some(took) = slot.step.planned_for() else { return };
        let (is_up, is_reclaimed) = (slot.take_time_up(), slot.is_reclaimed());
        let (is_ended, given) = (is_up || is_reclaimed, slot.step.given());
        // One that was made anew since is planned at once: somebody may have mended what took so long.
        self.change_limit(slot.step.token.load(Acquire), slot.step.limit.load(Acquire), |limit| {
            let pause = if is_ended { took.max(scan_interval()) } else { limit.pace.pause_after_failure() };
            limit.put_off(pause);
            if is_up {
                limit.pace.ran_over(given);
            }
            if is_ended {
                limit.pace.for_others.store(is_reclaimed, Release);
                limit.pace.untold.store(if is_reclaimed { took } else { given }, Release);
            }
        });
        if is_reclaimed || is_up && self.is_slot_wanted() {
            self.let_rest(slot.database.load(Acquire), slot.owner.load(Acquire), took);
        }
    }

    /// An owner's planning was ended after so long while others waited for a slot.
    pub fn let_rest(&self, database: u32, owner: u32, took: i64) {
        let (who, now) = (who(database, owner), clock::monotonic());
        let all = &self.planners;
        let is_resting = |other: &&Planner| other.who.load(Acquire) != who && other.rests_until.load(Acquire) > now;
        let resting = all.iter().filter(is_resting).count() as i64 + 1;
        let known = || all.iter().find(|planner| planner.who.load(Acquire) == who);
        let Some(slot) = known().or_else(|| all.iter().min_by_key(|planner| planner.rests_until.load(Acquire))) else {
            return;
        };
        slot.who.store(who, Release);
        slot.took.store(took, Release);
        slot.ended_at.store(now, Release);
        slot.rests_until.store(now + (took * REST * resting).min(SLOW_FOR), Release);
    }

    fn planner(&self, database: u32, owner: u32) -> Option<&Planner> {
        let who = who(database, owner);
        self.planners.iter().find(|planner| planner.who.load(Acquire) == who)
    }

    /// Until when nothing of this owner's is planned, microseconds since 1970; None: it may be.
    pub fn rests_until(&self, database: u32, owner: u32) -> Option<i64> {
        let left = self.planner(database, owner)?.rests_until.load(Acquire) - clock::monotonic();
        (left > 0).then(|| clock::now().0 + left)
    }

    /// Did this owner's planning keep others waiting not long ago?
    pub fn is_slow_planner(&self, database: u32, owner: u32) -> bool {
        self.planner(database, owner).is_some_and(|planner| {
            let slow_for = planner.took.load(Acquire).saturating_mul(SLOW).min(SLOW_FOR);
            clock::monotonic() < planner.ended_at.load(Acquire).saturating_add(slow_for)
        })
    }

    /// How long others wait for an executor that plans.
    fn patience(&self, database: u32, owner: u32) -> i64 {
        let is_recent = |planner: &&Planner| clock::monotonic() - planner.ended_at.load(Acquire) < SLOW_FOR;
        let last = self.planner(database, owner).filter(is_recent).map_or(0, |planner| planner.took.load(Acquire));
        last.saturating_mul(2).clamp(PATIENT, MOST_PATIENT)
    }

    /// The executor whose planning is ended for those who wait: where as many as there may be have been at something for long,
    /// the one that loses least.
    pub fn planner_to_end(&self, most: usize) -> Option<&Executor> {
        let used: Vec<&Executor> = self.alive_executors().filter(|slot| !slot.is_deaf()).collect();
        if used.len() < most || !used.iter().all(|slot| slot.is_stuck()) {
            return None;
        }
        let is_over = |slot: &&Executor| {
            let patience = self.patience(slot.database.load(Acquire), slot.owner.load(Acquire));
            !slot.is_reclaimed() && slot.step.planned_for().is_some_and(|took| took >= patience)
        };
        used.into_iter().filter(is_over).min_by_key(|slot| slot.step.took())
    }
}
