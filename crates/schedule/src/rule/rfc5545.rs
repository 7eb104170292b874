//! The text of a recurrence rule (RFC 5545 §3.3.10), and which of its parts go together.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, Weekday};

use crate::civil::{civil_micros, last_of_day};
use crate::rule::recur::{Freq, Recur};
use crate::rule::step::Step;
use crate::rule::until::{Limits, Until};
use crate::rule::{Kind, RuleError};

const SECOND: i64 = 1_000_000;
const NAMES: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
];

type Parts<'a> = BTreeMap<String, &'a str>;

/// Reads a rule without its `RRULE:`.
pub(crate) fn parse(text: &str) -> Result<Kind, RuleError> {
    let parts = split(text)?;
    let Some(freq) = parts.get("FREQ") else {
        return Err(RuleError::new(format!("recurrence rule \"{text}\" has no FREQ"))
            .hint("Write a recurrence of RFC 5545 such as \"FREQ=MONTHLY;BYDAY=-1FR\", \"cron: …\" or \"every …\"."));
    };
    let interval = parts.get("INTERVAL").map_or(Ok(1), |value| positive("INTERVAL", value))?;
    let limits = limits(&parts)?;
    let freq = match freq.to_ascii_uppercase().as_str() {
        "YEARLY" => Freq::Yearly,
        "MONTHLY" => Freq::Monthly,
        "WEEKLY" => Freq::Weekly,
        "DAILY" => Freq::Daily,
        "HOURLY" => return elapsed(&parts, "HOURLY", 3_600, interval, limits),
        "MINUTELY" => return elapsed(&parts, "MINUTELY", 60, interval, limits),
        "SECONDLY" => return elapsed(&parts, "SECONDLY", 1, interval, limits),
        _ => {
            return Err(RuleError::new(format!("unknown FREQ \"{freq}\" in the recurrence rule"))
                .hint("FREQ is YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY or SECONDLY."));
        }
    };
    let recur = recur(&parts, freq, interval, limits)?;
    contradictions(&recur)?;
    let days = match freq {
        Freq::Daily => 1,
        Freq::Weekly => 7,
        Freq::Monthly | Freq::Yearly => return Ok(Kind::Recur(Box::new(recur))),
    };
    if recur.is_plain() {
        return Ok(Kind::Steps(Step::Civil { months: 0, days: days * i64::from(interval) }, limits));
    }
    Ok(Kind::Recur(Box::new(recur)))
}

fn split(text: &str) -> Result<Parts<'_>, RuleError> {
    if text.contains(['\n', '\r']) {
        return Err(RuleError::new("a rule is one line")
            .hint("EXDATE, EXRULE, RDATE and DTSTART are not supported: the start is the base."));
    }
    let mut parts = Parts::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(RuleError::new(format!("invalid part \"{part}\" in the recurrence rule"))
                .hint("A part is a name, an equals sign and a value, such as FREQ=DAILY."));
        };
        let name = name.trim().to_ascii_uppercase();
        if !NAMES.contains(&name.as_str()) {
            return Err(RuleError::new(format!("unknown part \"{name}\" in the recurrence rule"))
                .hint(format!("The parts are {}.", NAMES.join(", "))));
        }
        if parts.insert(name.clone(), value.trim()).is_some() {
            return Err(RuleError::new(format!("part {name} stands twice in the recurrence rule"))
                .hint("Several values of one part are a list, such as BYDAY=MO,WE,FR."));
        }
    }
    Ok(parts)
}

fn elapsed(parts: &Parts, name: &str, seconds: i64, interval: u32, limits: Limits) -> Result<Kind, RuleError> {
    if let Some(part) = parts.keys().find(|part| part.starts_with("BY")) {
        return Err(RuleError::new(format!("{part} is not supported with FREQ={name}"))
            .hint("HOURLY, MINUTELY and SECONDLY take INTERVAL, COUNT and UNTIL; for times of day use FREQ=DAILY;BYHOUR=… or cron."));
    }
    Ok(Kind::Steps(Step::Elapsed(seconds * SECOND * i64::from(interval)), limits))
}

fn limits(parts: &Parts) -> Result<Limits, RuleError> {
    let count = parts.get("COUNT").map(|value| positive("COUNT", value)).transpose()?;
    let until = parts.get("UNTIL").map(|value| until(value)).transpose()?;
    if count.is_some() && until.is_some() {
        return Err(RuleError::new("COUNT and UNTIL exclude each other in a recurrence rule")
            .hint("Give one of them, or a COUNT and the task's end_at."));
    }
    Ok(Limits { count, until })
}

/// A date, which counts as a whole day, a local time, or with Z an instant.
fn until(value: &str) -> Result<Until, RuleError> {
    let upper = value.to_ascii_uppercase();
    let (local, utc) = upper.strip_suffix('Z').map_or((upper.as_str(), false), |local| (local, true));
    let date = (local.len() == 8 && !utc).then(|| NaiveDate::parse_from_str(local, "%Y%m%d").ok()).flatten();
    let time = (local.len() == 15).then(|| NaiveDateTime::parse_from_str(local, "%Y%m%dT%H%M%S").ok()).flatten();
    match (date, time) {
        (Some(date), _) => Ok(Until::Local(last_of_day(date))),
        (_, Some(time)) if utc => Ok(Until::Instant(civil_micros(time))),
        (_, Some(time)) => Ok(Until::Local(time)),
        _ => Err(RuleError::new(format!("invalid UNTIL \"{value}\" in the recurrence rule"))
            .hint("Write 20261231, 20261231T180000 (local) or 20261231T180000Z (UTC).")),
    }
}

fn recur(parts: &Parts, freq: Freq, interval: u32, limits: Limits) -> Result<Recur, RuleError> {
    let number = |name: &str, max: i32| list(parts, name, |value| between(value, 1, max));
    let signed =
        |name: &str, max: i32| list(parts, name, |value| between(value, -max, max).filter(|value| *value != 0));
    let clock = |name: &str, max: u32| list(parts, name, |value| value.parse().ok().filter(|value| *value <= max));
    let week_start = list(parts, "WKST", weekday)?;
    if week_start.len() > 1 {
        return Err(RuleError::new("WKST takes one weekday").hint("Such as WKST=SU where weeks begin on Sunday."));
    }
    Ok(Recur {
        months: number("BYMONTH", 12)?,
        week_numbers: signed("BYWEEKNO", 53)?,
        year_days: signed("BYYEARDAY", 366)?,
        month_days: signed("BYMONTHDAY", 31)?,
        weekdays: list(parts, "BYDAY", numbered_weekday)?,
        hours: clock("BYHOUR", 23)?,
        minutes: clock("BYMINUTE", 59)?,
        seconds: clock("BYSECOND", 59)?,
        positions: signed("BYSETPOS", 366)?,
        week_start: week_start.first().copied().unwrap_or(Weekday::Mon),
        ..Recur::plain(freq, interval, limits)
    })
}

/// Parts that RFC 5545 does not allow together, or that make no sense so.
fn contradictions(recur: &Recur) -> Result<(), RuleError> {
    let freq = format!("{:?}", recur.freq).to_ascii_uppercase();
    let refuse = |what: &str, with: &str| {
        Err(RuleError::new(format!("{what} is not allowed with {with}"))
            .hint("RFC 5545 allows numbered weekdays with MONTHLY and YEARLY, BYMONTHDAY not with WEEKLY, BYYEARDAY and BYWEEKNO with YEARLY."))
    };
    let has_nth = recur.weekdays.iter().any(|(nth, _)| nth.is_some());
    if !recur.week_numbers.is_empty() && recur.freq != Freq::Yearly {
        return refuse("BYWEEKNO", &format!("FREQ={freq}"));
    }
    if !recur.year_days.is_empty() && recur.freq != Freq::Yearly {
        return refuse("BYYEARDAY", &format!("FREQ={freq}"));
    }
    if !recur.month_days.is_empty() && recur.freq == Freq::Weekly {
        return refuse("BYMONTHDAY", "FREQ=WEEKLY");
    }
    if has_nth && recur.freq > Freq::Monthly {
        return refuse("a numbered weekday in BYDAY", &format!("FREQ={freq}"));
    }
    if has_nth && !recur.week_numbers.is_empty() {
        return refuse("a numbered weekday in BYDAY", "BYWEEKNO");
    }
    let rest = Recur { positions: Vec::new(), ..recur.clone() };
    if !recur.positions.is_empty() && rest.is_plain() {
        return Err(RuleError::new("BYSETPOS needs another BY part to choose from")
            .hint("Such as FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1 for the last weekday of the month."));
    }
    Ok(())
}

/// The values of a part, each once: what is named twice means no more.
fn list<T: PartialEq>(parts: &Parts, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, RuleError> {
    let Some(value) = parts.get(name) else { return Ok(Vec::new()) };
    let one = |item: &str| {
        let item = item.trim();
        read(item).ok_or_else(|| {
            RuleError::new(format!("invalid value \"{item}\" of {name} in the recurrence rule")).hint(values_of(name))
        })
    };
    let mut values = Vec::new();
    for item in value.split(',') {
        let value = one(item)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// What a part takes.
fn values_of(name: &str) -> &'static str {
    match name {
        "BYMONTH" => "Months are 1 to 12.",
        "BYWEEKNO" => "Weeks are 1 to 53, or -1 to -53 from the end of the year.",
        "BYYEARDAY" => "Days of the year are 1 to 366, or -1 to -366 from its end.",
        "BYMONTHDAY" => "Days of the month are 1 to 31, or -1 to -31 from its end.",
        "BYHOUR" => "Hours are 0 to 23.",
        "BYMINUTE" | "BYSECOND" => "Minutes and seconds are 0 to 59.",
        "BYSETPOS" => "Positions are 1 to 366, or -1 to -366 from the end.",
        _ => "Weekdays are MO, TU, WE, TH, FR, SA and SU; in BYDAY with a number for the nth, such as 1MO or -1FR.",
    }
}

fn positive(name: &str, value: &str) -> Result<u32, RuleError> {
    u32::from_str(value).ok().filter(|value| *value > 0).ok_or_else(|| {
        RuleError::new(format!("invalid {name} \"{value}\" in the recurrence rule"))
            .hint(format!("{name} is a whole number of at least 1."))
    })
}

fn between(value: &str, low: i32, high: i32) -> Option<i32> {
    value.parse().ok().filter(|value| (low..=high).contains(value))
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.to_ascii_uppercase().as_str() {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    })
}

fn numbered_weekday(text: &str) -> Option<(Option<i32>, Weekday)> {
    let (number, day) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let nth = if number.is_empty() { None } else { Some(between(number, -53, 53).filter(|nth| *nth != 0)?) };
    Some((nth, weekday(day)?))
}
