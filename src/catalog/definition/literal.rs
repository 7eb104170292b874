//! Intervals, times of day and instants as text: read in whatever form PostgreSQL reads, kept in one form that no
//! setting can change the meaning of.

use crate::error::{Result, invalid};
use crate::pg::sql;
use chrono::Timelike;
use schedule::{Instant, Span};

/// 0001-01-01 and 10000-01-01 less a microsecond, UTC: what ISO 8601 and PostgreSQL write alike.
const EARLIEST: Instant = Instant(-62_135_596_800_000_000);
const LATEST: Instant = Instant(253_402_300_799_999_999);

/// An interval as typed; infinite ones are 22023.
pub fn read_interval(name: &str, text: &str) -> Result<Span> {
    let rows = sql::once("select $1::pg_catalog.interval", &[sql::arg(text)]);
    let value = rows.datum(0, 1).ok_or_else(|| invalid(name, text))?;
    crate::pg::value::span(value).ok_or_else(|| invalid(name, text).hint("Intervals must be finite."))
}

/// A time of day as typed, before 24:00.
pub fn read_time(name: &str, text: &str) -> Result<chrono::NaiveTime> {
    let rows = sql::once("select $1::pg_catalog.time", &[sql::arg(text)]);
    let micros = rows.datum(0, 1).map(|value| value.value() as i64).ok_or_else(|| invalid(name, text))?;
    chrono::NaiveTime::from_num_seconds_from_midnight_opt(
        (micros / 1_000_000) as u32,
        (micros % 1_000_000) as u32 * 1000,
    )
    .ok_or_else(|| invalid(name, text).hint("A time of day is before 24:00, which is the next day's 00:00."))
}

/// An instant as typed, in the session's zone where it has no offset of its own.
pub fn read_instant(name: &str, text: &str) -> Result<Instant> {
    let at = sql::once("select $1::pg_catalog.timestamptz", &[sql::arg(text)]).at(0, 1);
    at.filter(|at| EARLIEST <= *at && *at <= LATEST).ok_or_else(|| {
        let no_end = if name == "end_at" { " Leave end_at out for a task that has no end." } else { "" };
        invalid(name, text).hint(format!("The instant must be in the years 1 to 9999.{no_end}"))
    })
}

/// `1 year 2 mons 3 days 04:05:06.5`, as PostgreSQL writes it.
pub fn span_text(span: Span) -> String {
    let mut parts = Vec::new();
    let (years, months) = (span.months / 12, span.months % 12);
    for (count, word) in [(years, "year"), (months, "mon"), (span.days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if span.micros != 0 || parts.is_empty() {
        let (sign, micros) = (if span.micros < 0 { "-" } else { "" }, span.micros.unsigned_abs());
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let (hours, minutes, seconds, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60, fraction(rest));
        parts.push(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{rest}"));
    }
    parts.join(" ")
}

/// A time of day as PostgreSQL writes it.
pub fn time_text(time: chrono::NaiveTime) -> String {
    format!("{}{}", time.format("%H:%M:%S"), fraction(u64::from(time.nanosecond() / 1000)))
}

/// Of a second; nothing for none.
fn fraction(micros: u64) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}").trim_end_matches('0').to_string() }
}

/// A kept interval.
pub fn canonical_span(text: &str) -> Result<Span> {
    let mut span = Span::ZERO;
    let broken = || invalid("interval", text);
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        if word.contains(':') {
            span.micros = clock_micros(word).ok_or_else(broken)?;
            continue;
        }
        let count: i32 = word.parse().map_err(|_| broken())?;
        match words.next().ok_or_else(broken)?.trim_end_matches('s') {
            "year" => span.months += count * 12,
            "mon" => span.months += count,
            "day" => span.days = count,
            _ => return Err(broken()),
        }
    }
    Ok(span)
}

fn clock_micros(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut parts = text.split(':');
    let (hours, minutes): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (whole, fraction) =
        parts.next()?.split_once('.').map_or_else(|| (text.rsplit(':').next().unwrap_or("0"), ""), |(w, f)| (w, f));
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * (((hours * 60 + minutes) * 60 + whole.parse::<i64>().ok()?) * 1_000_000 + micros))
}

/// A kept time of day.
pub fn canonical_time(text: &str) -> Result<chrono::NaiveTime> {
    text.parse().map_err(|_| invalid("time", text))
}

/// ISO 8601 in UTC.
pub fn instant_text(at: Instant) -> String {
    chrono::DateTime::from_timestamp_micros(at.0)
        .map_or_else(|| at.0.to_string(), |at| at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
}

/// A kept instant.
pub fn canonical_instant(text: &str) -> Result<Instant> {
    let civil = text.trim_end_matches('Z').parse::<chrono::NaiveDateTime>();
    civil.map(|at| Instant(at.and_utc().timestamp_micros())).map_err(|_| invalid("instant", text))
}
