//! Local time and the time line: step 3 of the model. The rules of a zone are the server's, seen through [`Zone`].

use chrono::NaiveDateTime;

use crate::Instant;
use crate::civil::{civil_micros, from_civil_micros};

/// How far around a civil time, read as UTC, its instants are looked for. No zone is 25 hours from UTC, and none has
/// ever moved by more than a day.
const REACH_MICROS: i64 = 25 * 3_600_000_000;

/// The rules of a time zone.
///
/// ```
/// use schedule::{Instant, Zone};
///
/// /// An hour east of UTC, two in a summer that begins at this instant.
/// struct Summer(Instant);
///
/// impl Zone for Summer {
///     fn offset_at(&self, at: Instant) -> i32 {
///         if at < self.0 { 3_600 } else { 7_200 }
///     }
/// }
/// ```
pub trait Zone {
    /// Seconds east of UTC in force at `at`. Must answer for every instant.
    fn offset_at(&self, at: Instant) -> i32;
}

/// What a clock in the zone shows at an instant; `None` if that leaves chrono's range.
///
/// ```
/// use chrono::NaiveDate;
/// use schedule::{Instant, Zone, to_local};
///
/// struct Fixed;
/// impl Zone for Fixed {
///     fn offset_at(&self, _: Instant) -> i32 {
///         5 * 3_600 + 30 * 60
///     }
/// }
/// let local = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap().and_hms_opt(5, 30, 0);
/// assert_eq!(to_local(&Fixed, Instant(0)), local);
/// ```
pub fn to_local(zone: &dyn Zone, at: Instant) -> Option<NaiveDateTime> {
    from_civil_micros(at.0.checked_add(offset_micros(zone, at.0))?).ok()
}

/// The instant at which a clock in the zone shows `local`. A time in a gap moves forward by the gap (02:30 → 03:30);
/// of a time that exists twice, it is the first. `None` outside [`Instant::MIN`] to [`Instant::MAX`].
///
/// ```
/// use chrono::NaiveDate;
/// use schedule::{Instant, Zone, resolve, to_local};
///
/// /// The clocks go forward by an hour at 01:00 UTC, 02:00 local time.
/// struct Summer;
/// impl Zone for Summer {
///     fn offset_at(&self, at: Instant) -> i32 {
///         if at < Instant(3_600_000_000) { 3_600 } else { 7_200 }
///     }
/// }
/// let at = |hour, minute| NaiveDate::from_ymd_opt(1970, 1, 1).unwrap().and_hms_opt(hour, minute, 0).unwrap();
/// let in_the_gap = resolve(&Summer, at(2, 30)).unwrap();
/// assert_eq!(to_local(&Summer, in_the_gap), Some(at(3, 30)));
/// ```
pub fn resolve(zone: &dyn Zone, local: NaiveDateTime) -> Option<Instant> {
    Instant::within(resolve_micros(zone, local)).ok()
}

/// As [`resolve`], but also for instants outside the range: an elapsed offset may bring them back.
pub(crate) fn resolve_micros(zone: &dyn Zone, local: NaiveDateTime) -> i64 {
    match locate(zone, civil_micros(local)) {
        Found::Shown { first, .. } => first,
        Found::Gap { moved, .. } => moved,
    }
}

/// The instant from which on a clock in the zone shows `local` or later, for good: the last pass, or the edge of the gap.
pub(crate) fn reached_micros(zone: &dyn Zone, local: NaiveDateTime) -> i64 {
    match locate(zone, civil_micros(local)) {
        Found::Shown { last, .. } => last,
        Found::Gap { edge, .. } => edge,
    }
}

/// The least and the greatest offset in microseconds that can matter near an instant (or near a civil time read as
/// UTC). Equal unless the clocks change within about a day.
pub(crate) fn offsets_near(zone: &dyn Zone, micros: i64) -> (i64, i64) {
    let here = offset_micros(zone, micros);
    let before = offset_micros(zone, micros.saturating_sub(REACH_MICROS));
    let after = offset_micros(zone, micros.saturating_add(REACH_MICROS));
    (here.min(before).min(after), here.max(before).max(after))
}

/// Where a local time lies on the time line, in microseconds.
enum Found {
    /// Clocks show it once (`first` = `last`) or twice.
    Shown { first: i64, last: i64 },
    /// Clocks jump over it at `edge`; `moved` is the instant it means, forward by the gap.
    Gap { moved: i64, edge: i64 },
}

fn locate(zone: &dyn Zone, local: i64) -> Found {
    let before = offset_micros(zone, local - REACH_MICROS);
    let after = offset_micros(zone, local + REACH_MICROS);
    let shown = |offset: i64| (offset_micros(zone, local - offset) == offset).then_some(local - offset);
    match (shown(before), shown(after)) {
        (Some(a), Some(b)) => Found::Shown { first: a.min(b), last: a.max(b) },
        (Some(only), None) | (None, Some(only)) => Found::Shown { first: only, last: only },
        (None, None) => search_gap(zone, local),
    }
}

/// Bisects for the instant at which clocks reach or pass `local`. Rare enough that some 40 questions to the zone do not
/// count, and right whatever the zone does in these two days.
fn search_gap(zone: &dyn Zone, local: i64) -> Found {
    let (mut earlier, mut edge) = (local - REACH_MICROS, local + REACH_MICROS);
    while edge - earlier > 1 {
        let middle = earlier + (edge - earlier) / 2;
        if middle + offset_micros(zone, middle) < local {
            earlier = middle;
        } else {
            edge = middle;
        }
    }
    if edge + offset_micros(zone, edge) == local {
        Found::Shown { first: edge, last: edge }
    } else {
        Found::Gap { moved: local - offset_micros(zone, earlier), edge }
    }
}

/// The offset in force at an instant, in microseconds.
pub(crate) fn offset_micros(zone: &dyn Zone, at: i64) -> i64 {
    i64::from(zone.offset_at(Instant(at))) * 1_000_000
}
