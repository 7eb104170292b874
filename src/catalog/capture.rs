//! What the capture triggers left: rows that may have become due soon.

use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;

/// Candidates of one task.
pub struct Candidates {
    /// Keys, in the stored form, of rows that are new or whose date is.
    pub dated: Vec<String>,
    /// Keys of rows that were changed otherwise.
    pub others: Vec<String>,
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
             gone as (delete from jittask.capture c using taken where c.ctid = taken.ctid returning c.relation, c.is_dated, c.keys)
             select keys, relation in (select relid from part), is_dated from gone",
            &[sql::arg(token), sql::arg(table), sql::arg(MOST)],
        )
    });
    let are_more = rows.len() as i64 == MOST;
    let mut found = Candidates { dated: Vec::new(), others: Vec::new(), everything: false, are_more };
    for row in (0..rows.len()).filter(|row| rows.get(*row, 2) == Some(true)) {
        match rows.get::<Vec<String>>(row, 1) {
            Some(keys) if rows.get(row, 3) == Some(true) => found.dated.extend(keys),
            Some(keys) => found.others.extend(keys),
            None => found.everything = true,
        }
    }
    found.dated.sort_unstable();
    found.dated.dedup();
    found.others.sort_unstable();
    found.others.dedup();
    found.others.retain(|key| found.dated.binary_search(key).is_err());
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

/// Throws away the candidates of one task.
pub fn discard(token: i64) {
    user::as_extension_owner(|| {
        // An executor may be at them: whoever holds a row deals with it.
        let statement = "delete from jittask.capture where ctid in (select ctid from jittask.capture where token = $1 for update skip locked)";
        sql::run(statement, &[sql::arg(token)])
    });
}

/// Throws away, some thousands at a time, candidates of tasks that are gone or not at work, and such as there never were.
pub fn discard_orphans() {
    user::as_extension_owner(|| {
        let statement = "delete from jittask.capture where ctid in (select c.ctid from jittask.capture c where not exists (
                 select 1 from jittask.task t where t.token = c.token and t.dropped_at is null and t.enabled) limit 10000 for update skip locked)";
        sql::run(statement, &[])
    });
}

/// Throws away all candidates there are, in a copy that is not activated. True if there were any.
pub fn discard_all() -> bool {
    user::as_extension_owner(|| !sql::run("delete from jittask.capture", &[]).is_empty())
}
