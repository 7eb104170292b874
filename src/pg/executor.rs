//! An executor's slot in shared memory: where it is in its life, what it is executing, and how it is interrupted. All zeros is a
//! free one; only atomics, so no lock is ever held across anything that can raise.

use super::part::{AtomicPart, Part};
use super::process::Process;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, Ordering::*};

/// So many entries of one executor are left alone because their failed attempts could not be noted.
pub const UNNOTED: usize = 4;

/// Who is told to end goes at once, if it is in code that looks at signals. Microseconds.
const DEAF_AFTER: i64 = 3_000_000;
/// The place of one that was only lent is somebody else's already.
const LENT_DEAF_AFTER: i64 = 100_000;

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
    busy: AtomicBool,
    /// The connection as the owner came about.
    connected: AtomicBool,
    /// The slot is another owner's as soon as one comes who has none: what runs in it is to be over soon.
    lent: AtomicBool,
    /// It was taken back: whatever ran in it was not at fault.
    reclaimed: AtomicBool,
    /// It has nothing to do and makes room for another owner's.
    leaving: AtomicBool,
    /// When it was first told to end, by [`super::clock::monotonic`]; 0: it was not.
    told_to_end_at: AtomicI64,
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
    /// Which of its rows is executing.
    pub part: AtomicPart,
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
    meant_part: AtomicPart,
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

/// Where an executor's slot is in its life; the transitions are drawn in ARCHITECTURE.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody's.
    Free,
    /// For a process that was asked for.
    Reserved,
    /// The process is there, and connects as the owner.
    Starting,
    /// It plans or runs something, or is about to look for it.
    Busy,
    /// It has nothing to do.
    Idle,
    /// It was told to end.
    ToldToEnd,
    /// It was, a while ago. It is in a function of the server that looks at no signal, such as `translate()` on ten megabytes,
    /// and may be there for days. Nothing of it counts but that its owner has it.
    Deaf,
}

impl Executor {
    /// The state.
    pub fn state(&self) -> State {
        let pid = self.process.pid.load(Acquire);
        let patience = if self.is_lent() { LENT_DEAF_AFTER } else { DEAF_AFTER };
        match (pid, self.told_to_end_for()) {
            (0, _) => State::Free,
            (-1, _) => State::Reserved,
            (_, Some(time)) if time > patience => State::Deaf,
            (_, Some(_)) => State::ToldToEnd,
            _ if !self.was_connected() => State::Starting,
            _ if self.is_busy() => State::Busy,
            _ => State::Idle,
        }
    }

    /// Free → Reserved, for an owner's executor, which is to look for something to plan or not. False if it is not free.
    pub fn reserve(&self, database: u32, owner: u32, is_lent: bool, look: bool) -> bool {
        if !self.process.reserve() {
            return false;
        }
        self.database.store(database, Release);
        self.owner.store(owner, Release);
        self.lent.store(is_lent, Release);
        self.reclaimed.store(false, Release);
        self.leaving.store(false, Release);
        self.told_to_end_at.store(0, Release);
        self.slow_until.store(0, Release);
        self.due_from.take();
        self.connected.store(false, Release);
        self.look.store(look, Release);
        self.busy.store(true, Release);
        true
    }

    /// Reserved → Free, if its process was not seen since before this; microseconds since 1970.
    pub fn give_back_if_never_came(&self, limit: i64) {
        self.process.leave_if_never_came(limit);
    }

    /// Reserved → Free: no process was to be had.
    pub fn give_back(&self) {
        self.process.leave();
    }

    /// Reserved → Starting, by the process itself.
    pub fn enter(&self) {
        self.process.enter();
    }

    /// Starting → Busy: it is connected as its owner.
    pub fn connect(&self) {
        self.connected.store(true, Release);
    }

    /// Idle → Busy, or it stays so.
    pub fn begin_work(&self) {
        self.busy.store(true, Release);
    }

    /// Busy → Idle.
    pub fn end_work(&self) {
        self.busy.store(false, Release);
    }

    /// It makes room for another owner's: so it is not one of its owner's any more, unless it takes that back.
    pub fn offer(&self, is_leaving: bool) {
        self.leaving.store(is_leaving, Release);
    }

    /// … → ToldToEnd: a lent slot is taken back. What it runs is rolled back, and was not at fault.
    pub fn reclaim(&self) {
        self.reclaimed.store(true, Release);
        self.end();
    }

    /// … → ToldToEnd: it did not heed its interruption.
    pub fn terminate(&self, why: Interruption) {
        let (entry, part) = self.under_way();
        self.mean(entry, part, why);
        self.end();
    }

    /// … → ToldToEnd.
    pub(super) fn end(&self) {
        let _ = self.told_to_end_at.compare_exchange(0, super::clock::monotonic(), AcqRel, Acquire);
        self.process.signal(15);
    }

    /// … → Free: the process ends.
    pub fn leave(&self) {
        self.rest();
        self.entry.store(0, Release);
        self.unnoted.iter().for_each(|entry| entry.store(0, Release));
        self.task.store(0, Release);
        self.busy.store(false, Release);
        self.process.leave();
    }

    /// Did it ever connect as its owner?
    pub fn was_connected(&self) -> bool {
        self.connected.load(Acquire)
    }

    /// Does it plan or run something, or start to?
    pub fn is_busy(&self) -> bool {
        self.busy.load(Acquire)
    }

    /// Was the slot only lent?
    pub fn is_lent(&self) -> bool {
        self.lent.load(Acquire)
    }

    /// Was it taken back?
    pub fn is_reclaimed(&self) -> bool {
        self.reclaimed.load(Acquire)
    }

    /// Does it make room for another owner's?
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Acquire)
    }

    /// How long ago was it told to end, and is still there? Microseconds.
    pub fn told_to_end_for(&self) -> Option<i64> {
        let told_at = self.told_to_end_at.load(Acquire);
        (told_at != 0 && self.process.is_alive()).then(|| super::clock::monotonic() - told_at)
    }

    /// Was it told to end, and is still there after a while?
    pub fn is_deaf(&self) -> bool {
        self.state() == State::Deaf
    }
}

impl Executor {
    /// Interrupts what it executes, if that is still this part of `entry`, or all of it in one call.
    pub fn interrupt(&self, entry: i64, part: Part, why: Interruption) -> bool {
        let is_there = self.entry.load(Acquire) == entry
            && [Part::All, part].contains(&self.part.load())
            && self.started_at.load(Acquire) != 0;
        if is_there {
            self.mean(entry, part, why);
            self.process.signal(2);
        }
        is_there
    }

    pub(super) fn mean(&self, entry: i64, part: Part, why: Interruption) {
        self.meant_entry.store(entry, Release);
        self.meant_part.store(part);
        self.interruption.store(why as u32, Release);
    }

    /// Was a row of this entry interrupted by one of us?
    pub fn is_meant(&self, entry: i64) -> bool {
        self.interruption.load(Acquire) != 0 && self.meant_entry.load(Acquire) == entry
    }

    /// The row for whose sake a call with all of this entry was interrupted by cancel_record; asked once.
    pub fn take_cancelled(&self, entry: i64) -> Option<usize> {
        let meant = self.meant_part.load().row().filter(|_| self.meant_entry.load(Acquire) == entry);
        let cancelled = Interruption::Cancelled as u32;
        meant.filter(|_| self.interruption.compare_exchange(cancelled, 0, AcqRel, Acquire).is_ok())
    }

    /// Why the run of this row was interrupted; asked once.
    pub fn take_interruption(&self, entry: i64, part: Part) -> Interruption {
        let why = self.interruption.swap(0, AcqRel);
        let is_meant = self.meant_entry.load(Acquire) == entry && self.meant_part.load() == part;
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
        self.part.store(Part::All);
        self.step.end();
        super::flight::note(0, Part::All, 0);
    }
}
