//! The host's chance to interrupt a long search.

use std::cell::Cell;

/// Steps of a search between two calls of the host's check.
const STEPS: u32 = 1_024;

thread_local! {
    static CHECK: Cell<Option<fn()>> = const { Cell::new(None) };
    static LEFT: Cell<u32> = const { Cell::new(STEPS) };
}

/// Sets what searches of this thread call every 1,024 steps, some tens of microseconds. It may unwind to end the search; nothing is left
/// half done.
///
/// ```
/// schedule::set_interrupt_check(|| {
///     // Here a host looks whether the search is still wanted, and unwinds if not.
/// });
/// ```
pub fn set_interrupt_check(check: fn()) {
    CHECK.set(Some(check));
}

/// One step of a search.
pub(crate) fn tick() {
    let left = LEFT.get();
    if left > 0 {
        LEFT.set(left - 1);
        return;
    }
    LEFT.set(STEPS);
    if let Some(check) = CHECK.get() {
        check();
    }
}
