//! The session between two tasks: what one left behind does not reach the next.

/// Undoes settings, role, prepared statements, cursors, temporary tables, locks and listens. In a transaction of its own.
pub fn reset() {
    for statement in [
        "reset role",
        "reset all",
        "close all",
        "deallocate all",
        "unlisten *",
        "select pg_catalog.pg_advisory_unlock_all()",
        "discard temp",
        "discard sequences",
    ] {
        super::sql::once(statement, &[]);
    }
}
