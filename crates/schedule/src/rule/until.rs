//! COUNT and UNTIL: how a recurrence ends.

use chrono::NaiveDateTime;

use crate::Zone;
use crate::civil::civil_micros;
use crate::zone::{reached_micros, resolve_micros};

/// The last time that a member may have, before any offset. Inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// On the local clock.
    Local(NaiveDateTime),
    /// On the time line, in microseconds.
    Instant(i64),
}

/// The ends of a recurrence; `None` is no end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Limits {
    pub(crate) count: Option<u32>,
    pub(crate) until: Option<Until>,
}

impl Limits {
    /// May member `number` (from 0) exist?
    pub(crate) fn allows_number(&self, number: i64) -> bool {
        self.count.is_none_or(|count| number < i64::from(count))
    }

    /// May a member at this local time exist?
    pub(crate) fn allows_local(&self, local: NaiveDateTime, zone: &dyn Zone) -> bool {
        match self.until {
            None => true,
            Some(Until::Local(until)) => local <= until,
            Some(Until::Instant(until)) => resolve_micros(zone, local) <= until,
        }
    }

    /// The last instant, in microseconds, for members that count elapsed time.
    pub(crate) fn last_micros(&self, zone: &dyn Zone) -> i64 {
        match self.until {
            None => i64::MAX,
            Some(Until::Instant(until)) => until,
            Some(Until::Local(until)) => {
                let next = crate::civil::from_civil_micros(civil_micros(until).saturating_add(1));
                next.map_or(i64::MAX, |next| reached_micros(zone, next).saturating_sub(1))
            }
        }
    }
}
