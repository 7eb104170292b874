//! Is this the database that the tasks were made in, or a copy of it?

use crate::pg::{sql, user};

/// False in a copy: nothing runs there.
pub fn is_here() -> bool {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "select exists (select 1 from jittask.home h, pg_control_system() c, pg_database d
                 where d.datname = current_database() and h.system_identifier = c.system_identifier and h.database = d.oid)",
            &[],
        );
        rows.get(0, 1).unwrap_or(false)
    })
}
