//! The part of an entry that a call is about. Everywhere a row is counted from 0; only here, in what is stored, from 1.

use std::sync::atomic::{AtomicI32, Ordering::*};

/// Which rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of the entry, handed over at once.
    All,
    /// One, counted from 0.
    Row(usize),
}

impl Part {
    /// As it is stored and shown: 0, or the row counted from 1.
    pub fn code(self) -> i32 {
        match self {
            Part::All => 0,
            Part::Row(row) => row as i32 + 1,
        }
    }

    fn of(code: i32) -> Part {
        usize::try_from(code - 1).map_or(Part::All, Part::Row)
    }

    /// The row, if it is one.
    pub fn row(self) -> Option<usize> {
        match self {
            Part::All => None,
            Part::Row(row) => Some(row),
        }
    }
}

/// In shared memory; all zeros is [`Part::All`].
#[repr(transparent)]
pub struct AtomicPart(AtomicI32);

impl AtomicPart {
    /// Stores it.
    pub fn store(&self, part: Part) {
        self.0.store(part.code(), Release);
    }

    /// Loads it.
    pub fn load(&self) -> Part {
        Part::of(self.0.load(Acquire))
    }
}
