//! When a failed occurrence is tried again.

use crate::{Instant, Span, span_micros};

/// The next try after attempt number `attempt` (from 1) failed: `backoff` × 2^(attempt − 1) later, where a month counts
/// 30 days and a day 24 hours. Saturates at [`Instant::MAX`]; a negative backoff counts as none. `None`: that was the
/// last attempt.
///
/// ```
/// use schedule::{Instant, Span, next_retry_at};
///
/// let minute = Span { micros: 60_000_000, ..Span::ZERO };
/// assert_eq!(next_retry_at(Instant(0), 1, 3, minute), Some(Instant(60_000_000)));
/// assert_eq!(next_retry_at(Instant(0), 2, 3, minute), Some(Instant(120_000_000)));
/// assert_eq!(next_retry_at(Instant(0), 3, 3, minute), None);
/// ```
pub fn next_retry_at(failed_at: Instant, attempt: u32, max_attempts: u32, backoff: Span) -> Option<Instant> {
    if attempt >= max_attempts {
        return None;
    }
    let first = span_micros(backoff).max(0);
    let factor = 1_i64.checked_shl(attempt.saturating_sub(1)).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
    let next = Instant(failed_at.0.saturating_add(first.saturating_mul(factor)));
    Some(next.min(Instant::MAX))
}
