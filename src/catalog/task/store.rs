//! Storing tasks: new ones, and new definitions of old ones.

use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::table::filter::Filter;
use crate::catalog::table::function::Function;
use crate::catalog::table::key::KeyColumn;
use crate::catalog::task::{home, names};
use crate::error::{Error, Kind, Result};
use crate::pg::{sql, user};
use pgrx::JsonB;
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::Instant;

/// What a task is made of.
pub struct NewTask<'a> {
    /// Kind.
    pub kind: TaskKind,
    /// Canonical, with name.
    pub definition: &'a Definition,
    /// The table.
    pub relation: Option<Oid>,
    /// Its key.
    pub key: &'a [KeyColumn],
    /// The filter.
    pub filter: Option<Filter>,
    /// What it calls.
    pub function: &'a Function,
    /// From when it counts,
    pub counts_from: Instant,
    /// and looks for what was due already.
    pub looks_from: Option<Instant>,
    /// until then.
    pub looks_until: Option<Instant>,
    /// Nobody has planned it since it counts.
    pub is_unplanned: bool,
}

/// The columns that [`NewTask::values`] fills.
const COLUMNS: &str = "name, title, description, definition, key_columns, filter_sql, filter_runs_late, function_oid,
    function_name, function_owner, function_takes, schedule, enabled, counts_from, columns, column_numbers, relation,
    owner_name, looks_from, looks_until, is_unplanned, table_name, table_schema, table_owner";
const VALUES: &str = "$1, $2, $3, $4, $5::name[], $6, $7, $8, $9, $10::oid::regrole, $11, $12, $13, $14, $15::name[],
    array(select a.attnum from unnest($15) with ordinality n (name, i)
          join pg_attribute a on a.attrelid = $16::oid and a.attname = n.name::name order by n.i), $16::oid::regclass,
    $17::text::name, $18, $19, $20, (select c.relname from pg_class c where c.oid = $16),
    (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $16),
    (select c.relowner::regrole from pg_class c where c.oid = $16)";

/// Since when rows that are due already are asked for by existing_rows, now.
pub fn existing_since(definition: &Definition, now: Instant) -> Result<Option<Instant>> {
    let existing = schedule::span_micros(definition.timing()?.existing_rows);
    Ok((existing > 0).then(|| now.back(existing)))
}

impl NewTask<'_> {
    fn values(&self) -> Result<Vec<sql::Arg>> {
        let definition =
            serde_json::to_value(self.definition).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let key: Vec<String> = self.key.iter().map(|column| column.name.clone()).collect();
        Ok(vec![
            sql::arg(self.definition.name.clone()),
            sql::arg(self.definition.title.clone()),
            sql::arg(self.definition.description.clone()),
            sql::arg(JsonB(definition)),
            sql::arg(key),
            sql::arg(self.filter.as_ref().map(|filter| filter.call.clone())),
            sql::arg(self.filter.as_ref().is_some_and(|filter| filter.runs_late)),
            sql::arg(self.function.oid),
            sql::arg(self.function.signature.as_str()),
            sql::arg(self.function.owner),
            sql::arg(self.function.takes.label()),
            sql::arg(self.definition.line()),
            sql::arg(self.definition.enabled.unwrap_or(true)),
            sql::at(self.counts_from),
            sql::arg(self.columns()),
            sql::arg(self.relation),
            sql::arg(user::name_of(user::current())),
            sql::maybe_at(self.looks_from),
            sql::maybe_at(self.looks_until),
            sql::arg(self.is_unplanned),
        ])
    }

    /// Names of the table's columns that the task speaks of, each once: they are followed when they are renamed.
    fn columns(&self) -> Vec<String> {
        let definition = self.definition;
        let dates = [&definition.date_column, &definition.end_column].into_iter().flatten().cloned();
        let key = self.key.iter().map(|column| column.name.clone());
        let read = self.filter.iter().flat_map(|filter| filter.columns.iter().cloned());
        let mut columns: Vec<String> = dates.chain(key).chain(read).collect();
        columns.sort();
        columns.dedup();
        columns
    }
}

/// Stores a task and returns its id and token. A name taken meanwhile is 42710.
pub fn insert(task: &NewTask) -> Result<(i32, i64)> {
    let owner = user::current();
    let mut values = task.values()?;
    values.extend([sql::arg(task.kind.label()), sql::datum(REGROLEOID, Some(owner.into())), sql::arg(home::here())]);
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "insert into jittask.task (token, kind, owner, home, created_at, {COLUMNS})
                 select ('x' || encode(substr(uuid_send(gen_random_uuid()), 1, 8), 'hex'))::bit(64)::bigint | 2,
                     $21::jittask.task_kind, $22, $23, clock_timestamp(), {VALUES}
                 on conflict (name) where dropped_at is null do nothing
                 returning id, token"
            ),
            &values,
        )
    });
    match (rows.get(0, 1), rows.get(0, 2)) {
        (Some(id), Some(token)) => Ok((id, token)),
        _ => Err(names::taken(task.definition.name.as_deref().unwrap_or_default())),
    }
}

/// Gives a stored task its new definition and what was looked up for it.
pub fn update(id: i32, task: &NewTask) -> Result<()> {
    let mut values = task.values()?;
    values.push(sql::arg(id));
    user::as_extension_owner(|| {
        sql::run(
            &format!(
                "update jittask.task set ({COLUMNS}) = row({VALUES}), problem = null, plan_problem = null where id = $21"
            ),
            &values,
        )
    });
    Ok(())
}
