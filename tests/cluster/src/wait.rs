//! Waiting for what will be so.

use std::time::{Duration, Instant};

/// Between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// The same at most, where a look takes long.
const REST: Duration = Duration::from_millis(500);

/// Calls `look` every 20 ms until it gives a value or the time is over; less often where a look takes long: most of the time
/// is left to those who work.
pub fn poll<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + timeout;
    loop {
        let begun = Instant::now();
        let value = look();
        if value.is_some() || Instant::now() >= until {
            return value;
        }
        std::thread::sleep((begun.elapsed() * 4).clamp(POLL, REST));
    }
}
