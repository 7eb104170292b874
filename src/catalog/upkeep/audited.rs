//! How far the audit of each task has come, and what it has found: `jittask.audited`. In the caller's transaction, of the
//! executor that audits or the scheduler that looks who has something to audit.

use crate::pg::{sql, user};
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::Instant;

/// An audit that is under way, or is to begin.
pub struct Audited {
    /// The task's serial.
    pub task: i32,
    /// What was due in this span is looked at; None: it begins.
    pub span: Option<(Instant, Instant)>,
    /// In rows from this block on.
    pub block: i64,
}

/// Tasks `t` that are audited. One that is broken says so by itself.
const TASKS: &str = "from jittask.task t left join jittask.audited a on a.task_id = t.id
     where t.enabled and t.dropped_at is null and t.problem is null and t.plan_problem is null";
/// When an audit of such a task begins, or goes on: the first one $1 microseconds after the task was made.
const NEXT: &str = "coalesce(a.next_at, t.created_at + $1 * interval '1 microsecond')";

/// Who has tasks, and when the first of each one's audits begins or goes on.
pub fn owners(interval: i64) -> Vec<(Oid, Instant)> {
    let rows = user::as_extension_owner(|| {
        sql::run(&format!("select t.owner::oid, min({NEXT}) {TASKS} group by 1"), &[sql::arg(interval)])
    });
    (0..rows.len()).filter_map(|row| rows.get(row, 1).zip(rows.at(row, 2))).collect()
}

/// The owner's one that waits longest, held until the transaction ends. None: there is none, or another executor is at it.
pub fn take(owner: Oid, interval: i64, now: Instant) -> Option<Audited> {
    user::as_extension_owner(|| {
        let statement = format!("select t.id {TASKS} and {NEXT} <= $2 and t.owner = $3 order by {NEXT}, t.id limit 1");
        let owner = sql::datum(REGROLEOID, Some(owner.into()));
        let task: i32 = sql::run(&statement, &[sql::arg(interval), sql::at(now), owner]).get(0, 1)?;
        let statement = "insert into jittask.audited (task_id, next_at) values ($1, $2) on conflict do nothing";
        sql::run(statement, &[sql::arg(task), sql::at(now)]);
        let statement = "select from_at, until_at, block from jittask.audited where task_id = $1 and next_at <= $2 for update skip locked";
        let rows = sql::run(statement, &[sql::arg(task), sql::at(now)]);
        Some(Audited { task, span: rows.at(0, 1).zip(rows.at(0, 2)), block: rows.get(0, 3)? })
    })
}

/// It goes on at `next_at`, from this block on.
pub fn go_on(task: i32, span: (Instant, Instant), block: i64, next_at: Instant) {
    user::as_extension_owner(|| {
        sql::run(
            "update jittask.audited set from_at = $2, until_at = $3, block = $4, next_at = $5 where task_id = $1",
            &[sql::arg(task), sql::at(span.0), sql::at(span.1), sql::arg(block), sql::at(next_at)],
        )
    });
}

/// It is done, or cannot be; the next one begins at `next_at`.
pub fn end(task: i32, next_at: Instant) {
    user::as_extension_owner(|| {
        sql::run(
            "update jittask.audited set from_at = null, until_at = null, block = 0, next_at = $2 where task_id = $1",
            &[sql::arg(task), sql::at(next_at)],
        )
    });
}

/// Counts what was missing, and runs now.
pub fn count(task: i32, repaired: usize) {
    user::as_extension_owner(|| {
        sql::run(
            "update jittask.audited set repaired = repaired + $2, repaired_at = clock_timestamp() where task_id = $1",
            &[sql::arg(task), sql::arg(repaired as i64)],
        )
    });
}

/// In how many blocks rows of a table lie, or of the longest of its parts; None: it is no table whose rows have places.
pub fn blocks(relation: Oid) -> Option<i64> {
    let rows = user::with_pinned_path(|| {
        sql::run(
            "with recursive part (relid) as (select $1::oid union select i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid)
             select max(pg_relation_size(c.oid) / current_setting('block_size')::bigint) from part p join pg_class c on c.oid = p.relid
             having bool_and(c.relkind in ('r', 'p'))",
            &[sql::arg(relation)],
        )
    });
    rows.get(0, 1)
}
