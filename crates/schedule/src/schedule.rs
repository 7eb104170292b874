//! The forward direction: from a base to its occurrences.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::calendar::Holidays;
use crate::forward::occurrences::Occurrences;
use crate::forward::steps::Series;
use crate::rule::Rule;
use crate::{Instant, Span, Zone};

/// What a series counts from.
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
/// use schedule::{Base, Span, shift};
///
/// let date = NaiveDate::from_ymd_opt(1970, 1, 2).unwrap();
/// let at = |base| shift(base, Span::ZERO, None, &Utc);
/// assert_eq!(at(Base::Date(date)), at(Base::Local(date.and_hms_opt(0, 0, 0).unwrap())));
/// assert_eq!(at(Base::Instant(Instant(5))), Some(Instant(5)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// A `date` column: the local midnight.
    Date(NaiveDate),
    /// A `timestamp` column: a local time.
    Local(NaiveDateTime),
    /// A `timestamptz` column, or a scheduled task's start.
    Instant(Instant),
}

/// How a series goes on from its base.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cycle {
    /// The base alone.
    None,
    /// Every elapsed hour from the moved base.
    Hourly,
    /// The same local time every day.
    Daily,
    /// The same local time every seventh day.
    Weekly,
    /// The same day every month, clamped to the month's end.
    Monthly,
    /// The same day every year; 29 February is the 28th in other years.
    Yearly,
    /// By the schedule's [`Rule`]; without one there is no occurrence.
    Custom,
}

/// One time at which something is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Occurrence {
    /// Its name within the series: when it would be due if no holiday moved it.
    pub nominal_at: Instant,
    /// When it is due.
    pub due_at: Instant,
}

/// When something that counts from a base is due.
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
/// use schedule::{Base, Cycle, Schedule, Span, to_local};
///
/// let monthly = Schedule::new(Cycle::Monthly, Span::ZERO, None);
/// let base = Base::Date(NaiveDate::from_ymd_opt(2027, 1, 31).unwrap());
/// let due = monthly.occurrences(base, &Utc, None, Instant::MIN).take(3);
/// let days: Vec<String> = due.map(|next| to_local(&Utc, next.due_at).unwrap().date().to_string()).collect();
/// assert_eq!(days, ["2027-01-31", "2027-02-28", "2027-03-31"]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// How the series goes on.
    pub cycle: Cycle,
    /// How far each member moves; `before` comes in negated.
    pub offset: Span,
    /// The time of day that each moved member takes; `None` keeps its own.
    pub at: Option<NaiveTime>,
    /// The rule of [`Cycle::Custom`]; other cycles do not look at it.
    pub rule: Option<Rule>,
    /// What holidays do to occurrences; `None`: nothing.
    pub holidays: Option<Holidays>,
}

impl Schedule {
    /// A schedule without rule and holidays.
    pub fn new(cycle: Cycle, offset: Span, at: Option<NaiveTime>) -> Schedule {
        Schedule { cycle, offset, at, rule: None, holidays: None }
    }

    /// The occurrences due at `from` or later and not after `end` (inclusive; `None`: no end), strictly ascending.
    /// Endless for repeating cycles without end, up to the limits of the range.
    pub fn occurrences<'a>(
        &'a self,
        base: Base,
        zone: &'a dyn Zone,
        end: Option<Instant>,
        from: Instant,
    ) -> impl Iterator<Item = Occurrence> + 'a {
        Occurrences::new(self, base, zone, end, from)
    }

    /// The occurrences due at `from` or later, but before `until`.
    ///
    /// ```
    /// # use schedule::{Instant, Zone};
    /// # struct Utc;
    /// # impl Zone for Utc {
    /// #     fn offset_at(&self, _: Instant) -> i32 {
    /// #         0
    /// #     }
    /// # }
    /// use schedule::{Base, Cycle, Schedule, Span};
    ///
    /// let (hour, hourly) = (3_600_000_000, Schedule::new(Cycle::Hourly, Span::ZERO, None));
    /// let due = hourly.due_between(Base::Instant(Instant(0)), &Utc, None, Instant(hour), Instant(3 * hour));
    /// let due: Vec<Instant> = due.iter().map(|occurrence| occurrence.due_at).collect();
    /// assert_eq!(due, [Instant(hour), Instant(2 * hour)]);
    /// ```
    pub fn due_between(
        &self,
        base: Base,
        zone: &dyn Zone,
        end: Option<Instant>,
        from: Instant,
        until: Instant,
    ) -> Vec<Occurrence> {
        if from >= until {
            return Vec::new();
        }
        self.occurrences(base, zone, end, from).take_while(|occurrence| occurrence.due_at < until).collect()
    }

    /// The latest occurrence due before `before`, but not before `not_before`. Does not walk the series.
    ///
    /// ```
    /// # use schedule::{Instant, Zone};
    /// # struct Utc;
    /// # impl Zone for Utc {
    /// #     fn offset_at(&self, _: Instant) -> i32 {
    /// #         0
    /// #     }
    /// # }
    /// use schedule::{Base, Cycle, Schedule, Span};
    ///
    /// let (hour, hourly) = (3_600_000_000, Schedule::new(Cycle::Hourly, Span::ZERO, None));
    /// let last = hourly.last_before(Base::Instant(Instant(0)), &Utc, None, Instant(3 * hour), Instant(0)).unwrap();
    /// assert_eq!(last.due_at, Instant(2 * hour));
    /// ```
    pub fn last_before(
        &self,
        base: Base,
        zone: &dyn Zone,
        end: Option<Instant>,
        before: Instant,
        not_before: Instant,
    ) -> Option<Occurrence> {
        let limit = end.map_or(before, |end| before.min(Instant(end.0.saturating_add(1))));
        if self.holidays.is_some() || self.step().is_none() {
            return if not_before < limit { self.search_back(base, zone, end, limit, not_before) } else { None };
        }
        let series = Series::new(self, base, zone)?;
        let k = series.first_from(limit).checked_sub(1).filter(|k| *k >= 0)?;
        let due = series.due(k).ok().filter(|due| *due >= not_before)?;
        Some(Occurrence { nominal_at: due, due_at: due })
    }

    /// Is this very occurrence, by name and by due time, one of the series?
    ///
    /// ```
    /// # use schedule::{Instant, Zone};
    /// # struct Utc;
    /// # impl Zone for Utc {
    /// #     fn offset_at(&self, _: Instant) -> i32 {
    /// #         0
    /// #     }
    /// # }
    /// use schedule::{Base, Cycle, Occurrence, Schedule, Span};
    ///
    /// let daily = Schedule::new(Cycle::Daily, Span::ZERO, None);
    /// let at = |micros| Occurrence { nominal_at: Instant(micros), due_at: Instant(micros) };
    /// assert!(daily.contains(Base::Instant(Instant(0)), &Utc, None, at(86_400_000_000)));
    /// assert!(!daily.contains(Base::Instant(Instant(0)), &Utc, None, at(5)));
    /// ```
    pub fn contains(&self, base: Base, zone: &dyn Zone, end: Option<Instant>, occurrence: Occurrence) -> bool {
        self.occurrences(base, zone, end, occurrence.due_at).next() == Some(occurrence)
    }
}
