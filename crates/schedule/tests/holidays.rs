//! Working days: the four shifts against a table made independently, and what happens when occurrences land together.

mod zones;

use std::cell::Cell;
use std::rc::Rc;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use schedule::{
    Base, BaseRange, Calendar, ColumnKind, Cycle, Holidays, Instant, Occurrence, Rule, Schedule, Shift, Span,
};
use zones::{APIA, NEW_YORK, SHANGHAI, UTC, date, local, show, time, utc};

const EVER: Instant = Instant(i64::MIN);
const SAT_SUN: [bool; 7] = [false, false, false, false, false, true, true];
const SHIFTS: [Shift; 4] = [Shift::Following, Shift::Preceding, Shift::ModifiedFollowing, Shift::Drop];

fn weekdays() -> Calendar {
    Calendar::new(SAT_SUN, [])
}

fn on(calendar: Calendar, shift: Shift, schedule: Schedule) -> Schedule {
    Schedule { holidays: Some(Holidays { shift, calendar: Rc::new(calendar) }), ..schedule }
}

fn custom(rule: &str) -> Schedule {
    let rule = Rule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, Span::ZERO, None) }
}

fn daily() -> Schedule {
    Schedule::new(Cycle::Daily, Span::ZERO, None)
}

fn pairs(schedule: &Schedule, base: &str, end: Option<&str>, count: usize) -> Vec<(String, String)> {
    let found = schedule.occurrences(Base::Local(local(base)), &UTC, end.map(utc), EVER).take(count);
    found.map(|o| (show(o.nominal_at), show(o.due_at))).collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(nominal, due)| ((*nominal).to_owned(), (*due).to_owned())).collect()
}

fn day(text: &str) -> NaiveDate {
    NaiveDate::parse_from_str(text, "%Y%m%d").expect("a date")
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let table = include_str!("data/working_days.txt");
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('|').collect())
}

fn country(name: &str) -> Calendar {
    let row = rows().find(|row| row[0] == "calendar" && row[1] == name).expect("a calendar");
    let days = row[2].split(',').map(|entry| (day(&entry[1..]), entry.starts_with('+')));
    Calendar::new(SAT_SUN, days)
}

#[test]
fn on_the_31st_with_each_shift() {
    let mut seen = 0;
    for row in rows().filter(|row| row[0] == "on_31") {
        let [_, name, form, shift, table] = row[..] else { panic!("{row:?}") };
        let shift = SHIFTS[["following", "preceding", "modified_following", "drop"]
            .iter()
            .position(|label| *label == shift)
            .expect("a shift")];
        let plain = match form {
            "clamped" => Schedule::new(Cycle::Monthly, Span::ZERO, None),
            _ => custom("FREQ=MONTHLY;BYMONTHDAY=31"),
        };
        let schedule = on(country(name), shift, plain);
        let nine = |text: &str| Instant(day(text).and_time(time("09:00:00")).and_utc().timestamp_micros());
        let table: Vec<Occurrence> = table
            .split(',')
            .map(|pair| pair.split_once('>').expect("a pair"))
            .map(|(nominal, due)| Occurrence { nominal_at: nine(nominal), due_at: nine(due) })
            .collect();
        let first = if name == "CN" { 2024 } else { 2026 };
        let base = Base::Local(local(&format!("{first}-01-31 09:00:00")));
        let end = utc(&format!("{}-01-31 08:00:00", first + 3));
        let mut found = schedule.due_between(base, &UTC, None, EVER, end);
        let after = utc(&format!("{}-01-01 00:00:00", first + 3));
        found.retain(|occurrence| occurrence.nominal_at < after);
        assert_eq!(found, table, "{name} {form} {shift:?}");
        for occurrence in &found {
            assert!(schedule.contains(base, &UTC, None, *occurrence));
            let next = Instant(occurrence.due_at.0 + 1);
            assert_eq!(schedule.last_before(base, &UTC, None, next, EVER), Some(*occurrence));
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn china_works_on_its_working_days_of_2026() {
    let calendar = country("CN");
    assert!(calendar.is_working(date("2026-02-14")), "a working Saturday");
    assert!((16..=20).all(|day| !calendar.is_working(NaiveDate::from_ymd_opt(2026, 2, day).expect("a date"))));
    let row = rows().find(|row| row[0] == "works").expect("a table");
    let works: Vec<NaiveDate> = row[2].split(',').map(day).collect();
    for shift in SHIFTS {
        let schedule = on(country("CN"), shift, daily());
        let base = Base::Local(local("2025-12-01 08:00:00"));
        let (from, until) = (utc("2025-12-31 16:00:00"), utc("2026-12-31 16:00:00"));
        let found = schedule.due_between(base, &SHANGHAI, None, from, until);
        let days: Vec<NaiveDate> =
            found.iter().filter_map(|o| schedule::to_local(&SHANGHAI, o.due_at)).map(|local| local.date()).collect();
        assert_eq!(days, works, "{shift:?}");
        assert!(found.iter().all(|o| o.nominal_at == o.due_at), "{shift:?}: Monday's own name, not the weekend's");
    }
}

#[test]
fn occurrences_that_land_together_are_one() {
    // Friday 20, Saturday 21, Sunday 22, Monday 23 November 2026. Every 2 days from Saturday: 21, 23; from Friday: 20, 22.
    let every_2 = |shift| on(weekdays(), shift, custom("every 2 days"));
    let monday = ("2026-11-23 09:00:00", "2026-11-23 09:00:00");
    let wednesday = ("2026-11-25 09:00:00", "2026-11-25 09:00:00");
    assert_eq!(pairs(&every_2(Shift::Following), "2026-11-21 09:00:00", None, 2), expected(&[monday, wednesday]));
    let friday = ("2026-11-20 09:00:00", "2026-11-20 09:00:00");
    let tuesday = ("2026-11-24 09:00:00", "2026-11-24 09:00:00");
    assert_eq!(pairs(&every_2(Shift::Preceding), "2026-11-20 09:00:00", None, 2), expected(&[friday, tuesday]));
    // Nobody stays where they land: the earliest gives the name.
    let weekend = on(weekdays(), Shift::Following, custom("FREQ=WEEKLY;BYDAY=SA,SU"));
    let moved =
        expected(&[("2026-11-21 09:00:00", "2026-11-23 09:00:00"), ("2026-11-28 09:00:00", "2026-11-30 09:00:00")]);
    assert_eq!(pairs(&weekend, "2026-11-21 09:00:00", None, 2), moved);
    // COUNT is of the series: three of them are two.
    let counted = on(weekdays(), Shift::Following, custom("FREQ=WEEKLY;BYDAY=SA,SU;COUNT=3"));
    assert_eq!(pairs(&counted, "2026-11-21 09:00:00", None, 9), moved);
}

#[test]
fn several_times_a_day_come_in_order() {
    let schedule = on(weekdays(), Shift::Following, custom("FREQ=DAILY;BYHOUR=9,17"));
    let found = pairs(&schedule, "2026-11-20 12:00:00", None, 4);
    let same = ["2026-11-20 17:00:00", "2026-11-23 09:00:00", "2026-11-23 17:00:00", "2026-11-24 09:00:00"];
    assert_eq!(found, expected(&same.map(|at| (at, at))));
    let hourly = on(weekdays(), Shift::Following, Schedule::new(Cycle::Hourly, Span::ZERO, None));
    let found = pairs(&hourly, "2026-11-21 22:30:00", None, 30);
    // Monday's own 00:30 gives the name although Sunday's lands on it.
    assert_eq!(found[0], ("2026-11-23 00:30:00".to_owned(), "2026-11-23 00:30:00".to_owned()));
    assert!(found.is_sorted_by(|a, b| a.1 < b.1));
}

#[test]
fn the_end_holds_for_both_names_and_due_times() {
    let saturday = "2026-11-21 09:00:00";
    let weekly = |shift| on(weekdays(), shift, Schedule::new(Cycle::Weekly, Span::ZERO, None));
    let following = weekly(Shift::Following);
    // Saturday is before the end, Monday is not.
    assert_eq!(pairs(&following, saturday, Some("2026-11-22 09:00:00"), 5), expected(&[]));
    let monday = expected(&[(saturday, "2026-11-23 09:00:00")]);
    assert_eq!(pairs(&following, saturday, Some("2026-11-23 09:00:00"), 5), monday);
    // Friday is before the end, Saturday is not.
    let preceding = weekly(Shift::Preceding);
    assert_eq!(pairs(&preceding, saturday, Some("2026-11-20 12:00:00"), 5), expected(&[]));
    let friday = expected(&[(saturday, "2026-11-20 09:00:00")]);
    assert_eq!(pairs(&preceding, saturday, Some(saturday), 5), friday, "before the start");
    let limit = Some(utc("2026-11-22 09:00:00"));
    let base = Base::Local(local(saturday));
    assert_eq!(following.last_before(base, &UTC, limit, Instant::MAX, EVER), None);
    assert_eq!(
        preceding.last_before(base, &UTC, limit, Instant::MAX, EVER).map(|o| show(o.due_at)).as_deref(),
        Some("2026-11-20 09:00:00")
    );
}

#[test]
fn contains_compares_name_and_due_time() {
    let schedule = on(weekdays(), Shift::Following, Schedule::new(Cycle::Weekly, Span::ZERO, None));
    let base = Base::Local(local("2026-11-21 09:00:00"));
    let real = Occurrence { nominal_at: utc("2026-11-28 09:00:00"), due_at: utc("2026-11-30 09:00:00") };
    assert!(schedule.contains(base, &UTC, None, real));
    assert!(!schedule.contains(base, &UTC, None, Occurrence { nominal_at: real.due_at, ..real }));
    assert!(!schedule.contains(base, &UTC, None, Occurrence { due_at: real.nominal_at, ..real }));
}

#[test]
fn a_calendar_without_working_days_ends() {
    let never = Calendar::new([true; 7], []);
    for shift in SHIFTS {
        for plain in [
            daily(),
            Schedule::new(Cycle::None, Span::ZERO, None),
            custom("cron: 0 9 * * *"),
            custom("FREQ=DAILY;BYHOUR=1,2"),
        ] {
            let schedule = on(never.clone(), shift, plain);
            assert_eq!(pairs(&schedule, "2026-11-21 09:00:00", None, 1), []);
            let base = Base::Local(local("2026-11-21 09:00:00"));
            assert_eq!(schedule.last_before(base, &UTC, None, utc("2030-01-01 00:00:00"), EVER), None);
        }
    }
    // Sundays are never worked on, so dropping them leaves nothing.
    let sundays = on(weekdays(), Shift::Drop, Schedule::new(Cycle::Weekly, Span::ZERO, None));
    assert_eq!(pairs(&sundays, "2026-11-22 09:00:00", None, 1), []);
    assert_eq!(never.next_working(date("2026-01-01")), None);
    assert_eq!(never.previous_working(date("2026-01-01")), None);
}

#[test]
fn a_moved_time_is_resolved_where_it_lands() {
    // Sunday 8 March 2026 has no 02:30 in New York; Monday has.
    let following = on(weekdays(), Shift::Following, Schedule::new(Cycle::None, Span::ZERO, None));
    let found = following.occurrences(Base::Local(local("2026-03-08 02:30:00")), &NEW_YORK, None, EVER).next();
    let moved = Occurrence { nominal_at: utc("2026-03-08 07:30:00"), due_at: utc("2026-03-09 06:30:00") };
    assert_eq!(found, Some(moved));
    // An unmoved instant stays in the second pass, also with a calendar that works on Sundays.
    let works = on(Calendar::new([false; 7], []), Shift::Following, Schedule::new(Cycle::None, Span::ZERO, None));
    let second = utc("2026-11-01 06:30:00");
    let found = works.occurrences(Base::Instant(second), &NEW_YORK, None, EVER).next();
    assert_eq!(found, Some(Occurrence { nominal_at: second, due_at: second }));
    // Friday 30 December 2011 was skipped in Apia: what moves back to it is due on Saturday.
    let preceding = on(weekdays(), Shift::Preceding, Schedule::new(Cycle::None, Span::ZERO, None));
    let found = preceding.occurrences(Base::Local(local("2012-01-01 09:00:00")), &APIA, None, EVER).next();
    assert_eq!(found.map(|o| show(o.due_at)).as_deref(), Some("2011-12-30 19:00:00"));
}

#[test]
fn the_inverse_adds_the_days_that_roll_onto_the_window() {
    let week_before = Schedule::new(Cycle::None, Span { days: -7, ..Span::ZERO }, Some(time("09:00:00")));
    let bases = |shift, from: &str, until: &str| {
        let schedule = on(country("DE"), shift, week_before.clone());
        assert!(schedule.is_indexed());
        schedule.bases(ColumnKind::Date, &UTC, utc(from), utc(until), None)
    };
    let range = |low: &str, high: &str| {
        let midnight = |text| date(text).and_time(NaiveTime::MIN);
        BaseRange { low: Some(midnight(low)), high: midnight(high) }
    };
    // Tuesday after Easter 2026 (3 to 6 April free) takes what falls from Good Friday on.
    let tuesday = |shift| bases(shift, "2026-04-07 08:00:00", "2026-04-07 10:00:00");
    assert_eq!(tuesday(Shift::Following), [range("2026-04-10", "2026-04-14")]);
    assert_eq!(tuesday(Shift::Preceding), [range("2026-04-14", "2026-04-14")]);
    assert_eq!(tuesday(Shift::Drop), [range("2026-04-14", "2026-04-14")]);
    let thursday = bases(Shift::Preceding, "2026-04-02 08:00:00", "2026-04-02 10:00:00");
    assert_eq!(thursday, [range("2026-04-09", "2026-04-13")]);
    // Nothing is due at ten, or on a holiday.
    assert_eq!(bases(Shift::Following, "2026-04-07 10:00:00", "2026-04-07 11:00:00"), []);
    assert_eq!(bases(Shift::Following, "2026-04-05 00:00:00", "2026-04-06 00:00:00"), []);
    // Modified: Sunday 31 May goes back to Friday 29.
    let friday = bases(Shift::ModifiedFollowing, "2026-05-29 00:00:00", "2026-05-30 00:00:00");
    assert_eq!(friday, [range("2026-06-05", "2026-06-07")]);
    let yearly = on(weekdays(), Shift::Following, Schedule::new(Cycle::Yearly, Span::ZERO, None));
    let lowest = date("2024-01-01").and_time(NaiveTime::MIN);
    let monday =
        yearly.bases(ColumnKind::Date, &UTC, utc("2026-11-23 00:00:00"), utc("2026-11-24 00:00:00"), Some(lowest));
    let years = (2024..=2026).map(|year| range(&format!("{year}-11-21"), &format!("{year}-11-23")));
    assert_eq!(monday, years.collect::<Vec<_>>());
}

#[test]
fn single_days_override_the_weekend() {
    let calendar = Calendar::new(SAT_SUN, [(date("2026-02-14"), false), (date("2026-02-14"), true)]);
    assert!(calendar.is_working(date("2026-02-14")), "the later wins");
    assert!(!calendar.is_working(date("2026-02-15")));
    assert_eq!(calendar.next_working(date("2026-02-14")), Some(date("2026-02-14")));
    assert_eq!(calendar.next_working(date("2026-02-15")), Some(date("2026-02-16")));
    assert_eq!(calendar.previous_working(date("2026-02-15")), Some(date("2026-02-14")));
    let far = date("2026-02-15") + TimeDelta::days(7);
    assert_eq!(calendar.previous_working(far).map(|day| day.day()), Some(20));
}

/// What `search` gives, and its steps, about.
fn counted<T>(search: impl FnOnce() -> T) -> (T, usize) {
    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }
    schedule::set_interrupt_check(|| STEPS.set(STEPS.get() + 1024));
    let found = search();
    (found, STEPS.take())
}

/// Whoever asks for the next one waits for what is looked at together, also near a change of the clocks.
#[test]
fn a_year_of_holidays_is_gone_through_in_steps() {
    let first = day("20260101");
    let holidays = first.iter_days().take(390).map(|day| (day, false));
    let schedule = on(Calendar::new([false; 7], holidays), Shift::Following, custom("every 1 second"));
    let base = Base::Local(local("2026-01-01 00:00:00"));
    let from = utc("2026-06-01 00:00:00");
    let (next, steps) = counted(|| schedule.occurrences(base, &NEW_YORK, None, from).next().expect("an occurrence"));
    assert_eq!(show(next.due_at), "2027-01-26 05:00:00");
    assert!(steps < 200_000, "{steps} members were looked at before the first of a day to which 391 move");
}

/// COUNT is counted once, not for each of the days that move and each of their hours.
#[test]
fn count_is_counted_once_through_a_year_of_holidays() {
    let list = |numbers: std::ops::Range<i32>| numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let times = format!("BYHOUR={};BYMINUTE=0,5,10,15,20,25,30,35,40,45,50,55", list(0..24));
    let days = format!("BYYEARDAY={};BYMONTHDAY={};BYWEEKNO={}", list(-366..0), list(-31..0), list(-53..0));
    for rule in [format!("FREQ=DAILY;COUNT=1999999999;{times}"), format!("FREQ=YEARLY;COUNT=1999999999;{times};{days}")]
    {
        let holidays = day("20251105").iter_days().take(390).map(|day| (day, false));
        let schedule = on(Calendar::new([false; 7], holidays), Shift::Following, custom(&rule));
        let base = Base::Local(local("0001-01-01 00:00:00"));
        let from = utc("2026-11-30 12:00:00");
        let (count, steps) = counted(|| schedule.occurrences(base, &NEW_YORK, None, from).take(100).count());
        assert_eq!(count, 100);
        assert!(steps < 1_000_000, "{steps} steps for 100 occurrences of {}", &rule[..30]);
    }
}
