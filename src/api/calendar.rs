//! Calendars: made and read by everybody, changed by their owners. In the caller's transaction.

use super::{checks, writing};
use crate::catalog::calendar::{self, DEFAULT, Override};
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::{sql, user, wake};
use holidays::{NaiveDate, Place, Unknown};
use pgrx::datum::Date;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The most subdivisions that a hint lists.
const LISTED: usize = 60;
/// 5874897-12-31, in days since 2000.
const LAST_DAY: i32 = 2_145_031_948;
/// As long as PostgreSQL's own names.
const LONGEST_NAME: usize = 63;
/// Bytes of a description, and of a day's name.
const LONGEST_TEXT: usize = 8192;

#[pg_extern(sql = false)]
fn create_calendar(
    name: Option<String>,
    country: Option<String>,
    subdivision: Option<String>,
    weekend: Option<Vec<Option<i32>>>,
    description: Option<String>,
) {
    sql::session(|| writing(|| create(name, country, subdivision, weekend, description)).or_raise())
}

fn create(
    name: Option<String>,
    country: Option<String>,
    subdivision: Option<String>,
    weekend: Option<Vec<Option<i32>>>,
    description: Option<String>,
) -> Result<()> {
    let name = required("name", name)?;
    if name.trim().is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Error::new(Kind::Invalid, format!("invalid calendar name \"{name}\"")).hint(format!(
            "A name is not blank and has at most {LONGEST_NAME} bytes, none of them a control character."
        )));
    }
    check_text("description", description.as_deref())?;
    let weekend = check_weekend(required("weekend", weekend)?)?;
    checks::check_calendar_quota()?;
    let place = match (&country, &subdivision) {
        (Some(country), subdivision) => Some(find_place(country, subdivision.as_deref())?),
        (None, Some(subdivision)) => {
            return Err(Error::new(Kind::Invalid, format!("subdivision \"{subdivision}\" without a country"))
                .hint("Give the country too, such as country => 'DE', subdivision => 'BY'."));
        }
        (None, None) => None,
    };
    if !calendar::insert(&name, user::current(), weekend.clone(), description.as_deref()) {
        return Err(Error::new(Kind::Exists, format!("calendar \"{name}\" already exists")));
    }
    if let Some(place) = place {
        fill(&name, &weekend, &place, None, None)?;
    }
    wake::at_commit();
    Ok(())
}

/// What is read with each calendar has an end.
fn check_text(name: &str, text: Option<&str>) -> Result<()> {
    match text.map_or(0, str::len) {
        length if length > LONGEST_TEXT => Err(Error::new(Kind::Invalid, format!("{name} has {length} bytes"))
            .hint(format!("It has at most {LONGEST_TEXT} bytes."))),
        _ => Ok(()),
    }
}

fn required<T>(name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::new(Kind::Null, format!("{name} must not be null")))
}

fn check_weekend(days: Vec<Option<i32>>) -> Result<Vec<i32>> {
    const HINT: &str = "Weekdays are 1 for Monday to 7 for Sunday, at most six of them.";
    let mut weekend = Vec::new();
    for day in days {
        let day = required("a day of weekend", day)?;
        if !(1..=7).contains(&day) {
            return Err(Error::new(Kind::Invalid, format!("{day} is not a day of the week")).hint(HINT));
        }
        weekend.push(day);
    }
    weekend.sort_unstable();
    weekend.dedup();
    if weekend.len() == 7 {
        return Err(Error::new(Kind::Invalid, "a weekend of all seven days leaves no working day").hint(HINT));
    }
    Ok(weekend)
}

fn find_place(country: &str, subdivision: Option<&str>) -> Result<Place> {
    const COUNTRIES: &str = "All of them: select * from jittask.holiday_countries().";
    let meant = |near: &[(String, String)]| {
        let near: Vec<String> = near.iter().map(|(code, name)| format!("{code} ({name})")).collect();
        if near.is_empty() { String::new() } else { format!("Did you mean {}? ", near.join(" or ")) }
    };
    holidays::find(country, subdivision).map_err(|unknown| match unknown {
        Unknown::Country(near) => Error::new(Kind::Invalid, format!("unknown country \"{country}\""))
            .hint(format!("{}A country is two letters of ISO 3166-1, such as DE. {COUNTRIES}", meant(&near))),
        Unknown::Subdivision(near) => {
            let subdivision = subdivision.unwrap_or_default();
            Error::new(Kind::Invalid, format!("unknown subdivision \"{subdivision}\" of country \"{country}\""))
                .hint(format!("{}{}", meant(&near), subdivisions(country)))
        }
        Unknown::Undivided => {
            let subdivision = subdivision.unwrap_or_default();
            Error::new(Kind::Invalid, format!("unknown subdivision \"{subdivision}\" of country \"{country}\"")).hint(
                "The holidays of this country are the same everywhere, as far as is known: leave subdivision out.",
            )
        }
    })
}

fn subdivisions(country: &str) -> String {
    let known = holidays::countries().into_iter().find(|known| known.code.eq_ignore_ascii_case(country.trim()));
    let Some(known) = known.filter(|known| known.subdivisions.len() <= LISTED) else {
        return "All of them: select * from jittask.holiday_countries().".to_string();
    };
    let codes: Vec<&str> = known.subdivisions.iter().map(|part| part.code).collect();
    format!("Subdivisions of {}: {}.", known.code, codes.join(", "))
}

/// The calendar for a change: locked, and the caller's own (or any, for a superuser). Its days off.
fn own(name: &str, to_drop: bool) -> Result<Vec<i32>> {
    let (owner, weekend) = calendar::lock(name, to_drop).ok_or_else(|| unknown_calendar(name))?;
    if user::may_act_as(owner) || user::is_superuser() {
        return Ok(weekend);
    }
    Err(Error::new(Kind::Denied, format!("must be owner of calendar \"{name}\""))
        .hint("Make a calendar of your own with jittask.create_calendar."))
}

fn unknown_calendar(name: &str) -> Error {
    Error::new(Kind::NoObject, format!("calendar \"{name}\" does not exist"))
        .hint("The view jittask.calendars lists the calendars.")
}

#[pg_extern(sql = false)]
fn load_holidays(
    calendar: Option<String>,
    country: Option<String>,
    subdivision: Option<String>,
    from_year: Option<i32>,
    until_year: Option<i32>,
) -> i32 {
    sql::session(|| writing(|| load(calendar, country, subdivision, from_year, until_year)).or_raise())
}

fn load(
    calendar: Option<String>,
    country: Option<String>,
    subdivision: Option<String>,
    from_year: Option<i32>,
    until_year: Option<i32>,
) -> Result<i32> {
    let name = required("calendar", calendar)?;
    let country = required("country", country)?;
    let weekend = own(&name, false)?;
    let place = find_place(&country, subdivision.as_deref())?;
    let loaded = fill(&name, &weekend, &place, from_year, until_year)?;
    // The scheduler plans anew, once this is committed, what uses it: nobody waits until then.
    wake::schema_changed_at_commit();
    Ok(loaded)
}

/// Loads a place's days of some years; notices tell what the person may not expect.
fn fill(name: &str, weekend: &[i32], place: &Place, from: Option<i32>, until: Option<i32>) -> Result<i32> {
    let (first, last) = (holidays::first_year(), holidays::last_year());
    if let Some(year) = [from, until].into_iter().flatten().find(|year| !(first..=last).contains(year)) {
        return Err(Error::new(Kind::Invalid, format!("no holiday data for {year}"))
            .hint(format!("Holiday data covers {first} to {last}.")));
    }
    let (from, until) = (from.unwrap_or(first), until.unwrap_or(last));
    if from > until {
        return Err(Error::new(Kind::Invalid, format!("from_year {from} is after until_year {until}"))
            .hint("Both years are loaded, so they may be equal."));
    }
    let known = place.known_until;
    if from > known {
        return Err(Error::new(Kind::Invalid, format!("no holiday data of {} for {from}", label(place)))
            .hint(format!("The data ends in {known}.")));
    }
    let covered = NaiveDate::from_ymd_opt(until.min(known), 12, 31)
        .ok_or_else(|| Error::new(Kind::Invalid, format!("no holiday data for {until}")))?;
    let days = holidays::days(place, from, until);
    calendar::replace_loaded(name, place, covered, &days);
    if known < until {
        notice(
            format!("holiday data of {} ends on {known}-12-31", label(place)),
            "Later dates skip the calendar's weekend only. Load them again with a later version of jittask.",
        );
    }
    // Who gave another weekend than the usual one knows what it is.
    if weekend == [6, 7] && place.weekend != weekend {
        let off: Vec<String> = place.weekend.iter().map(i32::to_string).collect();
        notice(
            format!("the weekend of {} is not that of calendar \"{name}\"", label(place)),
            &format!("For its own, create the calendar with weekend => '{{{}}}'.", off.join(",")),
        );
    }
    Ok(days.len() as i32)
}

fn label(place: &Place) -> String {
    place.subdivision.map_or(place.country.to_string(), |part| format!("{}-{part}", place.country))
}

fn notice(message: String, hint: &str) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "jittask")
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}

#[pg_extern(sql = false)]
fn add_holiday(calendar: Option<String>, day: Option<Date>, name: Option<String>) {
    sql::session(|| required("name", name).and_then(|name| change(calendar, day, Override::Holiday(&name))).or_raise())
}

#[pg_extern(sql = false)]
fn add_workday(calendar: Option<String>, day: Option<Date>, name: Option<String>) {
    sql::session(|| required("name", name).and_then(|name| change(calendar, day, Override::Workday(&name))).or_raise())
}

#[pg_extern(sql = false)]
fn remove_day(calendar: Option<String>, day: Option<Date>) {
    sql::session(|| change(calendar, day, Override::Ordinary).or_raise())
}

fn change(calendar: Option<String>, day: Option<Date>, said: Override) -> Result<()> {
    let name = required("calendar", calendar)?;
    let day = finite(day)?;
    if let Override::Holiday(text) | Override::Workday(text) = said {
        check_text("name", Some(text))?;
    }
    writing(|| {
        own(&name, false)?;
        if !calendar::has_room(&name) {
            return Err(Error::new(
                Kind::TooMuch,
                format!("calendar \"{name}\" has {} days of its own already", calendar::MOST_DAYS),
            )
            .hint("Days off in every week are its weekend; holidays of a country come with load_holidays."));
        }
        calendar::set_day(&name, day, said);
        Ok(())
    })?;
    wake::schema_changed_at_commit();
    Ok(())
}

fn finite(day: Option<Date>) -> Result<Date> {
    let day = required("day", day)?;
    if day.is_infinity() || day.is_neg_infinity() {
        return Err(Error::new(Kind::Invalid, "day must not be infinite").hint("A calendar knows single days."));
    }
    Ok(day)
}

#[pg_extern(sql = false)]
fn drop_calendar(name: Option<String>) {
    sql::session(|| writing(|| drop(name)).or_raise())
}

fn drop(name: Option<String>) -> Result<()> {
    let name = required("name", name)?;
    own(&name, true)?;
    if name == DEFAULT {
        return Err(Error::new(Kind::State, format!("calendar \"{name}\" cannot be dropped"))
            .hint("It belongs to the extension; remove_day takes days out of it."));
    }
    match calendar::uses(&name) {
        0 => {}
        count => {
            let tasks = if count == 1 { "a task".to_string() } else { format!("{count} tasks") };
            return Err(Error::new(Kind::State, format!("calendar \"{name}\" is in use by {tasks}"))
                .hint("Drop those tasks or move them to another calendar first."));
        }
    }
    calendar::delete(&name);
    // A task may just be made that names it.
    wake::schema_changed_at_commit();
    wake::at_commit();
    Ok(())
}

#[pg_extern(sql = false)]
fn is_working_day(day: Option<Date>, calendar: Option<String>) -> bool {
    sql::session(|| working(day, calendar, false).or_raise().0)
}

#[pg_extern(sql = false)]
fn next_working_day(day: Option<Date>, calendar: Option<String>) -> Date {
    sql::session(|| working(day, calendar, true).or_raise().1)
}

/// Of the day itself, or of the first working day from it on.
fn working(day: Option<Date>, calendar: Option<String>, search: bool) -> Result<(bool, Date)> {
    let day = finite(day)?;
    let name = required("calendar", calendar)?;
    let mut plus = 0;
    // It ends: some day of the week is a working day, and the holidays are finite, or PostgreSQL's dates are.
    loop {
        if plus > 0 && day.to_pg_epoch_days().checked_add(plus).is_none_or(|next| next > LAST_DAY) {
            let day: Option<String> = sql::once("select $1::pg_catalog.text", &[sql::arg(day)]).get(0, 1);
            let day = day.unwrap_or_default();
            return Err(Error::new(Kind::OutOfRange, format!("there is no working day on or after {day}"))
                .hint("The last date that PostgreSQL knows is 5874897-12-31."));
        }
        let found = calendar::is_working(&name, day, plus).ok_or_else(|| unknown_calendar(&name))?;
        if found.0 || !search {
            return Ok(found);
        }
        plus += 1;
    }
}

/// The places whose holidays are known, country by country.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn holiday_countries() -> TableIterator<
    'static,
    (
        name!(country, &'static str),
        name!(name, &'static str),
        name!(weekend, Vec<i32>),
        name!(covered_until, Option<Date>),
        name!(subdivisions, Vec<&'static str>),
    ),
> {
    TableIterator::new(holidays::countries().into_iter().map(|country| {
        let until = Date::new(country.known_until, 12, 31).ok();
        let subdivisions = country.subdivisions.iter().map(|part| part.code).collect();
        (country.code, country.name, country.weekend, until, subdivisions)
    }))
}
