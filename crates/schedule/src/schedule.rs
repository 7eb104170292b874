//! The forward direction: from a base to its occurrences.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::calendar::Holidays;
use crate::forward::occurrences::Occurrences;
use crate::forward::steps::Series;
use crate::rule::Rule;
use crate::{Instant, Span, Zone};

/// What a series counts from.
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
    pub fn contains(&self, base: Base, zone: &dyn Zone, end: Option<Instant>, occurrence: Occurrence) -> bool {
        self.occurrences(base, zone, end, occurrence.due_at).next() == Some(occurrence)
    }
}
