//! The data as a whole, and samples of it.

use holidays::{Day, Kind, NaiveDate, Unknown, countries, days, find, first_year, last_year};

fn on(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn of(country: &str, subdivision: Option<&str>, year: i32) -> Vec<Day> {
    days(&find(country, subdivision).unwrap(), year, year)
}

fn name(country: &str, subdivision: Option<&str>, on: NaiveDate) -> Option<String> {
    of(country, subdivision, chrono::Datelike::year(&on)).into_iter().find(|day| day.on == on).map(|day| day.name)
}

#[test]
fn every_place_can_be_read() {
    assert_eq!((first_year(), last_year()), (2020, 2035));
    let (mut places, mut total) = (0, 0);
    let countries = countries();
    assert!(countries.is_sorted_by_key(|country| country.code));
    for country in &countries {
        let parts = country.subdivisions.iter().map(|part| (Some(part.code), part.known_until));
        for (part, known_until) in std::iter::once((None, country.known_until)).chain(parts) {
            let place = find(country.code, part).unwrap();
            assert_eq!((place.country, place.subdivision, place.known_until), (country.code, part, known_until));
            assert!((1..=3).contains(&place.weekend.len()), "{place:?}");
            let days = days(&place, 0, 9999);
            assert!(days.is_sorted_by_key(|day| day.on));
            assert!(days.iter().all(|day| (2020..=known_until).contains(&chrono::Datelike::year(&day.on))));
            assert!(days.iter().all(|day| !day.name.is_empty()));
            places += 1;
            total += days.len();
        }
    }
    assert_eq!((countries.len(), places), (250, 901));
    assert!(total > 100_000, "{total}");
}

#[test]
fn subdivisions_differ_from_their_country() {
    let assumption = on(2026, 8, 15);
    assert_eq!(name("DE", None, assumption), None);
    assert_eq!(name("DE", Some("BY"), on(2026, 1, 6)).as_deref(), Some("Epiphany"));
    assert_eq!(name("DE", Some("BE"), on(2026, 1, 6)), None);
    assert_eq!(name("DE", Some("DE-be"), on(2026, 3, 8)).as_deref(), Some("Women's Day"));
    assert_eq!(name("DE", Some("BY"), on(2026, 10, 3)).as_deref(), Some("German Unity Day"));
    assert_eq!(name("US", Some("CA"), on(2026, 3, 31)).as_deref(), Some("Cesar Chavez Day"));
    // California does not keep Columbus Day.
    assert!(name("US", None, on(2026, 10, 12)).is_some());
    assert_eq!(name("US", Some("CA"), on(2026, 10, 12)), None);
    assert_eq!(find("MY", None).unwrap().weekend, [6, 7]);
    assert_eq!(find("MY", Some("03")).unwrap().weekend, [5, 6]);
}

#[test]
fn observed_estimated_and_made_up_days() {
    assert_eq!(name("US", None, on(2026, 7, 3)).as_deref(), Some("Independence Day (observed)"));
    let saudi = of("SA", None, 2030);
    assert!(saudi.iter().any(|day| day.name.contains("Eid al-Fitr") && day.name.contains("(estimated)")), "{saudi:?}");
    let work = |country, year| -> Vec<NaiveDate> {
        of(country, None, year).into_iter().filter(|day| day.kind == Kind::Workday).map(|day| day.on).collect()
    };
    assert_eq!(work("HU", 2026), [on(2026, 1, 10), on(2026, 8, 8)]);
    assert_eq!(work("TW", 2025), [on(2025, 2, 8)]);
    assert!(work("TW", 2026).is_empty());
    assert!(work("DE", 2026).is_empty());
}

#[test]
fn what_is_not_known_is_not_there() {
    assert_eq!(find("CN", None).unwrap().known_until, 2026);
    assert!(of("CN", None, 2027).is_empty());
    assert!(of("DE", None, 2019).is_empty());
    assert!(!of("DE", None, 2035).is_empty());
    assert!(of("DE", None, 2036).is_empty());
}

#[test]
fn unknown_places_have_suggestions() {
    let pair = |code: &str, name: &str| (code.to_string(), name.to_string());
    assert_eq!(find("China", None).unwrap_err(), Unknown::Country(vec![pair("CN", "China")]));
    assert_eq!(find("chn", None).unwrap_err(), Unknown::Country(vec![pair("CN", "China")]));
    let Unknown::Country(near) = find("Germny", None).unwrap_err() else { panic!() };
    assert_eq!(near[0], pair("DE", "Germany"));
    assert_eq!(find("XX", None).unwrap_err(), Unknown::Country(vec![]));
    assert_eq!(find("", None).unwrap_err(), Unknown::Country(vec![]));
    assert_eq!(find("CN", Some("BJ")).unwrap_err(), Unknown::Undivided);
    assert_eq!(find("DE", Some("Bayern")).unwrap_err(), Unknown::Subdivision(vec![pair("BY", "Bayern")]));
    assert_eq!(find("DE", Some("DÉ-BY")).unwrap_err(), Unknown::Subdivision(vec![]));
    assert_eq!(find("de", Some("by")).unwrap().subdivision, Some("BY"));
}
