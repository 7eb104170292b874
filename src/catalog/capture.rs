//! What the capture triggers left: rows that may have become due soon.

use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;

/// Candidates of one task.
#[derive(Default)]
pub struct Candidates {
    /// Their keys, in the stored form.
    pub keys: Vec<String>,
    /// The table must be looked through as a whole.
    pub everything: bool,
}

/// Takes all candidates of a token that come from a table `accepts` vouches for.
pub fn take(token: i64, accepts: impl Fn(Oid) -> bool) -> Candidates {
    let rows = user::as_extension_owner(|| {
        sql::run("delete from jittask.capture where token = $1 returning relation, keys", &[sql::arg(token)])
    });
    let mut found = Candidates::default();
    for row in 0..rows.len() {
        if !rows.get::<Oid>(row, 1).is_some_and(&accepts) {
            continue;
        }
        match rows.get::<Vec<String>>(row, 2) {
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
