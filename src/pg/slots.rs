//! What shared memory keeps of each database. All zeros is the empty state; only atomics, so no lock is ever held across
//! anything that can raise.

use super::process::Process;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::*};

/// In place of a database while its slot is freed.
const FREEING: u32 = u32::MAX;

/// What a database's slot says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum DatabaseState {
    /// Nobody looked yet, or something changed: the launcher starts a scheduler that looks.
    Unknown = 0,
    /// A scheduler is starting or running.
    Served = 1,
    /// The extension is not there.
    Absent = 2,
    /// Nothing due before `wake_at`.
    Asleep = 3,
}

/// One database.
#[repr(C)]
pub struct Database {
    /// 0 while the slot is free.
    pub oid: AtomicU32,
    pub(super) state: AtomicU32,
    /// Microseconds since 1970; when asleep.
    pub wake_at: AtomicI64,
    /// Set by a commit that changed the agenda or the tasks.
    pub changed: AtomicBool,
    /// Set by a commit that changed objects: tasks may have lost or regained what they need.
    pub schema_changed: AtomicBool,
    /// Set by a PREPARE TRANSACTION of one that changed objects.
    pub has_prepared_changes: AtomicBool,
    /// Set by a PREPARE TRANSACTION of one that changed tasks, of which no word could be left.
    pub has_prepared_unknown: AtomicBool,
    /// The role that has tasks here, if it is one alone; 0: none, `u32::MAX`: several.
    pub task_owner: AtomicU32,
    /// Set where rows were captured and no limit knows of them: the scheduler looks through all that was.
    pub has_unknown_captures: AtomicBool,
    /// Triggers were left on tables, and it is time to take some off: said by the scheduler.
    pub has_left_triggers: AtomicBool,
    /// Set while another owner waits for an executor slot.
    pub slot_wanted: AtomicBool,
    /// Since when the one waits who has waited longest for any slot; by [`super::clock::monotonic`], 0: nobody does.
    pub waits_since: AtomicI64,
    /// An owner's work has been waiting for long behind the executors that it has.
    pub help_wanted: AtomicBool,
    /// No worker may connect before this (somebody drops, renames or copies the database). Microseconds since 1970.
    pub keep_out_until: AtomicI64,
    /// Since when it is served without a gap; what was due before is late because nobody was there. Microseconds since 1970.
    pub up_since: AtomicI64,
    /// What [`super::clock::offset`] was when somebody here last looked.
    clock_offset: AtomicI64,
    /// The role as which an executor could not connect, 0 for none: told to the scheduler.
    pub refused_owner: AtomicU32,
    /// Until when the scheduler sleeps unless it is woken; microseconds of the monotonic clock.
    pub sleeps_until: AtomicI64,
    /// Failed starts in a row.
    pub failures: AtomicU32,
    /// Entries that came into its agenda, since its scheduler last looked.
    pub told: super::told::Told,
    /// The scheduler.
    pub scheduler: Process,
}

impl Database {
    /// Takes the slot from this database, and leaves nothing of it to the next one. False if somebody else was quicker.
    pub fn free(&self, oid: u32) -> bool {
        let is_ours = ![0, FREEING].contains(&oid) && self.oid.compare_exchange(oid, FREEING, AcqRel, Acquire).is_ok();
        if is_ours {
            self.clear();
            self.oid.store(0, Release);
        }
        is_ours
    }

    fn clear(&self) {
        self.look_again();
        let flags = [
            &self.changed,
            &self.schema_changed,
            &self.has_prepared_changes,
            &self.has_prepared_unknown,
            &self.has_unknown_captures,
            &self.has_left_triggers,
            &self.slot_wanted,
            &self.help_wanted,
        ];
        flags.iter().for_each(|flag| flag.store(false, Release));
        let instants = [
            &self.wake_at,
            &self.waits_since,
            &self.keep_out_until,
            &self.up_since,
            &self.clock_offset,
            &self.sleeps_until,
        ];
        instants.iter().for_each(|instant| instant.store(0, Release));
        [&self.task_owner, &self.refused_owner, &self.failures].iter().for_each(|field| field.store(0, Release));
        self.told.take();
    }

    /// Looks at the clock. If it was set, the first of the database's processes to notice gets by how many microseconds.
    pub fn clock_jump(&self) -> Option<i64> {
        let after = super::clock::offset();
        let before = self.clock_offset.swap(after, AcqRel);
        (before != 0 && super::clock::is_jump(before, after)).then_some(after - before)
    }

    /// The state.
    pub fn state(&self) -> DatabaseState {
        match self.state.load(Acquire) {
            1 => DatabaseState::Served,
            2 => DatabaseState::Absent,
            3 => DatabaseState::Asleep,
            _ => DatabaseState::Unknown,
        }
    }

    fn set_state(&self, state: DatabaseState) {
        self.state.store(state as u32, Release);
    }

    /// → Served: a scheduler is started, or has come.
    pub fn serve(&self) {
        self.set_state(DatabaseState::Served);
    }

    /// Served → Asleep until then (microseconds since 1970), or Absent, or Unknown if something was changed since its scheduler
    /// looked, which ends.
    pub fn end_service(&self, state: DatabaseState, wake_at: i64) {
        self.wake_at.store(wake_at, Release);
        if state == DatabaseState::Absent {
            self.task_owner.store(0, Release);
        }
        self.set_state(if self.changed.load(Acquire) { DatabaseState::Unknown } else { state });
    }

    /// → Unknown: the launcher starts a scheduler that looks, at once or after as many failures as there were.
    pub fn look_again(&self) {
        self.set_state(DatabaseState::Unknown);
    }
}
