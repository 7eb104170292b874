//! Every instant at which a clock in the zone shows a time that a cron expression matches: in both passes of a repeated
//! hour, and not in a gap.

use crate::Instant;
use crate::civil::{civil_micros, from_civil_micros};
use crate::interrupt::tick;
use crate::rule::cron::Cron;
use crate::zone::{Zone, offset_micros};

const HOUR_MICROS: i64 = 3_600_000_000;
/// Clocks do not change twice within this.
const CALM_MICROS: i64 = 6 * HOUR_MICROS;
/// A clock that has not changed for this long shows what it will not show again, and no offset differs from another by
/// as much.
const APART_MICROS: i64 = 27 * HOUR_MICROS;

/// A walk along the time line.
pub(crate) struct Walk<'a> {
    cron: &'a Cron,
    zone: &'a dyn Zone,
    /// The earliest instant that may come next; `None` after the last.
    from: Option<i64>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(cron: &'a Cron, zone: &'a dyn Zone, from: i64) -> Walk<'a> {
        Walk { cron, zone, from: Some(from) }
    }

    pub(crate) fn next(&mut self) -> Option<Instant> {
        let found = self.from.take().and_then(|from| self.find(from))?;
        self.from = Some(found.0 + 1);
        Some(found)
    }

    fn find(&self, from: i64) -> Option<Instant> {
        let mut from = from;
        loop {
            tick();
            let offset = offset_micros(self.zone, from);
            let local = from_civil_micros(from.checked_add(offset)?).ok()?;
            let found = civil_micros(self.cron.next_local(local)?) - offset;
            // Looks for a change of the clocks on the way. If it is long, then only where the clock could go back behind
            // what it shows now, and again shortly before the end.
            let calm_until = found.min(from.saturating_add(2 * APART_MICROS));
            if let Some(change) = self.change(from, calm_until, offset) {
                from = change;
            } else if calm_until == found {
                return Instant::within(found).ok();
            } else {
                from = calm_until.max(found.saturating_sub(2 * APART_MICROS));
            }
        }
    }

    /// The first instant in (from, until] at which another offset is in force.
    fn change(&self, from: i64, until: i64, offset: i64) -> Option<i64> {
        let mut calm = from;
        while calm < until {
            let probe = until.min(calm.saturating_add(CALM_MICROS));
            if offset_micros(self.zone, probe) != offset {
                return Some(self.edge(calm, probe, offset));
            }
            calm = probe;
        }
        None
    }

    fn edge(&self, calm: i64, changed: i64, offset: i64) -> i64 {
        let (mut before, mut edge) = (calm, changed);
        while edge - before > 1 {
            let middle = before + (edge - before) / 2;
            if offset_micros(self.zone, middle) == offset {
                before = middle;
            } else {
                edge = middle;
            }
        }
        edge
    }
}
