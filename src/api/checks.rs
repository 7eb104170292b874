//! What a definition must satisfy by itself, before any object is looked up.

use crate::catalog::definition::{Definition, TaskKind, invalid, unknown_zone};
use crate::error::{Error, Kind, Result};
use crate::pg::{sql, zone};
use schedule::{ColumnKind, Span};

/// Checks the arguments of both kinds; the definition is canonical but for the zone, which is settled here.
pub fn check(kind: TaskKind, definition: &mut Definition) -> Result<()> {
    required("title", &definition.title)?;
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

fn check_repeat(definition: &Definition) -> Result<()> {
    let repeat = definition.repeat.as_deref().unwrap_or("none");
    if definition.rule.is_some() && !["none", "custom"].contains(&repeat) {
        return Err(Error::new(Kind::Invalid, format!("rule cannot be combined with repeat => '{repeat}'"))
            .hint("A rule means repeat => 'custom'; leave repeat out."));
    }
    if definition.rule.is_some() || repeat == "custom" {
        return Err(Error::new(Kind::Unsupported, "repeat => 'custom' and rule are not supported yet")
            .hint("Use one of the cycles none, hourly, daily, weekly, monthly, yearly."));
    }
    if definition.skip_holidays == Some(true) {
        return Err(Error::new(Kind::Unsupported, "skip_holidays is not supported yet").hint("Leave it out."));
    }
    let calendar = definition.calendar.as_deref().unwrap_or("default");
    if !crate::catalog::task::calendar_exists(calendar) {
        return Err(Error::new(Kind::NoObject, format!("calendar \"{calendar}\" does not exist"))
            .hint("The calendar default is always there."));
    }
    Ok(())
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
        if value.is_some() && span_of(value)? < least {
            let hint = if least > 0 { "The interval must be positive." } else { "The interval must not be negative." };
            return Err(invalid(name, text(value)).hint(hint));
        }
    }
    Ok(())
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn span_of(value: &Option<String>) -> Result<i64> {
    let alone = Definition { after: value.clone(), ..Definition::default() };
    alone.timing().map(|timing| schedule::span_micros(timing.schedule.offset))
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
        )),
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
