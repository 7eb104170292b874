//! The recurrence sets of RFC 5545, DAILY to YEARLY, on local time: one period (a day, week, month or year) at a time,
//! so that the search can start at any of them.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, Timelike, Weekday};

use crate::rule::times::Times;
use crate::rule::until::Limits;

/// The period of a recurrence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Freq {
    Yearly,
    Monthly,
    Weekly,
    Daily,
}

impl Freq {
    /// Periods after which every pattern has come round: those in the 400 years after which the calendar repeats.
    pub(crate) fn periods_in_cycle(self) -> u32 {
        match self {
            Freq::Yearly => 400,
            Freq::Monthly => 4_800,
            Freq::Weekly => 20_871,
            Freq::Daily => 146_097,
        }
    }
}

/// A recurrence rule. Empty parts restrict nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recur {
    pub(crate) freq: Freq,
    pub(crate) interval: u32,
    pub(crate) limits: Limits,
    pub(crate) months: Vec<i32>,
    pub(crate) week_numbers: Vec<i32>,
    pub(crate) year_days: Vec<i32>,
    pub(crate) month_days: Vec<i32>,
    /// Weekdays; a number picks the nth of the month or year, from its end if negative.
    pub(crate) weekdays: Vec<(Option<i32>, Weekday)>,
    pub(crate) hours: Vec<u32>,
    pub(crate) minutes: Vec<u32>,
    pub(crate) seconds: Vec<u32>,
    pub(crate) positions: Vec<i32>,
    pub(crate) week_start: Weekday,
}

impl Recur {
    /// As [`Recur`], without any part.
    pub(crate) fn plain(freq: Freq, interval: u32, limits: Limits) -> Recur {
        Recur {
            freq,
            interval,
            limits,
            months: Vec::new(),
            week_numbers: Vec::new(),
            year_days: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
            seconds: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Mon,
        }
    }

    /// Does it say nothing but how often?
    pub(crate) fn is_plain(&self) -> bool {
        let weeks = Recur { week_start: self.week_start, ..Recur::plain(self.freq, self.interval, self.limits) };
        *self == weeks
    }

    /// How many times of day its parts name.
    pub(crate) fn times_a_day(&self) -> usize {
        [&self.hours, &self.minutes, &self.seconds].iter().map(|part| part.len().max(1)).product()
    }

    /// The rule with the parts that its base decides.
    pub(crate) fn based_on(&self, base: NaiveDateTime) -> Based {
        let mut rule = self.clone();
        let has_days = [&rule.week_numbers, &rule.year_days, &rule.month_days].iter().any(|part| !part.is_empty());
        if !has_days && rule.weekdays.is_empty() {
            let day = i32::try_from(base.day()).unwrap_or(1);
            match rule.freq {
                Freq::Yearly => {
                    if rule.months.is_empty() {
                        rule.months = vec![i32::try_from(base.month()).unwrap_or(1)];
                    }
                    rule.month_days = vec![day];
                }
                Freq::Monthly => rule.month_days = vec![day],
                Freq::Weekly => rule.weekdays = vec![(None, base.weekday())],
                Freq::Daily => {}
            }
        }
        let times = Times::new(
            or_base(&rule.hours, base.hour()),
            or_base(&rule.minutes, base.minute()),
            or_base(&rule.seconds, base.second()),
            base.nanosecond() % 1_000_000_000,
        );
        Based { rule, base, times }
    }
}

fn or_base(part: &[u32], base: u32) -> Vec<u32> {
    if part.is_empty() { vec![base] } else { part.to_vec() }
}

/// A rule on its base: periods by number, from 0, the one that holds the base.
pub(crate) struct Based {
    pub(crate) rule: Recur,
    pub(crate) base: NaiveDateTime,
    pub(crate) times: Times,
}

/// The members of one period, ascending: each date at each time, or those at some positions of that list.
#[derive(Default)]
pub(crate) struct Period {
    pub(crate) dates: Vec<NaiveDate>,
    picks: Option<Vec<usize>>,
}

impl Period {
    /// How many members there are.
    pub(crate) fn len(&self, times: &Times) -> usize {
        self.picks.as_ref().map_or(self.dates.len() * times.len(), Vec::len)
    }

    /// A member by its number.
    pub(crate) fn get(&self, times: &Times, index: usize) -> Option<NaiveDateTime> {
        let index = match &self.picks {
            Some(picks) => *picks.get(index)?,
            None => index,
        };
        let date = self.dates.get(index / times.len().max(1))?;
        Some(date.and_time(times.get(index % times.len().max(1))?))
    }

    /// The number of the first member at `low` or later.
    pub(crate) fn first_from(&self, times: &Times, low: NaiveDateTime) -> usize {
        let (mut before, mut found) = (0, self.len(times));
        while before < found {
            let middle = before + (found - before) / 2;
            if self.get(times, middle).is_some_and(|member| member < low) {
                before = middle + 1;
            } else {
                found = middle;
            }
        }
        found
    }
}

impl Based {
    /// The number of the first period that may hold a member at `low` or later.
    pub(crate) fn period_from(&self, low: NaiveDate) -> i64 {
        let base = self.base.date();
        let units = match self.rule.freq {
            Freq::Yearly => i64::from(low.year()) - i64::from(base.year()),
            Freq::Monthly => month_number(low) - month_number(base),
            Freq::Weekly => (day_number(low) - day_number(self.week_of(base))).div_euclid(7),
            Freq::Daily => day_number(low) - day_number(base),
        };
        units.div_euclid(i64::from(self.rule.interval)).max(0)
    }

    /// Period `number`, also what it holds before the base; `None` after the last date there is.
    pub(crate) fn period(&self, number: i64) -> Option<Period> {
        let units = number.checked_mul(i64::from(self.rule.interval))?;
        let base = self.base.date();
        let mut dates = Vec::new();
        match self.rule.freq {
            Freq::Yearly => {
                let year = i32::try_from(i64::from(base.year()).checked_add(units)?).ok()?;
                // December has to exist as well.
                NaiveDate::from_ymd_opt(year, 12, 31)?;
                (1..=12).for_each(|month| self.add_month(&mut dates, year, month));
            }
            Freq::Monthly => {
                let month = month_number(base).checked_add(units)?;
                let year = i32::try_from(month.div_euclid(12)).ok()?;
                let month = u32::try_from(month.rem_euclid(12) + 1).ok()?;
                NaiveDate::from_ymd_opt(year, month, 28)?;
                self.add_month(&mut dates, year, month);
            }
            Freq::Weekly => {
                let first = crate::civil::add_days(self.week_of(base), units.checked_mul(7)?).ok()?;
                dates.extend(first.iter_days().take(7).filter(|day| self.has(*day)));
            }
            Freq::Daily => {
                let day = crate::civil::add_days(base, units).ok()?;
                dates.extend(Some(day).filter(|day| self.has(*day)));
            }
        }
        let picks = self.picks(dates.len() * self.times.len());
        Some(Period { dates, picks })
    }

    fn picks(&self, len: usize) -> Option<Vec<usize>> {
        if self.rule.positions.is_empty() {
            return None;
        }
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let from_start = |position: &i32| {
            let position = i64::from(*position);
            let index = if position > 0 { position - 1 } else { len + position };
            usize::try_from(index).ok().filter(|_| index < len)
        };
        let mut picks: Vec<usize> = self.rule.positions.iter().filter_map(from_start).collect();
        picks.sort_unstable();
        picks.dedup();
        Some(picks)
    }

    fn week_of(&self, date: NaiveDate) -> NaiveDate {
        let into = date.weekday().days_since(self.rule.week_start);
        date.checked_sub_days(Days::new(u64::from(into))).unwrap_or(NaiveDate::MIN)
    }

    fn add_month(&self, dates: &mut Vec<NaiveDate>, year: i32, month: u32) {
        crate::interrupt::tick();
        if !self.has_month(month) {
            return;
        }
        let days = (1..=31).map_while(|day| NaiveDate::from_ymd_opt(year, month, day));
        dates.extend(days.filter(|day| self.has(*day)));
    }

    fn has_month(&self, month: u32) -> bool {
        self.rule.months.is_empty() || self.rule.months.iter().any(|part| i64::from(*part) == i64::from(month))
    }

    /// Does the date meet every part that speaks of dates?
    fn has(&self, date: NaiveDate) -> bool {
        let rule = &self.rule;
        let of_month = || (signed(date.day()), signed(days_in_month(date)));
        let of_year = || (signed(date.ordinal()), if date.leap_year() { 366 } else { 365 });
        self.has_month(date.month())
            && (rule.month_days.is_empty() || among(&rule.month_days, of_month()))
            && (rule.year_days.is_empty() || among(&rule.year_days, of_year()))
            && (rule.week_numbers.is_empty() || self.has_week(date))
            && (rule.weekdays.is_empty() || rule.weekdays.iter().any(|part| self.has_weekday(*part, date)))
    }

    fn has_weekday(&self, (nth, weekday): (Option<i32>, Weekday), date: NaiveDate) -> bool {
        if date.weekday() != weekday {
            return false;
        }
        let Some(nth) = nth else { return true };
        let in_month = self.rule.freq == Freq::Monthly || !self.rule.months.is_empty();
        let (day, last) = if in_month {
            (signed(date.day()), signed(days_in_month(date)))
        } else {
            (signed(date.ordinal()), if date.leap_year() { 366 } else { 365 })
        };
        nth == (day - 1) / 7 + 1 || nth == -((last - day) / 7 + 1)
    }

    /// Is the date in one of the weeks, counted in the year to which most of the week belongs?
    fn has_week(&self, date: NaiveDate) -> bool {
        let start = self.week_of(date);
        let middle = start.checked_add_days(Days::new(3)).unwrap_or(start);
        let week = signed(middle.ordinal0()) / 7 + 1;
        let year_days = if middle.leap_year() { 366 } else { 365 };
        let after = (year_days - 1 - signed(middle.ordinal0())) / 7;
        among(&self.rule.week_numbers, (week, week + after))
    }
}

/// Is `number` of `count` among the parts, which may count from the end?
fn among(parts: &[i32], (number, count): (i32, i32)) -> bool {
    parts.iter().any(|part| *part == number || *part == number - count - 1)
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn days_in_month(date: NaiveDate) -> u32 {
    (28..=31).rev().find(|day| date.with_day(*day).is_some()).unwrap_or(28)
}

fn month_number(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn day_number(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce())
}
