//! Rows that were captured with very much of the past to be made up for, and how far that is in the agenda. In the
//! transactions of executors that plan their task, one at a time.

use crate::pg::{sql, user};
use schedule::Instant;

/// Some rows of one task.
pub struct Arrears {
    /// What was due from here on is still to be entered,
    pub since: Instant,
    /// up to shortly before this, when they were captured.
    pub as_of: Instant,
    /// Which rows.
    pub keys: Vec<String>,
}

/// Most keys that are kept together.
const TOGETHER: usize = 100;

/// Leaves rows to be entered later.
pub fn add(task: i32, arrears: &Arrears) {
    user::as_extension_owner(|| {
        for keys in arrears.keys.chunks(TOGETHER) {
            sql::run(
                "insert into jittask.arrears (task_id, since, as_of, keys) values ($1, $2, $3, $4)",
                &[sql::arg(task), sql::at(arrears.since), sql::at(arrears.as_of), sql::arg(keys.to_vec())],
            );
        }
    });
}

/// Takes some out, those that were captured first; None: there are none.
pub fn take(task: i32) -> Option<Arrears> {
    let rows = user::as_extension_owner(|| {
        let statement = "delete from jittask.arrears where ctid = (
                 select ctid from jittask.arrears where task_id = $1 order by as_of, since limit 1 for update skip locked)
             returning since, as_of, keys";
        sql::run(statement, &[sql::arg(task)])
    });
    Some(Arrears { since: rows.at(0, 1)?, as_of: rows.at(0, 2)?, keys: rows.get(0, 3)? })
}

/// Forgets a task's; how many rows that were.
pub fn forget(task: i32) -> i64 {
    let statement = "with gone as (delete from jittask.arrears where task_id = $1 returning keys)
         select coalesce(sum(cardinality(keys)), 0)::bigint from gone";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(task)])).get(0, 1).unwrap_or_default()
}
