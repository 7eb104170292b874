//! Entries that are held back, since their task is paused or something it needs is missing: they are due at infinity. They are
//! let go by whoever resumes the task or finds that nothing is missing any more; by the scheduler in portions, for there may be
//! millions, and it works for all.

use super::moves;
use crate::pg::{sql, user};

/// Entries that are looked at together.
const PORTION: i64 = 5000;

/// How far a task's entries have been let go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// All of them.
    All,
    /// So far; there are more.
    Some,
    /// Somebody is at one of them just now: nobody waits for him.
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
        let statement = "with place as (select t.owner, t.lets_go_after from jittask.task t where t.id = $1),
             seen as (select a.id, a.task_id from jittask.agenda a
                 where a.owner = (select owner from place) and a.run_at = 'infinity' and a.id > (select lets_go_after from place)
                 order by a.run_at, a.id limit $2),
             free as (select id from jittask.agenda where id in (select id from seen where task_id = $1) for update skip locked),
             moved as (update jittask.agenda set run_at = clock_timestamp() where id in (select id from free)
                 returning owner::oid as owner, run_at)
             select (select owner from moved limit 1), (select min(run_at) from moved), (select max(run_at) from moved),
                 (select max(id) from seen having count(*) = $2),
                 (select count(*) from free) < (select count(*) from seen where task_id = $1)";
        let rows = sql::run_in_index_order(statement, &[sql::arg(task), sql::arg(PORTION)]);
        moves::tell(&rows, 1);
        let (rest, is_busy) = (rows.get::<i64>(0, 4), rows.get::<bool>(0, 5).unwrap_or_default());
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

/// Holds a paused task's retries back, or lets go all that it holds.
pub fn hold_retries(task: i32, held: bool) {
    user::as_extension_owner(|| {
        let statement = if held {
            "update jittask.agenda set run_at = 'infinity' where id in (select id from jittask.agenda where task_id = $1 and attempt > 0 for update skip locked)"
        } else {
            "update jittask.agenda set run_at = clock_timestamp() where task_id = $1 and run_at = 'infinity'"
        };
        moves::run("", statement, &[sql::arg(task)])
    });
}
