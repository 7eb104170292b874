//! Inverse tables: which column values may have an occurrence in a window, worked out by hand.

mod zones;

use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use schedule::{BaseRange, ColumnKind, Cycle, Instant, Schedule, Span};
use zones::{Listed, NEW_YORK, SHANGHAI, UTC, date, local, resolve_in, time, utc};

const HOUR: i64 = 3_600_000_000;

fn schedule(cycle: Cycle, offset: Span, at: Option<NaiveTime>) -> Schedule {
    Schedule::new(cycle, offset, at)
}

fn plain(cycle: Cycle) -> Schedule {
    schedule(cycle, Span::ZERO, None)
}

fn days(days: i32) -> Span {
    Span { days, ..Span::ZERO }
}

fn day(text: &str) -> NaiveDateTime {
    date(text).and_time(NaiveTime::MIN)
}

/// The dates of a `date` column that may be due on a local day in Shanghai.
fn dates(schedule: &Schedule, on: &str, lowest: Option<&str>) -> Vec<BaseRange> {
    dates_in(&SHANGHAI, schedule, on, lowest)
}

fn dates_in(zone: &Listed, schedule: &Schedule, on: &str, lowest: Option<&str>) -> Vec<BaseRange> {
    let (from, until) = (resolve_in(zone, day(on)), resolve_in(zone, day(on) + TimeDelta::days(1)));
    schedule.bases(ColumnKind::Date, zone, from, until, lowest.map(day))
}

fn ranges(expected: &[(&str, &str)]) -> Vec<BaseRange> {
    expected.iter().map(|(low, high)| BaseRange { low: Some(day(low)), high: day(high) }).collect()
}

#[test]
fn seven_days_before_is_one_date() {
    let week_before = schedule(Cycle::None, days(-7), None);
    assert_eq!(dates(&week_before, "2027-01-02", None), ranges(&[("2027-01-09", "2027-01-09")]));
    assert_eq!(dates(&week_before, "2027-01-02", Some("2027-01-10")), []);
    let week_after = schedule(Cycle::None, days(7), Some(time("09:00:00")));
    assert_eq!(dates_in(&NEW_YORK, &week_after, "2027-01-09", None), ranges(&[("2027-01-02", "2027-01-02")]));
}

#[test]
fn yearly_is_one_date_a_year() {
    let expected = ranges(&[("2024-11-24", "2024-11-24"), ("2025-11-24", "2025-11-24"), ("2026-11-24", "2026-11-24")]);
    assert_eq!(dates(&plain(Cycle::Yearly), "2026-11-24", Some("2024-01-01")), expected);
}

#[test]
fn yearly_on_the_28th_of_february_adds_the_leap_day() {
    let expected = ranges(&[
        ("2024-02-28", "2024-02-29"),
        ("2025-02-28", "2025-02-28"),
        ("2026-02-28", "2026-02-28"),
        ("2027-02-28", "2027-02-28"),
    ]);
    assert_eq!(dates(&plain(Cycle::Yearly), "2027-02-28", Some("2023-06-01")), expected);
    let leap = ranges(&[("2024-02-29", "2024-02-29"), ("2028-02-29", "2028-02-29")]);
    assert_eq!(dates(&plain(Cycle::Yearly), "2028-02-29", Some("2023-06-01")), leap);
}

#[test]
fn monthly_on_a_last_day_adds_29_30_31() {
    let expected = ranges(&[("2026-12-30", "2026-12-31"), ("2027-01-28", "2027-01-31"), ("2027-02-28", "2027-02-28")]);
    assert_eq!(dates(&plain(Cycle::Monthly), "2027-02-28", Some("2026-12-30")), expected);
    let on_31 = ranges(&[("2026-12-31", "2026-12-31"), ("2027-01-31", "2027-01-31"), ("2027-03-31", "2027-03-31")]);
    assert_eq!(dates(&plain(Cycle::Monthly), "2027-03-31", Some("2026-12-01")), on_31);
}

#[test]
fn months_of_the_offset_clamp_as_well() {
    let month_after = schedule(Cycle::None, Span { months: 1, ..Span::ZERO }, None);
    assert_eq!(dates(&month_after, "2027-02-28", None), ranges(&[("2027-01-28", "2027-01-31")]));
    assert_eq!(dates(&month_after, "2027-03-31", None), []);
    let month_before = schedule(Cycle::None, Span { months: -1, ..Span::ZERO }, None);
    assert_eq!(dates(&month_before, "2027-02-28", None), ranges(&[("2027-03-28", "2027-03-31")]));
    let birthday = schedule(Cycle::Yearly, days(-3), None);
    let expected = ranges(&[("2026-03-01", "2026-03-01"), ("2027-03-01", "2027-03-01")]);
    assert_eq!(dates(&birthday, "2027-02-26", Some("2025-06-01")), expected);
}

#[test]
fn the_time_of_day_is_inside_the_window_or_not() {
    let nine = schedule(Cycle::Yearly, Span::ZERO, Some(time("09:00:00")));
    let (eight, ten, noon) = (utc("2026-11-24 00:00:00"), utc("2026-11-24 02:00:00"), utc("2026-11-24 04:00:00"));
    let bases = |from, until| nine.bases(ColumnKind::Date, &SHANGHAI, from, until, Some(day("2026-01-01")));
    assert_eq!(bases(eight, ten), ranges(&[("2026-11-24", "2026-11-24")]));
    assert_eq!(bases(ten, noon), []);
    assert_eq!(bases(ten, eight), []);
}

#[test]
fn weekly_ranges_merge_when_the_window_is_a_week() {
    let weekly = plain(Cycle::Weekly);
    let expected = ranges(&[("2026-11-10", "2026-11-10"), ("2026-11-17", "2026-11-17"), ("2026-11-24", "2026-11-24")]);
    assert_eq!(dates(&weekly, "2026-11-24", Some("2026-11-05")), expected);
    let (from, until) = (utc("2026-11-20 00:00:00"), utc("2026-11-27 00:00:00"));
    let week = weekly.bases(ColumnKind::Date, &UTC, from, until, Some(day("2026-01-02")));
    assert_eq!(week, ranges(&[("2026-01-02", "2026-11-26")]));
    let local_week = weekly.bases(ColumnKind::Local, &UTC, from, until, Some(day("2026-01-02")));
    let high = local("2026-11-26 23:59:59") + TimeDelta::microseconds(999_999);
    assert_eq!(local_week, [BaseRange { low: Some(day("2026-01-02")), high }]);
}

#[test]
fn too_many_ranges_become_one() {
    let expected = ranges(&[("1900-01-01", "2026-11-24")]);
    assert_eq!(dates(&plain(Cycle::Monthly), "2026-11-24", Some("1900-01-01")), expected);
    assert_eq!(dates(&plain(Cycle::Yearly), "2026-11-24", Some("1900-01-01")).len(), 127);
}

#[test]
fn one_range_without_a_minimum_and_for_dense_cycles() {
    let unbounded = [BaseRange { low: None, high: day("2026-11-24") }];
    for cycle in [Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly] {
        assert_eq!(dates(&plain(cycle), "2026-11-24", None), unbounded);
    }
    for cycle in [Cycle::Hourly, Cycle::Daily] {
        assert_eq!(dates(&plain(cycle), "2026-11-24", Some("2020-01-01")), ranges(&[("2020-01-01", "2026-11-24")]));
        assert_eq!(dates(&plain(cycle), "2026-11-24", Some("2026-11-25")), []);
    }
}

#[test]
fn elapsed_offsets_of_instants_are_exact() {
    let two_hours_before = schedule(Cycle::None, Span { micros: -2 * HOUR, ..Span::ZERO }, None);
    let (from, until) = (utc("2026-11-01 05:00:00"), utc("2026-11-01 06:00:00"));
    let high = local("2026-11-01 07:59:59") + TimeDelta::microseconds(999_999);
    let expected = [BaseRange { low: Some(local("2026-11-01 07:00:00")), high }];
    assert_eq!(two_hours_before.bases(ColumnKind::Instant, &NEW_YORK, from, until, None), expected);
    assert_eq!(two_hours_before.upper_limit(ColumnKind::Instant, &NEW_YORK, until), Some(until.0 + 2 * HOUR - 1));
}

#[test]
fn instants_of_civil_steps_are_padded_only_near_a_change() {
    let day_before = schedule(Cycle::None, days(-1), None);
    let low_of = |from, until| day_before.bases(ColumnKind::Instant, &NEW_YORK, from, until, None)[0].low;
    let far = low_of(utc("2026-06-01 12:00:00"), utc("2026-06-01 13:00:00"));
    assert_eq!(far, Some(local("2026-06-02 12:00:00")));
    // Exactly, it would be midnight EST of 2 November, 05:00Z; an hour of padding for each of the two conversions.
    let near = low_of(utc("2026-11-01 04:00:00"), utc("2026-11-01 05:00:00"));
    assert_eq!(near, Some(local("2026-11-02 03:00:00")));
}

#[test]
fn upper_limits() {
    let until = utc("2027-01-02 16:00:00");
    let limit = |offset| schedule(Cycle::Yearly, offset, None).upper_limit(ColumnKind::Date, &SHANGHAI, until);
    assert_eq!(limit(days(-7)), Some(day("2027-01-09").and_utc().timestamp_micros()));
    assert_eq!(limit(days(1)), Some(day("2027-01-01").and_utc().timestamp_micros()));
    let local_limit = plain(Cycle::Daily).upper_limit(ColumnKind::Local, &SHANGHAI, until);
    assert_eq!(local_limit, Some(day("2027-01-03").and_utc().timestamp_micros() - 1));
    assert_eq!(plain(Cycle::Daily).upper_limit(ColumnKind::Local, &SHANGHAI, Instant(i64::MAX)), None);
    // Such an offset leaves the range from anywhere, so no row can be due.
    assert_eq!(limit(Span { months: i32::MIN, ..Span::ZERO }), Some(i64::MIN));
    assert_eq!(limit(Span { months: i32::MAX, ..Span::ZERO }), Some(i64::MIN));
    assert_eq!(plain(Cycle::None).upper_limit(ColumnKind::Instant, &UTC, Instant(i64::MIN)), Some(i64::MIN));
}

#[test]
fn extreme_windows_do_not_fail() {
    let widest =
        [Span::ZERO, days(i32::MAX), Span { months: i32::MIN, ..Span::ZERO }, Span { micros: i64::MIN, ..days(-9) }];
    for offset in widest {
        for cycle in [Cycle::None, Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly] {
            for kind in [ColumnKind::Date, ColumnKind::Local, ColumnKind::Instant] {
                for (from, until) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN), (i64::MAX - 1, i64::MAX), (-1, 1)] {
                    let schedule = schedule(cycle, offset, None);
                    schedule.bases(kind, &NEW_YORK, Instant(from), Instant(until), Some(day("2026-01-01")));
                    schedule.bases(kind, &NEW_YORK, Instant(from), Instant(until), None);
                    schedule.upper_limit(kind, &NEW_YORK, Instant(until));
                }
            }
        }
    }
}
