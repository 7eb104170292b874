//! A date-field task with its table looked up as it is now, and the pieces of the statements that read it.

use super::definition::{Timing, column_kind};
use super::filter;
use super::key::KeyColumn;
use super::target::Target;
use super::task::{ROW_ALIAS, Task};
use crate::error::{Error, Kind, Result};
use crate::pg::{sql, user};
use chrono::Datelike;
use pgrx::pg_sys::Oid;
use schedule::{ColumnKind, Instant};

/// A date-field task with its table looked up as it is now.
pub struct Resolved {
    /// The task.
    pub task: Task,
    /// Its settled times.
    pub timing: Timing,
    /// Its table.
    pub target: Target,
    /// Its key.
    pub key: Vec<KeyColumn>,
    /// Its date column.
    pub column: String,
    /// The column's kind.
    pub column_kind: ColumnKind,
    /// The end column and its kind.
    pub end: Option<(String, ColumnKind)>,
}

impl Task {
    /// Settled times.
    pub fn timing(&self) -> Result<Timing> {
        self.definition.timing()
    }

    /// With the table as it is now: 42P01, 42703 … when something is gone.
    pub fn resolve(self) -> Result<Resolved> {
        let timing = self.timing()?;
        let relation = self.relation.ok_or_else(|| {
            Error::new(Kind::NoTable, format!("the table of task \"{}\" does not exist any more", self.name))
        })?;
        let target = Target::open(relation)?;
        self.check_superuser(Some(&target))?;
        let key = target.key(Some(&self.key_columns))?;
        let dated = |name: &str| -> Result<ColumnKind> {
            column_kind(target.column(name)?).ok_or_else(|| {
                Error::new(
                    Kind::WrongType,
                    format!("column \"{name}\" is not a date, timestamp or timestamptz any more"),
                )
            })
        };
        let column = self.definition.date_column.clone().unwrap_or_default();
        let column_kind = dated(&column)?;
        if let Some(filter) = &self.filter {
            filter::check(filter, self.owner, &target)?;
        }
        let end = self.definition.end_column.clone().map(|name| dated(&name).map(|kind| (name, kind))).transpose()?;
        Ok(Resolved { timing, target, key, column, column_kind, end, task: self })
    }

    /// A superuser's task reads and runs only what is a superuser's own, also if its owner became one later.
    pub fn check_superuser(&self, target: Option<&Target>) -> Result<()> {
        let is_safe = |owner: Oid| user::is_superuser_role(owner);
        if !is_safe(self.owner) || is_safe(self.function.owner) && target.is_none_or(|target| is_safe(target.owner)) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Denied,
            format!("task \"{}\" of a superuser calls or reads what is not a superuser's", self.name),
        ))
    }
}

/// Is a value that has no instant after all that have one, and not before?
fn is_late(value: schedule::Base) -> bool {
    match value {
        schedule::Base::Date(date) => date.year() > 1970,
        schedule::Base::Local(local) => local.year() > 1970,
        schedule::Base::Instant(at) => at.0 > 0,
    }
}

impl Resolved {
    /// A column of the task's table in a statement of ours.
    pub fn qualified(&self, column: &str) -> String {
        format!("{ROW_ALIAS}.{}", pgrx::spi::quote_identifier(column))
    }

    /// The date column.
    pub fn column_sql(&self) -> String {
        self.qualified(&self.column)
    }

    /// `key columns, date column, end column from table as alias`: what planning reads of a row.
    pub fn select_list(&self) -> String {
        format!("{} from {} as {ROW_ALIAS}", self.columns_sql(), self.target.sql_name)
    }

    /// `key columns, date column, end column`.
    pub fn columns_sql(&self) -> String {
        let mut columns: Vec<String> = self.key.iter().map(|column| self.qualified(&column.name)).collect();
        columns.push(self.column_sql());
        columns.push(self.end.as_ref().map_or_else(|| "null::date".to_string(), |(name, _)| self.qualified(name)));
        columns.join(", ")
    }

    /// The same and where the row lies; null where a place alone does not say so.
    pub fn planned_columns_sql(&self) -> String {
        let place = match self.has_places() {
            true => format!("case when {} then {ROW_ALIAS}.ctid end", self.lies_in_table()),
            false => "null::pg_catalog.tid".to_string(),
        };
        format!("{}, {place}", self.columns_sql())
    }

    /// Is it a table with a heap of its own?
    pub fn has_places(&self) -> bool {
        self.target.kind == 'r'
    }

    /// Condition: the row is in the table itself and not in one that inherits from it.
    pub fn lies_in_table(&self) -> String {
        let table = self.target.relation.to_u32();
        format!("{ROW_ALIAS}.tableoid operator(pg_catalog.=) '{table}'::pg_catalog.oid")
    }

    /// The call of the filter's function, if there is a filter.
    pub fn filter_condition(&self) -> Option<String> {
        self.task.filter.as_ref().map(|filter| filter.call.clone())
    }

    /// A bound for the date column.
    pub fn bound(&self, at: chrono::NaiveDateTime) -> sql::Arg {
        let kind = self.column_kind;
        sql::datum(crate::pg::value::type_of(kind), Some(pgrx::pg_sys::Datum::from(crate::pg::value::raw(kind, at))))
    }

    /// Base and end of a row whose date and end columns are `first` and `first + 1`; None if it is never due.
    pub fn base_and_end(
        &self,
        rows: &sql::Rows,
        row: usize,
        first: usize,
    ) -> Option<(schedule::Base, Option<Instant>)> {
        let base = crate::pg::value::base(self.column_kind, rows.datum(row, first)?)?;
        let Some((_, end_kind)) = &self.end else { return Some((base, self.timing.end_at)) };
        let Some(end_value) = rows.datum(row, first + 1) else { return Some((base, None)) };
        match crate::pg::value::base(*end_kind, end_value) {
            // infinity: no end. -infinity: ended before it began.
            None => (end_value.value() as i64 as i32 != i32::MIN && end_value.value() as i64 != i64::MIN)
                .then_some((base, None)),
            Some(end) => {
                let Timing { end_offset, end_time, zone, .. } = &self.timing;
                match schedule::row_end(end, *end_offset, *end_time, zone) {
                    Some(end) => Some((base, Some(end))),
                    // Beyond all that is ever due, on one side or the other.
                    None => is_late(end).then_some((base, None)),
                }
            }
        }
    }

    /// `{"id": 42}`.
    pub fn row_key(&self, key: &str) -> serde_json::Value {
        super::key::shown(key, self.key.iter().map(|column| column.name.as_str()))
    }
}
