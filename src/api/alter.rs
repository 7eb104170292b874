//! Altering tasks, in the caller's transaction: a merge patch over the stored definition, checked as at creation; then
//! only what changed is made anew. Everything counts from now: nothing past becomes due by it.

use super::create::{self, Table};
use super::{checks, control, name, require_preloaded, writing};
use crate::catalog::calendar;
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::ledger::{Writer, held};
use crate::catalog::table::body;
use crate::catalog::table::filter::{self, Filter};
use crate::catalog::table::function::Function;
use crate::catalog::task::store::{self, NewTask};
use crate::catalog::task::triggers::{self, Watched};
use crate::catalog::task::{self, Task, names};
use crate::catalog::upkeep::replan;
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::json::Json;
use crate::pg::{clock, sql, wake};
use pgrx::prelude::*;
use schedule::Instant;
use serde_json::{Map, Value};

#[pg_extern(sql = false)]
fn alter_task(name: Option<String>, changes: Option<Json>) {
    sql::session(|| writing(|| alter(name, changes.map(|changes| changes.0))).or_raise())
}

fn alter(name: Option<String>, changes: Option<Value>) -> Result<()> {
    require_preloaded()?;
    let task = task::find_own_to_change(name.as_deref())?;
    let changes = changes.ok_or_else(|| Error::new(Kind::Null, "changes must not be null"))?;
    let Value::Object(changes) = changes else {
        return Err(Error::new(Kind::Invalid, format!("changes must be a JSON object, not {changes}"))
            .hint("Give the parameters of create_… by their names, such as {\"at\": \"09:00\"}."));
    };
    let merged = merge(&task, changes)?;
    replace(task, Definition::parse(Value::Object(merged))?)
}

/// One of each pair at most: giving one clears the others.
const EXCLUSIVE: &[&[&str]] =
    &[&["service_function", "body"], &["before", "after"], &["end_at", "end_column"], &["end_before", "end_after"]];

/// What only means something beside an end column.
const END_OF_COLUMN: &[&str] = &["end_before", "end_after", "end_time"];

fn merge(task: &Task, changes: Map<String, Value>) -> Result<Map<String, Value>> {
    let Ok(Value::Object(mut merged)) = serde_json::to_value(&task.definition) else {
        return Err(Error::new(Kind::State, format!("the definition of task \"{}\" cannot be read", task.name)));
    };
    for (key, value) in &changes {
        checks::check_key(task.kind, key)?;
        // What comes with the change itself stays: two that exclude each other are then refused, as at creation.
        let mut clear = |other: &str| {
            if changes.get(other).is_none_or(Value::is_null) {
                merged.remove(other);
            }
        };
        match key.as_str() {
            "end_column" if value.is_null() => END_OF_COLUMN.iter().copied().for_each(&mut clear),
            "end_at" if !value.is_null() => END_OF_COLUMN.iter().copied().for_each(&mut clear),
            // A rule is what the cycle custom means, and no other has one.
            "rule" => clear("repeat"),
            "repeat" if value != "custom" => clear("rule"),
            _ => {}
        }
        if value.is_null() {
            merged.remove(key);
            continue;
        }
        for others in EXCLUSIVE.iter().filter(|pair| pair.contains(&key.as_str())) {
            others.iter().filter(|other| *other != key).copied().for_each(&mut clear);
        }
        merged.insert(key.clone(), value.clone());
    }
    Ok(merged)
}

/// Gives a task this definition; kind and table stay.
pub(super) fn replace(task: Task, definition: Definition) -> Result<()> {
    let mut definition = definition.with_defaults(task.kind).canonical()?;
    if definition.name.is_none() {
        return Err(Error::new(Kind::Null, "name must not be null"));
    }
    checks::check(task.kind, &mut definition)?;
    if definition.timeout != task.definition.timeout {
        checks::check_timeout(&definition)?;
    }
    settle_name(&task, &definition)?;
    let table = match task.kind {
        TaskKind::Scheduled => None,
        TaskKind::DateField => Some(Table::check(create::relation_of(&task)?, &definition)?),
    };
    let function = settle_function(&task, &mut definition, table.as_ref())?;
    let target = table.as_ref().map(|table| &table.target);
    create::check_superuser(&function, target, None)?;
    let filter = settle_filter(&task, &definition, table.as_ref())?;
    create::check_superuser(&function, target, filter.as_ref())?;
    let now = clock::transaction_start();
    let old = &task.definition;
    // Before anything is planned by it.
    let seen = definition.holidays_of().and_then(calendar::changed_at);
    let change = Change::of(&task, &definition);
    if change.is_replanned && task.kind == TaskKind::Scheduled {
        create::first_occurrence(&definition)?;
    }
    let new = new_task(&task, &definition, table.as_ref(), (filter, &function), (&change, now))?;
    if let Some(table) = &table
        && watched(&task.definition) != watched(&definition)
    {
        let watched = Watched { definition: &definition, key: &table.key_names(), filter: new.filter.as_ref() };
        triggers::drop_triggers(&task);
        triggers::create_triggers(&table.target, &watched, task.token);
    }
    store::update(task.id, &new)?;
    if (old.skip_holidays, &old.calendar) != (definition.skip_holidays, &definition.calendar) {
        checks::notice_calendar(&definition);
    }
    plan_anew(&task, &definition, &change, seen, now)?;
    wake::at_commit();
    Ok(())
}

/// What an alteration changes of when the task runs.
struct Change {
    /// What decides when something is due.
    is_replanned: bool,
    was_paused: bool,
    is_paused: bool,
}

impl Change {
    fn of(task: &Task, definition: &Definition) -> Change {
        Change {
            is_replanned: timing_of(&task.definition) != timing_of(definition),
            was_paused: !task.enabled,
            is_paused: definition.enabled == Some(false),
        }
    }

    fn is_resumed(&self) -> bool {
        self.was_paused && !self.is_paused
    }
}

/// What is stored.
fn new_task<'a>(
    task: &Task,
    definition: &'a Definition,
    table: Option<&'a Table>,
    (filter, function): (Option<Filter>, &'a Function),
    (change, now): (&Change, Instant),
) -> Result<NewTask<'a>> {
    let old = &task.definition;
    // What nobody would have run a moment ago is not due now.
    let counts_anew = change.is_replanned || change.is_resumed() || old.catch_up_window != definition.catch_up_window;
    let (mut looks_from, mut looks_until) = (task.looks_from, task.looks_until);
    if old.existing_rows != definition.existing_rows {
        let since = store::existing_since(definition, now)?;
        looks_from = since.map(|since| control::not_forgotten(definition, since, now)).transpose()?;
        looks_until = Some(now);
    }
    Ok(NewTask {
        kind: task.kind,
        definition,
        relation: task.relation,
        key: table.map_or(&[], |table| &table.key),
        filter,
        function,
        // What was due since a change that nobody has planned by yet is not lost for this one; but a pause is over.
        counts_from: if counts_anew && (!task.is_unplanned || change.is_resumed()) { now } else { task.counts_from },
        looks_from,
        looks_until,
        is_unplanned: task.is_unplanned
            || task.kind == TaskKind::DateField && (change.is_replanned || change.is_resumed()),
    })
}

/// After a change is stored: what was planned by the old definition, and what waited.
fn plan_anew(task: &Task, definition: &Definition, change: &Change, seen: Option<Instant>, now: Instant) -> Result<()> {
    // Also what waited for a function or a table that the task does not need any more.
    if !change.is_paused || !change.was_paused {
        if change.is_paused {
            held::hold_retries(task.id);
        } else {
            control::let_go(task);
        }
    }
    if change.is_replanned {
        replan::task(task, definition, Writer::Session)?;
        replan::note_calendar(task.id, seen);
    } else if change.is_resumed() {
        control::go_on(task, now)?;
    }
    Ok(())
}

fn settle_name(task: &Task, definition: &Definition) -> Result<()> {
    let new = definition.name.as_deref().unwrap_or_default();
    if new == task.name {
        return Ok(());
    }
    name::check(new)?;
    names::take(new)?;
    body::rename(&task.name, new, task.owner);
    Ok(())
}

/// A function is looked up again only if it is another one: what its name meant stays.
fn settle_function(task: &Task, definition: &mut Definition, table: Option<&Table>) -> Result<Function> {
    let old = &task.definition;
    if definition.service_function.is_some() {
        definition.language = None;
    }
    let same = definition.service_function == old.service_function
        && definition.body == old.body
        && definition.language == old.language;
    if same {
        let mut function = task.function.clone();
        if definition.body.is_some() && definition.name.as_deref() != Some(&task.name) {
            function.signature =
                body::signature_of(definition.name.as_deref().unwrap_or_default(), table.map(|table| &table.target));
        }
        return Ok(function);
    }
    let name = definition.name.clone().unwrap_or_default();
    body::drop(&name, task.owner);
    create::settle_function(definition, table)
}

fn settle_filter(task: &Task, definition: &Definition, table: Option<&Table>) -> Result<Option<Filter>> {
    if definition.filter == task.definition.filter {
        return Ok(task.filter.clone());
    }
    if let Some(old) = &task.filter {
        filter::drop(&old.call, task.owner);
    }
    definition.filter.as_deref().zip(table).map(|(filter, table)| filter::create(filter, &table.target)).transpose()
}

/// What decides when a row or the task is due.
fn timing_of(definition: &Definition) -> Definition {
    Definition {
        title: None,
        name: None,
        description: None,
        service_function: None,
        body: None,
        language: None,
        catch_up: None,
        catch_up_window: None,
        overlap: None,
        capture: None,
        max_attempts: None,
        retry_backoff: None,
        timeout: None,
        enabled: None,
        ..definition.clone()
    }
}

/// What the capture triggers are made of.
fn watched(definition: &Definition) -> [Option<String>; 5] {
    let key = definition.key_columns.as_ref().map(|columns| columns.join("\0"));
    let Definition { date_column, end_column, capture, filter, .. } = definition.clone();
    [date_column, end_column, capture, key, filter]
}
