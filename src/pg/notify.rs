//! NOTIFY, in the current transaction.

use super::boundary;
use std::ffi::{CString, c_char};

unsafe extern "C-unwind" {
    /// commands/async.h; called inside of `catch` alone.
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// Queues an event for whoever listens on `jittask_event`.
pub fn send(payload: &str) {
    let Ok(payload) = CString::new(payload) else { return };
    let text = payload.as_ptr();
    // SAFETY: both are C strings that outlive the call and are copied; one call, and nothing is owned in it.
    let sent = unsafe { boundary::catch(|| Async_Notify(c"jittask_event".as_ptr(), text)) };
    sent.unwrap_or_else(|failure| failure.raise());
}
