//! Whose turn it is, in one executor: which due entry it claims next. In the executor's process, in the caller's transaction.

use crate::catalog::agenda::due::{Floor, Wanted};
use crate::catalog::ledger::entries::Entry;
use crate::pg::clock;
use crate::worker::executor::session::Me;
use schedule::Instant;
use std::collections::HashMap;

/// A task that has run for this long leaves the others of its owner the way, if any wait. Microseconds.
const TURN: i64 = 50_000;

/// The oldest entry runs first; but a task with very many is not to make the others wait for all of them.
#[derive(Default)]
pub struct Turns {
    /// The last task that ran, whose session this is; 0: none yet.
    pub session: i32,
    /// Has it run since the session was made new?
    pub has_run: bool,
    /// How long tasks have run in this round. Microseconds.
    spent: HashMap<i32, i64>,
    /// From where all tasks' entries are looked for.
    floor: Floor,
    /// From where those of tasks that have not had their turn are.
    floor_of_others: Floor,
}

impl Turns {
    /// Claims the entry whose turn it is.
    pub fn claim(&mut self, me: &Me, was_idle: bool) -> Option<Entry> {
        let locked = me.blocked.tasks();
        if let Some(at) = me.slot.due_from.take() {
            self.floor.tell(at);
            self.floor_of_others.tell(at);
        }
        if was_idle {
            self.spent.clear();
        }
        let had_turn = self.spent.iter().filter(|(_, spent)| **spent >= TURN).map(|(task, _)| *task);
        let left_out: Vec<i32> = locked.iter().copied().chain(had_turn).collect();
        let is_left_out = left_out.len() > locked.len();
        let mut wanted = me.wanted(left_out);
        if is_left_out {
            if let Some(entry) = look(&mut self.floor_of_others, &mut wanted) {
                return Some(entry);
            }
            // All that wait have had their turn: a new round.
            self.spent.clear();
            wanted.left_out = locked;
        }
        look(&mut self.floor, &mut wanted)
    }

    /// From where on nothing that is due was found.
    pub fn since(&self) -> Instant {
        self.floor.since()
    }

    /// When to look again at the latest, for what came late.
    pub fn look_again_at(&self) -> Option<Instant> {
        self.floor.look_again_at()
    }

    /// The last task has run for so long. Microseconds.
    pub fn took(&mut self, micros: i64) {
        *self.spent.entry(self.session).or_default() += micros;
    }
}

fn look(floor: &mut Floor, wanted: &mut Wanted) -> Option<Entry> {
    wanted.since = floor.begin();
    let found = wanted.claim();
    // A retry runs later than it was due: from there on is early enough.
    floor.note(found.as_ref().map(|entry| entry.occurrence.due_at), wanted.now);
    found
}

impl Me {
    /// What it may claim now, but for these tasks.
    pub fn wanted(&self, left_out: Vec<i32>) -> Wanted {
        let (owner, in_hand) = (self.owner, self.others_in_hand());
        Wanted {
            owner,
            now: clock::now(),
            in_hand,
            left_out,
            batches_only: self.takes_batches_only(),
            since: Instant(i64::MIN),
        }
    }

    /// Somebody may want this slot back in the middle of a row that takes long.
    fn takes_batches_only(&self) -> bool {
        self.slot.is_lent() && !self.shared.is_quick(self.database, self.owner.to_u32())
    }
}
