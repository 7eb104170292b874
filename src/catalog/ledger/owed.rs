//! Entries whose record cannot be written: because of a trigger, a constraint or an index of somebody's, or a full disk. What
//! is left of them is written to the agenda alone, so that their functions are not called for ever.

use super::moves;
use super::origin::PUT_ASIDE;
use crate::error::cut;
use crate::pg::boundary::Failure;
use crate::pg::{clock, sql, user};
use schedule::Instant;

/// Between two tries to write a record: as long as it has been refused for, but not more often and not more seldom than
/// this. Microseconds.
const SHORTEST: i64 = 1_000_000;
const LONGEST: i64 = 60_000_000;

/// When a record that has been refused since then is tried again.
fn again(since: Option<Instant>) -> Instant {
    let now = clock::now();
    Instant(now.0 + since.map_or(0, |since| now.0 - since.0).clamp(SHORTEST, LONGEST))
}

/// What a record that is owed has to say.
pub struct Owed {
    /// `failed` or `cancelled`.
    pub status: String,
    /// When its last attempt started.
    pub started_at: Option<Instant>,
    /// Its error.
    pub failure: Failure,
}

/// An entry's attempts are over, and its record was refused: from now on nothing but the record is tried.
pub fn owe(id: i64, status: &str, started_at: Option<Instant>, attempt: i32, failure: Option<&Failure>, why: &str) {
    user::as_extension_owner(|| {
        let statement = format!("update jittask.agenda set owes = $2::jittask.record_status, started_at = coalesce($3, started_at), attempt = $4,
                 error_code = coalesce($5, error_code), error = coalesce($6, error),
                 error_context = case when $5 is null then error_context else $7 end, record_error = $8, run_at = $9, {PUT_ASIDE}
             where id = $1");
        moves::run(
            "",
            &statement,
            &[
                sql::arg(id),
                sql::arg(status),
                sql::maybe_at(started_at),
                sql::arg(attempt as i16),
                sql::arg(failure.map(|failure| failure.sqlstate.as_str())),
                sql::arg(failure.map(|failure| cut(&failure.message))),
                sql::arg(failure.and_then(Failure::context_text)),
                sql::arg(cut(why)),
                sql::at(again(started_at)),
            ],
        )
    });
}

/// What an entry owes; None: nothing.
pub fn owed(id: i64) -> Option<Owed> {
    let rows = user::as_extension_owner(|| {
        let statement = "select owes::text, started_at, error_code, error, error_context from jittask.agenda where id = $1 and owes is not null";
        sql::run(statement, &[sql::arg(id)])
    });
    let [detail, hint, context] = parts_of(&rows.get::<String>(0, 5).unwrap_or_default());
    let (sqlstate, message) = (rows.get(0, 3).unwrap_or_default(), rows.get(0, 4).unwrap_or_default());
    let failure = Failure { sqlstate, message, detail, hint, context };
    Some(Owed { status: rows.get(0, 1)?, started_at: rows.at(0, 2), failure })
}

/// What [`Failure::context_text`] has put together.
fn parts_of(text: &str) -> [Option<String>; 3] {
    let mut rest = text;
    [("DETAIL: ", ["\nHINT: ", "\nCONTEXT: "]), ("HINT: ", ["\nCONTEXT: "; 2]), ("CONTEXT: ", ["\0"; 2])].map(
        |(word, next)| {
            let part = rest.strip_prefix(word)?;
            let end = next.iter().filter_map(|next| part.find(next)).min().unwrap_or(part.len());
            rest = part[end..].trim_start_matches('\n');
            Some(part[..end].to_string())
        },
    )
}

/// The record of an entry was refused before anything ran: no attempt. It is tried again later.
pub fn wait(id: i64, since: Instant, why: &str) {
    user::as_extension_owner(|| {
        let statement = "update jittask.agenda set record_error = $2, run_at = $3 where id = $1";
        moves::run("", statement, &[sql::arg(id), sql::arg(cut(why)), sql::at(again(Some(since)))])
    });
}

/// The record of an attempt that has been counted was refused.
pub fn note(id: i64, why: &str) {
    let statement = "update jittask.agenda set record_error = $2 where id = $1";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(id), sql::arg(cut(why))]));
}

/// Lets an entry that owes nothing but a record run anew, as retry_record does for one that has it. False if there is none.
pub fn run_again(id: i64) -> bool {
    user::as_extension_owner(|| {
        let statement =
            "update jittask.agenda set owes = null, record_error = null, attempt = 0, run_at = clock_timestamp(),
                 started_at = null, error_code = null, error = null, error_context = null
             where id in (select id from jittask.agenda where id = $1 and owes is not null for update skip locked)";
        moves::run("", statement, &[sql::arg(id)]).len() == 1
    })
}
