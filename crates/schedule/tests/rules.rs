//! What a rule may say, what it means where clocks change, and how long a search takes.

mod zones;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use chrono::{NaiveDate, NaiveTime};
use schedule::{
    Base, Calendar, ColumnKind, Cycle, Holidays, Instant, Rule, Schedule, Shift, Span, set_interrupt_check,
};
use zones::{LORD_HOWE, Listed, NEW_YORK, UTC, date, local, show, time, utc};

const EVER: Instant = Instant(i64::MIN);

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn custom(text: &str) -> Schedule {
    moved(text, Span::ZERO, None)
}

fn moved(text: &str, offset: Span, at: Option<NaiveTime>) -> Schedule {
    Schedule { rule: Some(rule(text)), ..Schedule::new(Cycle::Custom, offset, at) }
}

#[track_caller]
fn check(schedule: &Schedule, base: Base, zone: &Listed, expected: &[&str]) {
    let found: Vec<String> =
        schedule.occurrences(base, zone, None, EVER).take(expected.len()).map(|o| show(o.due_at)).collect();
    assert_eq!(found, expected);
}

fn all(text: &str, base: &str) -> usize {
    custom(text).occurrences(Base::Local(local(base)), &UTC, None, EVER).take(1_000).count()
}

#[test]
fn what_is_refused_says_why() {
    let refused = [
        ("", "recurrence rule \"\" has no FREQ"),
        ("DAILY", "invalid part \"DAILY\" in the recurrence rule"),
        ("FREQ=FORTNIGHTLY", "unknown FREQ \"FORTNIGHTLY\" in the recurrence rule"),
        ("FREQ=DAILY;INTERVAL=0", "invalid INTERVAL \"0\" in the recurrence rule"),
        ("FREQ=DAILY;INTERVAL=-1", "invalid INTERVAL \"-1\" in the recurrence rule"),
        ("FREQ=DAILY;COUNT=0", "invalid COUNT \"0\" in the recurrence rule"),
        ("FREQ=DAILY;EXRULE=FREQ", "unknown part \"EXRULE\" in the recurrence rule"),
        ("FREQ=DAILY;BYEASTER=0", "unknown part \"BYEASTER\" in the recurrence rule"),
        ("FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "a rule is one line"),
        ("FREQ=DAILY;FREQ=DAILY", "part FREQ stands twice in the recurrence rule"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20261231", "COUNT and UNTIL exclude each other in a recurrence rule"),
        ("FREQ=DAILY;UNTIL=2026-12-31", "invalid UNTIL \"2026-12-31\" in the recurrence rule"),
        ("FREQ=YEARLY;BYMONTH=13", "invalid value \"13\" of BYMONTH in the recurrence rule"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "invalid value \"0\" of BYMONTHDAY in the recurrence rule"),
        ("FREQ=MONTHLY;BYDAY=FREITAG", "invalid value \"FREITAG\" of BYDAY in the recurrence rule"),
        ("FREQ=MONTHLY;BYDAY=é", "invalid value \"é\" of BYDAY in the recurrence rule"),
        ("FREQ=DAILY;BYHOUR=24", "invalid value \"24\" of BYHOUR in the recurrence rule"),
        ("FREQ=DAILY;BYHOUR=", "invalid value \"\" of BYHOUR in the recurrence rule"),
        ("FREQ=WEEKLY;BYDAY=1MO", "a numbered weekday in BYDAY is not allowed with FREQ=WEEKLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY is not allowed with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO is not allowed with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY is not allowed with FREQ=DAILY"),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "a numbered weekday in BYDAY is not allowed with BYWEEKNO"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another BY part to choose from"),
        ("FREQ=HOURLY;BYMINUTE=30", "BYMINUTE is not supported with FREQ=HOURLY"),
        ("cron:", "invalid cron expression \"\": it has 0 fields, not 5 or 6"),
        ("cron: * * * *", "invalid cron expression \"* * * *\": it has 4 fields, not 5 or 6"),
        ("cron: 0 0 0 1 1 * 2026", "invalid cron expression \"0 0 0 1 1 * 2026\": it has 7 fields, not 5 or 6"),
        ("cron: @daily", "invalid cron expression \"@daily\": it has 1 fields, not 5 or 6"),
        ("every", "invalid interval \"\" in the rule"),
        ("every fortnight", "invalid interval \"fortnight\" in the rule"),
        ("every 2", "invalid interval \"2\" in the rule"),
        ("every 0 days", "interval \"0 days\" of the rule must be positive"),
        ("every -1 day", "interval \"-1 day\" of the rule must be positive"),
        ("every 1.5 days", "invalid interval \"1.5 days\" in the rule"),
        ("every 1 day 12 hours", "interval \"1 day 12 hours\" mixes days or longer with hours or shorter"),
        ("every 0.5 seconds", "interval \"0.5 seconds\" of the rule is shorter than one second"),
        ("every 9999999999 days", "interval \"9999999999 days\" of the rule is out of range"),
        ("every 999999999999 hours", "interval \"999999999999 hours\" of the rule is out of range"),
    ];
    for (text, message) in refused {
        let error = Rule::parse(text).expect_err(text);
        assert_eq!(error.message, message);
        assert!(error.hint.is_some_and(|hint| hint.ends_with('.')), "{text}");
    }
    for text in ["cron: 60 * * * *", "cron: * * 0 * *", "cron: a b c d e", "cron: 5-1 * * * *", "cron: ü * * * *"] {
        assert!(Rule::parse(text).expect_err(text).message.starts_with("invalid cron expression"), "{text}");
    }
}

#[test]
fn forms_that_mean_the_same() {
    let same = [
        ("RRULE:FREQ=DAILY", "freq=daily;"),
        ("FREQ=DAILY;INTERVAL=3", "every 3 days"),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=MO", "every 2 weeks"),
        ("FREQ=HOURLY;INTERVAL=3", "EVERY 3 hours"),
        ("every 90 minutes", "every 01:30"),
        ("every 90 minutes", "every 1.5 hours"),
        ("every 90 minutes", "every 1h 30m"),
        ("every 90 seconds", "every 1 minute 30 secs"),
        ("every week", "every 7 days"),
        ("every 1 year 6 mons", "every 18 months"),
    ];
    for (one, other) in same {
        assert_eq!(rule(one), rule(other), "{one}, {other}");
    }
}

#[test]
fn rules_that_never_come_are_refused() {
    let base = Base::Local(local("2026-01-01 09:00:00"));
    let never = [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=4,6",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=2",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
        "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=DAILY;UNTIL=20251231",
        "FREQ=HOURLY;UNTIL=20251231T000000Z",
        "cron: 0 0 30 2 *",
        "cron: 0 0 31 4,6 *",
    ];
    for text in never {
        let error = rule(text).check(base, &UTC).expect_err(text);
        assert_eq!(error.message, "rule has no occurrence within 100 years of its start", "{text}");
    }
    for text in
        ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", "FREQ=YEARLY;INTERVAL=101;BYMONTH=2", "cron: 0 0 29 2 *"]
    {
        assert_eq!(
            rule(text).check(Base::Local(local("2026-03-01 09:00:00")), &UTC).is_ok(),
            !text.contains("101"),
            "{text}"
        );
    }
    assert_eq!(all("FREQ=DAILY;UNTIL=20251231", "2026-01-01 09:00:00"), 0);
    let none = Schedule::new(Cycle::Custom, Span::ZERO, None);
    assert_eq!(none.occurrences(base, &UTC, None, EVER).next(), None);
}

#[test]
fn the_base_counts_only_if_it_matches() {
    let friday = moved("FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", Span::ZERO, None);
    check(&friday, Base::Local(local("2026-11-24 09:00:00")), &UTC, &["2026-11-27 09:00:00", "2026-12-25 09:00:00"]);
    assert_eq!(all("FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", "2026-11-27 09:00:00"), 2);
    // Months without a 31st have none; a plain cycle clamps.
    check(
        &custom("FREQ=MONTHLY"),
        Base::Date(date("2026-01-31")),
        &UTC,
        &["2026-01-31 00:00:00", "2026-03-31 00:00:00"],
    );
    check(
        &custom("every 1 month"),
        Base::Date(date("2026-01-31")),
        &UTC,
        &["2026-01-31 00:00:00", "2026-02-28 00:00:00"],
    );
    // Both kinds of weekday in one part are a union.
    let both = custom("FREQ=MONTHLY;BYDAY=1MO,FR;COUNT=3");
    check(
        &both,
        Base::Date(date("2026-06-01")),
        &UTC,
        &["2026-06-01 00:00:00", "2026-06-05 00:00:00", "2026-06-12 00:00:00"],
    );
}

#[test]
fn until_is_a_day_a_local_time_or_an_instant() {
    let base = "2026-01-01 09:00:00";
    assert_eq!(all("FREQ=DAILY;UNTIL=20260103", base), 3);
    assert_eq!(all("FREQ=DAILY;UNTIL=20260103T090000", base), 3);
    assert_eq!(all("FREQ=DAILY;UNTIL=20260103T085959Z", base), 2);
    assert_eq!(all("FREQ=DAILY;BYHOUR=8,9,10;UNTIL=20260103T090000Z", base), 7);
    let new_york = |text: &str| custom(text).occurrences(Base::Local(local(base)), &NEW_YORK, None, EVER).count();
    assert_eq!(new_york("FREQ=DAILY;UNTIL=20260103T140000Z"), 3);
    assert_eq!(new_york("FREQ=DAILY;UNTIL=20260103T135959Z"), 2);
    assert_eq!(new_york("FREQ=HOURLY;UNTIL=20260101T110000"), 3);
    assert_eq!(new_york("FREQ=HOURLY;UNTIL=20260101T160000Z"), 3);
    assert_eq!(new_york("FREQ=HOURLY;UNTIL=20260101"), 15);
}

#[test]
fn elapsed_rules_pass_through_changes_of_the_clocks() {
    let base = Base::Instant(utc("2026-11-01 04:30:00"));
    let expected = ["2026-11-01 04:30:00", "2026-11-01 05:15:00", "2026-11-01 06:00:00", "2026-11-01 06:45:00"];
    check(&custom("every 45 minutes"), base, &NEW_YORK, &expected);
    check(&custom("FREQ=MINUTELY;INTERVAL=45"), base, &NEW_YORK, &expected);
    let civil = ["2026-10-31 05:30:00", "2026-11-14 06:30:00"];
    check(&custom("every 2 weeks"), Base::Local(local("2026-10-31 01:30:00")), &NEW_YORK, &civil);
}

#[test]
fn cron_takes_fixed_hours_once_and_others_in_every_pass() {
    // 1 November 2026: 01:30 twice. 8 March: no 02:30.
    let autumn = Base::Local(local("2026-10-31 12:00:00"));
    let spring = Base::Local(local("2026-03-07 12:00:00"));
    check(&custom("cron: 30 1 * * *"), autumn, &NEW_YORK, &["2026-11-01 05:30:00", "2026-11-02 06:30:00"]);
    check(&custom("cron: 30 2 * * *"), spring, &NEW_YORK, &["2026-03-08 07:30:00", "2026-03-09 06:30:00"]);
    let hourly = custom("cron: 30 * 1 11 *");
    let expected = ["2026-11-01 04:30:00", "2026-11-01 05:30:00", "2026-11-01 06:30:00", "2026-11-01 07:30:00"];
    check(&hourly, autumn, &NEW_YORK, &expected);
    let spring_hours = ["2026-03-08 05:30:00", "2026-03-08 06:30:00", "2026-03-08 07:30:00"];
    check(&custom("cron: 30 * 8 3 *"), spring, &NEW_YORK, &spring_hours);
    check(&custom("cron: 30 */2 8 3 *"), spring, &NEW_YORK, &["2026-03-08 05:30:00", "2026-03-08 08:30:00"]);
    // Two local times that a gap brings together are one, and they come in order.
    let both = custom("cron: 0,30 2,3 8 3 *");
    let expected = ["2026-03-08 07:00:00", "2026-03-08 07:30:00", "2027-03-08 07:00:00"];
    check(&both, spring, &NEW_YORK, &expected);
    let recurrence = custom("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30");
    let expected = ["2026-03-08 07:00:00", "2026-03-08 07:30:00", "2026-03-09 06:00:00", "2026-03-09 06:30:00"];
    check(&recurrence, Base::Local(local("2026-03-08 00:00:00")), &NEW_YORK, &expected);
    let half = custom("cron: */15 * 5 4 *");
    let found = half.occurrences(Base::Local(local("2026-04-04 12:00:00")), &LORD_HOWE, None, EVER);
    assert_eq!(found.take_while(|o| o.due_at < utc("2026-04-06 00:00:00")).count(), 24 * 4 + 2);
}

#[test]
fn cron_and_elapsed_rules_move_their_base_once() {
    let day_before = Span { days: -1, ..Span::ZERO };
    let cron = moved("cron: 0 9 * * 1", day_before, Some(time("10:00:00")));
    // The base moves to Monday 10:00, so the first Monday 09:00 is a week later.
    check(&cron, Base::Date(date("2026-11-24")), &UTC, &["2026-11-30 09:00:00"]);
    let cron = moved("cron: 0 9 * * 1", day_before, Some(time("09:00:00")));
    check(&cron, Base::Date(date("2026-11-24")), &UTC, &["2026-11-23 09:00:00"]);
    let minutes = moved("every 30 minutes", day_before, Some(time("09:00:00")));
    check(&minutes, Base::Date(date("2026-11-24")), &UTC, &["2026-11-23 09:00:00", "2026-11-23 09:30:00"]);
    // Recurrences move each member.
    let friday = moved("FREQ=MONTHLY;BYDAY=-1FR", day_before, Some(time("09:00:00")));
    check(&friday, Base::Date(date("2026-11-01")), &UTC, &["2026-11-26 09:00:00", "2026-12-24 09:00:00"]);
}

#[test]
fn a_base_in_the_second_pass_stays_there() {
    let second = Base::Instant(utc("2026-11-01 06:30:00"));
    let expected = ["2026-11-01 06:30:00", "2026-11-02 06:30:00"];
    check(&custom("FREQ=DAILY;BYDAY=SU,MO"), second, &NEW_YORK, &expected);
    // 01:45 is resolved to the first pass, before the base.
    check(
        &custom("FREQ=DAILY;BYHOUR=1;BYMINUTE=30,45"),
        second,
        &NEW_YORK,
        &["2026-11-01 06:30:00", "2026-11-02 06:30:00"],
    );
}

#[test]
fn every_search_ends_soon() {
    let rules = [
        "FREQ=DAILY",
        "FREQ=DAILY;COUNT=100000",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
        "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;COUNT=2000",
        "FREQ=YEARLY;BYYEARDAY=366;BYDAY=SU;BYMONTHDAY=31",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU;BYMONTHDAY=1",
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;COUNT=4000000000",
        "FREQ=MINUTELY;INTERVAL=7;COUNT=20000000",
        "FREQ=DAILY;BYHOUR=0,6,12,18;BYMINUTE=0,15,30,45;COUNT=1000000",
        "every 1 second",
        "cron: * * * * * *",
        "cron: * * 9-17 * * 1-5",
        "cron: 0 0 30 2 *",
        "cron: 0 0 29 2 0",
        "cron: 0 * 29 2 *",
    ];
    let slowest = if cfg!(debug_assertions) { Duration::from_secs(1) } else { Duration::from_millis(50) };
    let base = Base::Local(local("1970-01-01 00:00:00"));
    for text in rules {
        let schedule = custom(text);
        for from in ["1970-01-01 00:00:01", "2026-11-01 05:59:59", "2026-11-24 12:00:00", "2500-01-01 00:00:00"] {
            for zone in [&UTC, &NEW_YORK] {
                let began = Clock::now();
                let next = schedule.occurrences(base, zone, None, utc(from)).next();
                assert!(next.is_none_or(|next| next.due_at >= utc(from)));
                assert!(began.elapsed() < slowest, "{text} from {from} took {:?}", began.elapsed());
            }
        }
    }
}

#[test]
fn extreme_windows_and_bases_do_not_fail() {
    let rules = [
        "every 1 hour",
        "FREQ=YEARLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYDAY=MO,SU;COUNT=9",
        "cron: 0 9 * * 1",
        "cron: 30 * L * *",
    ];
    let shifts =
        [None, Some(Shift::Following), Some(Shift::Preceding), Some(Shift::ModifiedFollowing), Some(Shift::Drop)];
    let calendar = Rc::new(Calendar::new([false, false, false, false, false, true, true], []));
    let bases = [Base::Date(NaiveDate::MAX), Base::Date(date("2026-01-31")), Base::Instant(Instant(i64::MAX))];
    for (text, shift) in rules.iter().flat_map(|text| shifts.map(|shift| (text, shift))) {
        let mut schedule = custom(text);
        schedule.holidays = shift.map(|shift| Holidays { shift, calendar: Rc::clone(&calendar) });
        for (from, until) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN), (i64::MAX - 1, i64::MAX), (-1, 1)] {
            let (from, until) = (Instant(from), Instant(until));
            for kind in [ColumnKind::Date, ColumnKind::Local, ColumnKind::Instant] {
                schedule.bases(kind, &NEW_YORK, from, until, Some(local("2026-01-01 00:00:00")));
                schedule.bases(kind, &NEW_YORK, from, until, None);
                schedule.upper_limit(kind, &NEW_YORK, until);
            }
            for base in bases {
                let next = schedule.occurrences(base, &NEW_YORK, None, from).next();
                assert!(next.is_none_or(|next| next.due_at >= from), "{text}");
                schedule.last_before(base, &NEW_YORK, None, Instant(-1), from);
            }
        }
    }
}

#[test]
fn seconds_over_a_long_holiday_stay_bounded() {
    let free = (1..=7).map(|day| (NaiveDate::from_ymd_opt(2026, 10, day).expect("a date"), false));
    let calendar = Rc::new(Calendar::new([false; 7], free));
    let holidays = Holidays { shift: Shift::Following, calendar };
    let schedule = Schedule { holidays: Some(holidays), ..custom("every 1 minute") };
    let base = Base::Local(local("1970-01-01 00:00:00"));
    let began = Clock::now();
    let next = schedule.occurrences(base, &NEW_YORK, None, utc("2026-10-05 00:00:00")).next();
    assert_eq!(
        next.map(|o| (show(o.nominal_at), show(o.due_at))),
        Some(("2026-10-08 04:00:00".to_owned(), "2026-10-08 04:00:00".to_owned()))
    );
    let slowest = if cfg!(debug_assertions) { Duration::from_secs(1) } else { Duration::from_millis(50) };
    assert!(began.elapsed() < slowest, "took {:?}", began.elapsed());
}

thread_local! {
    static CHECKS: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn long_searches_let_the_host_interrupt() {
    set_interrupt_check(|| CHECKS.set(CHECKS.get() + 1));
    for text in ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "cron: 0 0 30 2 *"] {
        CHECKS.set(0);
        assert_eq!(custom(text).occurrences(Base::Date(date("2026-01-01")), &UTC, None, EVER).next(), None);
        assert!(CHECKS.get() > 100, "{text}: {}", CHECKS.get());
    }
}

#[test]
fn what_an_index_can_serve() {
    for text in [
        "every 3 days",
        "every 2 weeks",
        "every 6 months",
        "FREQ=YEARLY",
        "FREQ=MONTHLY;INTERVAL=2",
        "FREQ=WEEKLY;COUNT=3",
    ] {
        assert!(custom(text).is_indexed(), "{text}");
    }
    for text in ["every 3 hours", "cron: 0 9 * * *", "FREQ=MONTHLY;BYDAY=-1FR"] {
        let schedule = custom(text);
        assert!(!schedule.is_indexed(), "{text}");
        let lowest = date("2020-01-01").and_time(NaiveTime::MIN);
        let bases = schedule.bases(
            ColumnKind::Date,
            &UTC,
            utc("2026-11-27 00:00:00"),
            utc("2026-11-28 00:00:00"),
            Some(lowest),
        );
        assert_eq!(bases.len(), 1, "{text}");
        assert_eq!(
            (bases[0].low, bases[0].high),
            (Some(lowest), date("2026-11-27").and_time(NaiveTime::MIN)),
            "{text}"
        );
    }
    // At most three members: three dates.
    let bases = custom("every 10 days").bases(
        ColumnKind::Date,
        &UTC,
        utc("2026-11-27 00:00:00"),
        utc("2026-11-28 00:00:00"),
        Some(date("2026-11-01").and_time(NaiveTime::MIN)),
    );
    let days: Vec<_> = bases.iter().map(|range| range.high.date()).collect();
    assert_eq!(days, [date("2026-11-07"), date("2026-11-17"), date("2026-11-27")]);
}
