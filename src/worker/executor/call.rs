//! Handing a row to the function: read it as it is now, see that it is still due and meets the filter, call. As the
//! owner, whatever the function does with the session being undone before the next row.

use super::fetch::{self, Reader};
use crate::catalog::agenda::Entry;
use crate::catalog::definition::TaskKind;
use crate::catalog::function::{self, Takes};
use crate::catalog::record::Outcome;
use crate::catalog::resolved::Resolved;
use crate::catalog::target::Target;
use crate::catalog::task::Task;
use crate::error::{Error, Kind, Result};
use crate::pg::current_run::{self, Run};
use crate::pg::{invoke, sql, user, xact};
use schedule::{Base, Instant, Occurrence};
use std::cell::Cell;
use std::rc::Rc;

/// A row after the call, or why there was none.
pub enum Judged {
    /// With the function's result as text.
    Done(Option<String>),
    /// With the reason.
    Skip(&'static str),
}

/// A prepared way to run one task's rows in one transaction.
pub struct Call {
    task: Task,
    resolved: Option<Resolved>,
    reader: Option<Reader>,
    function: Way,
    occurrence: Occurrence,
    is_forced: bool,
    entry: i64,
    attempt: i32,
    name: Rc<str>,
    key_columns: Rc<[String]>,
    /// Rows of one entry mostly have the same date: the last answer.
    last_due: Cell<Option<(Base, Option<Instant>, bool)>>,
}

/// How the function is called.
enum Way {
    Direct(invoke::Function),
    /// By a statement, where the server has to say something to each call: that it is not allowed, for example.
    Statement(String),
}

impl Call {
    /// Looks up the function and the table as they are now.
    pub fn prepare(task: Task, entry: &Entry) -> Result<Call> {
        let callable = function::callable(task.function.oid, &task.function.signature, task.function.owner)
            .map_err(|problem| Error::new(Kind::NoFunction, problem))?;
        check_superuser(&task)?;
        let resolved = task.relation.is_some().then(|| task.clone().resolve()).transpose()?;
        let is_date_field = task.kind == TaskKind::DateField;
        if is_date_field && resolved.is_none() {
            return Err(Error::new(
                Kind::NoTable,
                format!("the table of task \"{}\" does not exist any more", task.name),
            ));
        }
        let function = if callable.is_allowed && !invoke::is_watched() {
            Way::Direct(invoke::Function::look_up(callable.oid, is_date_field))
        } else {
            Way::Statement(format!("select {}({})", callable.name, if is_date_field { "$1" } else { "" }))
        };
        let key_columns = resolved.iter().flat_map(|resolved| resolved.key.iter().map(|column| column.name.clone()));
        Ok(Call {
            key_columns: key_columns.collect(),
            name: task.name.as_str().into(),
            reader: resolved.as_ref().map(Reader::new),
            function,
            occurrence: entry.occurrence,
            is_forced: entry.forced,
            entry: entry.id,
            attempt: entry.attempt + 1,
            last_due: Cell::new(None),
            resolved,
            task,
        })
    }

    /// What the function is given.
    pub fn takes(&self) -> Takes {
        self.task.function.takes
    }

    /// Reads rows ahead, if it is time before this position. Under savepoints a failure leads to reading one by one.
    pub fn read_ahead(&mut self, keys: &[String], position: usize, under_savepoint: bool) {
        let (Some(resolved), Some(reader)) = (&self.resolved, &mut self.reader) else { return };
        if !reader.is_at_end(position) {
            return;
        }
        if !under_savepoint {
            reader.read_ahead(resolved, keys, position);
        } else if xact::savepoint(|| reader.read_ahead(resolved, keys, position)).is_err() {
            reader.forget();
        }
        reader.note_places();
    }

    /// Runs one key's occurrence.
    pub fn row(&mut self, key: &str, position: usize) -> Outcome {
        let result = xact::statement(|| match self.fit_row(key, position)? {
            None => {
                self.announce(Some(position), None);
                Ok(self.call(None))
            }
            Some((value, rows)) => {
                self.announce(Some(position), Some(key.to_string()));
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
        let (Some(resolved), Some(reader)) = (&self.resolved, &self.reader) else { return Ok(None) };
        if let Some((rows, row)) = reader.ahead(position) {
            return match self.unfit(resolved, rows, row) {
                Some(reason) => Err(reason),
                None => Ok(Some((self.argument(resolved, rows, row), None))),
            };
        }
        let rows = reader.one(resolved, key);
        match self.unfit(resolved, &rows, 0) {
            Some(reason) => Err(reason),
            None => Ok(Some((self.argument(resolved, &rows, 0), Some(rows)))),
        }
    }

    fn argument(&self, resolved: &Resolved, rows: &sql::Rows, row: usize) -> sql::Arg {
        let (target, value) = (&resolved.target, rows.datum(row, fetch::ROW));
        match self.takes() {
            Takes::Rows => sql::row_array(target.row_type, target.row_array, value.into_iter().collect()),
            _ => sql::datum(target.row_type, value),
        }
    }

    /// Runs all keys' occurrences in one call.
    pub fn rows(&mut self, keys: &[String], is_skipped: impl Fn(usize) -> bool) -> Vec<(usize, Judged)> {
        let mut judged: Vec<(usize, Judged)> = Vec::new();
        let (mut fit, mut values, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        self.read_all(keys);
        let (Some(resolved), Some(reader)) = (&self.resolved, &self.reader) else { return judged };
        for position in (0..keys.len()).filter(|position| !is_skipped(*position)) {
            let verdict = xact::statement(|| match reader.ahead(position) {
                Some((rows, row)) => {
                    self.unfit(resolved, rows, row).map_or(Ok((rows.datum(row, fetch::ROW), None)), Err)
                }
                None => {
                    let rows = reader.one(resolved, &keys[position]);
                    self.unfit(resolved, &rows, 0).map_or(Ok((rows.datum(0, fetch::ROW), Some(rows))), Err)
                }
            });
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
            self.announce(None, None);
            let result = xact::statement(|| self.call(Some(argument)));
            judged.extend(fit.iter().map(|position| (*position, Judged::Done(result.clone()))));
        }
        drop(kept);
        judged
    }

    /// An array holds all rows anyway: no portions.
    fn read_all(&mut self, keys: &[String]) {
        if let (Some(resolved), Some(reader)) = (&self.resolved, &mut self.reader) {
            reader.read_everything();
            reader.read_ahead(resolved, keys, 0);
            reader.note_places();
        }
    }

    /// Why the row as it is now is not to be run.
    fn unfit(&self, resolved: &Resolved, rows: &sql::Rows, row: usize) -> Option<&'static str> {
        if rows.is_empty() {
            return Some("row_deleted");
        }
        if self.is_forced {
            return None;
        }
        let is_due =
            resolved.base_and_end(rows, row, fetch::BASE).is_some_and(|(base, end)| self.is_due(resolved, base, end));
        if !is_due {
            return Some("row_changed");
        }
        (!rows.get::<bool>(row, fetch::FILTER).unwrap_or(false)).then_some("filter")
    }

    fn is_due(&self, resolved: &Resolved, base: Base, end: Option<Instant>) -> bool {
        if let Some((.., is_due)) = self.last_due.get().filter(|last| (last.0, last.1) == (base, end)) {
            return is_due;
        }
        let is_due = resolved.timing.schedule.contains(base, &resolved.timing.zone, end, self.occurrence);
        self.last_due.set(Some((base, end, is_due)));
        is_due
    }

    fn announce(&self, position: Option<usize>, key: Option<String>) {
        current_run::set(Some(Run {
            task: self.name.clone(),
            record_id: position.map(|position| self.entry + position as i64),
            key,
            key_columns: self.key_columns.clone(),
            occurrence: self.occurrence,
            attempt: self.attempt,
        }));
    }

    fn call(&self, argument: Option<sql::Arg>) -> Option<String> {
        // What the function sets is undone at the end of the level, before the next row.
        let settings = user::Settings::begin();
        let result = match &self.function {
            Way::Direct(function) => function.call(argument.and_then(|argument| argument.value())),
            Way::Statement(statement) => {
                let rows = sql::run(statement, argument.as_slice());
                if rows.kind(1) == pgrx::pg_sys::VOIDOID { None } else { rows.text(0, 1) }
            }
        };
        settings.end();
        current_run::set(None);
        result
    }

    /// After a call that failed: what the function's language keeps between calls may be in disorder.
    pub fn renew(&mut self) {
        if let Way::Direct(function) = &mut self.function {
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

/// A superuser's task runs only what is a superuser's own, also if its owner became one later.
fn check_superuser(task: &Task) -> Result<()> {
    if !user::is_superuser_role(task.owner) {
        return Ok(());
    }
    let table_owner = task.relation.map(Target::open).transpose()?.map(|target| target.owner);
    let is_safe = |owner: pgrx::pg_sys::Oid| user::is_superuser_role(owner);
    if is_safe(task.function.owner) && table_owner.is_none_or(is_safe) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Denied,
        format!("task \"{}\" of a superuser calls or reads what is not a superuser's", task.name),
    ))
}
