//! Source mode: a task as one JSON document, out and in again without loss.

use super::{alter, create, writing};
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::table::target::Target;
use crate::catalog::task::{self, Task, home, names};
use crate::error::{Error, Kind, OrRaise, Result, invalid};
use crate::pg::json::Json;
use crate::pg::{sql, user};
use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::{Map, Value};

/// The version of the documents that are written.
const VERSION: i64 = 1;

#[pg_extern(sql = false)]
fn export_task(name: Option<String>) -> JsonB {
    sql::session(|| task::find_for_caller(name.as_deref()).and_then(|task| export(&task)).map(JsonB).or_raise())
}

#[pg_extern(sql = false)]
fn export_tasks() -> JsonB {
    let all = || -> Result<Value> {
        task::owned_by(user::current()).iter().map(export).collect::<Result<Vec<Value>>>().map(Value::Array)
    };
    sql::session(|| JsonB(all().or_raise()))
}

/// The definition under the parameters' names, flat; what is as create_… would have it anyway is left out.
fn export(task: &Task) -> Result<Value> {
    let unreadable = || Error::new(Kind::State, format!("the definition of task \"{}\" cannot be read", task.name));
    let Ok(Value::Object(mut document)) = serde_json::to_value(&task.definition) else { return Err(unreadable()) };
    let defaults = Definition::default().with_defaults(task.kind).canonical()?;
    let Ok(Value::Object(defaults)) = serde_json::to_value(defaults) else { return Err(unreadable()) };
    document.retain(|key, value| defaults.get(key) != Some(value));
    document.insert("version".to_string(), VERSION.into());
    document.insert("kind".to_string(), task.kind.label().into());
    // One that is gone is exported as it was called.
    let target = task.relation.and_then(|relation| Target::open(relation).ok());
    let table = target.as_ref().map(|target| target.sql_name.clone()).or_else(|| task::table_called(task.id));
    if let Some(table) = table {
        document.insert("table_name".to_string(), table.into());
    }
    // Function, table and schemas may have been renamed.
    if let (Some(written), Ok(callable), true) =
        (document.get_mut("service_function"), task.function.callable(), home::is_here())
    {
        *written = callable.signature(task.function.takes, target.as_ref()).into();
    }
    Ok(Value::Object(document))
}

#[pg_extern(sql = false)]
fn import_task(definition: Option<Json>, replace: Option<bool>) -> String {
    sql::session(|| writing(|| import(definition.map(|json| json.0), replace.unwrap_or(false))).or_raise())
}

fn import(document: Option<Value>, replace: bool) -> Result<String> {
    let document = document.ok_or_else(|| Error::new(Kind::Null, "the definition must not be null"))?;
    let Value::Object(mut document) = document else {
        return Err(Error::new(Kind::Invalid, format!("a task definition is a JSON object, not {document}")));
    };
    let kind = take_head(&mut document)?;
    let relation = take_table(kind, &mut document)?;
    for key in document.keys() {
        super::checks::check_key(kind, key)?;
    }
    // In JSON null is the same as leaving the key out.
    document.retain(|_, value| !value.is_null());
    let zone = document.get("time_zone").and_then(Value::as_str).map(str::to_string);
    let definition = Definition::parse(Value::Object(document))?;
    let name = definition.name.clone();
    in_zone(zone.as_deref(), || match name.filter(|name| replace && names::exists(name)) {
        Some(name) => {
            let task = task::find_own_to_change(Some(&name))?;
            check_same(&task, kind, relation)?;
            alter::replace(task, definition)?;
            Ok(name)
        }
        None => create::define(kind, relation, definition),
    })
}

/// Instants without an offset are read in the definition's zone.
fn in_zone<T>(zone: Option<&str>, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let known = zone.and_then(crate::pg::zone::canonical).and_then(|zone| std::ffi::CString::new(zone).ok());
    let Some(zone) = known else { return body() };
    let settings = user::Settings::begin();
    settings.set(c"timezone", &zone);
    let result = body();
    settings.end();
    result
}

fn take_head(document: &mut Map<String, Value>) -> Result<TaskKind> {
    match document.remove("version") {
        None => {}
        Some(version) if version == VERSION => {}
        Some(version) => {
            return Err(Error::new(Kind::Invalid, format!("unknown version {version} of a task definition"))
                .hint(format!("This version of jittask reads version {VERSION}.")));
        }
    }
    match document.remove("kind").as_ref().map(|kind| kind.as_str().unwrap_or_default()) {
        Some("scheduled") => Ok(TaskKind::Scheduled),
        Some("date_field") => Ok(TaskKind::DateField),
        None => Err(Error::new(Kind::Null, "kind must not be null").hint("It is scheduled or date_field.")),
        Some(other) => Err(invalid("kind", other).hint("It is scheduled or date_field.")),
    }
}

fn take_table(kind: TaskKind, document: &mut Map<String, Value>) -> Result<Option<Oid>> {
    let written = document.remove("table_name").filter(|value| !value.is_null());
    if let Some(other) = written.as_ref().filter(|value| !value.is_string()) {
        return Err(Error::new(Kind::Invalid, format!("invalid value for table_name: {other}"))
            .hint("Write the table's name as a string."));
    }
    match (kind, written.as_ref().and_then(Value::as_str)) {
        (TaskKind::Scheduled, None) => Ok(None),
        (TaskKind::Scheduled, Some(_)) => Err(super::checks::unknown_key(kind, "table_name")),
        (TaskKind::DateField, None) => Err(Error::new(Kind::Null, "table_name must not be null")),
        (TaskKind::DateField, Some(name)) => {
            // By the caller's search_path, as create_date_task would; raises 42P01.
            Ok(sql::once("select $1::pg_catalog.regclass::pg_catalog.oid", &[sql::arg(name)]).get(0, 1))
        }
    }
}

fn check_same(task: &Task, kind: TaskKind, relation: Option<Oid>) -> Result<()> {
    if task.kind == kind && task.relation == relation {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, format!("kind and table of task \"{}\" cannot change", task.name))
        .hint("Drop the task and import it again."))
}
