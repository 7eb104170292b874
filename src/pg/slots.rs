//! What shared memory is made of: processes, databases, executors, planning limits. All zeros is the
//! empty state of each; only atomics, so no lock is ever held across anything that can raise.

use super::process::Process;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::*};

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
    /// An owner's work has been waiting for long behind the executors that he has.
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

/// So many entries of one executor are left alone because their failed attempts could not be noted.
pub const UNNOTED: usize = 4;

/// Who is told to end goes at once, if it is in code that looks at signals. Microseconds.
const DEAF_AFTER: i64 = 3_000_000;

/// One executor.
#[repr(C)]
pub struct Executor {
    /// The process.
    pub process: Process,
    /// Its database.
    pub database: AtomicU32,
    /// The role it is connected as.
    pub owner: AtomicU32,
    /// At work on an entry, or planning.
    pub busy: AtomicBool,
    /// The connection as the owner came about.
    pub connected: AtomicBool,
    /// The slot is another owner's as soon as one comes who has none: what runs in it is to be over soon.
    pub lent: AtomicBool,
    /// It was taken back: whatever ran in it was not at fault.
    pub is_reclaimed: AtomicBool,
    /// It has nothing to do and makes room for another owner's.
    pub is_leaving: AtomicBool,
    /// When it was first told to end, by [`super::clock::monotonic`]; 0: it was not.
    pub told_to_end_at: AtomicI64,
    /// Set by the scheduler: there may be something to plan.
    pub look: AtomicBool,
    /// Something of its owner's is due that was so already then: told by the scheduler.
    pub due_from: super::told::Earliest,
    /// The task of the claimed entry, 0 for none.
    pub task: AtomicI32,
    /// The claimed agenda entry, 0 for none. Claims leave it alone even while no transaction holds it.
    pub entry: AtomicI64,
    /// Entries, 0 for none, whose failed attempt it could not note: others leave them alone as they do the claimed one.
    pub unnoted: [AtomicI64; UNNOTED],
    /// 1-based position in the entry of the row now executing; 0: the whole entry.
    pub position: AtomicI32,
    /// Keys in the entry.
    pub total: AtomicI32,
    /// When the row (or batch) started; 0 = nothing executing. Microseconds since 1970.
    pub started_at: AtomicI64,
    /// A row took long in it not long ago: until then its owner is not quick. By [`super::clock::monotonic`].
    pub slow_until: AtomicI64,
    /// When its time is up, by [`super::clock::monotonic`]; 0: never. Microseconds.
    pub deadline: AtomicI64,
    /// What it reads outside of a run.
    pub step: super::planning::Step,
    /// Why it was interrupted: an [`Interruption`], and which row was meant.
    interruption: AtomicU32,
    meant_entry: AtomicI64,
    meant_position: AtomicI32,
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

/// Why a run was interrupted by one of us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Interruption {
    /// Not by us.
    None = 0,
    /// Its time was up.
    Timeout = 1,
    /// By cancel_record.
    Cancelled = 2,
    /// It was another row that was meant.
    Another = 3,
}

impl Executor {
    /// Interrupts what it executes, if that is still `entry` at `position`, or all of the entry in one call.
    pub fn interrupt(&self, entry: i64, position: i32, why: Interruption) -> bool {
        let is_there = self.entry.load(Acquire) == entry
            && [0, position].contains(&self.position.load(Acquire))
            && self.started_at.load(Acquire) != 0;
        if is_there {
            self.mean(entry, position, why);
            self.process.signal(2);
        }
        is_there
    }

    /// Ends the process that did not heed its interruption.
    pub fn terminate(&self, why: Interruption) {
        let (entry, position) = self.under_way();
        self.mean(entry, position, why);
        self.end();
    }

    /// Takes a lent slot back: its process ends, what it runs is rolled back.
    pub fn reclaim(&self) {
        self.is_reclaimed.store(true, Release);
        self.end();
    }

    /// Tells it to end.
    pub(super) fn end(&self) {
        let _ = self.told_to_end_at.compare_exchange(0, super::clock::monotonic(), AcqRel, Acquire);
        self.process.signal(15);
    }

    /// Has it been told to end, and is still there? It is in a function of the server that looks at no signal, such as
    /// `translate()` on ten megabytes, and may be there for days. Nothing of it counts but that its owner has it.
    pub fn is_deaf(&self) -> bool {
        let told_at = self.told_to_end_at.load(Acquire);
        told_at != 0 && self.process.is_alive() && super::clock::monotonic() - told_at > DEAF_AFTER
    }

    pub(super) fn mean(&self, entry: i64, position: i32, why: Interruption) {
        self.meant_entry.store(entry, Release);
        self.meant_position.store(position, Release);
        self.interruption.store(why as u32, Release);
    }

    /// Was a row of this entry interrupted by one of us?
    pub fn is_meant(&self, entry: i64) -> bool {
        self.interruption.load(Acquire) != 0 && self.meant_entry.load(Acquire) == entry
    }

    /// The row for whose sake a call with all of this entry was interrupted by cancel_record; asked once.
    pub fn take_cancelled(&self, entry: i64) -> Option<i32> {
        let is_meant = self.meant_entry.load(Acquire) == entry && self.meant_position.load(Acquire) > 0;
        let cancelled = Interruption::Cancelled as u32;
        let is_taken = is_meant && self.interruption.compare_exchange(cancelled, 0, AcqRel, Acquire).is_ok();
        is_taken.then(|| self.meant_position.load(Acquire))
    }

    /// Why the run of this row was interrupted; asked once.
    pub fn take_interruption(&self, entry: i64, position: i32) -> Interruption {
        let why = self.interruption.swap(0, AcqRel);
        let is_meant = self.meant_entry.load(Acquire) == entry && self.meant_position.load(Acquire) == position;
        match (why, is_meant) {
            (0, _) => Interruption::None,
            (_, false) => Interruption::Another,
            (1, true) => Interruption::Timeout,
            (_, true) => Interruption::Cancelled,
        }
    }

    /// Nothing executes any more.
    pub fn rest(&self) {
        self.started_at.store(0, Release);
        self.deadline.store(0, Release);
        self.position.store(0, Release);
        self.step.end();
        super::flight::note(0, 0, 0);
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
        self.set_state(DatabaseState::Unknown);
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

    /// Sets the state.
    pub fn set_state(&self, state: DatabaseState) {
        self.state.store(state as u32, Release);
    }
}
