//! What shared memory is made of, beside executors: databases and planning limits. All zeros is the
//! empty state of each; only atomics, so no lock is ever held across anything that can raise.

use super::process::Process;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// In place of a token while its slot is being made; tokens have other bits set.
pub(super) const RESERVED: u64 = 3;

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

impl Limit {
    /// Is it somebody's now?
    pub(super) fn is_used(&self) -> bool {
        self.token.load(Acquire) > RESERVED
    }

    /// Nothing is known of when it was looked through: the clock was set.
    pub(super) fn forget_times(&self) {
        self.scanned_at.store(0, Release);
        self.retry_at.store(0, Release);
    }

    /// Is it still this task's? A planner may hold it longer than the task lives. In a copy of the database there is a task
    /// of the same token.
    pub fn is_of(&self, token: i64) -> bool {
        self.token.load(Acquire) == token as u64 && self.database.load(Acquire) == super::worker::database().to_u32()
    }

    /// Which one it is of all that were made.
    pub fn serial(&self) -> u64 {
        self.serial.load(Acquire)
    }

    pub(super) fn free(&self) {
        self.clear();
        self.token.store(1, Release);
    }

    pub(super) fn clear(&self) {
        let fields = [
            &self.limit,
            &self.planned_to,
            &self.closed_to,
            &self.signature,
            &self.scanned_at,
            &self.retry_at,
            &self.behind_to,
            &self.step,
            &self.resume_at,
            &self.swept_since,
        ];
        [&self.is_swept, &self.is_full, &self.has_no_arrears].iter().for_each(|field| field.store(false, Release));
        self.captures.clear();
        self.pace.clear();
        fields.iter().for_each(|field| field.store(0, Release));
        self.closing_xid.store(0, Release);
    }
}

/// What is planned for one date-field task.
#[repr(C)]
pub struct Limit {
    /// 0 free, 1 was used once.
    pub(super) token: AtomicU64,
    /// The task's database.
    pub(super) database: AtomicU32,
    /// Whose task it is.
    pub(super) owner: AtomicU32,
    /// Which one it is of all that were made: one that was forgotten and made anew is another.
    pub(super) serial: AtomicU64,
    /// Column values above this are not due before the horizon: days or microseconds since 2000, as in the datum.
    pub limit: AtomicI64,
    /// Everything due before this is in the agenda or being captured. Microseconds since 1970.
    pub planned_to: AtomicI64,
    /// The window up to here is closed: no writer under an older limit is left. Microseconds since 1970.
    pub closed_to: AtomicI64,
    /// The window between may be closed by a scan that sees all transactions below this as ended.
    pub closing_xid: AtomicU64,
    /// The table's change counters before the last full pass.
    pub signature: AtomicI64,
    /// Last scan, microseconds since 1970.
    pub scanned_at: AtomicI64,
    /// After a failure: not planned again before this. Microseconds since 1970.
    pub retry_at: AtomicI64,
    /// A sweep is under way: what was due before this is still to be looked through. 0: none. Microseconds since 1970.
    pub behind_to: AtomicI64,
    /// How much due time the sweep's last step took. Microseconds.
    pub step: AtomicI64,
    /// The sweep goes on at this time. Microseconds since 1970.
    pub resume_at: AtomicI64,
    /// When the sweep began. Microseconds since 1970.
    pub swept_since: AtomicI64,
    /// A sweep has come to its end: the next ones need not hurry.
    pub is_swept: AtomicBool,
    /// As much of the past waits in the agenda as may.
    pub is_full: AtomicBool,
    /// Nobody is behind with captured rows: there is nothing of the task in `jittask.arrears`.
    pub has_no_arrears: AtomicBool,
    /// What the triggers have captured.
    pub captures: super::captures::Captures,
    /// How long its planning may take.
    pub pace: super::planning::Pace,
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
