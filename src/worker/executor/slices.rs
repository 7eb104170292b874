//! What an executor keeps between two slices of an audit: when the next one comes, how large it is, and what was missing once. In
//! its process alone; if it ends, what was missing is found again.

use crate::catalog::upkeep::audit::Missing;
use crate::pg::clock;
use crate::worker::audits;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// After a slice it rests for so many times as long.
const REST: i64 = 49;
/// A slice is to take so long. Microseconds.
const TIME: i64 = 100_000;
/// Blocks of the first slice, and of the largest.
const FIRST: i64 = 64;
const LARGEST: i64 = 1 << 20;
/// The first one after an executor's start, which has something to run. Microseconds.
const FIRST_AFTER: i64 = 500_000;

/// It.
pub struct Slices {
    /// The next slice, by the monotonic clock.
    next: Cell<i64>,
    /// In how many blocks.
    blocks: Cell<i64>,
    /// What was missing once, and when, by task: microseconds since 1970.
    suspects: RefCell<HashMap<i32, (i64, Vec<Missing>)>>,
}

impl Slices {
    /// At the executor's start.
    pub fn new() -> Slices {
        let next = Cell::new(clock::monotonic() + FIRST_AFTER);
        Slices { next, blocks: Cell::new(FIRST), suspects: Default::default() }
    }

    /// Is it time for one?
    pub fn is_time(&self) -> bool {
        clock::monotonic() >= self.next.get()
    }

    /// When the next one comes. Microseconds since 1970.
    pub fn next_at(&self) -> i64 {
        if audits::interval().is_none() { i64::MAX } else { clock::now().0 + self.next.get() - clock::monotonic() }
    }

    /// There was nothing to audit: none for so long. Microseconds.
    pub fn sleep(&self, pause: i64) {
        self.next.set(clock::monotonic() + pause);
    }

    /// One took so long: it rests in proportion, and the next one is as large as fits.
    pub fn rest(&self, took: i64) {
        self.next.set(clock::monotonic() + took * REST);
        let blocks = self.blocks.get();
        self.blocks.set(if took > TIME { (blocks * TIME / took).max(1) } else { (blocks * 2).min(LARGEST) });
    }

    /// Can the next one not be smaller?
    pub fn is_smallest(&self) -> bool {
        self.blocks.get() == 1
    }

    /// The blocks of a slice that begins with this one.
    pub fn from(&self, block: i64) -> (i64, i64) {
        (block, block + self.blocks.get())
    }

    /// Were all of these missing by `before` already? If not, they are remembered.
    pub fn were_missing(&self, task: i32, missing: &[Missing], before: i64) -> bool {
        let mut suspects = self.suspects.borrow_mut();
        if let Some((noted_at, known)) = suspects.get(&task)
            && missing.iter().all(|one| known.contains(one))
        {
            return *noted_at <= before;
        }
        suspects.insert(task, (clock::now().0, missing.to_vec()));
        false
    }

    /// The slice is settled.
    pub fn forget(&self, task: i32) {
        self.suspects.borrow_mut().remove(&task);
    }
}
