//! PostgreSQL's interval: three amounts that do not convert into each other.

const DAY_MICROS: i128 = 86_400_000_000;
const MONTH_DAYS: i128 = 30;

/// An amount of time as PostgreSQL's `interval` stores it.
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

    /// Is it no time at all?
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The same amount in the other direction (`before` is a negated `after`); `None` if a part has no opposite.
    pub fn negated(&self) -> Option<Span> {
        Some(Span {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }

    /// Only months and days, nothing elapsed. Zero counts.
    pub fn is_civil_only(&self) -> bool {
        self.micros == 0
    }

    /// Does it have months or days, which act on the local time?
    pub fn has_civil(&self) -> bool {
        self.months != 0 || self.days != 0
    }

    /// Parts of both signs, such as `1 month -2 days`.
    pub fn is_mixed_sign(&self) -> bool {
        let signs = self.signs();
        signs.contains(&1) && signs.contains(&-1)
    }

    /// At least one part is negative, and none is positive.
    pub fn is_negative(&self) -> bool {
        let signs = self.signs();
        signs.contains(&-1) && !signs.contains(&1)
    }

    fn signs(&self) -> [i64; 3] {
        [i64::from(self.months.signum()), i64::from(self.days.signum()), self.micros.signum()]
    }
}

/// The span in microseconds for windows such as `catch_up_window`, as PostgreSQL compares intervals: a month counts 30
/// days, a day 24 hours. Saturates.
pub fn span_micros(span: Span) -> i64 {
    let days = i128::from(span.months) * MONTH_DAYS + i128::from(span.days);
    let micros = days * DAY_MICROS + i128::from(span.micros);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}
