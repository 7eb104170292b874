//! One member of a series, before holidays.

use chrono::NaiveDateTime;

use crate::Instant;

/// One member, as it is due if no holiday moves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) at: Instant,
    /// Its local time where that is not what a clock shows at `at`: it may be in a gap. `None`: what the clock shows.
    pub(crate) local: Option<NaiveDateTime>,
}
