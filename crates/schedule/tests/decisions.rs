//! Tables for what stands beside the series: spans, ends, late occurrences, retries.

mod zones;

use chrono::NaiveDate;
use schedule::{Base, CatchUp, Instant, Late, Occurrence, Span, late, next_retry_at, row_end, span_micros};
use zones::{APIA, NEW_YORK, SHANGHAI, ST_JOHNS, TORONTO, UTC, date, local, time, utc};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn last_micro_before(text: &str) -> Option<Instant> {
    Some(Instant(utc(text).0 - 1))
}

#[test]
fn spans_tell_their_kind() {
    assert!(Span { months: 1, days: -1, micros: 0 }.has_civil() && !Span { micros: 1, ..Span::ZERO }.has_civil());
    let before = Span { months: -1, days: 0, micros: -5 };
    assert_eq!(before.negated(), Some(Span { months: 1, days: 0, micros: 5 }));
    assert_eq!(Span { days: i32::MIN, ..Span::ZERO }.negated(), None);
    assert_eq!(Span::default(), Span::ZERO);
}

#[test]
fn spans_measure_windows() {
    assert_eq!(span_micros(Span { months: 2, days: 3, micros: 4 }), 63 * DAY + 4);
    assert_eq!(span_micros(Span { months: i32::MAX, days: i32::MAX, micros: i64::MAX }), i64::MAX);
    assert_eq!(span_micros(Span { months: i32::MIN, days: i32::MIN, micros: i64::MIN }), i64::MIN);
    assert_eq!(span_micros(Span { months: 1, days: -30, micros: -1 }), -1);
}

#[test]
fn an_end_date_counts_as_a_whole_local_day() {
    let end = |day, zone| row_end(Base::Date(date(day)), Span::ZERO, None, zone);
    assert_eq!(end("2026-11-24", &SHANGHAI), last_micro_before("2026-11-24 16:00:00"));
    assert_eq!(end("2026-11-01", &NEW_YORK), last_micro_before("2026-11-02 05:00:00"));
    // 00:01 became 23:01: the day's last hour came twice, the second pass counts.
    assert_eq!(end("2010-11-06", &ST_JOHNS), last_micro_before("2010-11-07 03:30:00"));
    // 23:30 became 00:30: the day ended at the change.
    assert_eq!(end("1919-03-30", &TORONTO), last_micro_before("1919-03-31 04:30:00"));
    // 30 December was skipped; it ends with the 29th.
    assert_eq!(end("2011-12-29", &APIA), last_micro_before("2011-12-30 10:00:00"));
    assert_eq!(end("2011-12-30", &APIA), last_micro_before("2011-12-30 10:00:00"));
}

#[test]
fn an_end_moves_by_its_offset_and_takes_its_time() {
    let month = Span { months: 1, ..Span::ZERO };
    let january = Base::Date(date("2026-01-31"));
    assert_eq!(row_end(january, month, None, &UTC), last_micro_before("2026-03-01 00:00:00"));
    assert_eq!(row_end(january, month, Some(time("09:00:00")), &SHANGHAI), Some(utc("2026-02-28 01:00:00")));
    let before = Span { days: -1, ..Span::ZERO };
    assert_eq!(row_end(january, before, None, &UTC), last_micro_before("2026-01-31 00:00:00"));
    let stamp = Base::Local(local("2026-01-31 12:00:00"));
    assert_eq!(row_end(stamp, Span::ZERO, None, &SHANGHAI), Some(utc("2026-01-31 04:00:00")));
    assert_eq!(row_end(stamp, month, Some(time("18:00:00")), &SHANGHAI), Some(utc("2026-02-28 10:00:00")));
    // The second pass of a repeated hour stays what it is.
    let second_pass = utc("2026-11-01 06:30:00");
    assert_eq!(row_end(Base::Instant(second_pass), Span::ZERO, None, &NEW_YORK), Some(second_pass));
    let hour = Span { micros: 3_600 * SECOND, ..Span::ZERO };
    assert_eq!(row_end(Base::Instant(second_pass), hour, None, &NEW_YORK), Some(utc("2026-11-01 07:30:00")));
}

#[test]
fn an_end_out_of_range_is_none() {
    let (day, far) = (Span { days: i32::MAX, ..Span::ZERO }, Base::Date(NaiveDate::MAX));
    assert_eq!(row_end(far, Span::ZERO, None, &UTC), None);
    assert_eq!(row_end(Base::Date(date("2026-01-01")), day, None, &UTC), None);
    assert_eq!(row_end(Base::Instant(Instant(i64::MAX)), Span::ZERO, None, &UTC), None);
}

#[test]
fn catch_up_decides_what_late_occurrences_become() {
    let of = |n| Occurrence { nominal_at: Instant(n), due_at: Instant(n) };
    let seen = [of(1), of(2), of(3)];
    assert_eq!(late(CatchUp::All, &seen), seen.map(Late::Run));
    assert_eq!(late(CatchUp::Last, &seen), [Late::Skip(of(1)), Late::Skip(of(2)), Late::Run(of(3))]);
    assert_eq!(late(CatchUp::None, &seen), seen.map(Late::Skip));
    for policy in [CatchUp::All, CatchUp::Last, CatchUp::None] {
        assert_eq!(late(policy, &[]), []);
    }
}

#[test]
fn retries_back_off_by_doubling() {
    let minute = Span { micros: 60 * SECOND, ..Span::ZERO };
    let failed_at = utc("2026-11-24 12:00:00");
    let next = |attempt, backoff| next_retry_at(failed_at, attempt, 100, backoff);
    assert_eq!(next(1, minute), Some(utc("2026-11-24 12:01:00")));
    assert_eq!(next(2, minute), Some(utc("2026-11-24 12:02:00")));
    assert_eq!(next(5, minute), Some(utc("2026-11-24 12:16:00")));
    assert_eq!(next(2, Span { months: 1, days: 1, micros: 0 }), Some(Instant(failed_at.0 + 62 * DAY)));
    for attempt in [50, 63, 64, 65, 99] {
        assert_eq!(next(attempt, minute), Some(Instant::MAX));
        assert_eq!(next(attempt, Span::ZERO), Some(failed_at));
    }
    assert_eq!(next(1, Span { micros: -1, ..Span::ZERO }), Some(failed_at));
}

#[test]
fn retries_stop_at_the_last_attempt() {
    assert_eq!(next_retry_at(Instant(0), 3, 3, Span::ZERO), None);
    assert_eq!(next_retry_at(Instant(0), 4, 3, Span::ZERO), None);
    assert_eq!(next_retry_at(Instant(0), 2, 3, Span::ZERO), Some(Instant(0)));
    assert_eq!(next_retry_at(Instant(0), 1, 1, Span::ZERO), None);
}
