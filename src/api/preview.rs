//! What will be due, by the scheduler's own code. Reads only; filters and rows as the caller.

use super::checks;
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::table::key;
use crate::catalog::task::query::Resolved;
use crate::catalog::task::{self, Task};
use crate::error::{Error, Kind, OrRaise, Result, invalid};
use crate::pg::json::Json;
use crate::pg::{clock, sql, user};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use schedule::{Base, Instant, Occurrence};
use std::rc::Rc;

/// An occurrence and its row.
pub(super) type Upcoming = (Occurrence, Option<RowKey>);

/// A row's key with the names of its columns: written out when it is shown, for it may be of a megabyte.
pub(super) struct RowKey {
    key: Rc<str>,
    columns: Rc<[String]>,
}

impl RowKey {
    /// `{"id": 42}`.
    pub(super) fn json(self) -> pgrx::JsonB {
        pgrx::JsonB(key::shown(&self.key, self.columns.iter().map(String::as_str)))
    }
}

/// The same for all that was found.
pub(super) fn shown(resolved: &Resolved, found: Vec<(Occurrence, Rc<str>)>) -> Vec<Upcoming> {
    let columns: Rc<[String]> = resolved.key.iter().map(|column| column.name.clone()).collect();
    found.into_iter().map(|(next, key)| (next, Some(RowKey { key, columns: columns.clone() }))).collect()
}

/// The most occurrences that are shown.
const MOST: i32 = 1_000_000;
/// How many rows are read at a time.
const PORTION: i64 = 1000;
/// The first window of due time that is looked at, and how much longer each next one is.
const WINDOW: (i64, i64) = (86_400_000_000, 16);

#[pg_extern(sql = false)]
fn preview(
    name: Option<String>,
    count: Option<i32>,
    row_key: Option<Json>,
) -> TableIterator<
    'static,
    (
        name!(nominal_at, TimestampWithTimeZone),
        name!(due_at, TimestampWithTimeZone),
        name!(row_key, Option<pgrx::JsonB>),
    ),
> {
    let found = sql::session(|| upcoming(name, count.unwrap_or(7), row_key.map(|key| key.0)).or_raise());
    TableIterator::new(found.into_iter().map(|(occurrence, key)| {
        (timestamp(occurrence.nominal_at), timestamp(occurrence.due_at), key.map(RowKey::json))
    }))
}

/// An instant as SQL shows it; beyond PostgreSQL's range infinity.
pub(super) fn timestamp(at: Instant) -> TimestampWithTimeZone {
    TimestampWithTimeZone::try_from(clock::to_pg(at)).unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}

fn check_count(count: i32) -> Result<usize> {
    let wrong = || invalid("count", &count.to_string()).hint(format!("count is between 0 and {MOST}."));
    usize::try_from(count).ok().filter(|_| count <= MOST).ok_or_else(wrong)
}

fn upcoming(name: Option<String>, count: i32, row_key: Option<serde_json::Value>) -> Result<Vec<Upcoming>> {
    let task = task::find_own(name.as_deref())?;
    let count = check_count(count)?;
    let now = clock::transaction_start();
    if task.kind == TaskKind::Scheduled {
        let timing = task.timing()?;
        let base = Base::Instant(timing.start_at.unwrap_or(now));
        return Ok(timing
            .schedule
            .occurrences(base, &timing.zone, timing.end_at, now)
            .take(count)
            .map(|next| (next, None))
            .collect());
    }
    rows_upcoming(task, count, row_key, now)
}

fn rows_upcoming(task: Task, count: usize, row_key: Option<serde_json::Value>, now: Instant) -> Result<Vec<Upcoming>> {
    let resolved = task.resolve()?;
    let only = row_key.map(|row_key| key::from_json(&row_key, &resolved.key)).transpose()?;
    let mut length = if only.is_some() { i64::MAX } else { WINDOW.0 };
    // As the scheduler looks rows up: by the column values that can be due in a window, which grows until it has enough.
    loop {
        let until = Instant(now.0.saturating_add(length)).min(Instant(Instant::MAX.0 + 1));
        let found = due_between(&resolved, only.as_deref(), count, now, until);
        if found.len() >= count || until > Instant::MAX {
            return Ok(shown(&resolved, found));
        }
        length = length.saturating_mul(WINDOW.1);
    }
}

/// The first `count` occurrences due in the window, over all rows or of the one with this key.
pub(super) fn due_between(
    resolved: &Resolved,
    only: Option<&str>,
    count: usize,
    from: Instant,
    until: Instant,
) -> Vec<(Occurrence, Rc<str>)> {
    let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
    let Some((statement, arguments)) = rows_statement(resolved, only, from, until) else { return Vec::new() };
    let mut found: Vec<(Occurrence, Rc<str>)> = Vec::new();
    let mut cursor = user::restricted(|| resolved.meaning().during(|| sql::cursor(&statement, &arguments)));
    loop {
        let rows = user::restricted(|| cursor.fetch(PORTION));
        if rows.is_empty() {
            break;
        }
        for row in 0..rows.len() {
            let Some(key) = key::from_row(&rows, row, 1, &resolved.key) else { continue };
            let Some((base, end)) = resolved.base_and_end(&rows, row, resolved.key.len() + 1) else { continue };
            let key: Rc<str> = key.into();
            let next = schedule.occurrences(base, zone, end, from).take_while(|next| next.due_at < until).take(count);
            found.extend(next.map(|occurrence| (occurrence, key.clone())));
        }
        if found.len() > 2 * count {
            found.sort();
            found.truncate(count);
        }
    }
    cursor.close();
    found.sort();
    found.truncate(count);
    found
}

/// The rows that can be due in the window; None: there are none.
fn rows_statement(
    resolved: &Resolved,
    only: Option<&str>,
    from: Instant,
    until: Instant,
) -> Option<(String, Vec<sql::Arg>)> {
    let mut conditions = vec![format!("{} is not null", resolved.column_sql())];
    let mut arguments = Vec::new();
    if let Some(key) = only {
        for (column, value) in resolved.key.iter().zip(key::values_of(key, &resolved.key)) {
            arguments.push(value);
            let name = resolved.qualified(&column.name);
            conditions.push(format!("{name} operator(pg_catalog.=) ${}", arguments.len()));
        }
    } else {
        let ranges = resolved.timing.schedule.bases(resolved.column_kind, &resolved.timing.zone, from, until, None);
        arguments.push(resolved.bound(ranges.last()?.high));
        conditions.push(format!("{} operator(pg_catalog.<=) $1", resolved.column_sql()));
        if let Some(low) = ranges.first().and_then(|range| range.low) {
            arguments.push(resolved.bound(low));
            conditions.push(format!("{} operator(pg_catalog.>=) $2", resolved.column_sql()));
        }
    }
    conditions.extend(resolved.filter_condition());
    Some((format!("select {} where {}", resolved.select_list(), conditions.join(" and ")), arguments))
}

/// `preview_schedule` after it packed its arguments.
#[pg_extern(sql = false)]
fn preview_definition(
    definition: Option<Json>,
    count: Option<i32>,
    from_at: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (name!(nominal_at, TimestampWithTimeZone), name!(due_at, TimestampWithTimeZone))> {
    let from = from_at.and_then(|at| at.into_datum()).map(|datum| clock::from_pg(datum.value() as i64));
    let found = sql::session(|| schedule_upcoming(definition, count.unwrap_or(7), from).or_raise());
    let rows: Vec<_> = found.into_iter().map(|next| (timestamp(next.nominal_at), timestamp(next.due_at))).collect();
    TableIterator::new(rows)
}

fn schedule_upcoming(definition: Option<Json>, count: i32, from: Option<Instant>) -> Result<Vec<Occurrence>> {
    let mut definition = Definition::required(definition)?.with_defaults(TaskKind::Scheduled).canonical()?;
    // The checks want to know what is called; a schedule that is no task yet calls nothing.
    definition.body = Some(String::new());
    checks::check(TaskKind::Scheduled, &mut definition)?;
    let count = check_count(count)?;
    let timing = definition.timing()?;
    let base = timing.start_at.ok_or_else(|| Error::new(Kind::Null, "start_at must not be null"))?;
    let from = from.unwrap_or(Instant::MIN);
    Ok(timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from).take(count).collect())
}
