//! Beside the series: its end, what becomes of missed occurrences, and when a failed one is tried again.

mod catch_up;
mod retry;
mod row_end;

pub use catch_up::{CatchUp, Late, late};
pub use retry::next_retry_at;
pub use row_end::row_end;
