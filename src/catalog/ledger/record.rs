//! Records: what became of an occurrence. Unique on (nominal instant, task, key).

use super::entries::Entry;
use crate::catalog::shape::{self, RECORD_COLUMNS};
use crate::catalog::table::key;
use crate::error::cut;
use crate::pg::boundary::Failure;
use crate::pg::bulk::{self, Order};
use crate::pg::shape::Column;
use crate::pg::{clock, lock, memory, sql, user, worker};
use pgrx::IntoDatum;
use pgrx::pg_sys::{Datum, Oid};
use schedule::{Instant, Occurrence};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// How an occurrence ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With the function's result as text.
    Completed(Option<String>),
    /// With the error of the last attempt.
    Failed(Failure),
    /// With the reason.
    Skipped(&'static str),
    /// With the reason.
    Cancelled(&'static str),
    /// By cancel_record while it was executing.
    Interrupted(Failure),
}

impl Outcome {
    /// The status in SQL.
    pub fn status(&self) -> &'static str {
        match self {
            Outcome::Completed(_) => "completed",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped(_) => "skipped",
            Outcome::Cancelled(_) | Outcome::Interrupted(_) => "cancelled",
        }
    }
}

/// One record to be written.
#[derive(Clone, Debug)]
pub struct Record {
    /// The occurrence's id.
    pub id: i64,
    /// When it was due.
    pub occurrence: Occurrence,
    /// By run_task.
    pub forced: bool,
    /// The keys of the entry that it was in, and which of them is the row's.
    pub keys: Rc<[String]>,
    /// From 0.
    pub position: usize,
    /// When its attempt started; None if it never did.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Instant,
    /// Attempts made.
    pub attempt: i32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Record {
    /// Of the key at a position of an entry that ends without another attempt.
    pub fn of(entry: &Entry, position: usize, outcome: Outcome) -> Record {
        Record::ended(entry, position, outcome, clock::now())
    }

    /// The same, with the time when it ended.
    pub fn ended(entry: &Entry, position: usize, outcome: Outcome, finished_at: Instant) -> Record {
        Record {
            id: entry.id + position as i64,
            occurrence: entry.occurrence,
            forced: entry.origin.is_manual(),
            keys: entry.keys.clone(),
            position,
            started_at: None,
            finished_at,
            attempt: entry.attempt,
            outcome,
        }
    }
}

/// Writes records of one task. Raises 23505 if one of them exists.
pub(super) fn insert_in(order: Order, task: i32, records: &[Record]) {
    if records.is_empty() {
        return;
    }
    WRITING.set(true);
    user::as_extension_owner(|| {
        let Some(table) = lock::relation(c"record") else { return };
        let status = Statuses::look_up();
        let at = |at: Instant| clock::to_pg(at).into_datum();
        let text = |text: Option<&str>| text.map(cut).and_then(IntoDatum::into_datum);
        let inserted = bulk::insert(
            table,
            &shape::RECORD,
            order,
            records.iter().map(|record| -> bulk::Row<RECORD_COLUMNS> {
                let failure = failure(record);
                [
                    record.id.into_datum(),
                    at(record.occurrence.nominal_at),
                    record.started_at.and_then(at),
                    at(record.finished_at),
                    task.into_datum(),
                    record.started_at.and_then(|_| worker::pid().into_datum()),
                    record.keys.get(record.position).and_then(|key| key.as_str().into_datum()),
                    text(match &record.outcome {
                        Outcome::Completed(result) => result.as_deref(),
                        _ => None,
                    }),
                    status.of(&record.outcome),
                    Some(record.attempt as i16).filter(|attempt| *attempt != 1).and_then(IntoDatum::into_datum),
                    record.forced.then_some(true).and_then(IntoDatum::into_datum),
                    Some(record.occurrence.due_at).filter(|due| *due != record.occurrence.nominal_at).and_then(at),
                    failure.map(|failure| failure.sqlstate.as_str()).and_then(IntoDatum::into_datum),
                    text(failure.map(|failure| failure.message.as_str())),
                    failure.and_then(Failure::context_text).and_then(IntoDatum::into_datum),
                    match &record.outcome {
                        Outcome::Skipped(reason) | Outcome::Cancelled(reason) => reason.into_datum(),
                        Outcome::Interrupted(_) => "cancelled".into_datum(),
                        _ => None,
                    },
                ]
            }),
        );
        if let Err((rows, why)) = inserted {
            insert_by_statement(&why, status.kind, rows);
        }
    });
    WRITING.set(false);
}

/// Was it in writing records that an ERROR came, since the last [`begin`]?
pub fn was_refused() -> bool {
    WRITING.get()
}

/// Whatever fails from now on is not the last records' fault.
pub fn begin() {
    WRITING.set(false);
}

/// The table is not as it was made: a statement knows of every index, in whatever state, of constraints and of triggers.
fn insert_by_statement(why: &str, status: Oid, rows: impl Iterator<Item = bulk::Row<RECORD_COLUMNS>>) {
    if !TOLD.replace(true) {
        pgrx::log!("jittask writes records by statements, which takes longer: table jittask.record is changed, {why}");
    }
    let columns = shape::RECORD.columns;
    let names: Vec<_> = columns.iter().map(|column| column.name.to_string_lossy()).collect();
    let places: Vec<String> = (1..=names.len()).map(|i| format!("${i}")).collect();
    let statement = format!("insert into jittask.record ({}) values ({})", names.join(", "), places.join(", "));
    for row in rows {
        let kind = |column: &Column| if column.kind == Oid::INVALID { status } else { column.kind };
        let arguments: Vec<sql::Arg> =
            columns.iter().zip(row).map(|(column, value)| sql::datum(kind(column), value)).collect();
        sql::run(&statement, &arguments);
    }
}

/// The labels of `jittask.record_status` as the server stores them.
#[derive(Clone, Copy)]
struct Statuses {
    extension: Option<Oid>,
    kind: Oid,
    failed: Oid,
    skipped: Oid,
    cancelled: Oid,
}

thread_local! {
    static STATUSES: Cell<Option<Statuses>> = const { Cell::new(None) };
    /// Records are being written, or an ERROR came in it.
    static WRITING: Cell<bool> = const { Cell::new(false) };
    /// The log tells once in a process.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

impl Statuses {
    /// Once for each incarnation of the extension.
    fn look_up() -> Statuses {
        let extension = user::extension();
        if let Some(known) = STATUSES.get().filter(|known| known.extension == extension) {
            return known;
        }
        let label = |label: &str| {
            let statement = "select oid from pg_enum where enumtypid = 'jittask.record_status'::regtype and enumlabel = $1::text::name";
            sql::run(statement, &[sql::arg(label)]).get(0, 1).unwrap_or(Oid::INVALID)
        };
        let kind = sql::run("select 'jittask.record_status'::regtype::oid", &[]).get(0, 1).unwrap_or(Oid::INVALID);
        let (failed, skipped, cancelled) = (label("failed"), label("skipped"), label("cancelled"));
        let statuses = Statuses { extension, kind, failed, skipped, cancelled };
        STATUSES.set(Some(statuses));
        statuses
    }

    /// As it is stored: NULL is completed.
    fn of(&self, outcome: &Outcome) -> Option<Datum> {
        Some(Datum::from(match outcome {
            Outcome::Completed(_) => return None,
            Outcome::Failed(_) => self.failed,
            Outcome::Skipped(_) => self.skipped,
            Outcome::Cancelled(_) | Outcome::Interrupted(_) => self.cancelled,
        }))
    }
}

/// The error that it tells of.
pub fn failure(record: &Record) -> Option<&Failure> {
    match &record.outcome {
        Outcome::Failed(failure) | Outcome::Interrupted(failure) => Some(failure),
        _ => None,
    }
}

/// What is recorded of an occurrence.
pub struct Known {
    /// The record's id.
    pub id: i64,
    /// Skipped only because the row did not fit then: may become pending again.
    pub may_return: bool,
}

/// Which of these occurrences, by key and nominal instant, are recorded: by index in `wanted`.
pub fn known(task: i32, wanted: &[(&str, Instant)]) -> HashMap<usize, Known> {
    let (mut known, mut first) = (HashMap::new(), 0);
    for portion in key::portions(wanted, usize::MAX, key::STATEMENT_BYTES, |(key, _)| key) {
        memory::scratch(|| known.extend(known_of(task, portion).map(|(index, record)| (first + index, record))));
        first += portion.len();
    }
    known
}

/// Those of these that are not recorded; `of` gives the key and the nominal instant of one.
pub fn unrecorded<T>(task: i32, mut all: Vec<T>, of: impl Fn(&T) -> (&str, Instant)) -> Vec<T> {
    let recorded = known(task, &all.iter().map(of).collect::<Vec<_>>());
    let mut index = 0..all.len();
    all.retain(|_| index.next().is_some_and(|index| !recorded.contains_key(&index)));
    all
}

fn known_of(task: i32, wanted: &[(&str, Instant)]) -> impl Iterator<Item = (usize, Known)> {
    let rows = user::as_extension_owner(|| {
        sql::run_by_keys(
            // What stands for the key finds it in the index; the key itself decides.
            "select u.i, r.id, coalesce(r.status = 'skipped' and r.reason in ('row_changed', 'filter', 'row_deleted'), false)
             from unnest($2::text[], $3::timestamptz[]) with ordinality u (key, nominal, i)
             cross join lateral (select * from jittask.record r where r.nominal_at = u.nominal and r.task_id = $1
                 and jittask.key_identity(r.key) = jittask.key_identity(u.key) and r.key = u.key offset 0) r", // offset 0: one look-up a key, also in a plan made when the table was empty
            &[
                sql::arg(task),
                sql::arg(wanted.iter().map(|(key, _)| *key).collect::<Vec<_>>()),
                sql::ats(wanted.iter().map(|(_, nominal)| *nominal)),
            ],
        )
    });
    (0..rows.len()).filter_map(move |row| {
        let index: i64 = rows.get(row, 1)?;
        Some((index as usize - 1, Known { id: rows.get(row, 2)?, may_return: rows.get(row, 3)? }))
    })
}

/// Takes a record back, so that its occurrence can be pending again. False if it is gone or final by now.
pub(super) fn take_back(id: i64) -> bool {
    user::as_extension_owner(|| {
        let statement = "delete from jittask.record where id = $1 and status = 'skipped' and reason in ('row_changed', 'filter', 'row_deleted', 'paused')";
        sql::run(statement, &[sql::arg(id)]).len() == 1
    })
}

/// The keys, of these, whose occurrence is recorded already: by position.
pub fn recorded(task: i32, nominal_at: Instant, keys: &[String]) -> Vec<bool> {
    let wanted: Vec<(&str, Instant)> = keys.iter().map(|key| (key.as_str(), nominal_at)).collect();
    let known = known(task, &wanted);
    (0..keys.len()).map(|index| known.contains_key(&index)).collect()
}

/// Occurrences skipped because of a pause, due since `since`: id, occurrence and key.
pub fn skipped_by_pause(task: i32, since: Instant) -> Vec<(i64, Occurrence, String)> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select id, nominal_at, coalesce(due_at, nominal_at), key from jittask.record where task_id = $1 and status = 'skipped' and reason = 'paused'
                 and (due_at >= $2 or due_at is null and nominal_at >= $2) order by 3, 1",
            &[sql::arg(task), sql::at(since)],
        )
    });
    (0..rows.len())
        .filter_map(|row| {
            let occurrence = Occurrence { nominal_at: rows.at(row, 2)?, due_at: rows.at(row, 3)? };
            Some((rows.get(row, 1)?, occurrence, rows.get(row, 4)?))
        })
        .collect()
}

/// A record as the functions that change one need it.
pub struct Ended {
    /// Its task.
    pub task: i32,
    /// When it was due.
    pub occurrence: Occurrence,
    /// By run_task.
    pub forced: bool,
    /// The row's key.
    pub key: String,
    /// `completed`, `failed`, `skipped` or `cancelled`.
    pub status: String,
}

/// The record of this id, if the occurrence has ended.
pub fn ended(id: i64) -> Option<Ended> {
    // Mostly it is one that did not complete: those have an index of their own.
    with_id(id, "status is not null").or_else(|| with_id(id, "status is null"))
}

fn with_id(id: i64, condition: &str) -> Option<Ended> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "select task_id, nominal_at, coalesce(due_at, nominal_at), coalesce(forced, false), key,
                     coalesce(status, 'completed')::text from jittask.record where id = $1 and {condition}"
            ),
            &[sql::arg(id)],
        )
    });
    Some(Ended {
        task: rows.get(0, 1)?,
        occurrence: Occurrence { nominal_at: rows.at(0, 2)?, due_at: rows.at(0, 3)? },
        forced: rows.get(0, 4)?,
        key: rows.get(0, 5)?,
        status: rows.get(0, 6)?,
    })
}

/// Removes a record that did not complete, so that its occurrence is open again. False if somebody was faster.
pub(super) fn reopen(id: i64) -> bool {
    let statement = "delete from jittask.record where id = $1 and status <> 'completed'";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(id)]).len() == 1)
}
