//! Cron expressions. `croner` reads them and judges days; times of day and zones are the crate's own.

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use croner::parser::{CronParser, Seconds, Year};

use crate::interrupt::tick;
use crate::rule::RuleError;
use crate::rule::times::Times;

/// Days after which every pattern has come round: 400 years.
const CYCLE_DAYS: usize = 146_097;

/// A cron expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cron {
    pattern: croner::Cron,
    months: [bool; 12],
    pub(crate) times: Times,
    /// The hour field is `*` or has a step: every instant counts whose local time matches, not each local time once.
    pub(crate) every_pass: bool,
}

impl Cron {
    /// Reads the expression after `cron:`.
    pub(crate) fn parse(text: &str) -> Result<Cron, RuleError> {
        let invalid = |why: &str| {
            RuleError::new(format!("invalid cron expression \"{text}\": {why}"))
                .hint("Five fields are minute, hour, day of month, month, day of week; a sixth in front is the second.")
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let hour = match fields.as_slice() {
            [_, hour, _, _, _] | [_, _, hour, _, _, _] => *hour,
            _ => return Err(invalid(&format!("it has {} fields, not 5 or 6", fields.len()))),
        };
        if !text.is_ascii() || text.contains('@') {
            return Err(invalid("it has a character that no field takes"));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|error| invalid(&in_postgres_style(&error.to_string())))?;
        let fits = |test: &dyn Fn(u32) -> bool, values: u32| (0..values).filter(|value| test(*value)).collect();
        let of = &pattern.pattern;
        let hours: Vec<u32> = fits(&|hour| of.hour_match(hour).unwrap_or(false), 24);
        let minutes: Vec<u32> = fits(&|minute| of.minute_match(minute).unwrap_or(false), 60);
        let seconds: Vec<u32> = fits(&|second| of.second_match(second).unwrap_or(false), 60);
        let mut months = [false; 12];
        for (month, fits) in (1..).zip(&mut months) {
            *fits = of.month_match(month).unwrap_or(false);
        }
        let every_pass = hour == "*" || hour.contains('/');
        Ok(Cron { months, times: Times::new(hours, minutes, seconds, 0), every_pass, pattern })
    }

    /// The first matching day on or after `date`.
    pub(crate) fn next_day(&self, date: NaiveDate) -> Option<NaiveDate> {
        date.iter_days().take(CYCLE_DAYS).find(|day| {
            tick();
            self.has_day(*day)
        })
    }

    /// The first matching local time at `local` or later.
    pub(crate) fn next_local(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let today = self.next_day(local.date())?;
        if today == local.date() {
            if let Some(time) = self.times.get(self.times.first_from(local.time())) {
                return Some(today.and_time(time));
            }
            return Some(self.next_day(today.succ_opt()?)?.and_time(self.times.get(0)?));
        }
        Some(today.and_time(self.times.get(0)?))
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        let month = usize::try_from(date.month0()).unwrap_or_default();
        self.months.get(month).copied().unwrap_or_default()
            && self
                .pattern
                .pattern
                .day_match(date.year(), date.month(), date.day(), croner_weekday(date.weekday()))
                .unwrap_or(false)
    }
}

fn croner_weekday(weekday: chrono::Weekday) -> croner::Weekday {
    match weekday {
        chrono::Weekday::Mon => croner::Weekday::Monday,
        chrono::Weekday::Tue => croner::Weekday::Tuesday,
        chrono::Weekday::Wed => croner::Weekday::Wednesday,
        chrono::Weekday::Thu => croner::Weekday::Thursday,
        chrono::Weekday::Fri => croner::Weekday::Friday,
        chrono::Weekday::Sat => croner::Weekday::Saturday,
        chrono::Weekday::Sun => croner::Weekday::Sunday,
    }
}

/// The library's sentence as part of a message.
fn in_postgres_style(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
