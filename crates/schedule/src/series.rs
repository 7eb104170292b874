//! The members of one base's series by number, and the search for one: step 1 of the model.

use chrono::NaiveDateTime;

use crate::civil::{OutOfRange, Reach, add_days_at, add_months, civil_micros};
use crate::shift::{Shift, local_of};
use crate::zone::Zone;
use crate::{Base, Cycle, Instant, Schedule, span_micros};

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// One base under one schedule. Due times do not descend with the number.
pub(crate) struct Series<'a> {
    cycle: Cycle,
    shift: Shift,
    zone: &'a dyn Zone,
    /// The base on the local clock, from which all members count.
    local: NaiveDateTime,
    /// Where the base itself goes, before it is held against the range.
    start: Reach<i64>,
}

impl<'a> Series<'a> {
    /// `None` if there can be no member.
    pub(crate) fn new(schedule: &Schedule, base: Base, zone: &'a dyn Zone) -> Option<Series<'a>> {
        let local = local_of(base, zone)?;
        let shift = Shift { offset: schedule.offset, at: schedule.at };
        let start = shift.base(base, local, zone);
        // Hours count from the moved base; if that does not exist, none of them does.
        if schedule.cycle == Cycle::Hourly && start.is_err() {
            return None;
        }
        Some(Series { cycle: schedule.cycle, shift, zone, local, start })
    }

    /// When member `k` (from 0) is due.
    pub(crate) fn due(&self, k: i64) -> Reach<Instant> {
        let micros = match self.cycle {
            _ if k == 0 => self.start?,
            Cycle::None => return Err(OutOfRange::Above),
            Cycle::Hourly => {
                let hours = k.checked_mul(HOUR_MICROS).ok_or(OutOfRange::Above)?;
                self.start?.checked_add(hours).ok_or(OutOfRange::Above)?
            }
            Cycle::Daily => self.by_days(k, 1)?,
            Cycle::Weekly => self.by_days(k, 7)?,
            Cycle::Monthly => self.by_months(k, 1)?,
            Cycle::Yearly => self.by_months(k, 12)?,
        };
        Instant::within(micros)
    }

    /// The number of the first member due at `target` or later; members after the range count as later.
    pub(crate) fn first_from(&self, target: Instant) -> i64 {
        let (mut before, mut found) = self.bracket(target);
        while found - before > 1 {
            let middle = before + (found - before) / 2;
            if self.is_due_from(middle, target) {
                found = middle;
            } else {
                before = middle;
            }
        }
        found
    }

    /// Two numbers around the first member from `target`: the left one is before it (−1: there is none), the right one
    /// is not. Starts at a guess and doubles its steps, so it costs a few members also thousands of years away.
    fn bracket(&self, target: Instant) -> (i64, i64) {
        let guess = self.guess(target);
        let mut step = 1;
        if self.is_due_from(guess, target) {
            let mut found = guess;
            while found - step >= 0 && self.is_due_from(found - step, target) {
                found -= step;
                step *= 2;
            }
            ((found - step).max(-1), found)
        } else {
            // Ends, because every cycle leaves the range at some number.
            let mut before = guess;
            while !self.is_due_from(before + step, target) {
                before += step;
                step *= 2;
            }
            (before, before + step)
        }
    }

    fn is_due_from(&self, k: i64, target: Instant) -> bool {
        match self.due(k) {
            Ok(due) => due >= target,
            Err(side) => side == OutOfRange::Above,
        }
    }

    fn guess(&self, target: Instant) -> i64 {
        let period = match self.cycle {
            Cycle::None => return 0,
            Cycle::Hourly => HOUR_MICROS,
            Cycle::Daily => DAY_MICROS,
            Cycle::Weekly => 7 * DAY_MICROS,
            // The mean month and year of the Gregorian calendar: 400 years have 146,097 days.
            Cycle::Monthly => 146_097 * DAY_MICROS / 4_800,
            Cycle::Yearly => 146_097 * DAY_MICROS / 400,
        };
        let start = self.start.unwrap_or(civil_micros(self.local).saturating_add(span_micros(self.shift.offset)));
        (target.0.saturating_sub(start) / period).max(0)
    }

    fn by_days(&self, k: i64, days: i64) -> Reach<i64> {
        let days = k.checked_mul(days).ok_or(OutOfRange::Above)?;
        self.shift.local(add_days_at(self.local, days)?, self.zone)
    }

    fn by_months(&self, k: i64, months: i64) -> Reach<i64> {
        let months = k.checked_mul(months).ok_or(OutOfRange::Above)?;
        let date = add_months(self.local.date(), months)?;
        self.shift.local(date.and_time(self.local.time()), self.zone)
    }
}
