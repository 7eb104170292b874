//! The planning limits of all date-field tasks: found by a task's token, made when there is something to plan, given back when
//! the task changes. [`Limit::reserve`] and [`Limit::free`], and [`Shared::limit_or_new`], are all transitions there are. Whoever
//! changes a task frees its limit at the commit, whatever a planner is at: what that one writes then, it writes into a slot that
//! is made anew already. So it looks again after it has written, and whoever frees a slot says so before looking what was
//! written into it: one of the two sees the other.

use super::captures::Waiting;
use super::limit::{FREE_AGAIN, Limit, RESERVED};
use super::shmem::{LIMIT_SLOTS, Shared};
use super::{clock, worker};
use schedule::Instant;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering::*;

/// How far a token may lie from its home slot.
const PROBES: usize = 64;

impl Shared {
    /// The limit of a date-field task's token.
    pub fn limit(&self, token: i64) -> Option<&Limit> {
        self.probes(token).find(|slot| slot.is_of(token))
    }

    /// The same, made if need be; None when there is no room.
    pub fn limit_or_new(&self, token: i64, owner: u32) -> Option<&Limit> {
        if let Some(known) = self.limit(token) {
            return Some(known);
        }
        let free = |slot: &&Limit| [0, FREE_AGAIN].iter().any(|free| slot.reserve(*free));
        let slot = self.probes(token).find(free).or_else(|| self.evict(token, owner))?;
        slot.clear();
        slot.database.store(worker::database().to_u32(), Release);
        slot.owner.store(owner, Release);
        slot.serial.store(self.limits_made.fetch_add(1, AcqRel) + 1, Release);
        slot.token.store(token as u64, Release);
        // Another process may have made one in the same moment: the first counts.
        let first = self.limit(token)?;
        if !std::ptr::eq(first, slot) {
            self.forget(slot, token as u64);
        }
        Some(first)
    }

    /// Takes a slot from an owner who has more of them than this one, and the most: nobody has all. Reserved.
    fn evict(&self, token: i64, owner: u32) -> Option<&Limit> {
        with_shares(&self.limits, |shares| {
            let share = |owner: u32| shares.get(&owner).copied().unwrap_or_default();
            let slot = self.probes(token).max_by_key(|slot| share(slot.owner.load(Acquire)))?;
            let (held, loser) = (slot.token.load(Acquire), slot.owner.load(Acquire));
            if share(loser) <= share(owner) + 1 || held <= RESERVED || !slot.reserve(held) {
                return None;
            }
            // Or the two would take their slots from each other until they are counted again.
            *shares.entry(loser).or_default() -= 1;
            *shares.entry(owner).or_default() += 1;
            if slot.captures.waiting().is_some() {
                self.survey_again(slot.database.load(Acquire));
            }
            Some(slot)
        })
    }

    /// Where a token may lie.
    fn probes(&self, token: i64) -> impl Iterator<Item = &Limit> {
        let home = (token as u64).wrapping_mul(self.secret.load(Acquire)) >> (u64::BITS - LIMIT_SLOTS.ilog2());
        (0..PROBES).map(move |step| &self.limits[(home as usize + step) % LIMIT_SLOTS])
    }

    /// Writes into a task's limit, if it is this one still. Has it become another meanwhile, that one may say now what is not so,
    /// and is forgotten: its task is planned anew. False if it is another.
    pub fn change_limit(&self, token: i64, serial: u64, change: impl FnOnce(&Limit)) -> bool {
        let Some(limit) = self.limit(token).filter(|limit| limit.serial() == serial) else { return false };
        change(limit);
        let is_other = limit.is_other(serial);
        if is_other {
            self.survey_again(limit.database.load(Acquire));
            self.forget_if_used(limit);
        }
        !is_other
    }

    /// Notes in a task's limit in which blocks rows of it were captured. False where it has none; if it was forgotten in the same
    /// moment, the scheduler looks for them.
    pub fn note_captured(&self, token: i64, blocks: (u32, u32)) -> bool {
        let Some(limit) = self.limit(token) else { return false };
        let serial = limit.serial();
        limit.captures.note(blocks);
        if !limit.is_of(token) || limit.is_other(serial) {
            self.survey_again(worker::database().to_u32());
        }
        true
    }

    /// Nothing is known any more of how far a task is planned, but what was captured.
    pub fn renew_limit(&self, token: i64, owner: u32) -> Option<&Limit> {
        let old = self.limit(token);
        let failures = old.map_or(0, |old| old.pace.failures());
        let captured = old.and_then(|old| self.release(old, token as u64)).flatten();
        let new = self.limit_or_new(token, owner);
        if let Some(captured) = captured
            && !captured.blocks().is_some_and(|blocks| self.note_captured(token, blocks))
        {
            self.survey_again(worker::database().to_u32());
        }
        new.inspect(|new| new.pace.set_failures(failures))
    }

    /// Gives a token's slot back; rows written afterwards count as unknown, that is, as perhaps due.
    pub fn forget_limit(&self, token: i64) {
        self.probes(token).filter(|slot| slot.is_of(token)).for_each(|slot| self.forget(slot, token as u64));
    }

    /// Gives back the slots of a database that is gone.
    pub fn forget_limits_of(&self, database: u32) {
        let is_of = |slot: &&Limit| slot.database.load(Acquire) == database;
        self.limits.iter().filter(is_of).for_each(|slot| self.forget_if_used(slot));
    }

    fn forget_if_used(&self, slot: &Limit) {
        let token = slot.token.load(Acquire);
        if token > RESERVED {
            self.forget(slot, token);
        }
    }

    /// Frees a slot that is this token's. What it knew to be captured is in its table still: the scheduler looks where.
    fn forget(&self, slot: &Limit, token: u64) {
        let database = slot.database.load(Acquire);
        if self.release(slot, token).flatten().is_some() {
            self.survey_again(database);
        }
    }

    /// Frees a slot that is this token's, and gives what it knew to be captured; None: it is not.
    fn release(&self, slot: &Limit, token: u64) -> Option<Option<Waiting>> {
        slot.reserve(token).then(|| {
            let captured = slot.captures.waiting();
            slot.free();
            captured
        })
    }

    /// Tasks of a database whose past is being swept, and as of when.
    pub(super) fn sweeps(&self, database: u32) -> Vec<(i64, Instant)> {
        let is_swept = |slot: &&Limit| {
            slot.is_used() && slot.database.load(Acquire) == database && slot.behind_to.load(Acquire) != 0
        };
        let as_of = |slot: &Limit| (slot.token.load(Acquire) as i64, Instant(slot.swept_since.load(Acquire)));
        self.limits.iter().filter(is_swept).map(as_of).collect()
    }

    /// The scheduler of this database looks where captured rows lie.
    pub fn survey_again(&self, database: u32) {
        self.known_database(database).into_iter().for_each(|home| home.has_unknown_captures.store(true, Release));
    }
}

/// With how many slots each owner has, counted within the last second.
fn with_shares<T>(limits: &[Limit], body: impl FnOnce(&mut HashMap<u32, usize>) -> T) -> T {
    let now = clock::monotonic();
    SHARES.with_borrow_mut(|(at, counts)| {
        if now - *at > 1_000_000 {
            *at = now;
            counts.clear();
            for slot in limits.iter().filter(|slot| slot.is_used()) {
                *counts.entry(slot.owner.load(Acquire)).or_default() += 1;
            }
        }
        body(counts)
    })
}

thread_local! {
    static SHARES: RefCell<(i64, HashMap<u32, usize>)> = RefCell::new((i64::MIN / 2, HashMap::new()));
}
