//! Entries come into the agenda, and to another instant or id in it, through here alone: so that each is told of at the
//! commit, and whoever looks for what is due need not begin at the front (`catalog::agenda::outlook`).

use crate::pg::{sql, wake};

/// Runs `statement`, an INSERT or UPDATE of `jittask.agenda` without RETURNING; `with`: what stands before it in WITH, each
/// followed by a comma. One row for each owner: the owner, the first and the last instant to run, and the least id.
pub fn run(with: &str, statement: &str, arguments: &[sql::Arg]) -> sql::Rows {
    let rows = sql::run(
        &format!(
            "with {with} moved as ({statement} returning owner::oid as owner, run_at, id)
             select owner, min(run_at) filter (where run_at < 'infinity'), max(run_at) filter (where run_at < 'infinity'), min(id)
             from moved group by owner"
        ),
        arguments,
    );
    tell(&rows, 1);
    rows
}

/// Tells of what a statement has moved: the owner is in this column, the first and the last instant in the next two.
pub fn tell(rows: &sql::Rows, column: usize) {
    for row in 0..rows.len() {
        // What is held back has no instant.
        let span = rows.at(row, column + 1).zip(rows.at(row, column + 2));
        if let Some((owner, span)) = rows.get::<pgrx::pg_sys::Oid>(row, column).zip(span) {
            wake::entered_at_commit(owner.to_u32(), span);
        }
    }
}
