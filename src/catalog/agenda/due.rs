//! What of the agenda is due: claimed by executors. What the scheduler sees of it: [`super::outlook`].

use crate::catalog::ledger::entries::{COLUMNS, Entry, entry};
use crate::pg::{clock, sql, user};
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::Instant;

/// Which entries an executor may claim.
pub struct Wanted {
    /// Of whose tasks.
    pub owner: Oid,
    /// Due by then.
    pub now: Instant,
    /// Not these: they are in hand elsewhere.
    pub in_hand: Vec<i64>,
    /// None of these tasks.
    pub left_out: Vec<i32>,
    /// Of several rows.
    pub batches_only: bool,
    /// From then on; see [`Floor`].
    pub since: Instant,
}

impl Wanted {
    /// Claims the oldest of them that no other transaction holds.
    pub fn claim(&self) -> Option<Entry> {
        let rows = in_order(
            &format!(
                "select {COLUMNS} from jittask.agenda where owner = $1 and run_at <= $2 and id <> all($3) and task_id <> all($4)
                     and (not $5 or key_count > 1) and run_at >= $6
                 order by run_at, id limit 1 for update skip locked"
            ),
            &[
                sql::datum(REGROLEOID, Some(self.owner.into())),
                sql::at(self.now),
                sql::arg(self.in_hand.clone()),
                sql::arg(self.left_out.clone()),
                sql::arg(self.batches_only),
                sql::at(self.since),
            ],
        );
        entry(&rows)
    }

    /// Claims the next of them after one that this transaction has claimed: of the same task, like it put aside or not, and
    /// not tried yet. From there on in the index: what was before it is mostly dead, and much.
    pub fn claim_after(&self, last: &Entry) -> Option<Entry> {
        let rows = in_order(
            &format!(
                "select {COLUMNS} from jittask.agenda where owner = $1 and run_at <= $2 and id <> all($3) and task_id = $4
                     and (not $5 or key_count > 1) and (run_at, id) > ($6, $7) and (origin <> 'p') = $8 and origin <> 'm' and attempt = 0
                 order by run_at, id limit 1 for update skip locked"
            ),
            &[
                sql::datum(REGROLEOID, Some(self.owner.into())),
                sql::at(self.now),
                sql::arg(self.in_hand.clone()),
                sql::arg(last.task),
                sql::arg(self.batches_only),
                sql::at(last.occurrence.due_at),
                sql::arg(last.id),
                sql::arg(last.is_isolated()),
            ],
        );
        entry(&rows)
    }
}

/// From where an executor looks for its next entry. What has run is dead in the index until it is vacuumed, and lies before
/// all that waits: a look that begins at the front passes all of it. So one goes back to what the scheduler has seen to be
/// due, and only now and then to the front, the more seldom the longer that takes.
#[derive(Default)]
pub struct Floor {
    /// The last look found nothing earlier.
    since: Option<Instant>,
    /// When the next look is from the front. Microseconds of the monotonic clock.
    full_at: i64,
    /// A look since then was not from the front.
    owes: bool,
    /// The scheduler has seen something that is due since then.
    told: Option<Instant>,
    /// When the next look goes back there, at the earliest.
    back_at: i64,
    /// What [`clock::processor`] was when the look began that goes back.
    went_back_at: Option<i64>,
    /// That look is from the front.
    is_full: bool,
}

/// Between two looks from the front. Microseconds.
const FULL_EVERY: i64 = 100_000;
/// After one, so many times what it took, but not more than this.
const FULL_PAUSE: i64 = 1000;
const LONGEST_FULL_PAUSE: i64 = 60_000_000;
/// The same after any that goes back.
const PAUSE: i64 = 50;
const LONGEST_PAUSE: i64 = 10_000_000;

impl Floor {
    /// Something that is due was so already then.
    pub fn tell(&mut self, at: Instant) {
        self.told = Some(self.told.map_or(at, |told| told.min(at)));
    }

    /// From where to look now.
    pub fn begin(&mut self) -> Instant {
        let now = clock::monotonic();
        if self.told.is_some_and(|told| told >= self.since()) {
            self.told = None;
        }
        if now >= self.full_at {
            let back_at = self.back_at;
            *self = Floor {
                full_at: now + FULL_EVERY,
                back_at,
                went_back_at: Some(clock::processor()),
                is_full: true,
                ..Default::default()
            };
        } else if now >= self.back_at
            && let Some(told) = self.told.take()
        {
            self.since = Some(told);
            self.went_back_at = Some(clock::processor());
        }
        self.since()
    }

    /// The first that was found by a look at `now`; None: nothing is due.
    pub fn note(&mut self, first: Option<Instant>, now: Instant) {
        if let Some(begun) = self.went_back_at.take() {
            let (now, took) = (clock::monotonic(), clock::processor() - begun);
            self.back_at = now + (PAUSE * took).min(LONGEST_PAUSE);
            self.full_at = self.full_at.max(self.back_at);
            if std::mem::take(&mut self.is_full) {
                self.full_at = self.full_at.max(now + (FULL_PAUSE * took).min(LONGEST_FULL_PAUSE));
            }
        }
        // What comes from now on may be due before what is to come.
        let first = first.map_or(now, |first| first.min(now));
        self.owes |= self.since.is_some();
        self.since = Some(self.since().max(first));
    }

    /// The last look found nothing earlier that is due.
    pub fn since(&self) -> Instant {
        self.since.unwrap_or(Instant(i64::MIN))
    }

    /// When to look from the front, if the last looks were not, or to go back.
    pub fn look_again_at(&self) -> Option<Instant> {
        let full_at = self.owes.then_some(self.full_at);
        let next = full_at.into_iter().chain(self.told.map(|_| self.back_at)).min()?;
        Some(Instant(clock::now().0 + next - clock::monotonic()))
    }
}

/// By the index on (owner, run_at, id).
fn in_order(statement: &str, arguments: &[sql::Arg]) -> sql::Rows {
    user::as_extension_owner(|| sql::run_in_index_order(statement, arguments))
}

/// The owner's next instant, from `since` on and before `until`, to run something that is not in hand already, of other tasks
/// than `locked`.
pub fn next_run_at(owner: Oid, in_hand: &[i64], locked: &[i32], since: Instant, until: Instant) -> Option<Instant> {
    in_order(
        "select run_at from jittask.agenda where owner = $1 and run_at < $5 and run_at >= $4
             and id <> all($2) and task_id <> all($3) order by run_at limit 1",
        &[
            sql::datum(REGROLEOID, Some(owner.into())),
            sql::arg(in_hand.to_vec()),
            sql::arg(locked.to_vec()),
            sql::at(since),
            sql::at(until),
        ],
    )
    .at(0, 1)
}

/// So many entries of several rows are a flood.
pub(super) const FLOOD: usize = 8;

/// Entries of an owner that are due and not in hand, a flood at most.
#[derive(Default)]
pub struct Waiting {
    /// How many.
    pub entries: usize,
    /// How many of them are of several rows.
    pub(super) batches: usize,
    /// Since when the oldest waits.
    pub since: Option<Instant>,
}

impl Waiting {
    /// A lot, for which one executor is not enough.
    pub fn is_flood(&self) -> bool {
        self.batches >= FLOOD
    }
}
