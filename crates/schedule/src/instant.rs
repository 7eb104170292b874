//! Points on the time line, and the range in which they count.

use crate::civil::{OutOfRange, Reach};

/// A point on the time line: microseconds since 1970-01-01 00:00 UTC.
///
/// ```
/// use schedule::Instant;
///
/// let hour = 3_600_000_000;
/// assert_eq!(Instant(3 * hour).back(hour), Instant(2 * hour));
/// assert_eq!(Instant::MIN.back(hour), Instant::MIN);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(pub i64);

impl Instant {
    /// The earliest `timestamptz` of PostgreSQL: 24 November 4714 BC, 00:00 UTC. Earlier is no occurrence.
    pub const MIN: Instant = Instant(-210_866_803_200_000_000);
    /// 29 December 262142, 23:59:59.999999 UTC: two days short of chrono's last instant, so that its local time exists
    /// in every zone. PostgreSQL goes on to 294276; later than this is no occurrence.
    pub const MAX: Instant = Instant(8_210_266_703_999_999_999);

    /// The instant so many microseconds before, or the earliest there is.
    pub fn back(self, micros: i64) -> Instant {
        Instant(self.0.saturating_sub(micros)).max(Self::MIN)
    }

    /// `micros` as an instant, or the side on which it leaves the range.
    pub(crate) fn within(micros: i64) -> Reach<Instant> {
        let at = Instant(micros);
        if at < Self::MIN {
            Err(OutOfRange::Below)
        } else if at > Self::MAX {
            Err(OutOfRange::Above)
        } else {
            Ok(at)
        }
    }
}
