//! The members of one base's series by number, and the search for one: step 1 of the model, for steps of one length.

use chrono::NaiveDateTime;

use crate::civil::{OutOfRange, Reach, add_days_at, add_months, civil_micros};
use crate::forward::member::Member;
use crate::rule::step::Step;
use crate::rule::until::Limits;
use crate::shift::{Move, local_of};
use crate::zone::Zone;
use crate::{Base, Instant, Schedule, span_micros};

const DAY_MICROS: i64 = 24 * 3_600_000_000;

/// One base under one schedule. Due times do not descend with the number.
pub(crate) struct Series<'a> {
    step: Step,
    limits: Limits,
    moves: Move,
    zone: &'a dyn Zone,
    /// The base on the local clock, from which all members count.
    local: NaiveDateTime,
    /// Where the base itself goes, before it is held against the range.
    start: Reach<i64>,
    /// For members that count elapsed time: the last one's microseconds.
    last: i64,
    /// An instant that nothing moves: its own member is that instant, whatever the clock shows.
    is_exact: bool,
}

impl<'a> Series<'a> {
    /// `None` if there can be no member.
    pub(crate) fn new(schedule: &Schedule, base: Base, zone: &'a dyn Zone) -> Option<Series<'a>> {
        let (step, limits) = schedule.step()?;
        let local = local_of(base, zone)?;
        let moves = schedule.moves();
        let start = moves.base(base, local, zone);
        let is_elapsed = matches!(step, Step::Elapsed(_));
        // Hours count from the moved base; if that does not exist, none of them does.
        if is_elapsed && start.is_err() {
            return None;
        }
        let last = if is_elapsed { limits.last_micros(zone) } else { i64::MAX };
        let is_exact = matches!(base, Base::Instant(_)) && !moves.is_civil();
        Some(Series { step, limits, moves, zone, local, start, last, is_exact })
    }

    /// When member `k` (from 0) is due.
    pub(crate) fn due(&self, k: i64) -> Reach<Instant> {
        if !self.limits.allows_number(k) {
            return Err(OutOfRange::Above);
        }
        let micros = match self.step {
            Step::Elapsed(micros) => {
                let passed = k.checked_mul(micros).ok_or(OutOfRange::Above)?;
                let due = self.start?.checked_add(passed).ok_or(OutOfRange::Above)?;
                Some(due).filter(|due| *due <= self.last).ok_or(OutOfRange::Above)?
            }
            Step::Once if k > 0 => return Err(OutOfRange::Above),
            Step::Civil { .. } if !self.limits.allows_local(self.local(k)?, self.zone) => {
                return Err(OutOfRange::Above);
            }
            _ if k == 0 => self.start?,
            _ => self.moves.local(self.local(k)?, self.zone)?,
        };
        Instant::within(micros)
    }

    /// Member `k` with its local time, where it has one of its own: from an instant that nothing moves, or after elapsed
    /// time, only the clock tells.
    pub(crate) fn member(&self, k: i64) -> Reach<Member> {
        let at = self.due(k)?;
        let by_clock = matches!(self.step, Step::Elapsed(_)) || self.moves.offset.micros != 0;
        let local = if by_clock || (k == 0 && self.is_exact) { None } else { Some(self.moves.civil(self.local(k)?)?) };
        Ok(Member { at, local })
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
            // Ends, because every step leaves the range at some number.
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
        let period = match self.step {
            Step::Once => return 0,
            Step::Elapsed(micros) => micros,
            // The mean month of the Gregorian calendar: 400 years have 146,097 days.
            Step::Civil { months, days } => {
                (146_097 * DAY_MICROS / 4_800).saturating_mul(months).saturating_add(DAY_MICROS.saturating_mul(days))
            }
        };
        let start = self.start.unwrap_or(civil_micros(self.local).saturating_add(span_micros(self.moves.offset)));
        (target.0.saturating_sub(start) / period.max(1)).max(0)
    }

    /// The local time of civil member `k`, before it moves.
    fn local(&self, k: i64) -> Reach<NaiveDateTime> {
        let Step::Civil { months, days } = self.step else { return Ok(self.local) };
        let date = if months == 0 {
            self.local.date()
        } else {
            add_months(self.local.date(), k.checked_mul(months).ok_or(OutOfRange::Above)?)?
        };
        let local = date.and_time(self.local.time());
        add_days_at(local, k.checked_mul(days).ok_or(OutOfRange::Above)?)
    }
}

/// Where a base goes, and the first instant at which something that repeats on the local clock may be due after it.
pub(crate) struct Start {
    /// The base on the local clock.
    pub(crate) local: NaiveDateTime,
    /// Where the base itself goes.
    pub(crate) at: Reach<i64>,
    /// An instant that nothing moves.
    pub(crate) is_exact: bool,
}

impl Start {
    /// `None` if there can be no member.
    pub(crate) fn new(moves: Move, base: Base, zone: &dyn Zone) -> Option<Start> {
        let local = local_of(base, zone)?;
        let is_exact = matches!(base, Base::Instant(_)) && !moves.is_civil();
        Some(Start { local, at: moves.base(base, local, zone), is_exact })
    }

    /// Is a member at this instant before the base, in the first pass of an hour of which the base is in the second?
    pub(crate) fn is_after(&self, micros: i64) -> bool {
        self.at.is_ok_and(|start| micros < start)
    }
}
