//! Random rules and calendars for the property tests of `custom`, and windows around their occurrences.

use std::env;
use std::rc::Rc;

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use schedule::{Base, Calendar, ColumnKind, Cycle, Holidays, Instant, Rule, Schedule, Shift, Span, to_local};

use crate::zones::{APIA, LORD_HOWE, Listed, NEW_YORK, SHANGHAI, ST_JOHNS, UTC};

pub const EVER: Instant = Instant(i64::MIN);
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// 10,000 cases, or PROPTEST_CASES. Seeds of failures are kept, and committed.
pub fn config() -> ProptestConfig {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    let kept = FileFailurePersistence::Direct("proptest-regressions/rule_properties.txt");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

/// A random rule or cycle, on a base, perhaps with a calendar; and a window around one of the first occurrences.
#[derive(Clone, Debug)]
pub struct Case {
    pub zone: &'static Listed,
    pub schedule: Schedule,
    pub base: Base,
    pub from: Instant,
    pub until: Instant,
}

impl Case {
    pub fn kind(&self) -> ColumnKind {
        match self.base {
            Base::Date(_) => ColumnKind::Date,
            Base::Local(_) => ColumnKind::Local,
            Base::Instant(_) => ColumnKind::Instant,
        }
    }

    /// The column's value in the form of the inverse.
    pub fn raw(&self) -> NaiveDateTime {
        match self.base {
            Base::Date(date) => date.and_time(NaiveTime::MIN),
            Base::Local(local) => local,
            Base::Instant(at) => civil(at.0),
        }
    }
}

fn civil(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).expect("in range").naive_utc()
}

/// `share` of the cases have a calendar.
pub fn case(share: f64) -> impl Strategy<Value = Case> {
    let zone = select(vec![&UTC, &UTC, &NEW_YORK, &SHANGHAI, &LORD_HOWE, &APIA, &ST_JOHNS]);
    let anchor = (any::<prop::sample::Index>(), delta(), 0..3_u8);
    let window = (0..8_usize, prop_oneof![Just(0), Just(1), -HOUR..50 * HOUR], prop_oneof![Just(1), 1..60 * HOUR]);
    let moves = (offset(), prop_oneof![3 => Just(None), 1 => (0..96_u32).prop_map(Some)]);
    (zone, rule(), moves, prop::option::weighted(share, calendar()), anchor, window).prop_map(build)
}

type Parts = (
    &'static Listed,
    (Cycle, Option<String>),
    (Span, Option<u32>),
    Option<(Shift, [bool; 7], Vec<(i64, bool)>)>,
    (prop::sample::Index, i64, u8),
    (usize, i64, i64),
);

fn build((zone, rule, moves, calendar, (pick, delta, form), (k, before, width)): Parts) -> Case {
    let anchor = match zone.changes {
        [] => 1_582_934_400 + (pick.index(40_000) as i64) * 7_211,
        changes => changes[pick.index(changes.len())].0,
    };
    let at = Instant(anchor * SECOND + delta);
    let local = to_local(zone, at).expect("in range");
    let base = match form {
        0 => Base::Date(local.date()),
        1 => Base::Local(local),
        _ => Base::Instant(at),
    };
    let time = moves.1.and_then(|quarter| NaiveTime::from_num_seconds_from_midnight_opt(quarter * 900, 0));
    let mut schedule = Schedule::new(rule.0, moves.0, time);
    schedule.rule = rule.1.map(|text| Rule::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")));
    schedule.holidays = calendar.map(|(shift, weekend, days)| {
        let days = days.into_iter().map(|(day, works)| (local.date() + TimeDelta::days(day), works));
        Holidays { shift, calendar: Rc::new(Calendar::new(weekend, days)) }
    });
    // Rules that never come cost 400 years of search each time; tables have them.
    if schedule.rule.as_ref().is_some_and(|rule| rule.check(base, zone).is_err()) {
        schedule.rule = None;
        schedule.cycle = Cycle::Daily;
    }
    let near = schedule.occurrences(base, zone, None, EVER).take(k + 1).last().map_or(at, |found| found.due_at);
    let from = Instant(near.0 - before);
    Case { zone, schedule, base, from, until: Instant(from.0 + width) }
}

fn delta() -> impl Strategy<Value = i64> {
    prop_oneof![
        (-200..200_i64).prop_map(|n| n * HOUR / 8),
        (-90..90_i64, -16..16_i64).prop_map(|(days, n)| days * 24 * HOUR + n * HOUR / 4),
        (-13_000 * HOUR..13_000 * HOUR).prop_map(|micros| micros / SECOND * SECOND),
    ]
}

fn offset() -> impl Strategy<Value = Span> {
    let months = prop_oneof![4 => Just(0), 1 => -3..=3];
    let days = prop_oneof![3 => Just(0), 1 => -10..=10];
    let micros = prop_oneof![4 => Just(0), 1 => (-100..=100_i64).prop_map(|n| n * HOUR / 4)];
    (months, days, micros).prop_map(|(months, days, micros)| Span { months, days, micros })
}

/// Rules that come more often than every ten minutes, with a calendar. Where clocks change only those whose local times
/// are what a clock shows.
pub fn dense_case() -> impl Strategy<Value = Case> {
    let by_clock = select(vec![
        "every 299 seconds",
        "every 197 seconds",
        "every 4 minutes",
        "FREQ=MINUTELY;INTERVAL=3;COUNT=3000",
        "FREQ=SECONDLY;INTERVAL=250",
        "cron: */3 * * * *",
        "cron: 0 * * * * 6,0",
        "cron: */7 */5 * * *",
    ]);
    let by_rule = select(vec![
        "FREQ=DAILY;BYHOUR=0,1,2,9,10,23;BYMINUTE=0,1,2,3,4,5,6,7,8,9;BYSECOND=0,10,20,30,40,50",
        "FREQ=WEEKLY;BYDAY=SA,SU,TU;BYHOUR=0,12,23;BYMINUTE=0,30,59;BYSECOND=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35",
        "FREQ=DAILY;INTERVAL=3;BYHOUR=9;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19;BYSECOND=0,4,8,12,16,20,24,28,32,36,40,44,48,52,56;COUNT=2500",
        "cron: * 0,9-18 * * *",
        "cron: * 8-20 1,2,3,14,15 * *",
    ]);
    let zone = select(vec![&UTC, &NEW_YORK, &LORD_HOWE, &APIA, &ST_JOHNS]);
    let rule = prop_oneof![(zone, by_clock), (Just(&UTC), by_rule)];
    let anchor = (any::<prop::sample::Index>(), delta(), 0..3_u8);
    let window = (0..3_usize, prop_oneof![Just(0), Just(1), -HOUR..50 * HOUR], prop_oneof![Just(1), 1..30 * HOUR]);
    let parts = (rule, calendar(), anchor, window);
    parts.prop_map(|((zone, rule), calendar, anchor, window)| {
        let custom = (Cycle::Custom, Some(rule.to_owned()));
        build((zone, custom, (Span::ZERO, None), Some(calendar), anchor, window))
    })
}

fn calendar() -> impl Strategy<Value = (Shift, [bool; 7], Vec<(i64, bool)>)> {
    let shift = select(vec![Shift::Following, Shift::Preceding, Shift::ModifiedFollowing, Shift::Drop]);
    let week = |free: &[usize]| {
        let mut week = [false; 7];
        free.iter().for_each(|day| week[*day] = true);
        week
    };
    let weekend = select(vec![week(&[5, 6]), week(&[4, 5]), week(&[6]), week(&[]), week(&[1, 2, 3, 5, 6])]);
    let days = vec((-20..60_i64, prop::bool::weighted(0.3)), 0..25);
    (shift, weekend, days)
}

fn rule() -> impl Strategy<Value = (Cycle, Option<String>)> {
    let cycles = vec![Cycle::None, Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly];
    let custom = |text| (Cycle::Custom, Some(text));
    prop_oneof![
        1 => select(cycles).prop_map(|cycle| (cycle, None)),
        2 => every().prop_map(custom),
        4 => recurrence().prop_map(custom),
        2 => cron().prop_map(custom),
    ]
}

fn every() -> impl Strategy<Value = String> {
    let unit = select(vec!["0 minutes", " hours", " days", " days", " weeks", " months", " years", " months 3 days"]);
    (1..40_u32, unit).prop_map(|(n, unit)| format!("every {n}{unit}"))
}

/// Numbers from `low` to `high` without 0, as a part, in about one of `rarity` rules.
fn part(name: &'static str, low: i32, high: i32, rarity: u32) -> impl Strategy<Value = String> {
    let values = btree_set((low..=high).prop_filter("zero", move |n| *n != 0 || low == 0), 1..4);
    let text = values.prop_map(move |values| {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        format!(";{name}={}", values.join(","))
    });
    prop_oneof![rarity - 1 => Just(String::new()), 1 => text]
}

fn weekdays(is_numbered: bool) -> impl Strategy<Value = String> {
    let day = select(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"]);
    let number = prop_oneof![2 => Just(String::new()), 1 => (1..=5_i32).prop_map(|n| n.to_string()), 1 => (-5..=-1_i32).prop_map(|n| n.to_string())];
    let days = vec((number, day), 1..4).prop_map(move |days| {
        let one = |(number, day): (String, &str)| if is_numbered { format!("{number}{day}") } else { day.to_owned() };
        format!(";BYDAY={}", days.into_iter().map(one).collect::<Vec<_>>().join(","))
    });
    prop_oneof![1 => Just(String::new()), 1 => days]
}

fn recurrence() -> impl Strategy<Value = String> {
    let interval = prop_oneof![1 => Just(1), 1 => 1..8_u32].prop_map(|n| format!(";INTERVAL={n}"));
    let end = prop_oneof![
        3 => Just(String::new()),
        1 => (1..12_u32).prop_map(|n| format!(";COUNT={n}")),
        1 => (2010..2031, 1..=12, 1..=28).prop_map(|(y, m, d)| format!(";UNTIL={y}{m:02}{d:02}T120000Z")),
    ];
    let times = (part("BYHOUR", 0, 23, 3), part("BYMINUTE", 0, 59, 6)).prop_map(|(hours, minutes)| hours + &minutes);
    let yearly =
        (part("BYMONTH", 1, 12, 2), part("BYMONTHDAY", -31, 31, 3), part("BYYEARDAY", -366, 366, 8), weekdays(true))
            .prop_map(|(a, b, c, d)| format!("FREQ=YEARLY{a}{b}{c}{d}"));
    let monthly =
        (part("BYMONTH", 1, 12, 5), part("BYMONTHDAY", -31, 31, 2), weekdays(true), part("BYSETPOS", -3, 3, 5))
            .prop_map(|(a, b, c, d)| {
                let d = if b.is_empty() && c.is_empty() { String::new() } else { d };
                format!("FREQ=MONTHLY{a}{b}{c}{d}")
            });
    let weekly = (part("BYMONTH", 1, 12, 6), weekdays(false)).prop_map(|(a, b)| format!("FREQ=WEEKLY{a}{b}"));
    let daily = (part("BYMONTH", 1, 12, 6), part("BYMONTHDAY", -31, 31, 5), weekdays(false))
        .prop_map(|(a, b, c)| format!("FREQ=DAILY{a}{b}{c}"));
    let elapsed = select(vec!["FREQ=HOURLY", "FREQ=MINUTELY;INTERVAL=90", "FREQ=SECONDLY;INTERVAL=4000"]);
    let civil = (prop_oneof![yearly, monthly, weekly, daily], interval, times, end.clone())
        .prop_map(|(freq, interval, times, end)| freq + &interval + &times + &end);
    prop_oneof![8 => civil, 1 => (elapsed, end).prop_map(|(freq, end)| freq.to_owned() + &end)]
}

fn cron() -> impl Strategy<Value = String> {
    let minute = prop_oneof![(0..60_u32).prop_map(|n| n.to_string()), Just("*/20".to_owned()), Just("0,30".to_owned())];
    let hour = prop_oneof![
        (0..24_u32).prop_map(|n| n.to_string()),
        Just("*".to_owned()),
        Just("*/3".to_owned()),
        Just("0-4".to_owned()),
        Just("0,1,2,3,23".to_owned()),
    ];
    let day = select(vec!["* * *", "* * 1-5", "L * *", "15W * *", "* * 5#2", "1,31 * *", "* */2 0"]);
    (minute, hour, day).prop_map(|(minute, hour, day)| format!("cron: {minute} {hour} {day}"))
}
