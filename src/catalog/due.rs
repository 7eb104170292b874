//! What of the agenda is due: claimed by executors, looked up by the scheduler.

use super::agenda::{COLUMNS, Entry, entry};
use crate::pg::{sql, user};
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
}

impl Wanted {
    /// Claims the oldest of them that no other transaction holds.
    pub fn claim(&self) -> Option<Entry> {
        let rows = in_order(
            &format!(
                "select {COLUMNS} from jittask.agenda where owner = $1 and run_at <= $2 and id <> all($3) and task_id <> all($4)
                     and (not $5 or cardinality(keys) > 1)
                 order by run_at, id limit 1 for update skip locked"
            ),
            &[
                sql::datum(REGROLEOID, Some(self.owner.into())),
                sql::at(self.now),
                sql::arg(self.in_hand.clone()),
                sql::arg(self.left_out.clone()),
                sql::arg(self.batches_only),
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
                     and (not $5 or cardinality(keys) > 1) and (run_at, id) > ($6, $7) and alone = $8 and not forced and attempt = 0
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
                sql::arg(last.alone),
            ],
        );
        entry(&rows)
    }
}

/// By the index on (owner, run_at, id), whatever the statistics of a table that is empty most of the time make of it: sorting
/// all that is due for each claim is quadratic.
fn in_order(statement: &str, arguments: &[sql::Arg]) -> sql::Rows {
    user::as_extension_owner(|| {
        let settings = user::Settings::begin();
        settings.set(c"enable_sort", c"off");
        settings.set(c"enable_bitmapscan", c"off");
        let rows = sql::run(statement, arguments);
        settings.end();
        rows
    })
}

/// The owner's next instant to run something that is not in hand already, of other tasks than `locked`, or None.
pub fn next_run_at(owner: Oid, in_hand: &[i64], locked: &[i32]) -> Option<Instant> {
    in_order(
        "select run_at from jittask.agenda
         where owner = $1 and run_at < 'infinity' and id <> all($2) and task_id <> all($3) order by run_at limit 1",
        &[sql::datum(REGROLEOID, Some(owner.into())), sql::arg(in_hand.to_vec()), sql::arg(locked.to_vec())],
    )
    .at(0, 1)
}

/// For each owner that has entries which are not in hand: the earliest instant to run one. From owner to owner through the
/// index: there may be many tasks and entries, but few owners.
pub fn next_by_owner(in_hand: &[i64]) -> Vec<(Oid, Instant)> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "with recursive o (owner) as (
                 (select a.owner::oid from jittask.agenda a order by a.owner limit 1)
                 union all
                 select (select a.owner::oid from jittask.agenda a where a.owner > o.owner order by a.owner limit 1)
                 from o where o.owner is not null)
             select o.owner, n.run_at from o cross join lateral (
                 select a.run_at from jittask.agenda a
                 where a.owner = o.owner and a.run_at < 'infinity' and a.id <> all($1) order by a.run_at limit 1) n",
            &[sql::arg(in_hand.to_vec())],
        )
    });
    (0..rows.len()).filter_map(|row| Some((rows.get(row, 1)?, rows.at(row, 2)?))).collect()
}

/// So many entries of several rows are a flood.
const FLOOD: usize = 8;

/// Entries of an owner that are due and not in hand, a flood at most.
#[derive(Default)]
pub struct Waiting {
    /// How many.
    pub entries: usize,
    /// How many of them are of several rows.
    batches: usize,
    /// Since when the oldest waits.
    pub since: Option<Instant>,
}

impl Waiting {
    /// A lot, for which one executor is not enough.
    pub fn is_flood(&self) -> bool {
        self.batches == FLOOD
    }
}

/// What waits of what is due by an instant.
pub fn waiting(owner: Oid, by: Instant, in_hand: &[i64]) -> Waiting {
    let rows = in_order(
        "select run_at, cardinality(keys) > 1 from jittask.agenda where owner = $1 and run_at <= $2 and id <> all($3)
         order by run_at limit $4",
        &[sql::datum(REGROLEOID, Some(owner.into())), sql::at(by), sql::arg(in_hand.to_vec()), sql::arg(FLOOD as i64)],
    );
    let batches = (0..rows.len()).filter(|row| rows.get(*row, 2) == Some(true)).count();
    Waiting { entries: rows.len(), batches, since: rows.at(0, 1) }
}
