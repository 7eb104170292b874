//! Random schedules, bases and windows for the property tests, gathered where it is difficult: around clock changes and
//! month ends. Beside them the oracle, a member worked out the slow way and independent of the crate's search.

use std::env;

use chrono::{DateTime, Days, Months, NaiveDateTime, NaiveTime, TimeDelta};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use schedule::{Base, ColumnKind, Cycle, Instant, Schedule, Span, Zone, to_local};

use crate::zones::{APIA, LORD_HOWE, Listed, NEW_YORK, SHANGHAI, ST_JOHNS, TORONTO, UTC};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// 10,000 cases, or PROPTEST_CASES. Seeds of failures are kept, and committed.
pub fn config() -> ProptestConfig {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    let kept = FileFailurePersistence::Direct("proptest-regressions/properties.txt");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

/// One random schedule on one base, and a window that lies around one of the first members where there is one.
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

    /// Members 0 to `count` − 1 by the oracle, equal ones once.
    pub fn members(&self, count: u32) -> Vec<Instant> {
        let mut members: Vec<Instant> = (0..count).filter_map(|k| member(self, k)).collect();
        assert!(members.is_sorted(), "members descend: {members:?}");
        members.dedup();
        members
    }
}

pub fn case() -> impl Strategy<Value = Case> {
    let zone = select(vec![&UTC, &NEW_YORK, &SHANGHAI, &LORD_HOWE, &APIA, &ST_JOHNS, &TORONTO]);
    (zone, schedule(), any::<prop::sample::Index>(), 0..3_u8, base_delta(), 0..40_u32, window()).prop_map(
        |(zone, schedule, pick, form, delta, k, (before, width))| {
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
            let mut case = Case { zone, schedule, base, from: at, until: at };
            let near = member(&case, k).or(member(&case, 0)).unwrap_or(at);
            case.from = Instant(near.0 - before);
            case.until = Instant(case.from.0 + width);
            case
        },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let cycle = select(vec![Cycle::None, Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly]);
    let months = prop_oneof![3 => Just(0), 2 => -14..=14];
    let days = prop_oneof![3 => Just(0), 2 => -40..=40];
    let micros =
        prop_oneof![3 => Just(0), 1 => (-200..=200_i64).prop_map(|n| n * HOUR / 4), 1 => -50 * HOUR..50 * HOUR];
    let at = prop_oneof![2 => Just(None), 1 => (0..96_u32).prop_map(Some)];
    (cycle, months, days, micros, at).prop_map(|(cycle, months, days, micros, at)| {
        let at = at.and_then(|quarter| NaiveTime::from_num_seconds_from_midnight_opt(quarter * 900, 0));
        Schedule::new(cycle, Span { months, days, micros }, at)
    })
}

/// How far the base lies from a clock change: hours, or up to a year and a half.
fn base_delta() -> impl Strategy<Value = i64> {
    prop_oneof![
        (-200..200_i64).prop_map(|n| n * HOUR / 8),
        (-550..550_i64, -16..16_i64).prop_map(|(days, n)| days * 24 * HOUR + n * HOUR / 4),
        -13_000 * HOUR..13_000 * HOUR,
    ]
}

/// How long before a member the window starts, and how wide it is.
fn window() -> impl Strategy<Value = (i64, i64)> {
    let before = prop_oneof![Just(0), Just(1), Just(-1), -HOUR..50 * HOUR];
    let width = prop_oneof![Just(1), 1..HOUR, 1..50 * HOUR, 1..1_000 * HOUR];
    (before, width)
}

/// Member `k` by chrono's own months and days and by a walk over the zone's list.
fn member(case: &Case, k: u32) -> Option<Instant> {
    let Schedule { cycle, offset, at, .. } = &case.schedule;
    let is_base = k == 0 || *cycle == Cycle::Hourly;
    if *cycle == Cycle::None && k > 0 {
        return None;
    }
    let hours = if *cycle == Cycle::Hourly { i64::from(k) * HOUR } else { 0 };
    if let (Base::Instant(exact), true, false, None) = (case.base, is_base, offset.has_civil(), at) {
        return Some(Instant(exact.0 + offset.micros + hours));
    }
    let local = match case.base {
        Base::Instant(at) => to_local(case.zone, at)?,
        _ => case.raw(),
    };
    let local = match cycle {
        Cycle::None | Cycle::Hourly | Cycle::Custom => local,
        Cycle::Daily => local + Days::new(u64::from(k)),
        Cycle::Weekly => local + Days::new(7 * u64::from(k)),
        Cycle::Monthly => local + Months::new(k),
        Cycle::Yearly => local + Months::new(12 * k),
    };
    let months = Months::new(offset.months.unsigned_abs());
    let local = if offset.months < 0 { local - months } else { local + months };
    let local = local + TimeDelta::days(i64::from(offset.days));
    let local = local.date().and_time(at.unwrap_or(local.time()));
    Some(Instant(listed_resolve(case.zone, local) + offset.micros + hours))
}

fn listed_resolve(zone: &Listed, local: NaiveDateTime) -> i64 {
    let wanted = local.and_utc().timestamp_micros();
    let mut before = zone.first;
    let offsets = zone.changes.iter().map(|(_, offset)| *offset).chain([before]);
    let shown = |offset: i32| {
        let at = wanted - i64::from(offset) * SECOND;
        (zone.offset_at(Instant(at)) == offset).then_some(at)
    };
    if let Some(first) = offsets.filter_map(shown).min() {
        return first;
    }
    for (since, after) in zone.changes {
        let jump = (since + i64::from(before)) * SECOND..(since + i64::from(*after)) * SECOND;
        if jump.contains(&wanted) {
            return wanted - i64::from(before) * SECOND;
        }
        before = *after;
    }
    unreachable!("{local} is neither shown nor skipped")
}

/// An instant, or a civil time as if it were UTC.
pub fn civil(micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).expect("in range").naive_utc()
}
