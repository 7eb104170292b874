//! Counts for each task and writer. Writers never share a row, so counting makes nobody wait.

use super::record::{Outcome, Record};
use crate::pg::{sql, user, worker};
use schedule::Instant;

/// Whose row the counts go to.
#[derive(Clone, Copy, Debug)]
pub enum Writer {
    /// Executor slot, from 0.
    Executor(usize),
    /// The database's scheduler.
    Scheduler,
    /// A user's session.
    Session,
}

impl Writer {
    fn number(self) -> i32 {
        match self {
            Writer::Executor(slot) => slot as i32,
            Writer::Scheduler => -1,
            // Pids are greater than 1.
            Writer::Session => -worker::pid(),
        }
    }
}

/// What is added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Came into the agenda (or was recorded without having been in it).
    pub entered: i64,
    /// Ended so.
    pub completed: i64,
    /// Ended so.
    pub failed: i64,
    /// Ended so.
    pub skipped: i64,
    /// Ended so.
    pub cancelled: i64,
    /// Seen too late to count.
    pub passed_over: i64,
}

impl Counts {
    /// Adds how these ended.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            match record.outcome {
                Outcome::Completed(_) => self.completed += 1,
                Outcome::Failed(_) => self.failed += 1,
                Outcome::Skipped(_) => self.skipped += 1,
                Outcome::Cancelled(_) | Outcome::Interrupted(_) => self.cancelled += 1,
            }
        }
    }

    fn is_nothing(&self) -> bool {
        self.entered == 0
            && self.completed == 0
            && self.failed == 0
            && self.skipped == 0
            && self.cancelled == 0
            && self.passed_over == 0
    }
}

/// Adds to a task's counts; `last` is the latest start and how that run ended.
pub fn add(task: i32, writer: Writer, counts: Counts, last: Option<(Instant, &'static str)>) {
    if counts.is_nothing() {
        return;
    }
    user::as_extension_owner(|| {
        sql::run(
            "insert into jittask.tally as t (task_id, writer, entered, completed, failed, skipped, cancelled, passed_over, passed_over_at,
                 last_started_at, last_status)
             values ($1, $2, $3, $4, $5, $6, $7, $8, case when $8 > 0 then clock_timestamp() end, $9, $10::jittask.record_status)
             on conflict (task_id, writer) do update set entered = t.entered + excluded.entered, completed = t.completed + excluded.completed,
                 failed = t.failed + excluded.failed, skipped = t.skipped + excluded.skipped, cancelled = t.cancelled + excluded.cancelled,
                 passed_over = t.passed_over + excluded.passed_over,
                 passed_over_at = coalesce(excluded.passed_over_at, t.passed_over_at),
                 last_started_at = coalesce(excluded.last_started_at, t.last_started_at), last_status = coalesce(excluded.last_status, t.last_status)",
            &[
                sql::arg(task),
                sql::arg(writer.number()),
                sql::arg(counts.entered),
                sql::arg(counts.completed),
                sql::arg(counts.failed),
                sql::arg(counts.skipped),
                sql::arg(counts.cancelled),
                sql::arg(counts.passed_over),
                sql::maybe_at(last.map(|(at, _)| at)),
                sql::arg(last.map(|(_, status)| status)),
            ],
        )
    });
}

/// How many of a task's occurrences wait or are executing, by the counts: one short look, whatever the agenda looks like.
pub fn pending(task: i32) -> i64 {
    user::as_extension_owner(|| {
        let statement = "select coalesce(sum(entered - completed - failed - skipped - cancelled), 0)::bigint
             from jittask.tally where task_id = $1";
        sql::run(statement, &[sql::arg(task)]).get(0, 1).unwrap_or_default()
    })
}
