//! What will be due, by the scheduler's own code. Reads only; filters and rows as the caller.

use super::checks;
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::key;
use crate::catalog::task::{self, Resolved, Task};
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::{clock, sql};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use schedule::{Base, Instant, Occurrence};

type Upcoming = (Occurrence, Option<serde_json::Value>);

/// How many rows a preview looks at before it sorts and cuts.
const PREVIEW_ROWS: i64 = 10_000;

#[pg_extern(sql = false)]
fn preview(
    name: Option<String>,
    count: Option<i32>,
    row_key: Option<pgrx::JsonB>,
) -> TableIterator<
    'static,
    (
        name!(nominal_at, TimestampWithTimeZone),
        name!(due_at, TimestampWithTimeZone),
        name!(row_key, Option<pgrx::JsonB>),
    ),
> {
    let found = sql::session(|| upcoming(name, count.unwrap_or(7), row_key.map(|key| key.0)).or_raise());
    let rows: Vec<_> = found
        .into_iter()
        .map(|(occurrence, key)| (timestamp(occurrence.nominal_at), timestamp(occurrence.due_at), key.map(pgrx::JsonB)))
        .collect();
    TableIterator::new(rows)
}

fn timestamp(at: Instant) -> TimestampWithTimeZone {
    TimestampWithTimeZone::try_from(clock::to_pg(at)).unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}

fn upcoming(name: Option<String>, count: i32, row_key: Option<serde_json::Value>) -> Result<Vec<Upcoming>> {
    let task = task::find_for_caller(name.as_deref(), false)?;
    let count = usize::try_from(count)
        .map_err(|_| crate::catalog::definition::invalid("count", &count.to_string()))?
        .min(10_000);
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
    let (statement, arguments) = rows_statement(&resolved, only.as_deref(), now);
    let rows = sql::once(&statement, &arguments);
    let columns = resolved.key.len();
    let mut found: Vec<(Occurrence, String)> = Vec::new();
    for row in 0..rows.len() {
        let Some(key) = key::from_row(&rows, row, 1, &resolved.key) else { continue };
        let Some((base, end)) = resolved.base_and_end(&rows, row, columns + 1) else { continue };
        let next = resolved.timing.schedule.occurrences(base, &resolved.timing.zone, end, now).take(count);
        found.extend(next.map(|occurrence| (occurrence, key.clone())));
        if found.len() > 4 * count.max(1000) {
            found.sort();
            found.truncate(count);
        }
    }
    found.sort();
    found.truncate(count);
    Ok(found.into_iter().map(|(occurrence, key)| (occurrence, Some(resolved.row_key(&key)))).collect())
}

/// The rows that can be due at all, those with the smallest dates first where the task does not repeat.
fn rows_statement(resolved: &Resolved, only: Option<&str>, now: Instant) -> (String, Vec<sql::Arg>) {
    let mut conditions = vec![format!("{} is not null", resolved.column_sql())];
    let mut arguments = Vec::new();
    match only {
        Some(key) => {
            for (column, value) in resolved.key.iter().zip(key::values_of(key, &resolved.key)) {
                arguments.push(value);
                conditions.push(format!(
                    "{} operator(pg_catalog.=) ${}",
                    resolved.qualified(&column.name),
                    arguments.len()
                ));
            }
        }
        None => {
            let ranges =
                resolved.timing.schedule.bases(resolved.column_kind, &resolved.timing.zone, now, Instant::MAX, None);
            if let Some(low) = ranges.first().and_then(|range| range.low) {
                arguments.push(resolved.bound(low));
                conditions.push(format!("{} operator(pg_catalog.>=) ${}", resolved.column_sql(), arguments.len()));
            }
        }
    }
    conditions.extend(resolved.filter_condition());
    let statement = format!(
        "select {} where {} order by {} limit {PREVIEW_ROWS}",
        resolved.select_list(),
        conditions.join(" and "),
        resolved.column_sql()
    );
    (statement, arguments)
}

/// `preview_schedule` after it packed its arguments.
#[pg_extern(sql = false)]
fn preview_definition(
    definition: pgrx::JsonB,
    count: Option<i32>,
    from_at: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (name!(nominal_at, TimestampWithTimeZone), name!(due_at, TimestampWithTimeZone))> {
    let from = from_at.and_then(|at| at.into_datum()).map(|datum| clock::from_pg(datum.value() as i64));
    let found = sql::session(|| schedule_upcoming(definition.0, count.unwrap_or(7), from).or_raise());
    let rows: Vec<_> = found.into_iter().map(|next| (timestamp(next.nominal_at), timestamp(next.due_at))).collect();
    TableIterator::new(rows)
}

fn schedule_upcoming(json: serde_json::Value, count: i32, from: Option<Instant>) -> Result<Vec<Occurrence>> {
    let mut definition = Definition::parse(json)?.canonical()?;
    // The checks want to know what is called; a schedule that is no task yet calls nothing.
    definition.body = Some(String::new());
    checks::check(TaskKind::Scheduled, &mut definition)?;
    let count = usize::try_from(count)
        .map_err(|_| crate::catalog::definition::invalid("count", &count.to_string()))?
        .min(10_000);
    let timing = definition.timing()?;
    let base = timing.start_at.ok_or_else(|| Error::new(Kind::Null, "start_at must not be null"))?;
    let from = from.unwrap_or(Instant::MIN);
    Ok(timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from).take(count).collect())
}
