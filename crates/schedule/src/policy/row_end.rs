//! The end of a row's series, from its end column.

use chrono::NaiveTime;

use crate::civil::{add_days, add_months};
use crate::shift::shift;
use crate::zone::{Zone, reached_micros};
use crate::{Base, Instant, Span};

/// When a row's series ends (inclusive), from the value of its end column, a signed offset and an optional time of day.
///
/// Without `time`, a date stands for the whole local day and ends with its last microsecond, and a timestamp for its
/// instant. With `time`, the local date that results takes that time. `None`: the result leaves the range, so it says
/// nothing about the end; a caller knows from the value on which side.
///
/// ```
/// # use schedule::{Instant, Zone};
/// # struct Utc;
/// # impl Zone for Utc {
/// #     fn offset_at(&self, _: Instant) -> i32 {
/// #         0
/// #     }
/// # }
/// use chrono::NaiveDate;
/// use schedule::{Base, Span, row_end};
///
/// // The whole day counts.
/// let last_day = Base::Date(NaiveDate::from_ymd_opt(1970, 1, 1).unwrap());
/// assert_eq!(row_end(last_day, Span::ZERO, None, &Utc), Some(Instant(86_400_000_000 - 1)));
/// ```
pub fn row_end(end_value: Base, offset: Span, time: Option<NaiveTime>, zone: &dyn Zone) -> Option<Instant> {
    match (end_value, time) {
        (Base::Date(date), None) => {
            let date = add_months(date, i64::from(offset.months)).ok()?;
            let next_day = add_days(date, i64::from(offset.days).checked_add(1)?).ok()?;
            // Not the resolved 23:59:59.999999: that may be the first of two passes, or lie in a gap.
            let day_end = reached_micros(zone, next_day.and_time(NaiveTime::MIN)) - 1;
            Instant::within(day_end.checked_add(offset.micros)?).ok()
        }
        _ => shift(end_value, offset, time, zone),
    }
}
