//! Properties that hold for every schedule: the forward rule against an oracle, against itself and against its inverse.

mod cases;
mod zones;

use cases::{Case, case, civil, config};
use chrono::{NaiveTime, TimeDelta};
use proptest::prelude::*;
use schedule::{Base, BaseRange, ColumnKind, Cycle, Instant, Occurrence, resolve, to_local};
use zones::{SHANGHAI, UTC, resolve_in};

const EVER: Instant = Instant(i64::MIN);
const MEMBERS: u32 = 120;

fn due(case: &Case, end: Option<Instant>) -> Vec<Occurrence> {
    case.schedule.due_between(case.base, case.zone, end, case.from, case.until)
}

fn bases(case: &Case, lowest: Option<chrono::NaiveDateTime>) -> Vec<BaseRange> {
    case.schedule.bases(case.kind(), case.zone, case.from, case.until, lowest)
}

fn holds(ranges: &[BaseRange], value: chrono::NaiveDateTime) -> bool {
    ranges.iter().any(|range| range.low.is_none_or(|low| low <= value) && value <= range.high)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn forward_agrees_with_the_oracle(case in case()) {
        let expected = case.members(MEMBERS);
        let found: Vec<Instant> = case.schedule.occurrences(case.base, case.zone, None, EVER)
            .map(|occurrence| occurrence.due_at).take(expected.len()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn occurrences_ascend_strictly(case in case()) {
        let found: Vec<_> = case.schedule.occurrences(case.base, case.zone, None, case.from).take(50).collect();
        prop_assert!(found.is_sorted_by(|a, b| a.due_at < b.due_at));
        prop_assert!(found.iter().all(|occurrence| occurrence.due_at >= case.from));
    }

    #[test]
    fn the_window_is_the_series_filtered(case in case()) {
        let until = case.until;
        let filtered: Vec<_> = case.schedule.occurrences(case.base, case.zone, None, EVER)
            .take_while(|occurrence| occurrence.due_at < until)
            .filter(|occurrence| occurrence.due_at >= case.from).collect();
        prop_assert_eq!(due(&case, None), filtered);
    }

    #[test]
    fn the_series_contains_what_it_produces_and_nothing_else(case in case()) {
        let contains = |due_at: Instant| {
            let occurrence = Occurrence { nominal_at: due_at, due_at };
            case.schedule.contains(case.base, case.zone, None, occurrence)
        };
        let found = due(&case, None);
        for occurrence in &found {
            prop_assert!(case.schedule.contains(case.base, case.zone, None, *occurrence));
            prop_assert!(!contains(Instant(occurrence.due_at.0 + 1)));
            let renamed = Occurrence { nominal_at: Instant(occurrence.due_at.0 - 1), ..*occurrence };
            prop_assert!(!case.schedule.contains(case.base, case.zone, None, renamed));
        }
        let is_due = found.first().is_some_and(|first| first.due_at == case.from);
        prop_assert_eq!(contains(case.from), is_due);
    }

    #[test]
    fn last_before_is_the_last_of_the_window(case in case()) {
        let last = case.schedule.last_before(case.base, case.zone, None, case.until, case.from);
        prop_assert_eq!(last, due(&case, None).last().copied());
    }

    #[test]
    fn the_end_is_respected(case in case(), share in 0.0..1.0_f64) {
        let width = (case.until.0 - case.from.0) as f64;
        let some_end = Instant(case.from.0 + (width * share) as i64);
        // The very instant of an occurrence is still inside.
        let ends = [some_end, due(&case, None).first().map_or(some_end, |first| first.due_at)];
        for end in ends {
            let expected: Vec<_> = due(&case, None).into_iter().filter(|found| found.due_at <= end).collect();
            prop_assert_eq!(&due(&case, Some(end)), &expected);
            let last = case.schedule.last_before(case.base, case.zone, Some(end), case.until, case.from);
            prop_assert_eq!(last, expected.last().copied());
            for occurrence in due(&case, None) {
                let inside = case.schedule.contains(case.base, case.zone, Some(end), occurrence);
                prop_assert_eq!(inside, occurrence.due_at <= end);
            }
        }
    }

    #[test]
    fn what_is_due_is_in_the_inverse(case in case(), below in prop_oneof![Just(0), 0..900_i64]) {
        let lowest = case.raw() - TimeDelta::days(below);
        let (known, unknown) = (bases(&case, Some(lowest)), bases(&case, None));
        for ranges in [&known, &unknown] {
            prop_assert!(ranges.len() <= 1_000);
            prop_assert!(ranges.iter().all(|range| range.low.is_none_or(|low| low <= range.high)));
            prop_assert!(ranges.is_sorted_by(|a, b| Some(a.high) < b.low));
            if !due(&case, None).is_empty() {
                prop_assert!(holds(ranges, case.raw()), "{} is not in {:?}", case.raw(), ranges);
            }
        }
        prop_assert!(known.iter().all(|range| range.low >= Some(lowest)));
    }

    #[test]
    fn nothing_above_the_upper_limit_is_due(case in case()) {
        let raw = case.raw().and_utc().timestamp_micros();
        let first = case.schedule.occurrences(case.base, case.zone, None, EVER).next();
        for until in [case.until, first.map_or(case.until, |first| Instant(first.due_at.0 + 1))] {
            let limit = case.schedule.upper_limit(case.kind(), case.zone, until);
            if limit.is_some_and(|limit| raw > limit) {
                prop_assert_eq!(case.schedule.due_between(case.base, case.zone, None, EVER, until), []);
            }
            let ranges = case.schedule.bases(case.kind(), case.zone, EVER, until, None);
            let high = ranges.last().map(|range| range.high.and_utc().timestamp_micros());
            prop_assert!(high.is_none_or(|high| limit.is_none_or(|limit| high <= limit)));
        }
    }

    /// Where clocks do not change (80 years on, Shanghai's list is over), both ends of every range are due. Days are exact; times of day too, as long as no
    /// month is added: where several days clamp to one, a range holds whole days.
    #[test]
    fn the_inverse_is_tight(case in case(), pick in any::<prop::sample::Index>(), is_date in any::<bool>()) {
        let mut schedule = case.schedule;
        if matches!(schedule.cycle, Cycle::Hourly | Cycle::Daily) {
            schedule.cycle = Cycle::Yearly;
        }
        let adds_months = schedule.offset.months != 0 || matches!(schedule.cycle, Cycle::Monthly | Cycle::Yearly);
        let day = civil(case.from.0).date().and_time(NaiveTime::MIN) + TimeDelta::days(80 * 366);
        let zone = if is_date { &SHANGHAI } else { &UTC };
        let (mut from, mut until) = (resolve_in(zone, day), resolve_in(zone, day + TimeDelta::days(1)));
        if is_date || adds_months {
            schedule.offset.micros = 0;
        } else {
            until = Instant(from.0 + case.until.0 - case.from.0 + 1_234_567);
            from = Instant(from.0 + 1_234_567);
        }
        let kind = if is_date { ColumnKind::Date } else { ColumnKind::Local };
        let lowest = day - TimeDelta::days(3_000);
        let ranges = schedule.bases(kind, zone, from, until, Some(lowest));
        if !ranges.is_empty() {
            let range = ranges[pick.index(ranges.len())];
            for value in [range.low.filter(|low| *low != lowest), Some(range.high)].into_iter().flatten() {
                let base = if is_date { Base::Date(value.date()) } else { Base::Local(value) };
                let found = schedule.due_between(base, zone, None, from, until);
                prop_assert!(!found.is_empty(), "{} is not due in {:?}", value, ranges);
            }
        }
    }

    #[test]
    fn a_resolved_time_is_shown_first_or_skipped(case in case()) {
        let local = to_local(case.zone, case.from).expect("in range");
        let at = resolve(case.zone, local).expect("in range");
        prop_assert!(at <= case.from, "the first of two");
        prop_assert_eq!(to_local(case.zone, at), Some(local));
        for minutes in [30, 60, 24 * 60] {
            let earlier = Instant(at.0 - minutes * 60_000_000);
            prop_assert_ne!(to_local(case.zone, earlier), Some(local));
        }
    }
}
