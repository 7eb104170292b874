//! What one executor knows while it lives, across all steps: who it is, and what it remembers from entry to entry. In the
//! executor's process only; nothing of it is a fact.

use crate::pg::clock;
use crate::pg::shmem::{Database, Executor, Shared};
use crate::worker::executor::blocked::Blocked;
use crate::worker::executor::prepare::Kept;
use crate::worker::executor::run::execution::Execution;
use crate::worker::executor::run::unnoted::Unnoted;
use crate::worker::executor::slices::Slices;
use pgrx::pg_sys::Oid;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::Ordering::*;

/// So many entries share a transaction at most.
pub(super) const MOST: u32 = 1000;

/// What every step of an executor needs to know.
pub struct Me {
    /// Shared memory.
    pub(super) shared: &'static Shared,
    /// This executor's slot.
    pub(super) slot: &'static Executor,
    /// The slot's number.
    pub(super) index: usize,
    /// The database.
    pub(super) database: u32,
    /// The role it is connected as, and runs as.
    pub(super) owner: Oid,
    /// What was looked up for tasks, by their ids.
    pub(super) prepared: Kept,
    /// The task whose last entry had rows that failed; 0: none.
    pub(super) failing: Cell<i32>,
    /// So many entries a transaction may take up: fewer after some have failed together.
    pub(super) most: Cell<u32>,
    /// What it is executing.
    pub(super) execution: Execution,
    /// While it is busy, no sweep before this. Microseconds since 1970.
    pub(super) sweep_after: Cell<i64>,
    /// When it planned tasks for which shared memory has no room. Microseconds since 1970.
    pub(super) unlimited: RefCell<HashMap<i64, i64>>,
    /// Tasks that it leaves alone for a moment.
    pub(super) blocked: Blocked,
    /// Failed attempts that it could not note.
    pub(super) unnoted: Unnoted,
    /// What it audits when nothing else is to be done.
    pub(super) slices: Slices,
}

impl Me {
    /// At the executor's start.
    pub(super) fn new(shared: &'static Shared, index: usize, database: u32, owner: Oid) -> Me {
        Me {
            shared,
            slot: &shared.executors[index],
            index,
            database,
            owner,
            prepared: Default::default(),
            failing: Cell::new(0),
            most: Cell::new(MOST),
            execution: Execution::new(&shared.executors[index]),
            sweep_after: Cell::new(clock::now().0 + 500_000),
            unlimited: Default::default(),
            blocked: Default::default(),
            unnoted: Unnoted::new(&shared.executors[index], index),
            slices: Slices::new(),
        }
    }

    /// Wakes the scheduler if it would sleep beyond this deadline. Microseconds of the monotonic clock.
    pub(super) fn wake_scheduler_for(&self, deadline: i64) {
        if let Some(home) = self.home().filter(|home| deadline < home.sleeps_until.load(SeqCst)) {
            home.scheduler.wake();
        }
    }

    /// Lets the scheduler look again: this executor may be busy for long, and something else may be due.
    pub(super) fn wake_scheduler(&self) {
        if let Some(home) = self.home() {
            home.scheduler.wake();
        }
    }

    /// The other executors of its database.
    pub(super) fn others(&self) -> impl Iterator<Item = &Executor> {
        self.shared.executors_of(self.database).filter(|slot| !std::ptr::eq(*slot, self.slot))
    }

    /// Has its owner another executor here?
    pub(super) fn has_company(&self) -> bool {
        self.others().any(|slot| slot.owner.load(Acquire) == self.owner.to_u32())
    }

    /// The slot of its database.
    pub(super) fn home(&self) -> Option<&'static Database> {
        self.shared.databases.iter().find(|slot| slot.oid.load(Acquire) == self.database)
    }
}
