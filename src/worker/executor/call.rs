//! Handing a row to the function: read it as it is now, see that it is still due and meets the filter, call. As the
//! owner, whatever the function does with the session being undone before the next row.

use crate::catalog::agenda::Entry;
use crate::catalog::function::{self, Takes};
use crate::catalog::key;
use crate::catalog::record::Outcome;
use crate::catalog::resolved::Resolved;
use crate::catalog::target::Target;
use crate::catalog::task::{ROW_ALIAS, Task};
use crate::error::{Error, Kind, Result};
use crate::pg::current_run::{self, Run};
use crate::pg::{sql, tuple, user};
use schedule::Occurrence;

/// A row after the call, or why there was none.
pub enum Judged {
    /// With the function's result as text.
    Done(Option<String>),
    /// With the reason.
    Skip(&'static str),
}

/// A prepared way to run one task's rows.
pub struct Call {
    task: Task,
    resolved: Option<Resolved>,
    occurrence: Occurrence,
    is_forced: bool,
    entry: i64,
    attempt: i32,
    /// Reads one row by its key.
    row_statement: String,
    /// Calls the function.
    call_statement: String,
}

impl Call {
    /// Looks up the function and the table as they are now.
    pub fn prepare(task: Task, entry: &Entry) -> Result<Call> {
        let name = function::callable(task.function.oid, &task.function.signature, task.function.owner)
            .map_err(|problem| Error::new(Kind::NoFunction, problem))?;
        check_superuser(&task)?;
        let resolved = task.relation.is_some().then(|| task.clone().resolve()).transpose()?;
        let is_date_field = task.kind == crate::catalog::definition::TaskKind::DateField;
        if is_date_field && resolved.is_none() {
            return Err(Error::new(
                Kind::NoTable,
                format!("the table of task \"{}\" does not exist any more", task.name),
            ));
        }
        Ok(Call {
            row_statement: resolved.as_ref().map(row_statement).unwrap_or_default(),
            call_statement: format!("select {name}({})", if is_date_field { "$1" } else { "" }),
            occurrence: entry.occurrence,
            is_forced: entry.forced,
            entry: entry.id,
            attempt: entry.attempt + 1,
            resolved,
            task,
        })
    }

    /// What the function is given.
    pub fn takes(&self) -> Takes {
        self.task.function.takes
    }

    /// Runs one key's occurrence.
    pub fn row(&mut self, key: &str, position: usize) -> Outcome {
        let Some(resolved) = &self.resolved else {
            self.announce(Some(position), None);
            return Outcome::Completed(self.call(&[]));
        };
        let rows = self.read(resolved, key);
        if let Some(reason) = self.unfit(resolved, &rows) {
            return Outcome::Skipped(reason);
        }
        let row_key = resolved.row_key(key);
        let value = rows.datum(0, 1);
        let argument = match self.takes() {
            Takes::Rows => {
                sql::row_array(resolved.target.row_type, resolved.target.row_array, value.into_iter().collect())
            }
            _ => sql::datum(resolved.target.row_type, value),
        };
        self.announce(Some(position), Some(row_key));
        Outcome::Completed(self.call(&[argument]))
    }

    /// Runs all keys' occurrences in one call.
    pub fn rows(&mut self, keys: &[(usize, &str)]) -> Vec<(usize, Judged)> {
        let Some(resolved) = &self.resolved else { return Vec::new() };
        let mut judged: Vec<(usize, Judged)> = Vec::new();
        let (mut fit, mut kept) = (Vec::new(), Vec::new());
        for (position, key) in keys {
            let rows = self.read(resolved, key);
            match self.unfit(resolved, &rows) {
                Some(reason) => judged.push((*position, Judged::Skip(reason))),
                None => {
                    fit.push((*position, rows.datum(0, 1)));
                    kept.push(rows);
                }
            }
        }
        if !fit.is_empty() {
            let values = fit.iter().filter_map(|(_, value)| *value).collect();
            let argument = sql::row_array(resolved.target.row_type, resolved.target.row_array, values);
            self.announce(None, None);
            let result = self.call(&[argument]);
            judged.extend(fit.iter().map(|(position, _)| (*position, Judged::Done(result.clone()))));
        }
        drop(kept);
        judged
    }

    fn read(&self, resolved: &Resolved, key: &str) -> sql::Rows {
        sql::run(&self.row_statement, &key::values_of(key, &resolved.key))
    }

    /// Why the row as it is now is not to be run.
    fn unfit(&self, resolved: &Resolved, rows: &sql::Rows) -> Option<&'static str> {
        if rows.is_empty() {
            return Some("row_deleted");
        }
        if self.is_forced {
            return None;
        }
        let timing = &resolved.timing;
        let is_due = resolved
            .base_and_end(rows, 0, 2)
            .is_some_and(|(base, end)| timing.schedule.contains(base, &timing.zone, end, self.occurrence));
        if !is_due {
            return Some("row_changed");
        }
        (!rows.get::<bool>(0, 4).unwrap_or(false)).then_some("filter")
    }

    fn announce(&self, position: Option<usize>, row_key: Option<serde_json::Value>) {
        current_run::set(Some(Run {
            task: self.task.name.clone(),
            record_id: position.map(|position| self.entry + position as i64),
            row_key,
            occurrence: self.occurrence,
            attempt: self.attempt,
        }));
    }

    fn call(&self, arguments: &[sql::Arg]) -> Option<String> {
        // What the function sets is undone at the end of the level, before the next row.
        let settings = user::Settings::begin();
        let rows = sql::run(&self.call_statement, arguments);
        let result = if rows.kind(1) == pgrx::pg_sys::VOIDOID { None } else { rows.text(0, 1) };
        drop(rows);
        settings.end();
        current_run::set(None);
        result
    }
}

/// Every function and operator in it is qualified: it runs under the owner's search_path.
fn row_statement(resolved: &Resolved) -> String {
    let end = resolved.end.as_ref().map_or_else(|| "null::date".to_string(), |(name, _)| resolved.qualified(name));
    let filter = resolved.filter_condition().unwrap_or_else(|| "true".to_string());
    let key: Vec<String> = resolved
        .key
        .iter()
        .enumerate()
        .map(|(i, column)| format!("{} operator(pg_catalog.=) ${}", resolved.qualified(&column.name), i + 1))
        .collect();
    format!(
        "select {ROW_ALIAS}.*::{}, {}, {end}, {filter} from {} as {ROW_ALIAS} where {}",
        tuple::type_name(resolved.target.row_type),
        resolved.column_sql(),
        resolved.target.sql_name,
        key.join(" and ")
    )
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
