//! Business life: the worked examples of the documentation, each with its schedule and what it comes to.

mod zones;

use std::rc::Rc;

use schedule::{Base, Calendar, Cycle, Holidays, Instant, Rule, Schedule, Shift, Span, row_end};
use zones::{SHANGHAI, UTC, date, local, show, time, utc};

const EVER: Instant = Instant(i64::MIN);
const MINUTE: i64 = 60_000_000;
const SAT_SUN: [bool; 7] = [false, false, false, false, false, true, true];

fn days(days: i32) -> Span {
    Span { days, ..Span::ZERO }
}

fn minutes(minutes: i64) -> Span {
    Span { micros: minutes * MINUTE, ..Span::ZERO }
}

fn custom(rule: &str, at: Option<&str>) -> Schedule {
    let rule = Rule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, Span::ZERO, at.map(time)) }
}

/// New Year's Day and Easter Monday of 2026 and 2027 are free.
fn working_days(shift: Shift, schedule: Schedule) -> Schedule {
    let free = ["2026-01-01", "2026-04-06", "2027-01-01", "2027-03-29"].map(|day| (date(day), false));
    let calendar = Rc::new(Calendar::new(SAT_SUN, free));
    Schedule { holidays: Some(Holidays { shift, calendar }), ..schedule }
}

#[track_caller]
fn first(schedule: &Schedule, base: Base, expected: &[&str]) {
    let found: Vec<String> =
        schedule.occurrences(base, &UTC, None, EVER).take(expected.len()).map(|o| show(o.due_at)).collect();
    assert_eq!(found, expected);
}

#[test]
fn contract_expiring_7_days_before_at_nine_on_working_days() {
    let plain = Schedule::new(Cycle::None, days(-7), Some(time("09:00:00")));
    let schedule = working_days(Shift::Preceding, plain.clone());
    first(&schedule, Base::Date(date("2026-12-02")), &["2026-11-25 09:00:00"]);
    // Seven days before is a Sunday: the Friday before, or the Monday after.
    first(&schedule, Base::Date(date("2026-11-29")), &["2026-11-20 09:00:00"]);
    first(&working_days(Shift::Following, plain), Base::Date(date("2026-11-29")), &["2026-11-23 09:00:00"]);
}

#[test]
fn membership_expired_the_day_after_at_five_past_midnight() {
    let schedule = Schedule::new(Cycle::None, days(1), Some(time("00:05:00")));
    first(&schedule, Base::Date(date("2026-12-31")), &["2027-01-01 00:05:00"]);
    let in_shanghai = schedule.occurrences(Base::Date(date("2026-12-31")), &SHANGHAI, None, EVER).next();
    assert_eq!(in_shanghai.map(|o| show(o.due_at)).as_deref(), Some("2026-12-31 16:05:00"));
}

#[test]
fn unpaid_order_30_minutes_after() {
    let schedule = Schedule::new(Cycle::None, minutes(30), None);
    first(&schedule, Base::Instant(utc("2026-11-24 23:45:10")), &["2026-11-25 00:15:10"]);
}

#[test]
fn bill_collection_daily_for_30_days_includes_day_30_at_nine() {
    let schedule = Schedule::new(Cycle::Daily, Span::ZERO, Some(time("09:00:00")));
    let due_on = Base::Date(date("2026-03-10"));
    // end_column is the due date itself, end_after 30 days; the whole of that day counts.
    let end = row_end(due_on, days(30), None, &UTC);
    let all: Vec<String> = schedule.occurrences(due_on, &UTC, end, EVER).map(|o| show(o.due_at)).collect();
    assert_eq!(all.len(), 31, "the due date and thirty days");
    assert_eq!(all.first().map(String::as_str), Some("2026-03-10 09:00:00"));
    assert_eq!(all.last().map(String::as_str), Some("2026-04-09 09:00:00"));
    let at_nine = row_end(due_on, days(30), Some(time("09:00:00")), &UTC);
    assert_eq!(schedule.occurrences(due_on, &UTC, at_nine, EVER).count(), 31, "inclusive to the instant");
    let before_nine = row_end(due_on, days(30), Some(time("08:59:59")), &UTC);
    assert_eq!(schedule.occurrences(due_on, &UTC, before_nine, EVER).count(), 30);
    // On working days only: 22 of them, Easter Monday being free.
    let on_working_days = working_days(Shift::Drop, schedule);
    assert_eq!(on_working_days.occurrences(due_on, &UTC, end, EVER).count(), 22);
}

#[test]
fn appointment_a_day_before_and_an_hour_before() {
    let appointment = Base::Local(local("2026-11-24 14:30:00"));
    first(&Schedule::new(Cycle::None, days(-1), None), appointment, &["2026-11-23 14:30:00"]);
    first(&Schedule::new(Cycle::None, minutes(-60), None), appointment, &["2026-11-24 13:30:00"]);
}

#[test]
fn birthday_of_29_february() {
    let schedule = Schedule::new(Cycle::Yearly, Span::ZERO, Some(time("08:00:00")));
    let from = utc("2027-01-01 00:00:00");
    let found = schedule.occurrences(Base::Date(date("2000-02-29")), &UTC, None, from).take(2);
    let found: Vec<String> = found.map(|o| show(o.due_at)).collect();
    assert_eq!(found, ["2027-02-28 08:00:00", "2028-02-29 08:00:00"]);
}

#[test]
fn monthly_report_on_the_last_working_day() {
    let schedule = working_days(Shift::Preceding, custom("FREQ=MONTHLY;BYMONTHDAY=-1", Some("17:00:00")));
    let expected = ["2026-01-30 17:00:00", "2026-02-27 17:00:00", "2026-03-31 17:00:00", "2026-04-30 17:00:00"];
    first(&schedule, Base::Date(date("2026-01-01")), &expected);
}

#[test]
fn quarter_end() {
    let schedule = custom("FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-1", Some("18:00:00"));
    let expected = ["2026-03-31 18:00:00", "2026-06-30 18:00:00", "2026-09-30 18:00:00", "2026-12-31 18:00:00"];
    first(&schedule, Base::Date(date("2026-01-01")), &expected);
}

#[test]
fn first_working_day_of_the_month() {
    let schedule = working_days(Shift::Following, custom("FREQ=MONTHLY;BYMONTHDAY=1", Some("07:00:00")));
    let expected = ["2026-01-02 07:00:00", "2026-02-02 07:00:00", "2026-03-02 07:00:00", "2026-04-01 07:00:00"];
    first(&schedule, Base::Date(date("2026-01-01")), &expected);
}

#[test]
fn every_monday_wednesday_and_friday() {
    let expected = ["2026-11-25 09:00:00", "2026-11-27 09:00:00", "2026-11-30 09:00:00", "2026-12-02 09:00:00"];
    for rule in ["FREQ=WEEKLY;BYDAY=MO,WE,FR", "cron: 0 9 * * 1,3,5", "cron: 0 9 * * MON,WED,FRI"] {
        first(&custom(rule, None), Base::Local(local("2026-11-24 09:00:00")), &expected);
    }
}
