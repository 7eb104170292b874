//! The holiday move undone: from a window of due time to windows that hold every name (nominal time) that may be due in
//! it. First of the inverse steps.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::calendar::{Holidays, Shift};
use crate::civil::{add_days, civil_micros, last_of_day, midnight, nearest_civil};
use crate::zone::{Zone, offsets_near};
use crate::{Instant, Schedule};

/// Windows of more days than this are undone as a whole.
const MAX_DAYS: i64 = 62;

/// From the first instant to before the second.
pub(crate) type Window = (Instant, Instant);

impl Schedule {
    /// Windows of nominal time outside of which nothing is due at `from` or later, but before `until`. Ascending.
    pub(crate) fn nominal_windows(&self, zone: &dyn Zone, from: Instant, until: Instant) -> Vec<Window> {
        let Some(holidays) = &self.holidays else { return vec![(from, until)] };
        let local = Local::of(zone, from, Instant(until.0.saturating_sub(1)));
        let days = local.high.date().signed_duration_since(local.low.date()).num_days();
        let locals = if days > MAX_DAYS { vec![local.hull(holidays)] } else { local.by_days(holidays) };
        let mut windows: Vec<Window> = locals.into_iter().map(|local| local.window(zone)).collect();
        windows.sort_unstable();
        windows.dedup_by(|next, last| {
            let joins = next.0 <= last.1;
            last.1 = if joins { last.1.max(next.1) } else { last.1 };
            joins
        });
        windows
    }

    /// Whatever is due at `from` or later has this name or a later one.
    pub(crate) fn earliest_nominal(&self, zone: &dyn Zone, from: Instant) -> Instant {
        let Some(holidays) = &self.holidays else { return from };
        let local = Local::of(zone, from, from);
        local.hull(holidays).window(zone).0
    }
}

/// A closed range of local times.
#[derive(Clone, Copy)]
struct Local {
    low: NaiveDateTime,
    high: NaiveDateTime,
}

impl Local {
    /// All that clocks show from one instant to another. Near a change of the clocks whole days, and one more on either
    /// side: a time in a gap is due on another day than its own.
    fn of(zone: &dyn Zone, first: Instant, last: Instant) -> Local {
        let (first_offsets, last_offsets) = (offsets_near(zone, first.0), offsets_near(zone, last.0));
        let low = nearest_civil(first.0.saturating_add(first_offsets.0));
        let high = nearest_civil(last.0.saturating_add(last_offsets.1));
        if first_offsets.0 == first_offsets.1 && first_offsets == last_offsets {
            return Local { low, high };
        }
        let low = add_days(low.date(), -1).unwrap_or(NaiveDate::MIN);
        let high = add_days(high.date(), 1).unwrap_or(NaiveDate::MAX);
        Local { low: midnight(low), high: last_of_day(high) }
    }

    /// One range for everything that may move into this one.
    fn hull(self, holidays: &Holidays) -> Local {
        let (mut low, mut high) = (self.low, self.high);
        let calendar = &holidays.calendar;
        // On a free day at the edge the time of day says nothing: all of it moves over the edge.
        if matches!(holidays.shift, Shift::Following | Shift::ModifiedFollowing) {
            let before = add_days(low.date(), -1).unwrap_or(NaiveDate::MIN);
            if !calendar.is_working(before) || !calendar.is_working(low.date()) {
                let last = calendar.previous_working(before).and_then(|day| day.succ_opt());
                low = midnight(last.unwrap_or_else(|| add_days(before, -400).unwrap_or(NaiveDate::MIN)));
            }
        }
        if matches!(holidays.shift, Shift::Preceding | Shift::ModifiedFollowing) {
            let after = add_days(high.date(), 1).unwrap_or(NaiveDate::MAX);
            if !calendar.is_working(after) || !calendar.is_working(high.date()) {
                let first = calendar.next_working(after).and_then(|day| day.pred_opt());
                high = last_of_day(first.unwrap_or_else(|| add_days(after, 400).unwrap_or(NaiveDate::MAX)));
            }
        }
        Local { low, high }
    }

    /// For each day, those that move to it, at the same times of day.
    fn by_days(self, holidays: &Holidays) -> Vec<Local> {
        let mut locals = Vec::new();
        for day in self.low.date().iter_days().take_while(|day| *day <= self.high.date()) {
            let Some((first, last)) = holidays.sources(day) else { continue };
            let low = if day == self.low.date() { self.low.time() } else { NaiveTime::MIN };
            let high = if day == self.high.date() { self.high.time() } else { last_of_day(day).time() };
            if low == NaiveTime::MIN && high == last_of_day(day).time() {
                locals.push(Local { low: midnight(first), high: last_of_day(last) });
                continue;
            }
            let sources = first.iter_days().take_while(|source| *source <= last);
            locals.extend(sources.map(|source| Local { low: source.and_time(low), high: source.and_time(high) }));
        }
        locals
    }

    /// The instants at which clocks can show it.
    fn window(self, zone: &dyn Zone) -> Window {
        let (low, high) = (civil_micros(self.low), civil_micros(self.high));
        let from = low.saturating_sub(offsets_near(zone, low).1);
        let until = high.saturating_sub(offsets_near(zone, high).0).saturating_add(1);
        (Instant(from), Instant(until))
    }
}
