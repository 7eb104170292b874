//! Word of entries that came into the agenda, or moved in it: between which instants, in shared memory. Told after the
//! commit that did it, with atomics alone, and taken once.

use schedule::Instant;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// The earliest of the instants that were told since it was last taken. All zeros: none.
#[repr(C)]
pub struct Earliest(AtomicU64);

impl Earliest {
    /// Tells of one.
    pub fn tell(&self, at: Instant) {
        self.0.fetch_max(coded(at), AcqRel);
    }

    /// Takes what was told.
    pub fn take(&self) -> Option<Instant> {
        // Most often there is nothing, and others need not lose the line.
        let told = if self.0.load(Acquire) == 0 { 0 } else { self.0.swap(0, AcqRel) };
        (told != 0).then(|| decoded(told))
    }
}

/// The earlier an instant, the greater.
fn coded(at: Instant) -> u64 {
    !(at.0 as u64 ^ (1 << 63))
}

fn decoded(told: u64) -> Instant {
    Instant((!told ^ (1 << 63)) as i64)
}

const PLACES: usize = 64;

/// The earliest and the latest.
#[repr(C)]
struct Span {
    earliest: Earliest,
    /// As a datum reads, less [`i64::MIN`]; 0: none.
    latest: AtomicU64,
}

impl Span {
    fn tell(&self, (from, until): (Instant, Instant)) {
        // In this order: who takes the earliest finds the latest.
        self.latest.fetch_max(until.0 as u64 ^ (1 << 63), AcqRel);
        self.earliest.tell(from);
    }

    fn take(&self) -> Option<(Instant, Instant)> {
        let earliest = self.earliest.take()?;
        let latest = match self.latest.swap(0, AcqRel) {
            0 => i64::MIN,
            latest => (latest ^ (1 << 63)) as i64,
        };
        // Nothing, or another's: its own was taken with another's earliest.
        Some((earliest, Instant(if latest < earliest.0 { i64::MAX } else { latest })))
    }
}

/// The same for each owner, with the latest instant. Owners may share a place: who looks where nothing came finds nothing.
#[repr(C)]
pub struct Told([Span; PLACES]);

/// What was told of all owners.
pub struct Taken([Option<(Instant, Instant)>; PLACES]);

impl Told {
    /// Tells of entries of this owner, the first and the last of them.
    pub fn tell(&self, owner: u32, span: (Instant, Instant)) {
        self.0[place(owner)].tell(span);
    }

    /// Nobody knows which entries came, or whose they are.
    pub fn tell_all(&self) {
        self.0.iter().for_each(|place| place.tell((Instant(i64::MIN), Instant(i64::MAX))));
    }

    /// Takes it. A snapshot that is taken later sees all of it.
    pub fn take(&self) -> Taken {
        Taken(std::array::from_fn(|i| self.0[i].take()))
    }
}

impl Taken {
    /// Between which instants this owner may have something new.
    pub fn of(&self, owner: u32) -> Option<(Instant, Instant)> {
        self.0[place(owner)]
    }
}

/// From the first to the last of both.
pub fn both(one: (Instant, Instant), other: (Instant, Instant)) -> (Instant, Instant) {
    (one.0.min(other.0), one.1.max(other.1))
}

fn place(owner: u32) -> usize {
    (owner.wrapping_mul(0x9e37_79b1) >> 26) as usize
}
