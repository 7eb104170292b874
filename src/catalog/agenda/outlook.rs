//! What of the agenda is next, for each owner. In the scheduler, in its transactions. An entry that is gone lies dead in the
//! index while any snapshot may see it, and a role may keep one for hours and make millions of them; the scheduler works for
//! all. So it passes each of them once, so many at a time, and goes on from there. What comes in behind that is told of
//! (`catalog::ledger::moves`), and it looks again just there.

use crate::catalog::agenda::due::{self, FLOOD, Waiting};
use crate::catalog::task::at_work;
use crate::pg::told::Taken;
use crate::pg::walk::{self, Place, Task, Walk};
use crate::pg::{clock, sql, user};
use pgrx::pg_sys::Oid;
use schedule::Instant;
use std::collections::HashMap;

/// Entries of the index that are passed in one look for all owners, and for one at least.
const STEPS: usize = 4000;
const LEAST: usize = 100;
/// Stretches of one owner's that are to be looked through, at a time.
const STRETCHES: usize = 8;
/// Between two looks from the front, in case that somebody has told nothing: a superuser who writes into the agenda by hand.
/// Microseconds.
const FULL_EVERY: i64 = 60_000_000;

/// The owners.
#[derive(Default)]
pub struct Outlook {
    owners: HashMap<u32, Owner>,
}

/// One of them.
#[derive(Default)]
struct Owner {
    /// From a place up to another one, in ascending order: nothing of the owner's waits but in these.
    unseen: Vec<(Place, Place)>,
    /// Entries that were passed because they were in hand.
    in_hand: Vec<Place>,
    /// When to go back to the front. By the monotonic clock.
    full_at: i64,
    /// The look from the front has not come to its end yet.
    is_going_through: bool,
    /// It looked since then, but not from the front.
    owes: bool,
}

/// What is next.
pub struct Next {
    /// For each owner who has something that is not in hand: when the first of it is to run.
    pub by_owner: Vec<(Oid, Instant)>,
    /// There is more to pass: it is to look again at once.
    pub goes_on: bool,
}

impl Outlook {
    /// Looks on. `told` must have been taken before.
    pub fn look(&mut self, told: &Taken, in_hand: &[i64]) -> Next {
        let owners = at_work::owners_ever();
        self.owners.retain(|owner, _| owners.iter().any(|known| known.to_u32() == *owner));
        let steps = (STEPS / owners.len().max(1)).max(LEAST);
        let looked = walk::along(c"agenda", (c"agenda_claim", 3), |walk| {
            let mut next = Next { by_owner: Vec::new(), goes_on: false };
            for role in &owners {
                let owner = self.owners.entry(role.to_u32()).or_default();
                owner.go_back(told.of(role.to_u32()), in_hand);
                let (first, goes_on) = owner.look(walk, *role, in_hand, steps);
                next.by_owner.extend(first.map(|first| (*role, first)));
                next.goes_on |= goes_on;
            }
            next
        });
        looked.unwrap_or_else(|| {
            // Somebody has dropped the index.
            self.owners.clear();
            let next = |owner: Oid| {
                due::next_run_at(owner, in_hand, &[], Instant(i64::MIN), Instant::MAX).map(|next| (owner, next))
            };
            Next { by_owner: owners.into_iter().filter_map(next).collect(), goes_on: false }
        })
    }

    /// What of an owner's waits that is due by an instant, as far as that can be seen in a moment.
    pub fn waiting(&self, owner: Oid, by: Instant, in_hand: &[i64]) -> Waiting {
        let Some(known) = self.owners.get(&owner.to_u32()) else { return Waiting::default() };
        let by = at(Instant(by.0.saturating_add(1)));
        let seen = walk::along(c"agenda", (c"agenda_claim", 3), |walk| known.first(walk, owner, by, in_hand));
        let Some(seen) = seen else { return Waiting::default() };
        let ids: Vec<i64> = seen.iter().map(|place| place.id).collect();
        Waiting::of(&ids, seen.first().map(|first| clock::from_pg(first.at)))
    }

    /// When to look again at the latest.
    pub fn look_again_at(&self) -> Option<Instant> {
        let first = self.owners.values().filter(|owner| owner.owes).map(|owner| owner.full_at).min();
        first.map(|at| Instant(clock::now().0 + at - clock::monotonic()))
    }
}

impl Owner {
    /// Goes back to what is new: what was told, what is not in hand any more, and now and then all.
    fn go_back(&mut self, told: Option<(Instant, Instant)>, in_hand: &[i64]) {
        let now = clock::monotonic();
        let is_full = now >= self.full_at;
        if is_full {
            self.full_at = now + FULL_EVERY;
            self.is_going_through = true;
            self.add(Place::FRONT, Place::END);
        }
        if let Some((from, until)) = told {
            self.add(at(from), at(Instant(until.0.saturating_add(1))).min(Place::END));
        }
        let free: Vec<Place> = self.in_hand.extract_if(.., |place| !in_hand.contains(&place.id)).collect();
        for place in free {
            self.add(place, Place { id: place.id.saturating_add(1), ..place });
        }
        self.owes = !self.is_going_through;
    }

    /// What of a stretch is not to be looked through anyhow, from now on is.
    fn add(&mut self, mut from: Place, until: Place) {
        let known = self.unseen.clone();
        for (known_from, known_until) in known {
            self.insert(from, until.min(known_from));
            from = from.max(known_until);
        }
        self.insert(from, until);
    }

    fn insert(&mut self, from: Place, until: Place) {
        if from >= until {
            return;
        }
        let i = self.unseen.partition_point(|(known, _)| *known < from);
        self.unseen.insert(i, (from, until));
        if self.unseen.len() > STRETCHES {
            // Two become one. Whatever comes from the front on, the others come to their end; else those that are far off.
            let first = if i == 0 { 0 } else { self.unseen.len() - 2 };
            let (_, until) = self.unseen.remove(first + 1);
            self.unseen[first].1 = self.unseen[first].1.max(until);
        }
    }

    /// Goes on in each stretch; the first that is to run, and is there more to pass?
    fn look(&mut self, walk: &Walk, role: Oid, in_hand: &[i64], steps: usize) -> (Option<Instant>, bool) {
        let looked = self.look_on(walk, role, in_hand, steps);
        self.is_going_through &= looked.1;
        looked
    }

    fn look_on(&mut self, walk: &Walk, role: Oid, in_hand: &[i64], steps: usize) -> (Option<Instant>, bool) {
        let (mut i, mut goes_on, steps) = (0, false, steps / self.unseen.len().max(1));
        while let Some((from, until)) = self.unseen.get(i).copied() {
            let found = walk.go(&Task { role, from, until, except: in_hand, count: 1, steps });
            for place in found.left_out {
                self.in_hand.retain(|known| known.id != place.id);
                self.in_hand.push(place);
            }
            if let Some(first) = found.seen.first() {
                self.unseen[i].0 = *first;
                return (Some(clock::from_pg(first.at)), goes_on);
            }
            match found.rest {
                Some(rest) => {
                    self.unseen[i].0 = rest;
                    goes_on = true;
                    i += 1;
                }
                None => {
                    self.unseen.remove(i);
                }
            }
        }
        (None, goes_on)
    }

    /// The first that wait, a flood at most.
    fn first(&self, walk: &Walk, role: Oid, by: Place, in_hand: &[i64]) -> Vec<Place> {
        let (mut seen, steps) = (Vec::new(), STEPS / STRETCHES);
        for (from, until) in &self.unseen {
            let count = FLOOD - seen.len();
            if count > 0 {
                let task = Task { role, from: *from, until: by.min(*until), except: in_hand, count, steps };
                seen.extend(walk.go(&task).seen);
            }
        }
        seen
    }
}

/// Before all entries of an instant.
fn at(instant: Instant) -> Place {
    Place { at: clock::to_pg(instant), id: i64::MIN }
}

impl Waiting {
    /// Of these entries, the oldest of which waits since then.
    fn of(ids: &[i64], since: Option<Instant>) -> Waiting {
        let statement = "select count(*) from jittask.agenda where id = any ($1) and key_count > 1";
        let batches = user::as_extension_owner(|| sql::run(statement, &[sql::arg(ids.to_vec())]).get::<i64>(0, 1));
        Waiting { entries: ids.len(), batches: batches.unwrap_or_default() as usize, since }
    }
}
