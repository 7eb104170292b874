//! Moving a local time by an offset and a time of day: steps 2 and 3 of the model.

use chrono::{NaiveDateTime, NaiveTime};

use crate::civil::{OutOfRange, Reach, add_days, add_months, midnight};
use crate::zone::{Zone, resolve_micros, to_local};
use crate::{Base, Instant, Span};

/// Moves one value: months (clamped) and days on the local time, then `at` replaces its time of day, then it is
/// resolved, then `offset.micros` pass. An instant with neither civil part nor `at` only has the micros pass. `None`
/// outside [`Instant::MIN`] to [`Instant::MAX`].
///
/// ```
/// # use schedule::{Instant, Zone};
/// # struct Utc;
/// # impl Zone for Utc {
/// #     fn offset_at(&self, _: Instant) -> i32 {
/// #         0
/// #     }
/// # }
/// use chrono::{NaiveDate, NaiveTime};
/// use schedule::{Base, Span, shift};
///
/// let expires_on = Base::Date(NaiveDate::from_ymd_opt(1970, 1, 8).unwrap());
/// let week_before = Span { days: -7, ..Span::ZERO };
/// let nine = NaiveTime::from_hms_opt(9, 0, 0);
/// assert_eq!(shift(expires_on, week_before, nine, &Utc), Some(Instant(9 * 3_600_000_000)));
/// ```
pub fn shift(base: Base, offset: Span, at: Option<NaiveTime>, zone: &dyn Zone) -> Option<Instant> {
    let by = Move { offset, at };
    let micros = by.base(base, local_of(base, zone)?, zone).ok()?;
    Instant::within(micros).ok()
}

/// The local time of a base: a date is its midnight. `None` for an instant out of range, which includes ±infinity.
pub(crate) fn local_of(base: Base, zone: &dyn Zone) -> Option<NaiveDateTime> {
    match base {
        Base::Date(date) => Some(midnight(date)),
        Base::Local(local) => Some(local),
        Base::Instant(at) => Instant::within(at.0).ok().and_then(|at| to_local(zone, at)),
    }
}

/// An offset and a time of day.
#[derive(Clone, Copy)]
pub(crate) struct Move {
    pub(crate) offset: Span,
    pub(crate) at: Option<NaiveTime>,
}

impl Move {
    /// Does it act on the local time, so that an instant has to be resolved anew?
    pub(crate) fn is_civil(&self) -> bool {
        self.offset.has_civil() || self.at.is_some()
    }

    /// Where a base goes, whose local time is `local`. In microseconds, not yet held against the range: hours may still
    /// be added.
    pub(crate) fn base(&self, base: Base, local: NaiveDateTime, zone: &dyn Zone) -> Reach<i64> {
        match base {
            Base::Instant(at) if !self.is_civil() => self.elapse(at.0),
            _ => self.local(local, zone),
        }
    }

    /// Where a local time goes.
    pub(crate) fn local(&self, local: NaiveDateTime, zone: &dyn Zone) -> Reach<i64> {
        self.elapse(resolve_micros(zone, self.civil(local)?))
    }

    /// Where a local time goes on the local clock, before it is resolved and time elapses.
    pub(crate) fn civil(&self, local: NaiveDateTime) -> Reach<NaiveDateTime> {
        let date = add_months(local.date(), i64::from(self.offset.months))?;
        let date = add_days(date, i64::from(self.offset.days))?;
        Ok(date.and_time(self.at.unwrap_or(local.time())))
    }

    fn elapse(&self, micros: i64) -> Reach<i64> {
        micros.checked_add(self.offset.micros).ok_or(OutOfRange::by_sign(self.offset.micros))
    }
}
