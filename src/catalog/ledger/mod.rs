//! The ledger: each occurrence of a task that came in is pending, or has ended once. Of each task
//! `entered = completed + failed + skipped + cancelled + pending` holds at each commit, and `jittask.accounts` shows it.
//!
//! Three tables say so: what is pending stands in `jittask.agenda`, what has ended in `jittask.record`, and how many there are
//! of each in `jittask.tally`. A transition is one function here, which changes them together; nobody else writes into the
//! last two (`make lint`). In the caller's transaction, in any process.
//!
//! | transition | from | to |
//! |---|---|---|
//! | [`Ledger::enter`], [`Ledger::ask_for`] | nothing | pending |
//! | [`Ledger::end`] | pending | ended |
//! | [`Ledger::skip_unplanned`] | nothing | ended |
//! | [`Ledger::revive`], [`Ledger::reopen`] | ended | pending |
//! | [`Ledger::withdraw`], [`Ledger::forget_twice`] | pending | nothing |
//! | [`Ledger::pass_over`] | pending | passed over |
//! | [`Ledger::pass_over_unplanned`] | nothing | passed over |

mod enter;
pub mod entries;
pub mod forget;
pub mod held;
mod moves;
pub mod origin;
pub mod owed;
pub mod record;
mod tally;

pub use self::enter::{New, next_ids};
pub use self::tally::{Writer, pending};

use self::entries::Entry;
use self::origin::Origin;
use self::record::{Ended, Record};
use self::tally::Counts;
use crate::catalog::table::key::NO_ROW;
use crate::catalog::task::Task;
use crate::pg::bulk::Order;
use crate::pg::walk::Place;
use pgrx::pg_sys::Oid;
use schedule::{Instant, Occurrence};

/// One task's transitions in one transaction. What they come to is written when it is [closed](Ledger::close).
#[must_use]
pub struct Ledger {
    task: i32,
    writer: Writer,
    counts: Counts,
    last: Option<(Instant, &'static str)>,
}

impl Ledger {
    /// Opens a task's.
    pub fn open(task: i32, writer: Writer) -> Ledger {
        Ledger { task, writer, counts: Counts::default(), last: None }
    }

    /// Writes the counts. Until then others see neither: all is in the caller's transaction.
    pub fn close(self) {
        tally::add(self.task, self.writer, self.counts, self.last);
    }

    /// So many have come in so far, less those that were withdrawn.
    pub fn entered(&self) -> i64 {
        self.counts.entered
    }

    /// Occurrences that were planned are pending.
    pub fn enter(&mut self, owner: Oid, occurrences: &[New]) {
        enter::insert(owner, self.task, occurrences);
        self.counts.entered += occurrences.len() as i64;
    }

    /// The same of a scheduled task's series, but for what has ended: cancelled before its task was altered, say.
    pub fn enter_series(&mut self, owner: Oid, occurrences: Vec<New>) {
        let left = record::unrecorded(self.task, occurrences, |new| (NO_ROW, new.occurrence.nominal_at));
        self.enter(owner, &left);
    }

    /// An occurrence by run_task is pending, due now, whatever the schedule says. Gives its id.
    pub fn ask_for(&mut self, owner: Oid, key: &str) -> i64 {
        self.counts.entered += 1;
        enter::insert_manual(owner, self.task, key)
    }

    /// What was pending has ended; its entries are the caller's to remove. Raises 23505 if one of them ended already.
    pub fn end(&mut self, records: &[Record]) {
        self.end_in(Order::AsGiven, records);
    }

    /// The same where it may have come in twice, and have ended already: its record stays as it is. Those that ended now.
    pub fn end_once(&mut self, records: Vec<Record>) -> Vec<Record> {
        let count = records.len();
        let left = record::unrecorded(self.task, records, |record| {
            (record.keys.get(record.position).map_or(NO_ROW, String::as_str), record.occurrence.nominal_at)
        });
        self.forget_twice(count - left.len());
        self.end(&left);
        left
    }

    /// The same, written in the order that suits the indexes.
    pub fn end_in(&mut self, order: Order, records: &[Record]) {
        record::insert_in(order, self.task, records);
        self.counts.add(records);
    }

    /// What has ended, of a task that keeps no records.
    pub fn end_unrecorded(&mut self, records: &[Record]) {
        self.counts.add(records);
    }

    /// The latest attempt of those that have ended: when it started, and how it ended.
    pub fn note_last(&mut self, last: Option<(Instant, &'static str)>) {
        self.last = last.or(self.last);
    }

    /// Occurrences end that have never been pending.
    pub fn skip_unplanned(&mut self, records: &[Record]) {
        self.counts.entered += records.len() as i64;
        self.end(records);
    }

    /// Skipped because its row did not fit, or its task was paused: pending again, under its id. False if the record is gone or
    /// final by now.
    pub fn revive(&mut self, task: &Task, id: i64, occurrence: Occurrence, key: &str) -> bool {
        let is_open = record::take_back(id);
        if is_open {
            self.counts.skipped -= 1;
            enter::insert_again(task, id, occurrence, key, Origin::Revived, occurrence.due_at);
        }
        is_open
    }

    /// It has not completed: pending again, under its id, to run at an instant; [`Instant::MAX`]: when its task is resumed.
    /// False if somebody was faster.
    pub fn reopen(&mut self, task: &Task, id: i64, ended: &Ended, run_at: Instant) -> bool {
        let is_open = record::reopen(id);
        if is_open {
            match ended.status.as_str() {
                "failed" => self.counts.failed -= 1,
                "skipped" => self.counts.skipped -= 1,
                _ => self.counts.cancelled -= 1,
            }
            let origin = if ended.forced { Origin::Manual } else { Origin::Retried };
            enter::insert_again(task, id, ended.occurrence, &ended.key, origin, run_at);
        }
        is_open
    }

    /// Takes back what is planned from `from` on, was not tried yet and nobody is running.
    pub fn withdraw(&mut self, from: Instant) {
        self.counts.entered -= entries::withdraw(self.task, from);
    }

    /// The same of what lies below a place in the agenda, so many entries at most, the latest first. Below which there may be more.
    pub fn withdraw_some(&mut self, task: &Task, from: Instant, below: Place, most: usize) -> Option<Place> {
        let (count, rest) = entries::withdraw_some(task, from, below, most);
        self.counts.entered -= count;
        rest
    }

    /// So many were pending although they have ended: they came in twice. Their entries are the caller's to remove.
    pub fn forget_twice(&mut self, count: usize) {
        self.counts.entered -= count as i64;
    }

    /// What these entries held, which were removed, was too old to count.
    pub fn pass_over(&mut self, entries: &[Entry]) {
        let count: usize = entries.iter().map(|entry| entry.keys.len()).sum();
        self.counts.entered -= count as i64;
        self.counts.passed_over += count as i64;
    }

    /// So many occurrences were seen too late to count.
    pub fn pass_over_unplanned(&mut self, count: i64) {
        self.counts.passed_over += count;
    }
}
