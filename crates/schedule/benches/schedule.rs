//! What one decision costs: the next occurrence of each cycle and kind of rule, the judgement of a row that is about to
//! run, and the inverse of a planning window. All of it is paid once a row, or once a task and window.

#[path = "../tests/zones/mod.rs"]
mod zones;

use std::hint::black_box;
use std::rc::Rc;

use chrono::NaiveDate;
use criterion::{Criterion, criterion_group, criterion_main};
use schedule::{Base, Calendar, ColumnKind, Cycle, Holidays, Instant, Rule, Schedule, Shift, Span};
use zones::{NEW_YORK, date, local, time, utc};

const HOUR: i64 = 3_600_000_000;
const CYCLES: [(&str, Cycle); 6] = [
    ("none", Cycle::None),
    ("hourly", Cycle::Hourly),
    ("daily", Cycle::Daily),
    ("weekly", Cycle::Weekly),
    ("monthly", Cycle::Monthly),
    ("yearly", Cycle::Yearly),
];
const RULES: [(&str, &str); 6] = [
    ("every 45 minutes", "every 45 minutes"),
    ("every 2 weeks", "every 2 weeks"),
    ("rrule, last Friday", "FREQ=MONTHLY;BYDAY=-1FR"),
    ("rrule, last working day", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
    ("cron, weekdays", "cron: 30 9 * * 1-5"),
    ("cron, every 5 minutes", "cron: */5 * * * *"),
];

fn base() -> Base {
    Base::Date(date("2020-01-31"))
}

/// Some seven years after the base: a search that walked there would show.
fn now() -> Instant {
    utc("2026-11-24 12:00:00")
}

fn custom(text: &str) -> Schedule {
    let rule = Rule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, Span::ZERO, None) }
}

/// Seven days before, at nine.
fn week_before(cycle: Cycle) -> Schedule {
    Schedule::new(cycle, Span { days: -7, ..Span::ZERO }, Some(time("09:00:00")))
}

/// Weekends, and a holiday every tenth day for twenty years.
fn holidays(shift: Shift) -> Holidays {
    let first = date("2015-01-01");
    let days = first.iter_days().step_by(10).take(730).map(|day: NaiveDate| (day, false));
    let weekend = [false, false, false, false, false, true, true];
    Holidays { shift, calendar: Rc::new(Calendar::new(weekend, days)) }
}

fn next_occurrence(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("next occurrence");
    let mut next = |name: &str, schedule: &Schedule, base: Base| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| schedule.occurrences(black_box(base), &NEW_YORK, None, black_box(now())).next());
        });
    };
    for (name, cycle) in CYCLES {
        next(name, &Schedule::new(cycle, Span::ZERO, None), base());
    }
    next("yearly, 7 days before at 09:00", &week_before(Cycle::Yearly), base());
    for (name, text) in RULES {
        next(name, &custom(text), Base::Local(local("2020-01-31 09:30:00")));
    }
    for (name, shift) in [("daily, holidays following", Shift::Following), ("daily, holidays dropped", Shift::Drop)] {
        let schedule = Schedule { holidays: Some(holidays(shift)), ..Schedule::new(Cycle::Daily, Span::ZERO, None) };
        next(name, &schedule, base());
    }
    group.finish();
}

/// What is asked of each row that is about to run.
fn still_due(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("still due");
    for (name, schedule) in [
        ("none", Schedule::new(Cycle::None, Span::ZERO, None)),
        ("7 days before at 09:00", week_before(Cycle::None)),
        ("yearly, 7 days before at 09:00", week_before(Cycle::Yearly)),
        ("rrule, last Friday", custom("FREQ=MONTHLY;BYDAY=-1FR")),
    ] {
        let occurrence = schedule.occurrences(base(), &NEW_YORK, None, Instant(i64::MIN)).next();
        let occurrence = occurrence.unwrap_or_else(|| panic!("{name} has no occurrence"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| schedule.contains(black_box(base()), &NEW_YORK, None, black_box(occurrence)));
        });
    }
    group.finish();
}

/// Which column values could be due within the next hour.
fn inverse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inverse of an hour");
    let (from, until) = (now(), Instant(now().0 + HOUR));
    let lowest = Some(local("1926-01-01 00:00:00"));
    let mut bases = |name: &str, schedule: &Schedule, kind: ColumnKind| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| schedule.bases(kind, &NEW_YORK, black_box(from), black_box(until), lowest));
        });
    };
    for (name, cycle) in CYCLES {
        bases(&format!("{name}, date"), &week_before(cycle), ColumnKind::Date);
    }
    bases("yearly, timestamptz", &Schedule::new(Cycle::Yearly, Span::ZERO, None), ColumnKind::Instant);
    let schedule = Schedule { holidays: Some(holidays(Shift::Following)), ..week_before(Cycle::Yearly) };
    bases("yearly, date, holidays", &schedule, ColumnKind::Date);
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, text) in RULES {
        group.bench_function(name, |bencher| bencher.iter(|| Rule::parse(black_box(text))));
    }
    group.finish();
}

fn calendar(criterion: &mut Criterion) {
    let following = holidays(Shift::Following);
    let day = date("2026-11-28");
    criterion.bench_function("calendar: next working day", |bencher| {
        bencher.iter(|| following.calendar.next_working(black_box(day)));
    });
}

criterion_group! {
    name = benches;
    // A second each is enough for what takes nanoseconds.
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = next_occurrence, still_due, inverse, parse, calendar
}
criterion_main!(benches);
