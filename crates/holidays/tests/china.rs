//! China day by day against another package's data (holidays/china-working-days.txt).

use holidays::{Kind, NaiveDate, days, find};
use std::collections::HashMap;

#[test]
fn every_day_agrees_with_chinesecalendar() {
    let place = find("CN", None).unwrap();
    assert_eq!(place.weekend, [6, 7]);
    let kinds: HashMap<NaiveDate, Kind> = days(&place, 2020, 2035).iter().map(|day| (day.on, day.kind)).collect();
    let mut years = 0;
    for line in include_str!("../../../holidays/china-working-days.txt").lines().filter(|line| !line.starts_with('#')) {
        let (year, expected) = line.split_once(' ').unwrap();
        let first = NaiveDate::from_ymd_opt(year.parse().unwrap(), 1, 1).unwrap();
        for (on, expected) in first.iter_days().zip(expected.chars()) {
            let works = match kinds.get(&on) {
                Some(kind) => *kind == Kind::Workday,
                None => chrono::Datelike::weekday(&on).number_from_monday() < 6,
            };
            assert_eq!(works, expected == '1', "{on}");
        }
        years += 1;
    }
    assert_eq!(years, 7);
}

#[test]
fn spring_festival_of_2026() {
    let days = days(&find("CN", None).unwrap(), 2026, 2026);
    let kind = |day| days.iter().find(|d| d.on == NaiveDate::from_ymd_opt(2026, 2, day).unwrap()).map(|d| d.kind);
    assert_eq!(kind(14), Some(Kind::Workday));
    assert_eq!(kind(13), None);
    for day in 16..=20 {
        assert_eq!(kind(day), Some(Kind::Holiday), "{day} February");
    }
}
