//! Creating tasks, in the caller's transaction: every check first, then the task, its internal function, its triggers
//! and, for a scheduled task, its first occurrence. Whatever fails takes all of it back.

use super::{checks, name, require_preloaded, writing};
use crate::catalog::agenda::series;
use crate::catalog::calendar;
use crate::catalog::definition::literal::instant_text;
use crate::catalog::definition::{Definition, TaskKind, column_kind};
use crate::catalog::ledger::{Ledger, New, Writer};
use crate::catalog::table::filter::{self, Filter};
use crate::catalog::table::function::{self, Function};
use crate::catalog::table::key::KeyColumn;
use crate::catalog::table::target::Target;
use crate::catalog::table::{body, trust};
use crate::catalog::task::store::{self, NewTask};
use crate::catalog::task::triggers::{self, Watched};
use crate::catalog::task::{self, names};
use crate::catalog::upkeep::replan;
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::json::Json;
use crate::pg::{clock, sql, tuple, user, wake, worker};
use chrono::Datelike;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::{Base, ColumnKind, Cycle, Occurrence};

/// `create_scheduled_task` and `create_date_task` after they packed their arguments.
#[pg_extern(sql = false)]
fn define_task(kind: Option<Oid>, relation: Option<Oid>, definition: Option<Json>) -> String {
    let defined = || {
        let kind = kind.ok_or_else(|| Error::new(Kind::Null, "kind must not be null"))?;
        let kind = match pgrx::enum_helper::lookup_enum_by_oid(kind).0.as_str() {
            "date_field" => TaskKind::DateField,
            _ => TaskKind::Scheduled,
        };
        let definition = Definition::required(definition)?;
        writing(|| define(kind, relation, definition))
    };
    sql::session(|| defined().or_raise())
}

/// Creates a task for the caller; returns its name.
pub(super) fn define(kind: TaskKind, relation: Option<Oid>, definition: Definition) -> Result<String> {
    require_preloaded()?;
    let mut definition = definition.with_defaults(kind).canonical()?;
    checks::check(kind, &mut definition)?;
    checks::check_timeout(&definition)?;
    check_role()?;
    checks::check_quota()?;
    let table = match kind {
        TaskKind::Scheduled => None,
        TaskKind::DateField => {
            let relation = relation.filter(|relation| *relation != Oid::INVALID);
            let relation = relation.ok_or_else(|| Error::new(Kind::Null, "table_name must not be null"))?;
            Some(Table::check(relation, &definition)?)
        }
    };
    // Before anything is planned by it.
    let seen = definition.holidays_of().and_then(calendar::changed_at);
    let first = if kind == TaskKind::Scheduled { Some(first_occurrence(&definition)?) } else { None };
    settle_name(&mut definition)?;
    let function = settle_function(&mut definition, table.as_ref())?;
    let target = table.as_ref().map(|table| &table.target);
    // Before the filter is analysed, which evaluates its literals, and then with it.
    check_superuser(&function, target, None)?;
    let filter = definition.filter.as_deref().zip(target);
    let filter = filter.map(|(filter, target)| filter::create(filter, target)).transpose()?;
    check_superuser(&function, target, filter.as_ref())?;
    let now = clock::transaction_start();
    let new = NewTask {
        kind,
        definition: &definition,
        relation: table.as_ref().map(|table| table.target.relation),
        key: table.as_ref().map_or(&[], |table| &table.key),
        filter,
        function: &function,
        counts_from: now,
        looks_from: store::existing_since(&definition, now)?,
        looks_until: Some(now),
        is_unplanned: kind == TaskKind::DateField,
    };
    let (id, token) = store::insert(&new)?;
    replan::note_calendar(id, seen);
    checks::notice_calendar(&definition);
    match (&table, first) {
        (Some(table), _) => {
            let watched = Watched { definition: &definition, key: &table.key_names(), filter: new.filter.as_ref() };
            triggers::create_triggers(&table.target, &watched, token);
        }
        (None, Some(first)) => {
            let mut ledger = Ledger::open(id, Writer::Session);
            ledger.enter(user::current(), &[New::scheduled(first, false)]);
            ledger.close();
            series::set(id, Some(first));
            notice_zone(&definition, first);
            notice_month_end(&definition)?;
        }
        _ => {}
    }
    wake::at_commit();
    Ok(definition.name.unwrap_or_default())
}

/// A role that cannot log in cannot be served before PostgreSQL 17.
fn check_role() -> Result<()> {
    if worker::runs_nologin_roles() {
        return Ok(());
    }
    let rows = user::with_pinned_path(|| {
        sql::run("select rolcanlogin, rolname::text from pg_roles where oid = $1", &[sql::arg(user::current())])
    });
    if rows.get::<bool>(0, 1).unwrap_or(false) {
        return Ok(());
    }
    let role: String = rows.get(0, 2).unwrap_or_default();
    Err(Error::new(Kind::Invalid, format!("role \"{role}\" cannot log in, so no background process can run its tasks"))
        .hint("ALTER ROLE … LOGIN, create the task as another role, or use PostgreSQL 17 or later."))
}

/// What a superuser's task calls and reads must be a superuser's own: anybody else could change it under the task.
pub(super) fn check_superuser(function: &Function, target: Option<&Target>, filter: Option<&Filter>) -> Result<()> {
    if !user::is_superuser() {
        return Ok(());
    }
    let filter = filter.zip(target).map(|(filter, target)| filter::look_up(filter, user::current(), target));
    trust::check(function, target, filter.transpose()?.map(|filter| filter.function))
}

fn settle_name(definition: &mut Definition) -> Result<()> {
    let title = definition.title.clone().unwrap_or_default();
    match &definition.name {
        Some(given) => {
            name::check(given)?;
            names::take(given)?;
        }
        None => definition.name = Some(name::generate(&title, names::is_busy)),
    }
    Ok(())
}

pub(super) fn settle_function(definition: &mut Definition, table: Option<&Table>) -> Result<Function> {
    let target = table.map(|table| &table.target);
    if let Some(written) = definition.service_function.clone() {
        let function = function::find(&written, target)?;
        definition.service_function = Some(function.signature.clone());
        definition.language = None;
        return Ok(function);
    }
    let language = definition.language.get_or_insert_with(|| "plpgsql".to_string()).clone();
    let name = definition.name.clone().unwrap_or_default();
    body::create(&name, definition.body.as_deref().unwrap_or_default(), &language, target)
}

/// The first occurrence from now on; 22023 where none is left.
pub(super) fn first_occurrence(definition: &Definition) -> Result<Occurrence> {
    let timing = definition.timing()?;
    let base = timing.start_at.ok_or_else(|| Error::new(Kind::Null, "start_at must not be null"))?;
    if timing.end_at.is_some_and(|end| end < base) {
        return Err(Error::new(
            Kind::Invalid,
            format!("end_at {} is before start_at {}", text(&definition.end_at), text(&definition.start_at)),
        )
        .hint("end_at is the last instant at which the task may run."));
    }
    let next = timing
        .schedule
        .occurrences(Base::Instant(base), &timing.zone, timing.end_at, clock::transaction_start())
        .next();
    next.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("the task has no occurrence left: {}", definition.line()))
            .hint("start_at must not be in the past unless the task repeats; end_at must not be over.")
    })
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn notice_zone(definition: &Definition, first: Occurrence) {
    let session: String = sql::once("select pg_catalog.current_setting('TimeZone')", &[]).get(0, 1).unwrap_or_default();
    let Some(zone) = definition.time_zone.as_deref().filter(|zone| !zone.eq_ignore_ascii_case(&session)) else {
        return;
    };
    let local = sql::once(
        "select ($1 operator(pg_catalog.+) interval '0')::pg_catalog.timestamptz at time zone $2",
        &[sql::at(first.due_at), sql::arg(zone)],
    );
    notice!("the first run is at {} {zone} ({})", local.text(0, 1).unwrap_or_default(), instant_text(first.due_at));
}

/// From 30 April, monthly, comes 30 May: whoever meant the last day of each month is told how to say so.
fn notice_month_end(definition: &Definition) -> Result<()> {
    let timing = definition.timing()?;
    let local = timing.start_at.and_then(|start| schedule::to_local(&timing.zone, start));
    let (Cycle::Monthly, Some(day)) = (timing.schedule.cycle, local.map(|local| local.date())) else { return Ok(()) };
    let is_last = day.succ_opt().is_some_and(|next| next.day() == 1);
    if is_last && day.day() < 31 {
        notice!(
            "the task runs on day {} of each month; the last day of each month is FREQ=MONTHLY;BYMONTHDAY=-1",
            day.day()
        );
    }
    Ok(())
}

/// A date-field task's table, checked.
pub(super) struct Table {
    /// The table.
    pub target: Target,
    /// Its key.
    pub key: Vec<KeyColumn>,
}

/// The table of a date-field task; 55000 where it is gone.
pub(super) fn relation_of(task: &task::Task) -> Result<Oid> {
    task.relation
        .ok_or_else(|| Error::new(Kind::State, format!("the table of task \"{}\" does not exist any more", task.name)))
}

impl Table {
    /// Looks everything up, as the caller.
    pub fn check(relation: Oid, definition: &Definition) -> Result<Table> {
        let target = Target::open(relation)?;
        let scan = definition.capture.as_deref() == Some("scan");
        if !scan && !target.takes_triggers() {
            return Err(Error::new(Kind::WrongObject, format!("{} cannot carry the capture trigger", target.sql_name))
                .hint("Use capture => 'scan' for views, materialized views and foreign tables."));
        }
        let dated = |name: &str| -> Result<ColumnKind> {
            let kind = target.column(name)?;
            column_kind(kind).ok_or_else(|| {
                Error::new(
                    Kind::WrongType,
                    format!(
                        "column \"{name}\" is of type {}, not date, timestamp or timestamptz",
                        tuple::shown_type(kind)
                    ),
                )
                .hint("Change its type, or follow a view that casts it, with capture => 'scan'.")
            })
        };
        let column = dated(text(&definition.date_column))?;
        let end = definition.end_column.as_deref().map(dated).transpose()?;
        checks::check_offsets(definition, column, end)?;
        if let Some(schema) = target.closed_schema() {
            return Err(Error::new(Kind::Denied, format!("permission denied for schema {schema}"))
                .hint("Its owner can GRANT USAGE on it to you."));
        }
        for privilege in if scan { &["SELECT"][..] } else { &["SELECT", "TRIGGER"] } {
            if !target.allows(privilege) {
                return Err(Error::new(
                    Kind::Denied,
                    format!("permission denied for table {}: {privilege} is needed", target.sql_name),
                )
                .hint(format!("Its owner can GRANT {privilege} on it to you.")));
            }
        }
        let key = target.key(definition.key_columns.as_deref())?;
        if target.takes_triggers() && !target.has_index_on(text(&definition.date_column)) {
            notice!(
                "no index leads with column \"{}\" of {}: planning will read the whole table",
                text(&definition.date_column),
                target.sql_name
            );
        }
        Ok(Table { target, key })
    }

    /// Names of the key's columns.
    pub fn key_names(&self) -> Vec<String> {
        self.key.iter().map(|column| column.name.clone()).collect()
    }
}
