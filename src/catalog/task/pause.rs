//! A task's pause, in its row: since when it counts afterwards, and what it is to make up for. In the transaction of whoever
//! pauses or resumes it.

use crate::error::cut;
use crate::pg::{sql, user};
use schedule::Instant;

/// With a person's note.
pub fn begin(id: i32, note: Option<&str>) {
    user::as_extension_owner(|| {
        let statement = "update jittask.task set enabled = false, note = $2, definition = jsonb_set(definition, '{enabled}', 'false')
             where id = $1";
        sql::run(statement, &[sql::arg(id), sql::arg(note.map(cut))])
    });
}

/// From now on it counts from `counts_from`, and looks from `looks_from` on if that is earlier than before.
pub fn end(id: i32, counts_from: Instant, looks_from: Option<Instant>) {
    user::as_extension_owner(|| {
        sql::run(
            "update jittask.task set enabled = true, note = null, definition = definition - 'enabled', counts_from = $2,
                 is_unplanned = kind = 'date_field', looks_from = least(looks_from, $3)
             where id = $1",
            &[sql::arg(id), sql::at(counts_from), sql::maybe_at(looks_from)],
        )
    });
}
