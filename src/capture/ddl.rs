//! The event trigger: a command has changed tables or functions. In the user's own transaction.

use crate::catalog::upkeep::renames;
use crate::pg::{sql, wake, xact};

/// Lets tasks follow renamed columns, and the scheduler look what else has changed once this is committed. Whatever goes
/// wrong here is no reason for the user's command to fail.
pub fn command_end(tag: &str, is_drop: bool) {
    // What nobody can say counts as a change.
    if sql::session(|| xact::savepoint(|| renames::concerns_tasks(is_drop))).unwrap_or(true) {
        wake::schema_changed_at_commit();
    }
    if is_drop {
        return;
    }
    if !["ALTER TABLE", "ALTER VIEW", "ALTER FOREIGN TABLE", "ALTER MATERIALIZED VIEW"].contains(&tag) {
        return;
    }
    if let Err(failure) = sql::session(|| xact::savepoint(renames::command_end)) {
        if failure.is_cancel() {
            // Their own wish, or their statement_timeout.
            failure.raise();
        }
        failure.log("apply a renamed column to its tasks");
    }
}
