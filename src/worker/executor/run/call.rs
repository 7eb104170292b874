//! Handing a row to the function: read it as it is now, see that it is still due and meets the filter, call. As the
//! owner, whatever the function does with the session being undone before the next row.

use crate::catalog::definition::Timing;
use crate::catalog::ledger::entries::Entry;
use crate::catalog::ledger::record::Outcome;
use crate::catalog::table::function::Takes;
use crate::catalog::task::query::Resolved;
use crate::error::{Error, Kind, Result};
use crate::pg::current_run::{self, Run};
use crate::pg::tid::Tid;
use crate::pg::{invoke, sql, user, xact};
use crate::worker::executor::prepare::Prepared;
use crate::worker::executor::run::fetch::{self, Reader, Statements, Wanted};
use pgrx::pg_sys::Datum;
use schedule::{Base, Instant};
use std::cell::Cell;
use std::rc::Rc;
use text::row_hints;

/// A row after the call, or why there was none.
pub enum Judged {
    /// With the function's result as text.
    Done(Option<String>),
    /// With the reason.
    Skip(&'static str),
}

/// For this date and end: why the occurrence is not to be run, None if it is.
type Answer = (Base, Option<Instant>, Option<&'static str>);

/// One task's rows in one transaction.
pub struct Call {
    prepared: Rc<Prepared>,
    reader: Option<Reader>,
    function: Way,
    /// Where the entry's rows lay.
    places: Vec<Option<Tid>>,
    /// What the function may ask for.
    run: Rc<Run>,
    is_manual: bool,
    /// A row that is due once more before this is skipped: it missed this occurrence, and only the last one missed runs.
    last_before: Option<Instant>,
    /// Rows of one entry mostly have the same date: the last answer.
    last_answer: Cell<Option<Answer>>,
}

/// How the function is called: by its OID, for its name may be another's by now.
enum Way {
    Call(invoke::Function),
    /// Not at all: the owner may not execute it any more. Its name, for the error.
    Denied(String),
}

impl Call {
    /// Looks up the function and the table as they are now.
    pub fn prepare(prepared: Rc<Prepared>, entry: &Entry, last_before: Option<Instant>) -> Result<Call> {
        let plan = prepared.plan()?;
        let has_argument = plan.statements.is_some();
        let function = match plan.callable.is_allowed {
            true => Way::Call(invoke::Function::look_up(plan.callable.oid, has_argument)),
            false => Way::Denied(plan.callable.name.clone()),
        };
        Ok(Call {
            reader: plan.statements.as_ref().map(Reader::new),
            function,
            places: row_hints::decode(&entry.places, entry.keys.len())
                .into_iter()
                .map(|place| place.map(Tid::from))
                .collect(),
            run: Rc::new(Run {
                task: plan.name.clone(),
                entry: entry.id,
                keys: has_argument.then(|| entry.keys.clone()),
                key_columns: plan.key_columns.clone(),
                occurrence: entry.occurrence,
                attempt: entry.attempt + 1,
            }),
            is_manual: entry.origin.is_manual(),
            last_before,
            last_answer: Cell::new(None),
            prepared,
        })
    }

    /// What the function is given.
    pub fn takes(&self) -> Takes {
        self.prepared.task.function.takes
    }

    /// The task's.
    pub fn timing(&self) -> Option<&Timing> {
        rows_of(&self.prepared).map(|(_, resolved)| &resolved.timing)
    }

    /// Is it time to read rows ahead, before this position?
    pub fn is_to_read(&self, position: usize) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.is_at_end(position))
    }

    /// Reads rows ahead. Under savepoints a failure leads to reading one by one.
    pub fn read_ahead(&mut self, keys: &[String], position: usize, under_savepoint: bool) {
        let (Some((statements, resolved)), Some(reader)) = (rows_of(&self.prepared), &mut self.reader) else { return };
        let wanted = Wanted { keys, places: &self.places };
        if !under_savepoint {
            reader.read_ahead(statements, resolved, &wanted, position);
        } else if xact::savepoint(|| reader.read_ahead(statements, resolved, &wanted, position)).is_err() {
            reader.forget();
        }
        reader.note_places();
    }

    /// Runs one key's occurrence.
    pub fn row(&mut self, key: &str, position: usize) -> Outcome {
        let result = xact::statement(|| match self.fit_row(key, position)? {
            None => {
                current_run::enter(&self.run, Some(position));
                Ok(self.call(None))
            }
            Some((value, rows)) => {
                current_run::enter(&self.run, Some(position));
                let result = self.call(Some(value));
                drop(rows);
                Ok(result)
            }
        });
        result.map_or_else(Outcome::Skipped, Outcome::Completed)
    }

    /// The function's argument for a key, None for a scheduled task's; or why it is not to be run.
    #[allow(clippy::type_complexity)] // the argument lives in these rows
    fn fit_row(
        &self,
        key: &str,
        position: usize,
    ) -> std::result::Result<Option<(sql::Arg, Option<sql::Rows>)>, &'static str> {
        let (Some((statements, resolved)), Some(reader)) = (rows_of(&self.prepared), &self.reader) else {
            return Ok(None);
        };
        let (value, rows) = self.judge(reader.ahead(position), || statements.one(resolved, key), resolved)?;
        let target = &resolved.target;
        let argument = match self.takes() {
            Takes::Rows => sql::row_array(target.row_type, target.row_array, value.into_iter().collect()),
            _ => sql::datum(target.row_type, value),
        };
        Ok(Some((argument, rows)))
    }

    /// The row as read ahead, or else as it is read now, with the rows that it lives in; or why it is not to be run.
    fn judge(
        &self,
        ahead: Option<(&sql::Rows, usize)>,
        read: impl FnOnce() -> sql::Rows,
        resolved: &Resolved,
    ) -> std::result::Result<(Option<Datum>, Option<sql::Rows>), &'static str> {
        if let Some((rows, row)) = ahead {
            return self.unfit(resolved, rows, row).map_or(Ok((rows.datum(row, fetch::ROW), None)), Err);
        }
        let rows = read();
        self.unfit(resolved, &rows, 0).map_or(Ok((rows.datum(0, fetch::ROW), Some(rows))), Err)
    }

    /// Runs all keys' occurrences in one call.
    pub fn rows(&mut self, keys: &[String], is_done: impl Fn(usize) -> bool) -> Vec<(usize, Judged)> {
        let mut judged: Vec<(usize, Judged)> = Vec::new();
        let (mut fit, mut values, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        self.read_all(keys);
        let (Some((statements, resolved)), Some(reader)) = (rows_of(&self.prepared), &self.reader) else {
            return judged;
        };
        for position in (0..keys.len()).filter(|position| !is_done(*position)) {
            // Nobody's code runs between this reading and the call.
            let ahead = reader.just_read(position);
            let verdict = self.judge(ahead, || statements.one(resolved, &keys[position]), resolved);
            match verdict {
                Err(reason) => judged.push((position, Judged::Skip(reason))),
                Ok((value, rows)) => {
                    fit.push(position);
                    values.extend(value);
                    kept.extend(rows);
                }
            }
        }
        if !fit.is_empty() {
            let argument = sql::row_array(resolved.target.row_type, resolved.target.row_array, values);
            current_run::enter(&self.run, None);
            let result = xact::statement(|| self.call(Some(argument)));
            judged.extend(fit.iter().map(|position| (*position, Judged::Done(result.clone()))));
        }
        drop(kept);
        judged
    }

    /// An array holds all rows anyway: no portions.
    fn read_all(&mut self, keys: &[String]) {
        if let (Some((statements, resolved)), Some(reader)) = (rows_of(&self.prepared), &mut self.reader) {
            reader.read_everything();
            reader.read_ahead(statements, resolved, &Wanted { keys, places: &self.places }, 0);
            reader.note_places();
        }
    }

    /// Why the row as it is now is not to be run.
    fn unfit(&self, resolved: &Resolved, rows: &sql::Rows, row: usize) -> Option<&'static str> {
        if rows.is_empty() {
            return Some("row_deleted");
        }
        if self.is_manual {
            return None;
        }
        let Some((base, end)) = resolved.base_and_end(rows, row, fetch::BASE) else { return Some("row_changed") };
        let is_filtered = || !rows.get::<bool>(row, fetch::FILTER).unwrap_or(false);
        match self.undue(resolved, base, end) {
            None | Some("catch_up") if is_filtered() => Some("filter"),
            reason => reason,
        }
    }

    /// Why the occurrence is not, or no more, one that runs for such a date.
    fn undue(&self, resolved: &Resolved, base: Base, end: Option<Instant>) -> Option<&'static str> {
        if let Some((.., answer)) = self.last_answer.get().filter(|last| (last.0, last.1) == (base, end)) {
            return answer;
        }
        let (schedule, zone, this) = (&resolved.timing.schedule, &resolved.timing.zone, self.run.occurrence);
        let next = || schedule.occurrences(base, zone, end, Instant(this.due_at.0 + 1)).next();
        let answer = if !schedule.contains(base, zone, end, this) {
            Some("row_changed")
        } else {
            self.last_before.filter(|last| next().is_some_and(|next| next.due_at < *last)).map(|_| "catch_up")
        };
        self.last_answer.set(Some((base, end, answer)));
        answer
    }

    fn call(&self, argument: Option<sql::Arg>) -> Option<String> {
        // What the function sets is undone at the end of the level, before the next row.
        let settings = user::Settings::begin();
        let result = match &self.function {
            Way::Call(function) => function.call(argument.and_then(|argument| argument.value())),
            Way::Denied(name) => Error::new(Kind::Denied, format!("permission denied for function {name}")).raise(),
        };
        settings.end();
        current_run::leave();
        result
    }

    /// After a call that failed: what the function's language keeps between calls may be in disorder.
    pub fn renew(&mut self) {
        if let Way::Call(function) = &mut self.function {
            function.renew();
        }
    }

    /// At the end of the transaction.
    pub fn close(self) {
        if let Some(reader) = self.reader {
            reader.close();
        }
    }
}

/// How a date-field task's rows are read.
fn rows_of(prepared: &Prepared) -> Option<(&Statements, &Resolved)> {
    let statements = prepared.plan().ok()?.statements.as_ref()?;
    Some((statements, prepared.resolved().ok()?))
}
