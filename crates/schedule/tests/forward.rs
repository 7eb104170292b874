//! Forward tables: bases, cycles, offsets, zones and limits, with expectations worked out by hand.

mod zones;

use std::cell::Cell;

use chrono::{NaiveDate, NaiveTime};
use schedule::{Base, Cycle, Instant, Occurrence, Rule, Schedule, Span, Zone, resolve, shift, to_local};
use zones::{APIA, LORD_HOWE, NEW_YORK, SHANGHAI, UTC, date, local, show, time, utc};

const HOUR: i64 = 3_600_000_000;
const EVER: Instant = Instant(i64::MIN);

fn schedule(cycle: Cycle, offset: Span, at: Option<NaiveTime>) -> Schedule {
    Schedule::new(cycle, offset, at)
}

fn plain(cycle: Cycle) -> Schedule {
    schedule(cycle, Span::ZERO, None)
}

fn days(days: i32) -> Span {
    Span { days, ..Span::ZERO }
}

fn months(months: i32) -> Span {
    Span { months, ..Span::ZERO }
}

fn hours(hours: i64) -> Span {
    Span { micros: hours * HOUR, ..Span::ZERO }
}

#[track_caller]
fn check(schedule: &Schedule, base: Base, zone: &dyn Zone, expected: &[&str]) {
    let found: Vec<String> =
        schedule.occurrences(base, zone, None, EVER).take(expected.len()).map(|o| show(o.due_at)).collect();
    assert_eq!(found, expected);
}

fn at(text: &str) -> Occurrence {
    Occurrence { nominal_at: utc(text), due_at: utc(text) }
}

#[test]
fn none_is_the_base_alone() {
    let once = plain(Cycle::None);
    let all: Vec<_> = once.occurrences(Base::Date(date("2026-01-01")), &SHANGHAI, None, EVER).collect();
    assert_eq!(all, [at("2025-12-31 16:00:00")]);
}

#[test]
fn month_ends_clamp_from_the_base() {
    let expected = ["2027-01-31 00:00:00", "2027-02-28 00:00:00", "2027-03-31 00:00:00", "2027-04-30 00:00:00"];
    check(&plain(Cycle::Monthly), Base::Date(date("2027-01-31")), &UTC, &expected);
}

#[test]
fn leap_day_is_the_28th_in_other_years() {
    let expected = [
        "2024-02-29 00:00:00",
        "2025-02-28 00:00:00",
        "2026-02-28 00:00:00",
        "2027-02-28 00:00:00",
        "2028-02-29 00:00:00",
    ];
    check(&plain(Cycle::Yearly), Base::Date(date("2024-02-29")), &UTC, &expected);
}

#[test]
fn birthday_of_1_march_3_days_before() {
    let expected = [
        "2023-02-26 00:00:00",
        "2024-02-27 00:00:00",
        "2025-02-26 00:00:00",
        "2026-02-26 00:00:00",
        "2027-02-26 00:00:00",
        "2028-02-27 00:00:00",
    ];
    check(&schedule(Cycle::Yearly, days(-3), None), Base::Date(date("2023-03-01")), &UTC, &expected);
}

#[test]
fn members_and_their_offset_clamp_apart() {
    // 31 Mar, 30 Apr, 31 May; a month before each.
    let expected = ["2027-02-28 00:00:00", "2027-03-30 00:00:00", "2027-04-30 00:00:00"];
    check(&schedule(Cycle::Monthly, months(-1), None), Base::Date(date("2027-03-31")), &UTC, &expected);
    // Months before days, as PostgreSQL: 31 Jan + 1 month = 28 Feb, + 1 day = 1 Mar.
    let mixed = Span { months: 1, days: 1, micros: 0 };
    check(&schedule(Cycle::None, mixed, None), Base::Date(date("2027-01-31")), &UTC, &["2027-03-01 00:00:00"]);
}

#[test]
fn members_that_fall_together_are_one() {
    // A month after 28, 29, 30 and 31 January is 28 February each time.
    let expected = ["2027-02-28 00:00:00", "2027-03-01 00:00:00"];
    check(&schedule(Cycle::Daily, months(1), None), Base::Date(date("2027-01-28")), &UTC, &expected);
}

#[test]
fn daily_keeps_local_time_through_a_gap() {
    let expected = ["2026-03-07 07:30:00", "2026-03-08 07:30:00", "2026-03-09 06:30:00"];
    check(&plain(Cycle::Daily), Base::Local(local("2026-03-07 02:30:00")), &NEW_YORK, &expected);
}

#[test]
fn daily_takes_the_first_of_a_repeated_time() {
    let expected = ["2026-10-31 05:30:00", "2026-11-01 05:30:00", "2026-11-02 06:30:00"];
    check(&plain(Cycle::Daily), Base::Local(local("2026-10-31 01:30:00")), &NEW_YORK, &expected);
}

#[test]
fn an_unmoved_instant_stays_in_the_second_pass() {
    let second_pass = Base::Instant(utc("2026-11-01 06:30:00"));
    check(&plain(Cycle::None), second_pass, &NEW_YORK, &["2026-11-01 06:30:00"]);
    check(&plain(Cycle::Daily), second_pass, &NEW_YORK, &["2026-11-01 06:30:00", "2026-11-02 06:30:00"]);
    // The year after, 1 November is no longer repeated at 01:30: EDT.
    check(&plain(Cycle::Yearly), second_pass, &NEW_YORK, &["2026-11-01 06:30:00", "2027-11-01 05:30:00"]);
    check(&schedule(Cycle::None, hours(1), None), second_pass, &NEW_YORK, &["2026-11-01 07:30:00"]);
    // What acts on the local time resolves it anew.
    let half_past_one = Some(time("01:30:00"));
    check(&schedule(Cycle::None, Span::ZERO, half_past_one), second_pass, &NEW_YORK, &["2026-11-01 05:30:00"]);
    check(&schedule(Cycle::None, days(1), None), second_pass, &NEW_YORK, &["2026-11-02 06:30:00"]);
    check(&schedule(Cycle::None, days(-1), None), second_pass, &NEW_YORK, &["2026-10-31 05:30:00"]);
}

#[test]
fn elapsed_offset_comes_after_the_only_resolution() {
    // 02:30 does not exist, so 03:30 EDT, and 24 hours before that; not the day before at 02:30.
    let offset = schedule(Cycle::None, hours(-24), None);
    check(&offset, Base::Local(local("2026-03-08 02:30:00")), &NEW_YORK, &["2026-03-07 07:30:00"]);
    // 02:30 of the 8th is only passed through on the way to the 9th.
    let civil = schedule(Cycle::None, days(1), None);
    check(&civil, Base::Local(local("2026-03-08 02:30:00")), &NEW_YORK, &["2026-03-09 06:30:00"]);
}

#[test]
fn at_replaces_the_time_of_day_of_the_moved_date() {
    let morning = schedule(Cycle::Weekly, days(-1), Some(time("09:00:00")));
    // 15:15Z is 10:15 in New York; the clocks change on 8 March.
    let expected = ["2026-03-05 14:00:00", "2026-03-12 13:00:00"];
    check(&morning, Base::Instant(utc("2026-03-06 15:15:00")), &NEW_YORK, &expected);
    // 17:00Z is the next day in Shanghai.
    let day = schedule(Cycle::None, Span::ZERO, Some(time("09:00:00")));
    check(&day, Base::Instant(utc("2026-03-06 17:00:00")), &SHANGHAI, &["2026-03-07 01:00:00"]);
}

#[test]
fn hourly_is_elapsed_and_moves_the_base_once() {
    let expected = ["2026-11-01 04:30:00", "2026-11-01 05:30:00", "2026-11-01 06:30:00", "2026-11-01 07:30:00"];
    check(&plain(Cycle::Hourly), Base::Instant(utc("2026-11-01 04:30:00")), &NEW_YORK, &expected);
    let moved = schedule(Cycle::Hourly, days(-1), Some(time("09:00:00")));
    let expected = ["2026-11-01 14:00:00", "2026-11-01 15:00:00"];
    check(&moved, Base::Instant(utc("2026-11-02 15:15:00")), &NEW_YORK, &expected);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    assert_eq!(resolve(&LORD_HOWE, local("2026-10-04 02:10:00")), Some(utc("2026-10-03 15:40:00")));
    assert_eq!(to_local(&LORD_HOWE, utc("2026-10-03 15:40:00")), Some(local("2026-10-04 02:40:00")));
    assert_eq!(resolve(&LORD_HOWE, local("2026-04-05 01:45:00")), Some(utc("2026-04-04 14:45:00")));
    assert_eq!(resolve(&LORD_HOWE, local("2026-04-05 02:00:00")), Some(utc("2026-04-04 15:30:00")));
    // The edges of the gap from 02:00 to 02:30 and of the pass that repeats 01:30 to 02:00.
    assert_eq!(resolve(&LORD_HOWE, local("2026-10-04 02:00:00")), Some(utc("2026-10-03 15:30:00")));
    assert_eq!(resolve(&LORD_HOWE, local("2026-10-04 02:30:00")), Some(utc("2026-10-03 15:30:00")));
    assert_eq!(resolve(&LORD_HOWE, local("2026-04-05 01:30:00")), Some(utc("2026-04-04 14:30:00")));
}

#[test]
fn apia_skips_a_day_and_its_member_joins_the_next() {
    let expected = [
        "2011-12-28 19:00:00",
        "2011-12-29 19:00:00",
        "2011-12-30 19:00:00",
        "2011-12-31 19:00:00",
        "2012-01-01 19:00:00",
    ];
    check(&plain(Cycle::Daily), Base::Local(local("2011-12-28 09:00:00")), &APIA, &expected);
    assert_eq!(to_local(&APIA, utc("2011-12-30 19:00:00")), Some(local("2011-12-31 09:00:00")));
}

#[test]
fn shanghai_in_its_summer_time_years() {
    // 4 May 1986: 02:00 became 03:00, from +8 to +9.
    let expected = ["1986-05-02 18:30:00", "1986-05-03 18:30:00", "1986-05-04 17:30:00"];
    check(&plain(Cycle::Daily), Base::Local(local("1986-05-03 02:30:00")), &SHANGHAI, &expected);
}

#[test]
fn the_end_is_inclusive() {
    let daily = plain(Cycle::Daily);
    let base = Base::Date(date("2026-01-01"));
    let end = Some(utc("2026-01-03 00:00:00"));
    assert_eq!(daily.occurrences(base, &UTC, end, EVER).count(), 3);
    assert_eq!(daily.last_before(base, &UTC, end, utc("2027-01-01 00:00:00"), EVER), Some(at("2026-01-03 00:00:00")));
    assert!(daily.contains(base, &UTC, end, at("2026-01-03 00:00:00")));
    assert!(!daily.contains(base, &UTC, end, at("2026-01-04 00:00:00")));
    assert!(daily.contains(base, &UTC, None, at("2026-01-04 00:00:00")));
    assert!(!daily.contains(base, &UTC, None, at("2026-01-04 00:00:01")));
    let renamed = Occurrence { nominal_at: utc("2026-01-01 00:00:00"), due_at: utc("2026-01-02 00:00:00") };
    assert!(!daily.contains(base, &UTC, None, renamed));
}

#[test]
fn windows_are_half_open() {
    let daily = plain(Cycle::Daily);
    let base = Base::Date(date("2026-01-01"));
    let (from, until) = (utc("2026-01-02 00:00:00"), utc("2026-01-04 00:00:00"));
    let expected = [at("2026-01-02 00:00:00"), at("2026-01-03 00:00:00")];
    assert_eq!(daily.due_between(base, &UTC, None, from, until), expected);
    assert_eq!(daily.due_between(base, &UTC, None, until, from), []);
    assert_eq!(daily.last_before(base, &UTC, None, until, from), Some(expected[1]));
    assert_eq!(daily.last_before(base, &UTC, None, until, until), None);
    assert_eq!(daily.last_before(base, &UTC, None, utc("2026-01-01 00:00:00"), EVER), None);
}

/// Counts the questions a search asks.
struct Counted(Cell<u32>);

impl Zone for Counted {
    fn offset_at(&self, at: Instant) -> i32 {
        self.0.set(self.0.get() + 1);
        NEW_YORK.offset_at(at)
    }
}

#[test]
fn a_base_thousands_of_years_away_costs_little() {
    let first = NaiveDate::from_ymd_opt(-4712, 1, 31).expect("a date");
    let from = utc("2026-11-24 12:00:00");
    for cycle in [Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly] {
        let zone = Counted(Cell::new(0));
        let schedule = schedule(cycle, days(-3), Some(time("09:00:00")));
        let next = schedule.occurrences(Base::Date(first), &zone, None, from).next();
        assert!(next.is_some_and(|next| next.due_at >= from));
        let last = schedule.last_before(Base::Date(first), &zone, None, from, EVER);
        assert!(last.is_some_and(|last| last.due_at < from && Some(last) < next));
        assert!(zone.0.get() < 100, "{cycle:?} asked {} times", zone.0.get());
    }
}

/// COUNT is counted through one cycle of 400 years and multiplied: the last member is the one that arithmetic says.
#[test]
fn a_count_of_thousands_of_years_ends_on_the_day() {
    let monday = NaiveDate::from_ymd_opt(1, 1, 1).expect("a date");
    // Two a week, then two a day: the last is number COUNT - 1, the second or the first of its period.
    for (rule, day, clock) in [
        ("FREQ=WEEKLY;BYDAY=MO,FR;COUNT=211000", 105_499 * 7 + 4, "09:00:00"),
        ("FREQ=DAILY;BYHOUR=9,17;COUNT=1000001", 500_000, "09:00:00"),
        ("FREQ=DAILY;BYHOUR=9,17;COUNT=1000002", 500_000, "17:00:00"),
    ] {
        let rule = Rule::parse(rule).expect("a rule");
        let schedule = Schedule { rule: Some(rule), ..plain(Cycle::Custom) };
        let base = Base::Local(monday.and_time(time("09:00:00")));
        let end = monday + chrono::TimeDelta::days(day);
        let end = Instant(end.and_time(time(clock)).and_utc().timestamp_micros());
        let last = Occurrence { nominal_at: end, due_at: end };
        assert_eq!(schedule.last_before(base, &UTC, None, Instant::MAX, EVER), Some(last));
        assert_eq!(schedule.occurrences(base, &UTC, None, end).collect::<Vec<_>>(), [last]);
    }
}

#[test]
fn what_leaves_the_range_is_no_occurrence() {
    let widest = [
        Span { months: i32::MIN, ..Span::ZERO },
        Span { months: i32::MAX, ..Span::ZERO },
        days(i32::MIN),
        days(i32::MAX),
        Span { micros: i64::MIN, ..Span::ZERO },
        Span { micros: i64::MAX, ..Span::ZERO },
    ];
    let bases = [Base::Date(date("2026-01-31")), Base::Local(local("2026-01-31 12:00:00")), Base::Instant(Instant(0))];
    for offset in widest {
        for base in bases {
            assert_eq!(shift(base, offset, None, &UTC), None);
            assert_eq!(schedule(Cycle::None, offset, None).occurrences(base, &UTC, None, EVER).next(), None);
        }
    }
    let outside = [
        Base::Date(NaiveDate::MIN),
        Base::Date(NaiveDate::MAX),
        Base::Instant(Instant(i64::MIN)),
        Base::Instant(Instant(i64::MAX)),
    ];
    for base in outside {
        assert_eq!(plain(Cycle::None).occurrences(base, &NEW_YORK, None, EVER).next(), None);
        assert_eq!(plain(Cycle::Hourly).last_before(base, &NEW_YORK, None, EVER, EVER), None);
    }
}

#[test]
fn a_series_starts_and_stops_at_the_limits() {
    // 1 January 4714 BC is before PostgreSQL's first day, a year later is not.
    let early = NaiveDate::from_ymd_opt(-4713, 1, 1).expect("a date");
    let first = plain(Cycle::Yearly).occurrences(Base::Date(early), &UTC, None, EVER).next();
    assert_eq!(first.map(|first| show(first.due_at)), Some("-4712-01-01 00:00:00".to_owned()));
    let late = Base::Date(NaiveDate::from_ymd_opt(262_140, 12, 28).expect("a date"));
    assert_eq!(plain(Cycle::Yearly).occurrences(late, &UTC, None, EVER).count(), 3);
    assert_eq!(plain(Cycle::Hourly).occurrences(late, &UTC, None, EVER).count(), 24 * (2 * 365 + 2));
}
