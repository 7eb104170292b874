//! `audit`: whether what was due ran or waits, by the rows and the forward rule alone. For the owner alone, since it reads the
//! table and evaluates the filter. It reads only.

use super::preview::timestamp;
use super::simulate::instant;
use crate::catalog::table::key;
use crate::catalog::task::{self, Task};
use crate::catalog::upkeep::audit::{self, Span};
use crate::error::{OrRaise, Result};
use crate::pg::{sql, user};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// One finding, as SQL shows it.
type Shown = (String, Option<pgrx::JsonB>, TimestampWithTimeZone, TimestampWithTimeZone, &'static str, String);

/// What was due in `[from_at, until_at)` and is missing, unexpected or there twice; null: since the task's floor, until a minute
/// ago. Of the caller's own tasks if `name` is null.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn audit(
    name: Option<String>,
    from_at: Option<TimestampWithTimeZone>,
    until_at: Option<TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        name!(task, String),
        name!(row_key, Option<pgrx::JsonB>),
        name!(nominal_at, TimestampWithTimeZone),
        name!(due_at, TimestampWithTimeZone),
        name!(finding, &'static str),
        name!(detail, String),
    ),
> {
    let span = Span { from: instant(from_at), until: instant(until_at) };
    TableIterator::new(sql::session(|| audited(name, span).or_raise()))
}

fn audited(name: Option<String>, span: Span) -> Result<Vec<Shown>> {
    if let Some(name) = name {
        return of_task(task::find_own(Some(&name))?, span);
    }
    let mut all = Vec::new();
    for task in task::owned_by(user::current()) {
        let name = task.name.clone();
        match of_task(task, span) {
            Ok(found) => all.extend(found),
            // One that lost its table must not hide what is wrong with the others.
            Err(error) => warning!("task \"{name}\" cannot be audited: {}", error.message()),
        }
    }
    Ok(all)
}

fn of_task(task: Task, span: Span) -> Result<Vec<Shown>> {
    let name = task.name.clone();
    let (resolved, found) = audit::of(task, span)?;
    let row_key = |key: &str| {
        let columns = resolved.as_ref()?.key.iter().map(|column| column.name.as_str());
        Some(pgrx::JsonB(key::shown(key, columns)))
    };
    let shown = found.into_iter().map(|found| {
        let due = found.occurrence;
        let key = row_key(&found.key);
        (name.clone(), key, timestamp(due.nominal_at), timestamp(due.due_at), found.wrong.label(), found.detail)
    });
    Ok(shown.collect())
}
