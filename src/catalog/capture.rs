//! What the capture triggers left: rows that may have become due soon.

use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;

/// Candidates of one task.
pub struct Candidates {
    /// Their keys, in the stored form.
    pub keys: Vec<String>,
    /// The table must be looked through as a whole.
    pub everything: bool,
    /// There may be more than were taken.
    pub are_more: bool,
}

/// Rows taken in one pass; each has up to 1,000 candidates.
const MOST: i64 = 100;

/// Takes candidates of a token that come from its task's table or a partition of it. Others, which somebody's own
/// trigger brought in, are thrown away unread.
pub fn take(token: i64, table: Oid) -> Candidates {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "with recursive part (relid) as (
                 select $2::oid union all select i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid),
             taken as (select ctid from jittask.capture where token = $1 limit $3),
             gone as (delete from jittask.capture c using taken where c.ctid = taken.ctid returning c.relation, c.keys)
             select keys, relation in (select relid from part) from gone",
            &[sql::arg(token), sql::arg(table), sql::arg(MOST)],
        )
    });
    let mut found = Candidates { keys: Vec::new(), everything: false, are_more: rows.len() as i64 == MOST };
    for row in (0..rows.len()).filter(|row| rows.get(*row, 2) == Some(true)) {
        match rows.get::<Vec<String>>(row, 1) {
            Some(keys) => found.keys.extend(keys),
            None => found.everything = true,
        }
    }
    found.keys.sort_unstable();
    found.keys.dedup();
    found
}

/// The tokens that have candidates, and the owners of their tasks.
pub fn waiting() -> Vec<(i64, Option<Oid>)> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select distinct c.token, t.owner::oid from jittask.capture c left join jittask.task t on t.token = c.token and t.dropped_at is null and t.enabled",
            &[],
        )
    });
    (0..rows.len()).filter_map(|row| Some((rows.get(row, 1)?, rows.get(row, 2)))).collect()
}

/// Throws away candidates of tasks that are gone.
pub fn discard(token: i64) {
    user::as_extension_owner(|| {
        // An executor may be at them: whoever holds a row deals with it.
        let statement = "delete from jittask.capture where ctid in (select ctid from jittask.capture where token = $1 for update skip locked)";
        sql::run(statement, &[sql::arg(token)])
    });
}
