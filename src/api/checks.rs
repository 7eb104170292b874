//! What a definition must satisfy by itself, before any object is looked up.

use crate::catalog::definition::{Definition, TaskKind, bad_rule, unknown_zone};
use crate::catalog::{calendar, task};
use crate::error::{Error, Kind, Result, invalid};
use crate::pg::{clock, sql, user, zone};
use crate::settings;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use schedule::{Base, ColumnKind, Span};

/// Bytes of a definition; the workers read all of them, and whoever renames a column reads its filter.
const LARGEST: usize = 256 * 1024;
/// Microseconds: what a task has that does not say.
const DEFAULT_TIMEOUT: i64 = 12 * 3_600_000_000;
/// So many tasks a role makes without waiting for another transaction of its own.
const QUOTA_SEEN: i64 = 100;
/// Bytes of a rule, which is read again and again.
const LONGEST_RULE: usize = 4000;

/// Checks the arguments of both kinds; the definition is canonical but for the zone, which is settled here.
pub fn check(kind: TaskKind, definition: &mut Definition) -> Result<()> {
    required("title", &definition.title)?;
    if let Some(rule) = definition.rule.as_ref().filter(|rule| rule.len() > LONGEST_RULE) {
        return Err(Error::new(Kind::Invalid, format!("the rule has {} bytes", rule.len()))
            .hint(format!("A rule has at most {LONGEST_RULE} bytes.")));
    }
    let size = serde_json::to_string(definition).map_or(0, |text| text.len());
    if size > LARGEST {
        return Err(Error::new(Kind::TooMuch, format!("the definition has {size} bytes"))
            .hint("A definition has at most 256 kB; put a long body or filter into a function of its own."));
    }
    if definition.title.as_deref().is_some_and(|title| title.trim().is_empty()) {
        return Err(Error::new(Kind::Invalid, "the title is empty").hint("The title says what the task is for."));
    }
    match kind {
        TaskKind::Scheduled => required("start_at", &definition.start_at)?,
        TaskKind::DateField => required("date_column", &definition.date_column)?,
    }
    if definition.service_function.is_some() == definition.body.is_some() {
        return Err(Error::new(Kind::Invalid, "exactly one of service_function and body must be given")
            .hint("Name an existing function in service_function, or write one in body."));
    }
    settle_zone(definition)?;
    check_repeat(definition)?;
    check_numbers(definition)?;
    check_words(definition)
}

fn required(name: &str, value: &Option<String>) -> Result<()> {
    value.as_ref().map(|_| ()).ok_or_else(|| Error::new(Kind::Null, format!("{name} must not be null")))
}

fn settle_zone(definition: &mut Definition) -> Result<()> {
    let session =
        || sql::once("select pg_catalog.current_setting('TimeZone')", &[]).get::<String>(0, 1).unwrap_or_default();
    let zone = match &definition.time_zone {
        Some(asked) => zone::canonical(asked).ok_or_else(|| unknown_zone(asked))?,
        None => {
            let session = session();
            zone::canonical(&session).ok_or_else(|| {
                Error::new(Kind::Invalid, format!("the session's time zone \"{session}\" is not the name of a zone"))
                    .hint("Pass time_zone with a name from pg_timezone_names, such as Europe/Berlin.")
            })?
        }
    };
    definition.time_zone = Some(zone);
    Ok(())
}

fn check_repeat(definition: &mut Definition) -> Result<()> {
    let repeat = definition.repeat.as_deref().unwrap_or("none");
    if definition.rule.is_some() && !["none", "custom"].contains(&repeat) {
        return Err(Error::new(Kind::Invalid, format!("rule cannot be combined with repeat => '{repeat}'"))
            .hint("A rule means repeat => 'custom'; leave repeat out."));
    }
    if repeat == "custom" && definition.rule.is_none() {
        return Err(Error::new(Kind::Invalid, "repeat => 'custom' needs a rule")
            .hint("Such as rule => 'FREQ=MONTHLY;BYDAY=-1FR', 'cron: 30 9 * * 1-5' or 'every 2 weeks'."));
    }
    if definition.rule.is_some() {
        definition.repeat = Some("custom".to_string());
    }
    let calendar = definition.calendar_name();
    if !calendar::hold(calendar) {
        return Err(Error::new(Kind::NoObject, format!("calendar \"{calendar}\" does not exist"))
            .hint("The view jittask.calendars lists the calendars; jittask.create_calendar makes one."));
    }
    check_rule(definition)
}

/// The longest timeout is a superuser's to say. That the default is longer is nobody's fault: it ends earlier.
pub fn check_timeout(definition: &Definition) -> Result<()> {
    let longest = i64::from(settings::MAX_TIMEOUT.get()) * 1_000_000;
    let timeout = schedule::span_micros(definition.timing()?.timeout);
    if timeout <= longest.max(DEFAULT_TIMEOUT) {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("timeout {} is longer than jittask.max_timeout", text(&definition.timeout)))
        .hint(format!(
            "A timeout is at most {} s here; a superuser can raise jittask.max_timeout.",
            longest / 1_000_000
        )))
}

/// One more task for the current role?
pub fn check_quota() -> Result<()> {
    let hint = "Drop tasks, or make one task for what several do; a superuser can raise jittask.max_tasks_per_role.";
    within_quota("tasks", task::count_of, hint)
}

/// One more calendar for the current role? As many as tasks.
pub fn check_calendar_quota() -> Result<()> {
    let hint = "Drop calendars; a superuser can raise jittask.max_tasks_per_role.";
    within_quota("calendars", calendar::count_of, hint)
}

fn within_quota(what: &str, count_of: fn(Oid) -> i64, hint: &str) -> Result<()> {
    let most = i64::from(settings::MAX_TASKS_PER_ROLE.get());
    if user::is_superuser() {
        return Ok(());
    }
    let mut count = count_of(user::current());
    // From here on one transaction at a time makes some for this role, or each of many would see only its own.
    if count >= most.min(QUOTA_SEEN) {
        task::wait_for_quota(user::current());
        count = count_of(user::current());
    }
    if count < most {
        return Ok(());
    }
    let role = user::name_of(user::current()).unwrap_or_default();
    Err(Error::new(Kind::TooMuch, format!("role \"{role}\" has {count} {what} already")).hint(hint))
}

/// A rule that never comes is refused, not waited for.
fn check_rule(definition: &Definition) -> Result<()> {
    let timing = definition.timing()?;
    let (Some(rule), Some(written)) = (&timing.schedule.rule, &definition.rule) else { return Ok(()) };
    // A row's base is not known yet: its rule must be able to come from today on.
    let base = timing.start_at.unwrap_or_else(clock::transaction_start);
    rule.check(Base::Instant(base), &timing.zone).map_err(|error| bad_rule(written, error))
}

/// Says what the calendar does not know.
pub fn notice_calendar(definition: &Definition) {
    let name = definition.calendar_name();
    let Some(loaded) = calendar::load(name).filter(|_| definition.skip_holidays == Some(true)) else { return };
    if !loaded.has_holidays {
        notice!(
            "calendar \"{name}\" has no holidays, only its weekend: jittask.create_calendar('…', country => '…') makes one with them"
        );
    }
    if let Some(until) = loaded.covered_until {
        let ends_before = definition.timing().ok().and_then(|timing| {
            let end = schedule::to_local(&timing.zone, timing.end_at?)?;
            Some(end.date() <= until)
        });
        if ends_before != Some(true)
            && (definition.repeat.as_deref() != Some("none") || definition.date_column.is_some())
        {
            notice!("calendar \"{name}\" has holidays only until {until}; later dates skip weekends only");
        }
    }
}

fn check_numbers(definition: &Definition) -> Result<()> {
    if let Some(attempts) = definition.max_attempts.filter(|attempts| !(1..=1000).contains(attempts)) {
        return Err(invalid("max_attempts", &attempts.to_string()).hint("max_attempts is between 1 and 1000."));
    }
    let timing = definition.timing()?;
    let year = 366 * 86_400_000_000;
    let window = schedule::span_micros(timing.catch_up_window);
    if window > year {
        return Err(
            invalid("catch_up_window", text(&definition.catch_up_window)).hint("catch_up_window is at most 1 year.")
        );
    }
    for (name, value, least) in [
        ("catch_up_window", &definition.catch_up_window, 0),
        ("existing_rows", &definition.existing_rows, 0),
        ("retry_backoff", &definition.retry_backoff, 0),
        ("timeout", &definition.timeout, 1),
    ] {
        let span = span_of(value)?;
        // Each part: some take months, days and hours one after the other, and of '1 year -400 days' the sum says little.
        let is_negative = span.months < 0 || span.days < 0 || span.micros < 0;
        if value.is_some() && (is_negative || schedule::span_micros(span) < least) {
            let hint = if least > 0 { "The interval must be positive." } else { "The interval must not be negative." };
            return Err(invalid(name, text(value)).hint(hint));
        }
    }
    Ok(())
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn span_of(value: &Option<String>) -> Result<schedule::Span> {
    let alone = Definition { after: value.clone(), ..Definition::default() };
    alone.timing().map(|timing| timing.schedule.offset)
}

fn check_words(definition: &Definition) -> Result<()> {
    for (name, value, words) in [
        ("overlap", &definition.overlap, &["skip", "queue", "allow"][..]),
        ("holiday_shift", &definition.holiday_shift, &["following", "preceding", "modified_following", "drop"]),
        ("capture", &definition.capture, &["trigger", "scan"]),
    ] {
        if let Some(word) = value.as_deref().filter(|word| !words.contains(word)) {
            return Err(invalid(name, word).hint(format!("One of: {}.", words.join(", "))));
        }
    }
    Ok(())
}

/// Offsets, times of day and ends of a date-field task, now that its columns' kinds are known.
pub fn check_offsets(definition: &Definition, column: ColumnKind, end: Option<ColumnKind>) -> Result<()> {
    exclusive("before", &definition.before, "after", &definition.after)?;
    exclusive("end_before", &definition.end_before, "end_after", &definition.end_after)?;
    exclusive("end_at", &definition.end_at, "end_column", &definition.end_column)?;
    let only_with_column = [
        ("end_before", &definition.end_before),
        ("end_after", &definition.end_after),
        ("end_time", &definition.end_time),
    ];
    if let Some((name, _)) =
        only_with_column.iter().find(|(_, value)| value.is_some() && definition.end_column.is_none())
    {
        return Err(Error::new(Kind::Invalid, format!("{name} needs end_column"))
            .hint("Name the column that the end is in; a fixed end is end_at."));
    }
    let timing = definition.timing()?;
    let offset =
        [("before", &definition.before), ("after", &definition.after)].into_iter().find(|(_, value)| value.is_some());
    if let Some((name, value)) = offset {
        let span = timing.schedule.offset;
        let span = if name == "before" { span.negated().unwrap_or(span) } else { span };
        check_span(name, text(value), span, column == ColumnKind::Date)?;
        if timing.schedule.at.is_some() && span.micros != 0 {
            return Err(
                invalid(name, text(value)).hint("With at, the offset is in whole days, weeks, months or years.")
            );
        }
    }
    let end_offset = [("end_before", &definition.end_before), ("end_after", &definition.end_after)]
        .into_iter()
        .find(|(_, value)| value.is_some());
    if let Some((name, value)) = end_offset {
        let span = timing.end_offset;
        let span = if name == "end_before" { span.negated().unwrap_or(span) } else { span };
        check_span(name, text(value), span, end == Some(ColumnKind::Date))?;
        if timing.end_time.is_some() && span.micros != 0 {
            return Err(
                invalid(name, text(value)).hint("With end_time, the offset is in whole days, weeks, months or years.")
            );
        }
    }
    Ok(())
}

fn exclusive(first: &str, one: &Option<String>, second: &str, other: &Option<String>) -> Result<()> {
    match one.is_some() && other.is_some() {
        true => Err(Error::new(
            Kind::Invalid,
            format!("at most one of {first} and {second} can be given, not \"{}\" and \"{}\"", text(one), text(other)),
        )
        .hint(format!("Leave {first} or {second} out."))),
        false => Ok(()),
    }
}

fn check_span(name: &str, written: &str, span: Span, whole_days: bool) -> Result<()> {
    if span.months < 0 || span.days < 0 || span.micros < 0 {
        let opposite =
            if name.ends_with("before") { name.replace("before", "after") } else { name.replace("after", "before") };
        return Err(
            invalid(name, written).hint(format!("The interval must not be negative; {opposite} goes the other way."))
        );
    }
    if whole_days && span.micros != 0 {
        return Err(invalid(name, written).hint("A date column takes whole days, weeks, months or years."));
    }
    Ok(())
}

const COMMON_KEYS: &[&str] = &[
    "title",
    "service_function",
    "body",
    "repeat",
    "rule",
    "end_at",
    "skip_holidays",
    "calendar",
    "holiday_shift",
    "time_zone",
    "language",
    "name",
    "description",
    "catch_up",
    "catch_up_window",
    "max_attempts",
    "retry_backoff",
    "timeout",
    "enabled",
];
const SCHEDULED_KEYS: &[&str] = &["start_at", "overlap"];
const DATE_FIELD_KEYS: &[&str] = &[
    "date_column",
    "before",
    "after",
    "at",
    "filter",
    "end_column",
    "end_before",
    "end_after",
    "end_time",
    "existing_rows",
    "capture",
    "key_columns",
];

/// Is this a parameter of the kind's create function that may be given in JSON?
pub fn check_key(kind: TaskKind, key: &str) -> Result<()> {
    if ["kind", "table_name"].contains(&key) {
        return Err(Error::new(Kind::Unsupported, format!("{key} of a task cannot change"))
            .hint("Drop the task and create it again."));
    }
    let own = if kind == TaskKind::Scheduled { SCHEDULED_KEYS } else { DATE_FIELD_KEYS };
    if COMMON_KEYS.contains(&key) || own.contains(&key) { Ok(()) } else { Err(unknown_key(kind, key)) }
}

/// 22023.
pub fn unknown_key(kind: TaskKind, key: &str) -> Error {
    let function = if kind == TaskKind::Scheduled { "create_scheduled_task" } else { "create_date_task" };
    Error::new(Kind::Invalid, format!("unknown key \"{key}\""))
        .hint(format!("The keys are the parameters of jittask.{function}."))
}
