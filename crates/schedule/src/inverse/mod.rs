//! The inverse direction: from a window of due time to the column values that may have an occurrence in it.
//!
//! The steps of the model undone from the last to the first, each to a range that holds everything the step could have
//! come from. The forward steps are monotone, so a range stays one range; only the cycle makes several of it. Bounds
//! saturate at chrono's range after each step, because no forward step leaves it either.

mod holidays;

use chrono::{NaiveDateTime, NaiveTime};

use crate::civil::{
    OutOfRange, Reach, add_days, add_days_at, add_months, civil_micros, from_civil_micros, last_of_day, midnight,
};
use crate::rule::Kind;
use crate::rule::step::Step;
use crate::shift::Move;
use crate::zone::offsets_near;
use crate::{Instant, Schedule, Zone};

/// With more ranges than this, one range that holds them all is the better index condition.
const MAX_RANGES: usize = 1_000;

/// The type of the column that bases come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ColumnKind {
    /// `date`
    Date,
    /// `timestamp`
    Local,
    /// `timestamptz`
    Instant,
}

/// A range of raw column values, both ends inclusive: local times for `Local` columns, local midnights for `Date`, and
/// UTC civil times for `Instant`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BaseRange {
    /// The least value; `None`: unbounded below.
    pub low: Option<NaiveDateTime>,
    /// The greatest value.
    pub high: NaiveDateTime,
}

impl Schedule {
    /// Ranges of column values outside of which no row is due at `from` or later, but before `until`. Sorted, disjoint,
    /// and as tight as sensible: one range up to the latest value for whatever [`Schedule::is_indexed`] denies, for daily
    /// cycles, for any repeating one without `lowest`, and where there would be more than 1,000 ranges. `lowest` is the
    /// column's minimum, in the form of [`BaseRange`], if it is known.
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
    /// use schedule::{BaseRange, ColumnKind, Cycle, Schedule, Span, resolve};
    ///
    /// // A week before a date, at midnight: what is due on 1 May comes from 8 May alone.
    /// let week_before = Schedule::new(Cycle::None, Span { days: -7, ..Span::ZERO }, None);
    /// let midnight = |day| NaiveDate::from_ymd_opt(2027, 5, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
    /// let at = |day| resolve(&Utc, midnight(day)).unwrap();
    /// let ranges = week_before.bases(ColumnKind::Date, &Utc, at(1), at(2), None);
    /// assert_eq!(ranges, [BaseRange { low: Some(midnight(8)), high: midnight(8) }]);
    /// ```
    pub fn bases(
        &self,
        kind: ColumnKind,
        zone: &dyn Zone,
        from: Instant,
        until: Instant,
        lowest: Option<NaiveDateTime>,
    ) -> Vec<BaseRange> {
        if from >= until {
            return Vec::new();
        }
        let inverse = Inverse::new(self, kind, zone);
        let windows = self.nominal_windows(zone, from, until);
        let mut ranges: Vec<BaseRange> =
            windows.iter().flat_map(|(from, until)| inverse.bases(*from, *until, lowest)).collect();
        ranges.sort_unstable_by_key(|range| (range.low, range.high));
        let merged = inverse.merged(ranges);
        match (merged.first(), merged.last()) {
            (Some(first), Some(last)) if merged.len() > MAX_RANGES => {
                vec![BaseRange { low: first.low.and(lowest), high: last.high }]
            }
            _ => merged,
        }
    }

    /// The raw column value above which (strictly) no row can be due before `until`, in microseconds: of the instant
    /// for `Instant` columns, else of the local time as if it were UTC. `None`: no such limit.
    ///
    /// ```
    /// # use schedule::{Instant, Zone};
    /// # struct Utc;
    /// # impl Zone for Utc {
    /// #     fn offset_at(&self, _: Instant) -> i32 {
    /// #         0
    /// #     }
    /// # }
    /// use schedule::{ColumnKind, Cycle, Schedule, Span};
    ///
    /// // An hour after an instant: before 10 µs past that hour, nothing later than 9 µs is due.
    /// let hour = 3_600_000_000;
    /// let hour_after = Schedule::new(Cycle::None, Span { micros: hour, ..Span::ZERO }, None);
    /// assert_eq!(hour_after.upper_limit(ColumnKind::Instant, &Utc, Instant(hour + 10)), Some(9));
    /// ```
    pub fn upper_limit(&self, kind: ColumnKind, zone: &dyn Zone, until: Instant) -> Option<i64> {
        let inverse = Inverse::new(self, kind, zone);
        let windows = self.nominal_windows(zone, Instant(i64::MIN), until);
        let until = windows.last().map_or(until, |(_, until)| *until);
        let latest = inverse.first_members(Instant(i64::MIN), until).and_then(|latest| inverse.raw_high(latest));
        match latest {
            None => Some(i64::MIN),
            Some(NaiveDateTime::MAX) => None,
            Some(high) => Some(civil_micros(high)),
        }
    }

    /// Does [`Schedule::bases`] narrow the values down to those that are due, so that an index finds few rows? True for
    /// one-off and civil cycles: `none`, `daily` (where every earlier value is due) to `yearly`, `every n days`, weeks,
    /// months and years, and recurrences without any BY part; with any offset, time of day and holiday shift. False
    /// for elapsed cycles, cron and recurrences with BY parts: their one range ends with the latest value, and the
    /// forward rule has to look at all before it.
    ///
    /// ```
    /// use schedule::{Cycle, Schedule, Span};
    ///
    /// assert!(Schedule::new(Cycle::Monthly, Span::ZERO, None).is_indexed());
    /// assert!(!Schedule::new(Cycle::Hourly, Span::ZERO, None).is_indexed());
    /// ```
    pub fn is_indexed(&self) -> bool {
        self.inverse_step().is_some_and(|step| !matches!(step, Step::Elapsed(_)))
    }

    fn inverse_step(&self) -> Option<Step> {
        self.step().map(|(step, _)| step).or_else(|| self.rule.as_ref().and_then(|rule| rule.inverse_step()))
    }
}

/// No member due at `from` or later has an earlier local time than this before it moves; `None`: none is.
pub(crate) fn member_low(schedule: &Schedule, zone: &dyn Zone, from: Instant) -> Option<NaiveDateTime> {
    let inverse = Inverse::new(schedule, ColumnKind::Local, zone);
    inverse.first_members(from, Instant(i64::MAX)).map(|members| members.low)
}

/// A closed range of civil times; empty if `low` > `high`.
#[derive(Clone, Copy)]
struct Range {
    low: NaiveDateTime,
    high: NaiveDateTime,
}

impl Range {
    fn non_empty(self) -> Option<Range> {
        (self.low <= self.high).then_some(self)
    }

    /// As a public range. Nothing is below PostgreSQL's first day, so such a bound is no bound.
    fn clipped(self, lowest: Option<NaiveDateTime>) -> Option<BaseRange> {
        let first = from_civil_micros(Instant::MIN.0).ok();
        let low = Some(self.low).filter(|low| Some(*low) > first).max(lowest);
        let high_exists = Some(self.high) >= first && low.is_none_or(|low| low <= self.high);
        high_exists.then_some(BaseRange { low, high: self.high })
    }
}

struct Inverse<'a> {
    /// `None`: members tell nothing about the base but that it is not later.
    step: Option<Step>,
    /// Only the base moves, once, and what follows counts from there.
    moves_once: bool,
    /// How many members there are at most.
    count: Option<u32>,
    shift: Move,
    kind: ColumnKind,
    zone: &'a dyn Zone,
}

impl<'a> Inverse<'a> {
    fn new(schedule: &Schedule, kind: ColumnKind, zone: &'a dyn Zone) -> Inverse<'a> {
        let step = schedule.inverse_step();
        let is_cron = schedule.rule.as_ref().is_some_and(|rule| matches!(rule.kind, Kind::Cron(_)));
        let is_custom = schedule.cycle == crate::Cycle::Custom;
        let moves_once = matches!(step, Some(Step::Once | Step::Elapsed(_))) || is_custom && is_cron;
        let count = schedule.step().and_then(|(_, limits)| limits.count);
        Inverse { step, moves_once, count, shift: schedule.moves(), kind, zone }
    }

    /// The bases of one window of nominal time.
    fn bases(&self, from: Instant, until: Instant, lowest: Option<NaiveDateTime>) -> Vec<BaseRange> {
        let from = match (self.step, self.count) {
            (Some(Step::Once | Step::Civil { .. }), _) => from,
            // The base may lie as far before the window as the last member lies behind it.
            (Some(Step::Elapsed(micros)), Some(count)) => {
                Instant(from.0.saturating_sub(micros.saturating_mul(i64::from(count.saturating_sub(1)))))
            }
            _ => Instant(i64::MIN),
        };
        let Some(latest) = self.first_members(from, until) else {
            return Vec::new();
        };
        match (self.step, lowest) {
            (Some(Step::Once), _) => self.raw(latest).and_then(|raw| raw.clipped(lowest)).into_iter().collect(),
            (Some(Step::Elapsed(_)), _) if self.count.is_some() => {
                self.raw(latest).and_then(|raw| raw.clipped(lowest)).into_iter().collect()
            }
            (Some(step), Some(lowest)) if !step.is_dense() => self.periodic(step, latest, lowest),
            _ => self.up_to(latest, lowest),
        }
    }

    /// Does an instant reach its due time by elapsed time only, without a local clock?
    fn is_elapsed(&self) -> bool {
        self.kind == ColumnKind::Instant && self.moves_once && !self.shift.is_civil()
    }

    /// The civil times (local; UTC if only time elapses) of the members that may be due in the window.
    fn first_members(&self, from: Instant, until: Instant) -> Option<Range> {
        let offset = self.shift.offset;
        let low = from.0.saturating_sub(offset.micros);
        let high = until.0.saturating_sub(1).saturating_sub(offset.micros);
        if self.is_elapsed() {
            return Some(Range { low: low_bound(from_civil_micros(low))?, high: high_bound(from_civil_micros(high))? });
        }
        let low = low.saturating_add(offsets_near(self.zone, low).0);
        let high = high.saturating_add(offsets_near(self.zone, high).1);
        let local = Range { low: low_bound(from_civil_micros(low))?, high: high_bound(from_civil_micros(high))? };
        let moved = self.shift.at.map_or(Some(local), |at| undo_time(local, at))?;
        let days = i64::from(offset.days);
        let low = low_bound(add_days_at(moved.low, -days))?;
        let high = high_bound(add_days_at(moved.high, -days))?;
        let months = i64::from(offset.months);
        Range { low: undo_months_low(low, months)?, high: undo_months_high(high, months)? }.non_empty()
    }

    /// Column values whose local time lies in a range.
    fn raw(&self, range: Range) -> Option<Range> {
        let low = match self.kind {
            _ if self.is_elapsed() => range.low,
            ColumnKind::Local => range.low,
            ColumnKind::Date if range.low.time() == NaiveTime::MIN => range.low,
            ColumnKind::Date => low_bound(add_days(range.low.date(), 1).map(midnight))?,
            ColumnKind::Instant => {
                let micros = civil_micros(range.low);
                low_bound(from_civil_micros(micros.saturating_sub(offsets_near(self.zone, micros).1)))?
            }
        };
        Range { low, high: self.raw_high(range)? }.non_empty()
    }

    fn raw_high(&self, range: Range) -> Option<NaiveDateTime> {
        match self.kind {
            // The limit itself stays recognizable.
            _ if self.is_elapsed() || range.high == NaiveDateTime::MAX => Some(range.high),
            ColumnKind::Local => Some(range.high),
            ColumnKind::Date => Some(midnight(range.high.date())),
            ColumnKind::Instant => {
                let micros = civil_micros(range.high);
                high_bound(from_civil_micros(micros.saturating_sub(offsets_near(self.zone, micros).0)))
            }
        }
    }

    /// One range from the lowest value up to the last that is a member itself.
    fn up_to(&self, latest: Range, lowest: Option<NaiveDateTime>) -> Vec<BaseRange> {
        let range = self.raw_high(latest).map(|high| Range { low: NaiveDateTime::MIN, high });
        range.and_then(|range| range.clipped(lowest)).into_iter().collect()
    }

    /// One range per period, back to the lowest value.
    fn periodic(&self, step: Step, latest: Range, lowest: NaiveDateTime) -> Vec<BaseRange> {
        let mut ranges = Vec::new();
        for k in (0..).take_while(|k| self.count.is_none_or(|count| *k < i64::from(count))) {
            let Some(range) = undo_step(step, latest, k) else { break };
            if self.raw_high(range).is_none_or(|high| high < lowest) {
                break;
            }
            // A window on the 31st has nothing in a month of 30 days, but goes on before it.
            if let Some(range) = range.non_empty().and_then(|range| self.raw(range)) {
                ranges.extend(range.clipped(Some(lowest)));
            }
            // Members that follow so densely that they merge end here as well, in the one range they make.
            if ranges.len() > MAX_RANGES {
                return self.up_to(latest, Some(lowest));
            }
        }
        ranges.reverse();
        self.merged(ranges)
    }

    fn merged(&self, ranges: Vec<BaseRange>) -> Vec<BaseRange> {
        let step_micros = if self.kind == ColumnKind::Date { 86_400_000_000 } else { 1 };
        let mut merged: Vec<BaseRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last)
                    if range.low.is_none_or(|low| civil_micros(low) <= civil_micros(last.high) + step_micros) =>
                {
                    last.high = last.high.max(range.high);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// The bases whose member `k` lies in a range; `None`: there are none, nor for greater k.
fn undo_step(step: Step, members: Range, k: i64) -> Option<Range> {
    let Step::Civil { months, days } = step else { return Some(members) };
    let (months, days) = (k.checked_mul(months)?, k.checked_mul(days)?);
    let low = low_bound(add_days_at(members.low, -days))?;
    let high = high_bound(add_days_at(members.high, -days))?;
    Some(Range { low: undo_months_low(low, months)?, high: undo_months_high(high, months)? })
}

/// The local times that lie in the range once `at` has replaced their time of day.
fn undo_time(range: Range, at: NaiveTime) -> Option<Range> {
    let (low, high) = (range.low.date(), range.high.date());
    let low = if range.low.time() <= at { low } else { low.succ_opt()? };
    let high = if range.high.time() >= at { high } else { high.pred_opt()? };
    Range { low: midnight(low), high: last_of_day(high) }.non_empty()
}

/// The least civil time that reaches `low` when `months` are added.
fn undo_months_low(low: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let date = match add_months(low.date(), -months) {
        Err(OutOfRange::Below) => return Some(NaiveDateTime::MIN),
        Err(OutOfRange::Above) => return None,
        Ok(date) => date,
    };
    if add_months(date, months) == Ok(low.date()) {
        Some(date.and_time(low.time()))
    } else {
        // The way back was clamped, so this day falls short and only the next one reaches.
        date.succ_opt().map(midnight)
    }
}

/// The greatest civil time that does not pass `high` when `months` are added.
fn undo_months_high(high: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let mut date = match add_months(high.date(), -months) {
        Err(OutOfRange::Below) => return None,
        Err(OutOfRange::Above) => return Some(NaiveDateTime::MAX),
        Ok(date) => date,
    };
    // The last day of a short month also comes from the 29th, 30th and 31st.
    while let Some(next) = date.succ_opt().filter(|next| add_months(*next, months).is_ok_and(|to| to <= high.date())) {
        date = next;
    }
    let lands_on_high = add_months(date, months) == Ok(high.date());
    Some(if lands_on_high { date.and_time(high.time()) } else { last_of_day(date) })
}

/// A lower bound: before the range it is the range's start; after it, nothing is left.
fn low_bound(bound: Reach<NaiveDateTime>) -> Option<NaiveDateTime> {
    match bound {
        Ok(bound) => Some(bound),
        Err(OutOfRange::Below) => Some(NaiveDateTime::MIN),
        Err(OutOfRange::Above) => None,
    }
}

/// An upper bound: after the range it is the range's end; before it, nothing is left.
fn high_bound(bound: Reach<NaiveDateTime>) -> Option<NaiveDateTime> {
    match bound {
        Ok(bound) => Some(bound),
        Err(OutOfRange::Above) => Some(NaiveDateTime::MAX),
        Err(OutOfRange::Below) => None,
    }
}
