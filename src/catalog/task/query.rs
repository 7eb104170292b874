//! A date-field task with its table looked up as it is now, and the pieces of the statements that read it.

use crate::catalog::definition::{Timing, column_kind};
use crate::catalog::table::filter::{self, ROW_ALIAS};
use crate::catalog::table::key::KeyColumn;
use crate::catalog::table::target::Target;
use crate::catalog::table::trust::{self, Roots};
use crate::catalog::task::Task;
use crate::error::{Error, Kind, Result};
use crate::pg::lock::Object;
use crate::pg::meaning::Meaning;
use crate::pg::{name, sql, user};
use chrono::Datelike;
use pgrx::pg_sys::Oid;
use schedule::{ColumnKind, Instant};
use std::collections::HashSet;

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
    /// The filter, as it is to be called now.
    filter: Option<filter::Condition>,
}

impl Task {
    /// Settled times.
    pub fn timing(&self) -> Result<Timing> {
        self.definition.timing()
    }

    /// With the table as it is now: 42P01, 42703 … when something is gone.
    pub fn resolve(self) -> Result<Resolved> {
        let timing = self.timing()?;
        // An OID that is none is no table's.
        let target = Target::open(self.relation.unwrap_or(Oid::INVALID)).map_err(|error| self.gone(error))?;
        let filter = self.filter.as_ref().map(|filter| filter::look_up(filter, self.owner, &target)).transpose();
        // First of all, for the sake of what is said: who may not be trusted, rather than what they have changed.
        let function = filter.as_ref().ok().and_then(|filter| filter.as_ref()).map(|filter| filter.function);
        self.check_superuser(Some(&target), function)?;
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
        let filter = filter?;
        let end = self.definition.end_column.clone().map(|name| dated(&name).map(|kind| (name, kind))).transpose()?;
        Ok(Resolved { timing, target, key, column, column_kind, end, filter, task: self })
    }

    /// Its table has no name any more by which it could be told of.
    fn gone(&self, error: Error) -> Error {
        let message = format!("the table of task \"{}\" does not exist any more", self.name);
        if error.is_no_table() { Error::new(Kind::NoTable, message) } else { error }
    }

    /// All that it calls and reads, where it is a superuser's: nobody changes it any more until the transaction ends.
    /// None: somebody just does.
    pub fn try_hold(&self) -> Option<HashSet<Object>> {
        if !user::is_superuser_role(self.owner) {
            return Some(HashSet::new());
        }
        let target = self.relation.and_then(|relation| Target::open(relation).ok());
        let filter = self.filter.as_ref().zip(target.as_ref());
        let filter = filter.and_then(|(filter, target)| filter::look_up(filter, self.owner, target).ok());
        let roots = Roots {
            function: self.function.oid,
            relation: self.relation.unwrap_or(Oid::INVALID),
            filter: filter.map_or(Oid::INVALID, |filter| filter.function),
        };
        trust::hold(roots, false)
    }

    /// A superuser's task reads and runs only what is a superuser's own, also if its owner became one later.
    pub fn check_superuser(&self, target: Option<&Target>, filter: Option<Oid>) -> Result<()> {
        if !user::is_superuser_role(self.owner) {
            return Ok(());
        }
        trust::check(&self.function, target, filter).map_err(|error| {
            Error::new(Kind::Denied, format!("task \"{}\" of a superuser: {}", self.name, error.message()))
        })
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
        format!("{ROW_ALIAS}.{}", name::quoted(column))
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
        columns.push(
            self.end.as_ref().map_or_else(|| "null::pg_catalog.date".to_string(), |(name, _)| self.qualified(name)),
        );
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
        self.filter.as_ref().map(|filter| filter.sql.clone())
    }

    /// What a statement on the task's table may mean: that table, that filter.
    pub fn meaning(&self) -> Meaning {
        let function = self.filter.as_ref().map_or(Oid::INVALID, |filter| filter.function);
        Meaning { relation: self.target.relation, function }
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
}
