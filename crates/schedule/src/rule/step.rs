//! Steps of one length, and which schedules have them.

use crate::rule::Kind;
use crate::rule::until::Limits;
use crate::shift::Move;
use crate::{Cycle, Schedule};

const HOUR_MICROS: i64 = 3_600_000_000;

/// How far it is from one member to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// There is only one.
    Once,
    /// So many microseconds from the moved base.
    Elapsed(i64),
    /// So many months (clamped from the base) and then days on the local clock.
    Civil { months: i64, days: i64 },
}

impl Step {
    /// Each day, or more often.
    pub(crate) fn is_dense(self) -> bool {
        matches!(self, Step::Elapsed(_) | Step::Civil { months: 0, days: 0..=1 })
    }
}

impl Schedule {
    /// The step of a series that has one.
    pub(crate) fn step(&self) -> Option<(Step, Limits)> {
        let civil = |months, days| Step::Civil { months, days };
        let step = match (self.cycle, &self.rule) {
            (Cycle::None, _) => Step::Once,
            (Cycle::Hourly, _) => Step::Elapsed(HOUR_MICROS),
            (Cycle::Daily, _) => civil(0, 1),
            (Cycle::Weekly, _) => civil(0, 7),
            (Cycle::Monthly, _) => civil(1, 0),
            (Cycle::Yearly, _) => civil(12, 0),
            (Cycle::Custom, Some(rule)) => match rule.kind {
                Kind::Steps(step, limits) => return Some((step, limits)),
                _ => return None,
            },
            (Cycle::Custom, None) => return None,
        };
        Some((step, Limits::default()))
    }

    /// The offset and the time of day.
    pub(crate) fn moves(&self) -> Move {
        Move { offset: self.offset, at: self.at }
    }
}
