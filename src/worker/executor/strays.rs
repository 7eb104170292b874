//! Takes triggers off tables whose tasks were dropped by somebody who may not lock them from others any more. In an executor of
//! the one who left them, in transactions of its own, each for one task.

use crate::catalog::task::triggers::{self, InUse};
use crate::pg::{clock, xact};
use crate::worker::executor::session::Me;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// So long at a time. Microseconds.
const TIME: i64 = 50_000;
/// A table that was in use is tried again after this: each try keeps others waiting for a moment. Microseconds.
const PAUSE: i64 = 5_000_000;
/// A task that somebody has, mostly the one whose commit has called: after this.
const SHORT_PAUSE: i64 = 100_000;

/// Goes through those of the owner's that are to go by now.
pub fn drop_some(me: &Me) {
    if !me.home().is_some_and(|home| home.has_left_triggers.load(Acquire)) {
        return;
    }
    let (now, stop_at) = (clock::now(), clock::monotonic() + TIME);
    while let Ok(Some((task, at))) = xact::run(|| triggers::first_left(me.owner))
        && at <= now
    {
        if clock::monotonic() > stop_at {
            return me.slot.look.store(true, Release);
        }
        let dropped = xact::run(|| triggers::drop_left(task));
        if let Err(failure) = &dropped
            && !failure.is_lock()
        {
            failure.log("drop the triggers that a dropped task has left");
        }
        let pause = match dropped {
            Ok(Ok(())) => continue,
            Ok(Err(InUse::Task)) => SHORT_PAUSE,
            Ok(Err(InUse::Table)) | Err(_) => PAUSE,
        };
        if xact::run(|| triggers::put_off(task, Instant(now.0 + pause))).is_err() {
            return;
        }
    }
}
