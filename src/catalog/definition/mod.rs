//! A task's definition: the parameters of `create_…` under their names. One type for creating, storing and exporting.

pub mod literal;

use crate::catalog::calendar;
use crate::catalog::definition::literal::{
    canonical_instant, canonical_span, canonical_time, instant_text, read_instant, read_interval, read_time, span_text,
    time_text,
};
use crate::error::{Error, Kind, Result, invalid};
use crate::pg::json::Json;
use crate::pg::zone;
use schedule::{CatchUp, ColumnKind, Cycle, Holidays, Instant, Rule, Schedule, Shift, Span};
use serde::{Deserialize, Serialize};

/// Scheduled or by a date column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// By its own series.
    Scheduled,
    /// By a column of each row.
    DateField,
}

impl TaskKind {
    /// The SQL enum's label.
    pub fn label(self) -> &'static str {
        match self {
            TaskKind::Scheduled => "scheduled",
            TaskKind::DateField => "date_field",
        }
    }
}

/// As typed: texts of intervals, times and instants in whatever form PostgreSQL reads. [`Definition::canonical`] settles them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the parameters of create_… (sql/40-create.sql), under their names
pub struct Definition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_holidays: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holiday_shift: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_rows: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_columns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_backoff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The settled meaning of a definition's times: what the scheduler works with.
#[derive(Clone)]
pub struct Timing {
    /// Cycle, offset and time of day.
    pub schedule: Schedule,
    /// The zone's rules.
    pub zone: zone::ServerZone,
    /// Base of a scheduled task.
    pub start_at: Option<Instant>,
    /// Fixed end, inclusive.
    pub end_at: Option<Instant>,
    /// Offset from the end column, signed.
    pub end_offset: Span,
    /// Time of day at the end column's date.
    pub end_time: Option<chrono::NaiveTime>,
    /// How old a late occurrence may be.
    pub catch_up_window: Span,
    /// Which late occurrences run.
    pub catch_up: CatchUp,
    /// Rows already due at registration.
    pub existing_rows: Span,
    /// First pause between attempts.
    pub retry_backoff: Span,
    /// Most attempts.
    pub max_attempts: u32,
    /// Longest attempt.
    pub timeout: Span,
}

impl Definition {
    /// From an argument that must be given.
    pub fn required(json: Option<Json>) -> Result<Self> {
        Self::parse(json.ok_or_else(|| Error::new(Kind::Null, "the definition must not be null"))?.0)
    }

    /// From JSON; an unknown key is refused with its name.
    pub fn parse(json: serde_json::Value) -> Result<Self> {
        let columns = json.get("key_columns").and_then(|columns| columns.as_array());
        if columns.is_some_and(|columns| columns.iter().any(|column| column.is_null())) {
            return Err(Error::new(Kind::Null, "key_columns must not contain null"));
        }
        if !json.is_object() {
            return Err(Error::new(Kind::Invalid, "a task definition is a JSON object"));
        }
        Self::deserialize(&json).map_err(|error| refused(&json, &error))
    }

    /// A NULL for a parameter that has a default means the default.
    pub fn with_defaults(mut self, kind: TaskKind) -> Self {
        fn fill<T>(value: &mut Option<T>, default: impl Into<T>) {
            value.get_or_insert_with(|| default.into());
        }
        fill(&mut self.repeat, "none");
        fill(&mut self.skip_holidays, false);
        fill(&mut self.calendar, "default");
        fill(&mut self.holiday_shift, "following");
        fill(&mut self.language, "plpgsql");
        fill(&mut self.catch_up, "last");
        fill(&mut self.max_attempts, 3);
        fill(&mut self.retry_backoff, "10 seconds");
        fill(&mut self.timeout, "12 hours");
        fill(&mut self.enabled, true);
        match kind {
            TaskKind::Scheduled => {
                fill(&mut self.catch_up_window, "32 days");
                fill(&mut self.overlap, "skip");
            }
            TaskKind::DateField => {
                fill(&mut self.catch_up_window, "1 day");
                fill(&mut self.existing_rows, "0");
                fill(&mut self.capture, "trigger");
            }
        }
        self
    }

    /// Brings intervals, times and instants into one form that no session setting can change the meaning of.
    /// Needs the session's settings as they were when the texts were written, and SPI.
    pub fn canonical(mut self) -> Result<Self> {
        for (name, text) in [
            ("before", &mut self.before),
            ("after", &mut self.after),
            ("end_before", &mut self.end_before),
            ("end_after", &mut self.end_after),
            ("existing_rows", &mut self.existing_rows),
            ("catch_up_window", &mut self.catch_up_window),
            ("retry_backoff", &mut self.retry_backoff),
            ("timeout", &mut self.timeout),
        ] {
            if let Some(written) = text {
                let span = read_interval(name, written)?;
                *written = span_text(span);
            }
        }
        for (name, text) in [("at", &mut self.at), ("end_time", &mut self.end_time)] {
            if let Some(written) = text {
                *written = time_text(read_time(name, written)?);
            }
        }
        for (name, text) in [("start_at", &mut self.start_at), ("end_at", &mut self.end_at)] {
            if let Some(written) = text {
                *written = instant_text(read_instant(name, written)?);
            }
        }
        Ok(self)
    }

    /// The settled times of a canonical definition.
    pub fn timing(&self) -> Result<Timing> {
        let zone_name = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = zone::load(zone_name).ok_or_else(|| unknown_zone(zone_name))?;
        let span = |text: &Option<String>| text.as_deref().map_or(Ok(Span::ZERO), canonical_span);
        let minus = |span: Span| span.negated().ok_or_else(|| Error::new(Kind::Invalid, "interval out of range"));
        let offset = if self.before.is_some() { minus(span(&self.before)?)? } else { span(&self.after)? };
        let end_offset =
            if self.end_before.is_some() { minus(span(&self.end_before)?)? } else { span(&self.end_after)? };
        Ok(Timing {
            schedule: Schedule {
                rule: self
                    .rule
                    .as_deref()
                    .map(|rule| Rule::parse(rule).map_err(|error| bad_rule(rule, error)))
                    .transpose()?,
                holidays: self.holidays()?,
                ..Schedule::new(self.cycle()?, offset, self.at.as_deref().map(canonical_time).transpose()?)
            },
            zone,
            start_at: self.start_at.as_deref().map(canonical_instant).transpose()?,
            end_at: self.end_at.as_deref().map(canonical_instant).transpose()?,
            end_offset,
            end_time: self.end_time.as_deref().map(canonical_time).transpose()?,
            catch_up_window: span(&self.catch_up_window)?,
            catch_up: self.catch_up()?,
            existing_rows: span(&self.existing_rows)?,
            retry_backoff: span(&self.retry_backoff)?,
            max_attempts: self.max_attempts.unwrap_or(3).max(1) as u32,
            timeout: self.timeout.as_deref().map_or(Ok(HALF_A_DAY), canonical_span)?,
        })
    }

    fn cycle(&self) -> Result<Cycle> {
        if self.rule.is_some() {
            return Ok(Cycle::Custom);
        }
        Ok(match self.repeat.as_deref().unwrap_or("none") {
            "none" => Cycle::None,
            "hourly" => Cycle::Hourly,
            "daily" => Cycle::Daily,
            "weekly" => Cycle::Weekly,
            "monthly" => Cycle::Monthly,
            "yearly" => Cycle::Yearly,
            "custom" => Cycle::Custom,
            other => return Err(invalid("repeat", other)),
        })
    }

    /// The calendar that it names, or the default one.
    pub fn calendar_name(&self) -> &str {
        self.calendar.as_deref().unwrap_or(calendar::DEFAULT)
    }

    /// The calendar whose holidays it skips; None: it skips none.
    pub fn holidays_of(&self) -> Option<&str> {
        (self.skip_holidays == Some(true)).then(|| self.calendar_name())
    }

    /// What holidays do, by the calendar as it is now.
    fn holidays(&self) -> Result<Option<Holidays>> {
        let Some(name) = self.holidays_of() else { return Ok(None) };
        let shift = match self.holiday_shift.as_deref().unwrap_or("following") {
            "following" => Shift::Following,
            "preceding" => Shift::Preceding,
            "modified_following" => Shift::ModifiedFollowing,
            "drop" => Shift::Drop,
            other => return Err(invalid("holiday_shift", other)),
        };
        let calendar = calendar::shared(name).ok_or_else(|| {
            Error::new(Kind::NoObject, format!("calendar \"{name}\" does not exist"))
                .hint("The view jittask.calendars lists the calendars.")
        })?;
        Ok(Some(Holidays { shift, calendar }))
    }

    fn catch_up(&self) -> Result<CatchUp> {
        Ok(match self.catch_up.as_deref().unwrap_or("last") {
            "none" => CatchUp::None,
            "last" => CatchUp::Last,
            "all" => CatchUp::All,
            other => return Err(invalid("catch_up", other)),
        })
    }

    /// One readable line, as `jittask.tasks.schedule` shows it.
    pub fn line(&self) -> String {
        let mut parts = Vec::new();
        match (&self.before, &self.after, &self.date_column) {
            (Some(span), _, Some(column)) => parts.push(format!("{span} before {column}")),
            (_, Some(span), Some(column)) => parts.push(format!("{span} after {column}")),
            (_, _, Some(column)) => parts.push(format!("on {column}")),
            _ => parts.push(format!("from {}", self.start_at.as_deref().unwrap_or_default())),
        }
        if let Some(time) = &self.at {
            parts.push(format!("at {}", time.strip_suffix(":00").unwrap_or(time)));
        }
        match (&self.rule, self.repeat.as_deref()) {
            (Some(rule), _) => parts.push(format!("by {rule}")),
            (None, Some(cycle)) if cycle != "none" => parts.push(cycle.to_string()),
            _ => {}
        }
        if let Some(end) = &self.end_at {
            parts.push(format!("until {end}"));
        }
        if let Some(column) = &self.end_column {
            let side = match (&self.end_before, &self.end_after) {
                (Some(span), _) => format!("{span} before "),
                (_, Some(span)) => format!("{span} after "),
                _ => String::new(),
            };
            let time = self.end_time.as_deref().map(|time| format!(" at {}", time.strip_suffix(":00").unwrap_or(time)));
            parts.push(format!("until {side}{column}{}", time.unwrap_or_default()));
        }
        if let Some(calendar) = self.holidays_of() {
            parts.push(format!("on working days of {calendar}"));
        }
        parts.join(" ")
    }
}

/// The default of `timeout`.
const HALF_A_DAY: Span = Span { months: 0, days: 0, micros: 12 * 3_600_000_000 };

/// 22023 with the key that is at fault: each that cannot be read by itself.
fn refused(json: &serde_json::Value, error: &serde_json::Error) -> Error {
    let alone = |(key, value): (&String, &serde_json::Value)| {
        let single = serde_json::Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let why = serde_json::from_value::<Definition>(single).err()?;
        Some(Error::new(Kind::Invalid, format!("invalid value for {key}: {value}")).hint(format!("In JSON: {why}.")))
    };
    let first = json.as_object().and_then(|object| object.iter().find_map(alone));
    first.unwrap_or_else(|| Error::new(Kind::Invalid, format!("invalid task definition: {error}")))
}

/// 22023 with the rule and what is wrong with it.
pub fn bad_rule(rule: &str, error: schedule::RuleError) -> Error {
    let refused = Error::new(Kind::Invalid, format!("invalid value for rule: \"{rule}\": {}", error.message));
    match error.hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

/// 22023 for a zone that the server does not know by that name.
pub fn unknown_zone(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("unknown time zone \"{name}\""))
        .hint("Use a name from pg_timezone_names, such as Europe/Berlin; offsets and abbreviations do not say when the clock changes.")
}

/// The kind of date column a type is, or None.
pub fn column_kind(kind: pgrx::pg_sys::Oid) -> Option<ColumnKind> {
    match crate::pg::value::base_type(kind) {
        pgrx::pg_sys::DATEOID => Some(ColumnKind::Date),
        pgrx::pg_sys::TIMESTAMPOID => Some(ColumnKind::Local),
        pgrx::pg_sys::TIMESTAMPTZOID => Some(ColumnKind::Instant),
        _ => None,
    }
}
