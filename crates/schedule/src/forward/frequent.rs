//! Holidays under rules that come more often than every ten minutes. Going through a long weekend one second after the
//! other would take too long, so the search goes from working day to working day, a window of its clock at a time, and
//! asks for the members of the same times of day on each of the days that move there. For [`crate::forward::occurrences`].

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveDateTime, Timelike};

use crate::calendar::{Holidays, MAX_DROPPED_DAYS};
use crate::civil::{add_days, civil_micros, midnight, nearest_civil};
use crate::forward::members::{Members, Periods};
use crate::interrupt::tick;
use crate::rule::Kind;
use crate::rule::step::Step;
use crate::zone::{Zone, offsets_near, resolve, to_local};
use crate::{Base, Instant, Schedule};

const DAY_MICROS: i64 = 86_400_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;
/// What comes less often than this is taken one member after the other.
const DENSE_MICROS: i64 = 600_000_000;
/// Members of one day in a window, about.
const IN_WINDOW: i64 = 64;
/// Members of all days in a window, about, near a change of the clocks.
const MOST_AT_ONCE: i64 = 10_000;

impl Schedule {
    /// How far apart members are on a day that has some, where it is less than ten minutes.
    fn spacing(&self) -> Option<i64> {
        let a_day = |times: usize| DAY_MICROS / i64::try_from(times.max(1)).unwrap_or(DAY_MICROS);
        let spacing = match (self.step(), self.rule.as_ref().map(|rule| &rule.kind)) {
            (Some((Step::Elapsed(micros), _)), _) => micros,
            (None, Some(Kind::Recur(recur))) => a_day(recur.times_a_day()),
            (None, Some(Kind::Cron(cron))) => a_day(cron.times.len()),
            _ => return None,
        };
        Some(spacing).filter(|spacing| *spacing < DENSE_MICROS)
    }
}

/// What falls due in one window.
pub(crate) struct Found {
    /// Due times and names, in no order.
    pub(crate) due: Vec<(Instant, Instant)>,
    /// Nothing that follows is due before this.
    pub(crate) settled: i64,
}

/// A walk over the windows of working days.
pub(crate) struct Windows<'a> {
    /// With UNTIL in place of COUNT: else each search would count from the base on.
    schedule: Cow<'a, Schedule>,
    holidays: &'a Holidays,
    /// Of a recurrence.
    periods: Option<Periods>,
    base: Base,
    zone: &'a dyn Zone,
    width: i64,
    /// The working day under way, and the days that move to it, itself included.
    day: NaiveDate,
    sources: Vec<NaiveDate>,
    /// Where on the day's clock the next window begins, in microseconds.
    start: i64,
    /// Was anything found on the day?
    is_used: bool,
    /// Working days in a row to which nothing came.
    unused: u32,
    is_done: bool,
}

/// What one source day said: the first member after the window, if there is one.
type Ahead = Option<NaiveDateTime>;

impl<'a> Windows<'a> {
    /// From `from` on. `None`: the schedule has no holidays, or its members are few; take them one by one.
    pub(crate) fn new(schedule: &'a Schedule, base: Base, zone: &'a dyn Zone, from: Instant) -> Option<Windows<'a>> {
        let holidays = schedule.holidays.as_ref()?;
        let width = schedule.spacing()?.saturating_mul(IN_WINDOW).min(DAY_MICROS);
        let schedule = schedule.with_count_as_until(base, zone).map_or(Cow::Borrowed(schedule), Cow::Owned);
        let periods = Periods::kept(&schedule, base, zone);
        let mut walk = Windows {
            schedule,
            holidays,
            periods,
            base,
            zone,
            width,
            day: NaiveDate::MIN,
            sources: Vec::new(),
            start: 0,
            is_used: false,
            unused: 0,
            is_done: false,
        };
        let first = walk.members(walk.schedule.earliest_nominal(zone, from)).next();
        match first.and_then(|first| first.local.or_else(|| to_local(zone, first.at))) {
            Some(first) => {
                let low = nearest_civil(from.0.saturating_add(offsets_near(zone, from.0).0));
                walk.enter(low.date().max(walk.floor(first.date())));
                if walk.day == low.date() {
                    walk.start = i64::from(low.time().num_seconds_from_midnight()) * 1_000_000;
                }
            }
            None => walk.is_done = true,
        }
        Some(walk)
    }

    /// The next window; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Found> {
        if self.is_done {
            return None;
        }
        let (least, greatest) = offsets_near(self.zone, civil_micros(midnight(self.day)));
        let is_calm = least == greatest && self.sources.iter().all(|source| self.is_calm(*source));
        let width = if is_calm { self.width } else { self.wide() };
        let until = self.start.saturating_add(width).min(DAY_MICROS);
        let mut due = Vec::new();
        let mut ahead: Vec<(NaiveDate, NaiveDateTime)> = Vec::new();
        for source in self.sources.clone() {
            let next = self.look(source, until, &mut due);
            ahead.extend(next.map(|next| (source, next)));
        }
        self.is_used |= !due.is_empty();
        self.advance(until, &ahead);
        let next = civil_micros(midnight(self.day)).saturating_add(self.start);
        let settled = next.saturating_sub(offsets_near(self.zone, next).1);
        Some(Found { due, settled })
    }

    /// Near a change of the clocks each look takes in an hour more, so it had better be worth it; but a day to which a year moves
    /// has as many members in an hour as another one in a fortnight, and whoever asks for the next one waits for all.
    fn wide(&self) -> i64 {
        let sources = i64::try_from(self.sources.len()).unwrap_or(i64::MAX).max(1);
        let members = MOST_AT_ONCE / sources;
        HOUR_MICROS.min(self.width / IN_WINDOW * members).max(self.width)
    }

    fn members(&self, from: Instant) -> Members<'_> {
        match &self.periods {
            Some(periods) => Members::among(periods, &self.schedule, self.base, self.zone, from),
            None => Members::new(&self.schedule, self.base, self.zone, from),
        }
    }

    /// Members of the source day in the window, moved; the first member after it.
    fn look(&self, source: NaiveDate, until: i64, due: &mut Vec<(Instant, Instant)>) -> Ahead {
        let midnight = civil_micros(midnight(source));
        let (low, high) = (midnight.saturating_add(self.start), midnight.saturating_add(until));
        let (before, after) = (offsets_near(self.zone, low), offsets_near(self.zone, high));
        let (least, greatest) = (before.0.min(after.0), before.1.max(after.1));
        let mut members = self.members(Instant(low.saturating_sub(greatest)));
        // Members may descend by as much as clocks change.
        let last = high.saturating_sub(least).saturating_add(greatest - least);
        let mut ahead: Ahead = None;
        while let Some(member) = members.next() {
            tick();
            let local = member.local.or_else(|| to_local(self.zone, member.at))?;
            let micros = civil_micros(local);
            if (low..high).contains(&micros) {
                let moved = || resolve(self.zone, self.day.and_time(local.time()));
                let at = if source == self.day { Some(member.at) } else { moved() };
                due.extend(at.map(|at| (at, member.at)));
            }
            if micros >= high {
                ahead = Some(ahead.map_or(local, |ahead| ahead.min(local)));
            }
            if member.at.0 >= last {
                break;
            }
        }
        ahead
    }

    /// To the next window in which something may be.
    fn advance(&mut self, until: i64, ahead: &[(NaiveDate, NaiveDateTime)]) {
        let Some(next) = ahead.iter().map(|(_, next)| next.date()).min() else {
            self.is_done = true;
            return;
        };
        let later = ahead.iter().filter(|(source, next)| next.date() <= *source);
        if let Some(later) = later.map(|(_, next)| civil_micros(*next).rem_euclid(DAY_MICROS)).min() {
            self.start = later.max(until);
            return;
        }
        self.unused = if self.is_used { 0 } else { self.unused + 1 };
        self.is_done = self.unused > MAX_DROPPED_DAYS;
        let tomorrow = add_days(self.day, 1).unwrap_or(NaiveDate::MAX);
        self.enter(tomorrow.max(self.floor(next)));
    }

    /// Begins the first working day on or after `date`.
    fn enter(&mut self, date: NaiveDate) {
        let Some(day) = self.holidays.calendar.next_working(date).filter(|day| *day < NaiveDate::MAX) else {
            self.is_done = true;
            return;
        };
        self.day = day;
        self.start = 0;
        self.is_used = false;
        let (first, last) = self.holidays.sources(day).unwrap_or((day, day));
        let days = first.iter_days().take_while(|source| *source <= last);
        self.sources = days.filter(|source| self.holidays.moved(*source) == Some(day)).collect();
    }

    /// No member of this date, or after one of it, moves to an earlier day. Clocks that go back over midnight show the day
    /// before once more.
    fn floor(&self, date: NaiveDate) -> NaiveDate {
        let slack = if self.is_calm(date) { 0 } else { -1 };
        self.holidays.floor(add_days(date, slack).unwrap_or(date))
    }

    fn is_calm(&self, date: NaiveDate) -> bool {
        let (least, greatest) = offsets_near(self.zone, civil_micros(midnight(date)));
        least == greatest
    }
}
