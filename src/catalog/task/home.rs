//! Is this the database that the tasks were made in, or a copy of it? Each task's row tells, so that a task never is in a
//! copy without being known as one, in whatever order a dump is restored.

use crate::pg::{sql, user, worker};

/// This database among all: the server's system identifier, the database's OID and the extension's, which is another one
/// where a dump was restored into the database that it was made of. A standby shares all three, and has them for its own
/// when it is promoted.
pub fn here() -> String {
    let extension = user::extension().map_or(0, |extension| extension.to_u32());
    format!("{}/{}/{extension}", worker::system_identifier(), worker::database().to_u32())
}

/// False where a task was brought along from elsewhere: nothing runs then.
pub fn is_here() -> bool {
    user::as_extension_owner(|| {
        // The ends of an index: this is asked at each claim, and there may be many tasks.
        let rows = sql::run(
            "select not exists (select 1 from jittask.task where dropped_at is null and home < $1)
                and not exists (select 1 from jittask.task where dropped_at is null and home > $1)",
            &[sql::arg(here())],
        );
        rows.get(0, 1).unwrap_or(false)
    })
}
