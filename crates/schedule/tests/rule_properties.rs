//! Properties of rules and calendars: the forward rule against itself, against moves worked out one by one, and against
//! its inverse.

mod rule_cases;
mod zones;

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
use proptest::prelude::*;
use rule_cases::{Case, EVER, case, config, dense_case};
use schedule::{BaseRange, Cycle, Instant, Occurrence, Schedule, Shift, resolve, to_local};

fn due(case: &Case, end: Option<Instant>) -> Vec<Occurrence> {
    case.schedule.due_between(case.base, case.zone, end, case.from, case.until)
}

fn holds(ranges: &[BaseRange], value: NaiveDateTime) -> bool {
    ranges.iter().any(|range| range.low.is_none_or(|low| low <= value) && value <= range.high)
}

/// The occurrences of a schedule with holidays that are due before `until`, each member moved by itself; days off in a row
/// are fewer than `reach`. Only for schedules whose members' local times are what a clock shows.
fn moved_one_by_one(case: &Case, reach: i64) -> Vec<Occurrence> {
    let holidays = case.schedule.holidays.as_ref().expect("a calendar");
    let plain = Schedule { holidays: None, ..case.schedule.clone() };
    let last = Instant(case.until.0 + reach * 86_400_000_000);
    let mut found: BTreeMap<Instant, Vec<Instant>> = BTreeMap::new();
    for Occurrence { nominal_at, .. } in plain.due_between(case.base, case.zone, None, EVER, last) {
        let local = to_local(case.zone, nominal_at).expect("in range");
        let works = |days: i64| holidays.calendar.is_working(local.date() + TimeDelta::days(days));
        let next = (0..500).find(|days| works(*days));
        let back = (0..500).find(|days| works(-*days)).map(|days| -days);
        let same_month =
            |days: &i64| (local + TimeDelta::days(*days)).date().to_string()[..7] == local.date().to_string()[..7];
        let days = match holidays.shift {
            Shift::Following => next,
            Shift::Preceding => back,
            Shift::ModifiedFollowing => next.filter(same_month).or(back),
            Shift::Drop => Some(0).filter(|_| works(0)),
        };
        let due = match days {
            None => continue,
            Some(0) => nominal_at,
            Some(days) => resolve(case.zone, local + TimeDelta::days(days)).expect("in range"),
        };
        found.entry(due).or_default().push(nominal_at);
    }
    let name = |due: Instant, names: Vec<Instant>| {
        let least = names.iter().min().copied().expect("a name");
        if names.contains(&due) { due } else { least }
    };
    let all = found.into_iter().map(|(due, names)| Occurrence { nominal_at: name(due, names), due_at: due });
    all.filter(|o| o.due_at >= case.from && o.due_at < case.until).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn occurrences_ascend_strictly(case in case(0.6)) {
        let found: Vec<_> = case.schedule.occurrences(case.base, case.zone, None, case.from).take(20).collect();
        prop_assert!(found.is_sorted_by(|a, b| a.due_at < b.due_at), "{:?}", found);
        prop_assert!(found.iter().all(|occurrence| occurrence.due_at >= case.from));
        if case.schedule.holidays.is_none() {
            prop_assert!(found.iter().all(|occurrence| occurrence.due_at == occurrence.nominal_at));
        }
    }

    #[test]
    fn the_window_is_the_series_filtered(case in case(0.5)) {
        let until = case.until;
        let all = case.schedule.occurrences(case.base, case.zone, None, EVER);
        let filtered: Vec<_> = all.take_while(|occurrence| occurrence.due_at < until)
            .filter(|occurrence| occurrence.due_at >= case.from).collect();
        prop_assert_eq!(due(&case, None), filtered);
    }

    #[test]
    fn the_series_contains_what_it_produces_and_nothing_else(case in case(0.5)) {
        for occurrence in due(&case, None).into_iter().take(5) {
            let contains = |o| case.schedule.contains(case.base, case.zone, None, o);
            prop_assert!(contains(occurrence));
            let renamed = Occurrence { nominal_at: Instant(occurrence.nominal_at.0 - 1), ..occurrence };
            let late = Occurrence { due_at: Instant(occurrence.due_at.0 + 1), ..occurrence };
            prop_assert!(!contains(renamed) && !contains(late));
        }
    }

    #[test]
    fn last_before_is_the_last_of_the_window(case in case(0.5)) {
        let found = due(&case, None);
        let last = case.schedule.last_before(case.base, case.zone, None, case.until, case.from);
        prop_assert_eq!(last, found.last().copied());
        let ever = case.schedule.last_before(case.base, case.zone, None, case.until, EVER);
        let all = case.schedule.due_between(case.base, case.zone, None, EVER, case.until);
        prop_assert_eq!(ever, all.last().copied());
    }

    #[test]
    fn the_end_is_respected(case in case(0.5), share in 0.0..1.0_f64) {
        let width = (case.until.0 - case.from.0) as f64;
        let some_end = Instant(case.from.0 + (width * share) as i64);
        let ends = [some_end, due(&case, None).first().map_or(some_end, |first| first.due_at)];
        for end in ends {
            let inside = |o: &Occurrence| o.due_at <= end && o.nominal_at <= end;
            let expected: Vec<_> = due(&case, None).into_iter().filter(inside).collect();
            prop_assert_eq!(&due(&case, Some(end)), &expected);
            let last = case.schedule.last_before(case.base, case.zone, Some(end), case.until, case.from);
            prop_assert_eq!(last, expected.last().copied());
        }
    }

    #[test]
    fn each_member_moves_by_itself_and_collapses(case in case(0.99)) {
        // A local time in a gap is another on the clock, so those cases are for the tables.
        prop_assume!(case.schedule.holidays.is_some());
        let calm = Case { zone: &zones::UTC, ..case };
        prop_assert_eq!(due(&calm, None), moved_one_by_one(&calm, 90));
    }

    #[test]
    fn what_is_due_falls_on_a_working_day(case in case(0.99)) {
        prop_assume!(case.schedule.holidays.is_some());
        let calm = Case { zone: &zones::UTC, ..case };
        let calendar = calm.schedule.holidays.as_ref().expect("a calendar").calendar.clone();
        for occurrence in due(&calm, None) {
            let local = to_local(calm.zone, occurrence.due_at).expect("in range");
            prop_assert!(calendar.is_working(local.date()));
        }
    }

    #[test]
    fn what_is_due_is_in_the_inverse(case in case(0.5), below in prop_oneof![Just(0), 0..900_i64]) {
        let lowest = case.raw() - TimeDelta::days(below);
        let bases = |lowest| case.schedule.bases(case.kind(), case.zone, case.from, case.until, lowest);
        let (known, unknown) = (bases(Some(lowest)), bases(None));
        let found = due(&case, None);
        for ranges in [&known, &unknown] {
            prop_assert!(ranges.len() <= 1_000);
            prop_assert!(ranges.iter().all(|range| range.low.is_none_or(|low| low <= range.high)));
            prop_assert!(ranges.is_sorted_by(|a, b| Some(a.high) < b.low), "{:?}", ranges);
            prop_assert!(found.is_empty() || holds(ranges, case.raw()), "{} is not in {:?}", case.raw(), ranges);
        }
        prop_assert!(known.iter().all(|range| range.low >= Some(lowest)));
    }

    #[test]
    fn nothing_above_the_upper_limit_is_due(case in case(0.5)) {
        let raw = case.raw().and_utc().timestamp_micros();
        let first = case.schedule.occurrences(case.base, case.zone, None, EVER).next();
        for until in [case.until, first.map_or(case.until, |first| Instant(first.due_at.0 + 1))] {
            let limit = case.schedule.upper_limit(case.kind(), case.zone, until);
            if limit.is_some_and(|limit| raw > limit) {
                prop_assert_eq!(case.schedule.due_between(case.base, case.zone, None, EVER, until), []);
            }
        }
    }

    /// Minute by minute: a cron expression with hours `*` or stepped is due whenever the clock shows what it says.
    #[test]
    fn cron_is_due_at_every_instant_that_matches(
        case in case(0.01), minutes in prop::collection::btree_set(0..60_u32, 1..5), step in 1..5_u32,
    ) {
        let minute: Vec<String> = minutes.iter().map(ToString::to_string).collect();
        let hour = if step == 1 { "*".to_owned() } else { format!("*/{step}") };
        let rule = schedule::Rule::parse(&format!("cron: {} {hour} * * *", minute.join(","))).expect("a rule");
        let schedule = Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, schedule::Span::ZERO, None) };
        let start = case.from.0.div_euclid(60_000_000) * 60_000_000;
        let base = schedule::Base::Instant(Instant(start));
        let all = (0..30 * 60).map(|minute| Instant(start + minute * 60_000_000));
        let shows = |at: &Instant| {
            let local = to_local(case.zone, *at).expect("in range").time();
            let (hour, minute) = (chrono::Timelike::hour(&local), chrono::Timelike::minute(&local));
            minutes.contains(&minute) && hour % step == 0
        };
        let expected: Vec<Instant> = all.filter(shows).collect();
        let until = Instant(start + 30 * 60 * 60_000_000);
        let found = schedule.due_between(base, case.zone, None, EVER, until);
        prop_assert_eq!(found.iter().map(|o| o.due_at).collect::<Vec<_>>(), expected);
    }
}

proptest! {
    // Each case counts tens of thousands of members one by one.
    #![proptest_config(proptest::test_runner::Config { cases: config().cases.div_ceil(200), ..config() })]

    #[test]
    fn what_comes_every_few_seconds_moves_like_anything_else(case in dense_case()) {
        prop_assert_eq!(due(&case, None), moved_one_by_one(&case, 40));
        let all = case.schedule.due_between(case.base, case.zone, None, case.from, case.until);
        let last = case.schedule.last_before(case.base, case.zone, None, case.until, case.from);
        prop_assert_eq!(last, all.last().copied());
    }
}
