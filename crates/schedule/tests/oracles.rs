//! Tables made by others: RFC 5545's own examples, python-dateutil, croniter (tools/oracles).

mod zones;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use schedule::{Base, Cycle, Instant, Rule, Schedule, Span};
use zones::{NEW_YORK_1996, UTC, time};

const EVER: Instant = Instant(i64::MIN);
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

fn custom(rule: &str) -> Schedule {
    let rule = Rule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, Span::ZERO, None) }
}

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('|').collect())
}

fn stamp(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").expect("a time")
}

fn stamps(text: &str) -> Vec<Instant> {
    text.split(',').filter(|text| !text.is_empty()).map(|text| at(stamp(text))).collect()
}

fn at(utc: NaiveDateTime) -> Instant {
    Instant(utc.and_utc().timestamp_micros())
}

/// The instants of a row of rfc5545.txt, and whether there are more.
fn listed(first_year: i32, text: &str) -> (Vec<Instant>, bool) {
    let (mut year, mut month, mut behind) = (first_year, 1, 0);
    let mut found = Vec::new();
    for word in text.split(' ') {
        match word {
            "EDT" => behind = 4,
            "EST" => behind = 5,
            "..." => return (found, true),
            _ if word.len() == 4 && word.parse::<i32>().is_ok() => year = word.parse().expect("a year"),
            _ if MONTHS.contains(word) && word.len() == 3 => {
                month = u32::try_from(MONTHS.find(word).expect("a month") / 3 + 1).expect("a month");
            }
            _ => {
                let (days, times) = word.split_once('@').unwrap_or((word, "09:00"));
                let days: Vec<u32> = match days.split_once('-') {
                    Some((low, high)) => (low.parse().expect("a day")..=high.parse().expect("a day")).collect(),
                    None => days.split(',').map(|day| day.parse().expect("a day")).collect(),
                };
                for day in days {
                    let day = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
                    for clock in times.split(',') {
                        let local = day.and_time(time(&format!("{clock}:00")));
                        found.push(Instant(at(local).0 + behind * 3_600_000_000));
                    }
                }
            }
        }
    }
    (found, false)
}

#[test]
fn rfc_5545_examples() {
    let mut seen = 0;
    for row in rows(include_str!("data/rfc5545.txt")) {
        let [start, rule, expected] = row[..] else { panic!("{row:?}") };
        let start = stamp(&format!("{start}T090000"));
        let (expected, has_more) = listed(start.year(), expected);
        let schedule = custom(rule);
        let limit = expected.len() + 1;
        for base in [Base::Local(start), Base::Instant(schedule::resolve(&NEW_YORK_1996, start).expect("in range"))] {
            let mut found: Vec<Instant> =
                schedule.occurrences(base, &NEW_YORK_1996, None, EVER).take(limit).map(|o| o.due_at).collect();
            assert_eq!(found.len() == limit, has_more, "{rule}");
            found.truncate(expected.len());
            assert_eq!(found, expected, "{rule}");
        }
        seen += 1;
    }
    assert_eq!(seen, 41);
}

#[test]
fn a_thousand_rules_of_dateutil() {
    let mut seen = 0;
    for row in rows(include_str!("data/dateutil.txt")) {
        let [start, rule, limit, first, since, later] = row[..] else { panic!("{row:?}") };
        let (schedule, base, limit) = (custom(rule), Base::Local(stamp(start)), at(stamp(limit)));
        let due = |from: Instant, count: usize| -> Vec<Instant> {
            let due = schedule.occurrences(base, &UTC, None, from).map(|o| o.due_at);
            due.take_while(|due| *due <= limit).take(count).collect()
        };
        assert_eq!(due(EVER, 10), stamps(first), "{start} {rule}");
        if !since.is_empty() {
            let later = stamps(later);
            let since = at(stamp(since));
            assert_eq!(due(since, later.len()), later, "{start} {rule} from {since:?}");
            let last = later.last().copied().unwrap_or(since);
            let before = schedule.last_before(base, &UTC, None, last, EVER).map(|o| o.due_at);
            let expected = due(Instant(last.0 - 86_400_000_000 * 366), 100_000).into_iter().rfind(|due| *due < last);
            assert!(expected.is_none() || before == expected, "{start} {rule} before {last:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 1_000);
}

#[test]
fn cron_expressions_of_croniter() {
    for row in rows(include_str!("data/cron.txt")) {
        let [expression, start, expected] = row[..] else { panic!("{row:?}") };
        let schedule = custom(&format!("cron: {expression}"));
        let start = stamp(start);
        let early = start.date().and_time(NaiveTime::MIN) - chrono::TimeDelta::days(9_000);
        let expected = stamps(expected);
        for (base, from) in [(start, EVER), (early, at(start))] {
            let due = schedule.occurrences(Base::Local(base), &UTC, None, from).map(|o| o.due_at);
            assert_eq!(due.take(expected.len()).collect::<Vec<_>>(), expected, "{expression} from {start}");
        }
        for pair in expected.windows(2) {
            let last = schedule.last_before(Base::Local(early), &UTC, None, pair[1], EVER).map(|o| o.due_at);
            assert_eq!(last, Some(pair[0]), "{expression} before {:?}", pair[1]);
        }
    }
}
