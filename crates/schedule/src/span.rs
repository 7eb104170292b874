//! PostgreSQL's interval: three amounts that do not convert into each other.

const DAY_MICROS: i128 = 86_400_000_000;
const MONTH_DAYS: i128 = 30;

/// An amount of time as PostgreSQL's `interval` stores it.
///
/// ```
/// use schedule::Span;
///
/// let week_before = Span { days: 7, ..Span::ZERO }.negated().unwrap();
/// assert_eq!(week_before, Span { months: 0, days: -7, micros: 0 });
/// assert!(week_before.has_civil());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Span {
    /// Calendar months, years included; clamped to the month's end when added.
    pub months: i32,
    /// Calendar days, weeks included; of 23 to 25 hours where clocks change.
    pub days: i32,
    /// Elapsed time in microseconds.
    pub micros: i64,
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span { months: 0, days: 0, micros: 0 };

    /// The same amount in the other direction (`before` is a negated `after`); `None` if a part has no opposite.
    pub fn negated(&self) -> Option<Span> {
        Some(Span {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// Does it have months or days, which act on the local time?
    pub fn has_civil(&self) -> bool {
        self.months != 0 || self.days != 0
    }
}

/// The span in microseconds for windows such as `catch_up_window`, as PostgreSQL compares intervals: a month counts 30
/// days, a day 24 hours. Saturates.
///
/// ```
/// use schedule::{Span, span_micros};
///
/// let day = 86_400_000_000;
/// assert_eq!(span_micros(Span { months: 1, days: 1, micros: 5 }), 31 * day + 5);
/// ```
pub fn span_micros(span: Span) -> i64 {
    let days = i128::from(span.months) * MONTH_DAYS + i128::from(span.days);
    let micros = days * DAY_MICROS + i128::from(span.micros);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}
