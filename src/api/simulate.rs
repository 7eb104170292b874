//! `simulate` and `explain_row`: what would be due, and why a row runs, ran or will not. For the owner alone, since they
//! evaluate its filter. They read only, by the scheduler's own code.

use super::preview::{RowKey, Upcoming, due_between, shown, timestamp};
use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::{entries, record};
use crate::catalog::table::filter::ROW_ALIAS;
use crate::catalog::table::key;
use crate::catalog::task::query::Resolved;
use crate::catalog::{calendar, task};
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::json::Json;
use crate::pg::{clock, sql, user};
use chrono::NaiveDate;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use schedule::{Base, Instant, Occurrence, Schedule, Shift};

/// Most rows that a simulation returns.
const MOST: usize = 1_000_000;
/// Occurrences that an explanation looks at, on each side of now.
const EXPLAINED: usize = 3;

/// What would be due in `[from_at, until_at)` on the rows as they are.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn simulate(
    name: Option<String>,
    from_at: Option<TimestampWithTimeZone>,
    until_at: Option<TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        name!(row_key, Option<pgrx::JsonB>),
        name!(nominal_at, TimestampWithTimeZone),
        name!(due_at, TimestampWithTimeZone),
    ),
> {
    let found = sql::session(|| simulated(name, instant(from_at), instant(until_at)).or_raise());
    TableIterator::new(
        found
            .into_iter()
            .map(|(next, key)| (key.map(RowKey::json), timestamp(next.nominal_at), timestamp(next.due_at))),
    )
}

pub(super) fn instant(at: Option<TimestampWithTimeZone>) -> Option<Instant> {
    at.and_then(IntoDatum::into_datum).map(|datum| clock::from_pg(datum.value() as i64))
}

fn simulated(name: Option<String>, from: Option<Instant>, until: Option<Instant>) -> Result<Vec<Upcoming>> {
    let task = task::find_own(name.as_deref())?;
    let required =
        |at: Option<Instant>, name: &str| at.ok_or_else(|| Error::new(Kind::Null, format!("{name} must not be null")));
    let (from, until) = (required(from, "from_at")?.max(Instant::MIN), required(until, "until_at")?.min(Instant::MAX));
    if task.kind == TaskKind::Scheduled {
        let timing = task.timing()?;
        let base = Base::Instant(timing.start_at.unwrap_or(from));
        let due = timing.schedule.occurrences(base, &timing.zone, timing.end_at, from);
        return Ok(due.take_while(|next| next.due_at < until).take(MOST).map(|next| (next, None)).collect());
    }
    let resolved = task.resolve()?;
    let found = due_between(&resolved, None, MOST, from, until);
    Ok(shown(&resolved, found))
}

/// Why this row runs, ran, or will not: one step a line.
#[pg_extern(sql = false)]
fn explain_row(
    name: Option<String>,
    row_key: Option<Json>,
) -> TableIterator<'static, (name!(step, String), name!(detail, String))> {
    TableIterator::new(sql::session(|| explained(name, row_key.map(|key| key.0)).or_raise()))
}

type Steps = Vec<(String, String)>;

fn explained(name: Option<String>, row_key: Option<serde_json::Value>) -> Result<Steps> {
    let task = task::find_own(name.as_deref())?;
    if task.kind == TaskKind::Scheduled {
        return Err(Error::new(Kind::Invalid, format!("task \"{}\" is a scheduled task and has no rows", task.name))
            .hint("jittask.preview shows what is next."));
    }
    let row_key = row_key.ok_or_else(|| Error::new(Kind::Null, "row_key must not be null"))?;
    let resolved = task.resolve()?;
    let key = key::from_json(&row_key, &resolved.key)?;
    let mut explanation = Explanation { resolved: &resolved, key, steps: Vec::new() };
    explanation.row();
    Ok(explanation.steps)
}

struct Explanation<'a> {
    resolved: &'a Resolved,
    key: String,
    steps: Steps,
}

impl Explanation<'_> {
    fn say(&mut self, step: &str, detail: impl Into<String>) {
        self.steps.push((step.to_string(), detail.into()));
    }

    fn row(&mut self) {
        let resolved = self.resolved;
        let key = key::values_of(&self.key, &resolved.key);
        let rows = user::restricted(|| resolved.meaning().during(|| sql::once(&statement(resolved), &key)));
        if rows.is_empty() {
            return self.say("row", format!("there is no such row in {}: it does not run", resolved.target.sql_name));
        }
        let date = rows.text(0, 1);
        self.say("column", format!("{} is {}", resolved.column, date.as_deref().unwrap_or("null")));
        let Some((base, end)) = resolved.base_and_end(&rows, 0, 1) else {
            return self.say("verdict", "a row whose date is null or out of range is never due");
        };
        let zone = resolved.task.definition.time_zone.clone().unwrap_or_default();
        self.say("schedule", format!("{}, in {zone}", resolved.task.definition.line()));
        if let Some(end) = end {
            self.say("end", format!("nothing is due after {}", self.local(end)));
        }
        let is_met = rows.get::<bool>(0, 3).unwrap_or(false);
        if let Some(filter) = &resolved.task.definition.filter {
            self.say("filter", format!("{filter} is {}", if is_met { "met" } else { "not met" }));
        }
        self.occurrences(base, end, is_met);
    }

    fn occurrences(&mut self, base: Base, end: Option<Instant>, is_met: bool) {
        let (timing, now) = (&self.resolved.timing, clock::transaction_start());
        let (schedule, zone) = (&timing.schedule, &timing.zone);
        // What holidays drop is told too, so there its nominal instants are gone through.
        let drops = schedule.holidays.as_ref().is_some_and(|holidays| holidays.shift == Shift::Drop);
        let shown = if drops { &Schedule { holidays: None, ..schedule.clone() } } else { schedule };
        let mut near = Vec::new();
        let mut before = now;
        while let Some(past) =
            shown.last_before(base, zone, end, before, Instant::MIN).filter(|_| near.len() < EXPLAINED)
        {
            before = past.due_at;
            near.insert(0, past);
        }
        near.extend(shown.occurrences(base, zone, end, now).take(EXPLAINED));
        if near.is_empty() {
            let beyond = end.is_some_and(|_| schedule.occurrences(base, zone, None, Instant::MIN).next().is_some());
            let why =
                if beyond { "the row's end comes before it is due the first time" } else { "the row is never due" };
            return self.say("verdict", why);
        }
        for occurrence in near {
            self.occurrence(occurrence, now, is_met);
        }
    }

    fn occurrence(&mut self, occurrence: Occurrence, now: Instant, is_met: bool) {
        self.say("nominal", self.local(occurrence.nominal_at));
        let (nominal, due) = (self.local_date(occurrence.nominal_at), self.local_date(occurrence.due_at));
        let holidays = self.resolved.timing.schedule.holidays.as_ref();
        if holidays.is_some_and(|holidays| nominal.is_some_and(|date| holidays.moved(date).is_none())) {
            self.say("holiday", format!("{}; dropped", self.days_off(nominal, nominal)));
            return self.say("verdict", "does not run");
        }
        if occurrence.due_at != occurrence.nominal_at {
            let back = holidays.is_some_and(|holidays| holidays.shift == Shift::ModifiedFollowing) && due < nominal;
            let why = if back { ", and the next working day is in another month" } else { "" };
            let moved = format!("{}{why}; moved to {}", self.days_off(nominal, due), self.local(occurrence.due_at));
            self.say("holiday", moved);
        }
        let verdict = self.verdict(occurrence, now, is_met);
        self.say("verdict", verdict);
    }

    fn verdict(&self, occurrence: Occurrence, now: Instant, is_met: bool) -> String {
        let task = &self.resolved.task;
        let due = self.local(occurrence.due_at);
        let known = record::known(task.id, &[(&self.key, occurrence.nominal_at)]);
        if let Some((id, ended)) = known.get(&0).and_then(|known| Some((known.id, record::ended(known.id)?))) {
            return match ended.status.as_str() {
                "completed" => format!("ran for {due} and never runs again for it (record {id})"),
                status => format!("{status} for {due} (record {id})"),
            };
        }
        if entries::pending(task.id, occurrence.nominal_at, occurrence.nominal_at)
            .contains(&key::occurrence(key::mark(&self.key), occurrence.nominal_at))
        {
            return format!("is in the agenda for {due}");
        }
        let window = schedule::span_micros(self.resolved.timing.catch_up_window);
        match (occurrence.due_at < now, is_met) {
            (true, _) if occurrence.due_at < task.counts_from => {
                format!("was due {due}, before the task took effect: does not run")
            }
            (true, _) if now.0 - occurrence.due_at.0 > window => {
                format!("was due {due}, longer ago than catch_up_window: does not run")
            }
            (_, false) => format!("does not run {due} unless the filter is met then"),
            (true, true) => format!("was due {due}; it is found at the next scan"),
            (false, true) => format!("runs {due}, if the row is unchanged then"),
        }
    }

    fn local(&self, at: Instant) -> String {
        let local = schedule::to_local(&self.resolved.timing.zone, at);
        local.map_or_else(|| at.0.to_string(), |local| local.format("%Y-%m-%d %H:%M:%S%.f").to_string())
    }

    fn local_date(&self, at: Instant) -> Option<NaiveDate> {
        schedule::to_local(&self.resolved.timing.zone, at).map(|local| local.date())
    }

    /// `2027-02-06 to 2027-02-07 (weekend) and 2027-02-08 (Carnival) are not working days`: all that lie between a nominal
    /// date, itself included, and the date it moves to.
    fn days_off(&self, nominal: Option<NaiveDate>, due: Option<NaiveDate>) -> String {
        let (Some(nominal), Some(due)) = (nominal, due) else { return String::new() };
        let first = if due < nominal { due.succ_opt().unwrap_or(nominal) } else { nominal };
        let last = if due > nominal { due.pred_opt().unwrap_or(nominal) } else { nominal };
        let calendar = self.resolved.task.definition.calendar_name();
        let mut spans: Vec<(NaiveDate, NaiveDate, String)> = Vec::new();
        for day in first.iter_days().take_while(|day| *day <= last) {
            let name = calendar::name_of_day(calendar, day).unwrap_or_else(|| "weekend".to_string());
            match spans.last_mut().filter(|span| span.2 == name) {
                Some(span) => span.1 = day,
                None => spans.push((day, day, name)),
            }
        }
        let shown = spans.iter().map(|(from, to, name)| match from == to {
            true => format!("{from} ({name})"),
            false => format!("{from} to {to} ({name})"),
        });
        let days = shown.collect::<Vec<_>>().join(" and ");
        format!("{days} {}", if first == last { "is not a working day" } else { "are not working days" })
    }
}

/// `date column, end column, filter` of one row.
fn statement(resolved: &Resolved) -> String {
    let end =
        resolved.end.as_ref().map_or_else(|| "null::pg_catalog.date".to_string(), |(name, _)| resolved.qualified(name));
    let filter = resolved.filter_condition().unwrap_or_else(|| "true".to_string());
    let column = |i: usize, name: &str| format!("{} operator(pg_catalog.=) ${}", resolved.qualified(name), i + 1);
    let key: Vec<String> = resolved.key.iter().enumerate().map(|(i, part)| column(i, &part.name)).collect();
    let (date, table) = (resolved.column_sql(), &resolved.target.sql_name);
    format!("select {date}, {end}, {filter} from {table} as {ROW_ALIAS} where {}", key.join(" and "))
}
