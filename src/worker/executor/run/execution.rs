//! What an executor is executing: the entry in hand, and since when which row of it. In the executor's process, which owns the
//! transaction; its slot shows the same to others, and the flight file to whoever starts the server after a crash. All three
//! are written here:
//!
//! ```text
//! nothing ─ take_in_hand → in hand ─ begin_row → executing ─ end_row → in hand … ─ let_go → nothing
//! ```
//!
//! A rollback changes none of it: what failed is known until it is dealt with, and others leave it alone.

use crate::catalog::ledger::entries::Entry;
use crate::pg::part::Part;
use crate::pg::shmem::{Executor, Interruption};
use crate::pg::{clock, current_run, flight};
use schedule::Instant;
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::*;

/// The value.
pub struct Execution {
    slot: &'static Executor,
    /// What the transaction now running, or the one that just failed, has claimed last.
    in_hand: RefCell<Option<Entry>>,
    /// When its row that came last started, or it itself.
    started_at: Cell<Instant>,
    /// It has come to a row: what is skipped or cancelled does not.
    has_run: Cell<bool>,
    /// It has found its task broken.
    is_broken: Cell<bool>,
    /// Entries in the transaction.
    entries: Cell<u32>,
    /// A retry was noted, and may be due while this executor is busy: the scheduler is told after the commit.
    has_retry: Cell<bool>,
}

impl Execution {
    /// Of the executor in this slot: nothing.
    pub fn new(slot: &'static Executor) -> Execution {
        Execution {
            slot,
            in_hand: RefCell::default(),
            started_at: Cell::new(Instant(0)),
            has_run: Cell::new(false),
            is_broken: Cell::new(false),
            entries: Cell::new(0),
            has_retry: Cell::new(false),
        }
    }

    /// A transaction begins, or what one has left is dealt with.
    pub fn begin_transaction(&self) {
        self.entries.set(0);
    }

    /// An entry was claimed: others leave it alone from now on, also while no transaction holds it.
    pub fn take_in_hand(&self, entry: &Entry) {
        self.end_row();
        self.slot.total.store(entry.keys.len() as i32, Release);
        self.slot.task.store(entry.task, Release);
        self.slot.entry.store(entry.id, Release);
        self.entries.set(self.entries.get() + 1);
        self.in_hand.replace(Some(entry.clone()));
    }

    /// It is looked at, the first time or once more.
    pub fn begin_entry(&self) {
        self.started_at.set(clock::now());
        self.has_run.set(false);
    }

    /// A row, or all of the entry in one call, is executing from now on, until its time is up: visible to others without a write.
    pub fn begin_row(&self, entry: i64, part: Part, deadline: i64) -> Instant {
        let now = clock::now();
        self.started_at.set(now);
        self.has_run.set(true);
        flight::note(entry, part, now.0);
        self.slot.part.store(part);
        self.slot.started_at.store(now.0, Release);
        self.slot.deadline.store(deadline, SeqCst);
        now
    }

    /// Nothing is executing; the entry stays in hand.
    pub fn end_row(&self) {
        self.slot.rest();
    }

    /// Others may see and claim what is left of the entry, which is given back.
    pub fn let_go(&self) -> Option<Entry> {
        current_run::leave();
        self.end_row();
        self.slot.task.store(0, Release);
        self.slot.entry.store(0, Release);
        self.in_hand.take()
    }

    /// The entry in hand.
    pub fn entry(&self) -> Option<Entry> {
        self.in_hand.borrow().clone()
    }

    /// What is executing, or was when it failed.
    pub fn part(&self) -> Part {
        self.slot.part.load()
    }

    /// When it started.
    pub fn started_at(&self) -> Instant {
        self.started_at.get()
    }

    /// Did the entry come to a row at all?
    pub fn has_run(&self) -> bool {
        self.has_run.get()
    }

    /// How many entries share the transaction.
    pub fn entries(&self) -> u32 {
        self.entries.get()
    }

    /// Why the run of a row was interrupted, and that it is not executing any more; asked once.
    pub fn take_interruption(&self, entry: i64, part: Part) -> Interruption {
        let why = self.slot.take_interruption(entry, part);
        self.end_row();
        why
    }

    /// The task was found broken.
    pub fn note_broken(&self) {
        self.is_broken.set(true);
    }

    /// Was it? Asked once.
    pub fn take_broken(&self) -> bool {
        self.is_broken.take()
    }

    /// A retry was noted.
    pub fn note_retry(&self) {
        self.has_retry.set(true);
    }

    /// Was one? Asked once.
    pub fn take_retry(&self) -> bool {
        self.has_retry.take()
    }
}
