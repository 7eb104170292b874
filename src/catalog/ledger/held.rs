//! Entries that are held back, since their task is paused or something it needs is missing: they are due at infinity. They are
//! let go by whoever resumes the task or finds that nothing is missing any more; by the scheduler in portions, for there may be
//! millions, and it works for all.

use super::moves;
use crate::pg::walk::{self, Place};
use crate::pg::{sql, user};
use pgrx::pg_sys::{Oid, REGROLEOID};

/// Entries that are looked at together.
const PORTION: usize = 1000;
/// And entries of the index that are passed for them.
const STEPS: usize = 10_000;

/// How far a task's entries have been let go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// All of them.
    All,
    /// So far; there are more.
    Some,
    /// Somebody is at one of them just now, and is not waited for.
    Busy,
}

/// From now on what the task holds back is let go.
pub fn begin_to_let_go(task: i32) {
    go_on_after(task, Some(i64::MIN));
}

/// None: it lets none go any more.
fn go_on_after(task: i32, id: Option<i64>) {
    let statement = "update jittask.task set lets_go_after = $2 where id = $1 and lets_go_after is distinct from $2";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(task), sql::arg(id)]));
}

/// Those of these tasks that let entries go.
pub fn letting_go(tasks: &[i32]) -> Vec<i32> {
    let statement =
        "select id from jittask.task where id = any($1) and lets_go_after is not null and problem is null and enabled
         and dropped_at is null order by id";
    let rows = user::as_extension_owner(|| sql::run(statement, &[sql::arg(tasks.to_vec())]));
    (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect()
}

/// Lets go a portion of what a task, whose row the transaction has locked, holds back.
pub fn let_go(task: i32) -> LetGo {
    user::as_extension_owner(|| {
        let rows = sql::run("select owner::oid, lets_go_after from jittask.task where id = $1", &[sql::arg(task)]);
        let Some((owner, after)) = rows.get(0, 1).zip(rows.get(0, 2)) else { return LetGo::All };
        let (seen, rest) = held_back(owner, after);
        let statement =
            "with held as (select id from jittask.agenda where id = any($2) and task_id = $1 and run_at = 'infinity'),
             free as (select id from jittask.agenda where id in (select id from held) for update skip locked),
             moved as (update jittask.agenda set run_at = clock_timestamp() where id in (select id from free)
                 returning owner::oid as owner, run_at)
             select (select owner from moved limit 1), (select min(run_at) from moved), (select max(run_at) from moved),
                 (select count(*) from free) < (select count(*) from held)";
        let rows = sql::run(statement, &[sql::arg(task), sql::arg(seen)]);
        moves::tell(&rows, 1);
        let is_busy = rows.get::<bool>(0, 4).unwrap_or_default();
        // Those that somebody was at are there still: from the front, later.
        let (next, came) = match (rest, is_busy) {
            (_, true) => (Some(i64::MIN), LetGo::Busy),
            (Some(_), false) => (rest, LetGo::Some),
            (None, false) => (None, LetGo::All),
        };
        go_on_after(task, next);
        came
    })
}

/// The next entries with greater ids than this that any of the owner's tasks holds back, and after which of them there may be
/// more: what is gone lies dead in the index, and is passed once.
fn held_back(owner: Oid, after: i64) -> (Vec<i64>, Option<i64>) {
    let found = walk::along(c"agenda", (c"agenda_claim", 3), |walk| {
        walk.go(&walk::Task {
            role: owner,
            from: Place { at: i64::MAX, id: after.saturating_add(1) },
            until: Place::LAST,
            except: &[],
            count: PORTION,
            steps: STEPS,
        })
    });
    let Some(found) = found else { return without_index(owner, after) };
    let ids: Vec<i64> = found.seen.iter().map(|place| place.id).collect();
    let last = ids.last().copied().filter(|_| ids.len() == PORTION);
    (ids, found.rest.map(|rest| rest.id - 1).or(last))
}

/// Somebody has dropped the index.
fn without_index(owner: Oid, after: i64) -> (Vec<i64>, Option<i64>) {
    let statement =
        "select id from jittask.agenda where owner = $1 and run_at = 'infinity' and id > $2 order by id limit $3";
    let owner = sql::datum(REGROLEOID, Some(owner.into()));
    let rows = sql::run(statement, &[owner, sql::arg(after), sql::arg(PORTION as i64)]);
    let ids: Vec<i64> = (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect();
    let last = ids.last().copied().filter(|_| ids.len() == PORTION);
    (ids, last)
}

/// Holds a paused task's retries back.
pub fn hold_retries(task: i32) {
    user::as_extension_owner(|| {
        let statement = "update jittask.agenda set run_at = 'infinity'
             where id in (select id from jittask.agenda where task_id = $1 and attempt > 0 for update skip locked)";
        moves::run("", statement, &[sql::arg(task)])
    });
}

/// Lets go all that a task holds back, as far as the transaction sees it.
pub fn let_all_go(task: i32) {
    user::as_extension_owner(|| {
        let statement =
            "update jittask.agenda set run_at = clock_timestamp() where task_id = $1 and run_at = 'infinity'";
        moves::run("", statement, &[sql::arg(task)])
    });
}
