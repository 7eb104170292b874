//! The event trigger: a command has changed tables or functions. In the user's own transaction.

use crate::catalog::{filter, follow};
use crate::error::OrRaise;
use crate::pg::{sql, wake, xact};
use pgrx::prelude::*;

/// Lets tasks follow renamed columns, and the scheduler look what else has changed once this is committed. Whatever goes
/// wrong here is no reason for the user's command to fail, but for one: a second function of a filter's name.
pub fn command_end(tag: &str) {
    wake::schema_changed_at_commit();
    if ["FUNCTION", "ROUTINE", "PROCEDURE", "AGGREGATE"].iter().any(|kind| tag.ends_with(kind)) {
        return sql::session(|| filter::refuse_second().or_raise());
    }
    if !["ALTER TABLE", "ALTER VIEW", "ALTER FOREIGN TABLE", "ALTER MATERIALIZED VIEW"].contains(&tag) {
        return;
    }
    if let Err(failure) = sql::session(|| xact::savepoint(follow::command_end)) {
        warning!("jittask tasks do not follow a renamed column: {}", failure.message);
    }
}
