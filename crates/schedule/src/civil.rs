//! Arithmetic on local dates and times that says on which side it left the range.
//!
//! The side matters: a member that is still before the range may be followed by members inside it.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// A value does not exist because it would lie before or after everything that does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OutOfRange {
    Below,
    Above,
}

impl OutOfRange {
    /// The side on which an addition of `amount` left the range.
    pub(crate) fn by_sign(amount: i64) -> OutOfRange {
        if amount < 0 { OutOfRange::Below } else { OutOfRange::Above }
    }
}

/// A value, or the side on which it left the range.
pub(crate) type Reach<T> = Result<T, OutOfRange>;

/// A civil time as microseconds, as if it were UTC.
pub(crate) fn civil_micros(civil: NaiveDateTime) -> i64 {
    civil.and_utc().timestamp_micros()
}

/// The civil time of microseconds, as if they were UTC.
pub(crate) fn from_civil_micros(micros: i64) -> Reach<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|utc| utc.naive_utc()).ok_or(OutOfRange::by_sign(micros))
}

/// As [`from_civil_micros`], but what leaves the range is its nearer end.
pub(crate) fn nearest_civil(micros: i64) -> NaiveDateTime {
    from_civil_micros(micros).unwrap_or(if micros < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX })
}

/// `date` so many months later (or earlier): the same day of the month, or the month's last if there is no such day.
pub(crate) fn add_months(date: NaiveDate, months: i64) -> Reach<NaiveDate> {
    let side = OutOfRange::by_sign(months);
    let month = i64::from(date.year()) * 12 + i64::from(date.month0());
    let month = month.checked_add(months).ok_or(side)?;
    let year = i32::try_from(month.div_euclid(12)).map_err(|_| side)?;
    let month = u32::try_from(month.rem_euclid(12) + 1).map_err(|_| side)?;
    let day = date.day();
    (0..4).find_map(|less| NaiveDate::from_ymd_opt(year, month, day.checked_sub(less)?)).ok_or(side)
}

/// `date` so many days later (or earlier).
pub(crate) fn add_days(date: NaiveDate, days: i64) -> Reach<NaiveDate> {
    TimeDelta::try_days(days).and_then(|days| date.checked_add_signed(days)).ok_or(OutOfRange::by_sign(days))
}

/// As [`add_days`], at the same time of day.
pub(crate) fn add_days_at(civil: NaiveDateTime, days: i64) -> Reach<NaiveDateTime> {
    Ok(add_days(civil.date(), days)?.and_time(civil.time()))
}

/// 00:00.
pub(crate) fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}

/// The last microsecond of a date.
pub(crate) fn last_of_day(date: NaiveDate) -> NaiveDateTime {
    midnight(date) + TimeDelta::microseconds(86_400_000_000 - 1)
}
