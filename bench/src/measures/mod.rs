//! The measures, one noun a file. Each makes its own server and lets its sides run by turns.

mod bytes;
mod copy;
mod cron;
mod dead;
mod failing;
mod idle;
mod insert;
mod lateness;
mod next_due;
mod pair;
mod planning;
mod rows;
mod update;

use crate::plan::Plan;
use crate::report::Outcome;

/// One measure.
pub struct Measure {
    /// What MEASURES takes.
    pub name: &'static str,
    pub what: &'static str,
    /// Part of the two-minute form.
    pub is_quick: bool,
    pub run: fn(&Plan) -> Outcome,
}

/// All, in the order of the table.
pub fn all() -> Vec<Measure> {
    let measure = |name, what, is_quick, run| Measure { name, what, is_quick, run };
    vec![
        measure("rows", "rows a second, all due at once, against statement, loop and job queues", true, rows::run),
        measure("failing", "the same with one failing row in each hundred, against none", true, failing::run),
        measure("lateness", "how late single rows start, on an idle machine", false, lateness::run),
        measure("cron", "pg_cron: how late jobs of a minute start, and what idling costs", false, cron::run),
        measure("planning", "planning a window of a large table against a small one", true, planning::run),
        measure("copy", "COPY of far-future rows into a tracked table, against an untracked one", true, copy::run),
        measure("update", "single-row updates of the date, far future, tracked against untracked", false, update::run),
        measure("insert", "INSERT of rows due within the horizon, tracked against untracked", true, insert::run),
        measure("bytes", "what far-future rows, pending rows and records take on disk", false, bytes::run),
        measure("idle", "what a thousand tasks cost that are not due", false, idle::run),
        measure(
            "next_due",
            "finding the next due instant of ten thousand scheduled tasks after one change",
            false,
            next_due::run,
        ),
        measure("dead", "the agenda's size after a million occurrences, autovacuum on", false, dead::run),
    ]
}
