//! Is bookkeeping going on, as the extension's owner? Known here, for who runs statements and who switches to that role alike.

use std::cell::Cell;

thread_local! {
    static PRIVILEGED: Cell<bool> = const { Cell::new(false) };
}

/// Is it?
pub fn is_privileged() -> bool {
    PRIVILEGED.get()
}

/// It is, until this is dropped.
pub(super) struct Privileged(bool);

impl Privileged {
    pub(super) fn begin() -> Self {
        Privileged(PRIVILEGED.replace(true))
    }
}

impl Drop for Privileged {
    fn drop(&mut self) {
        PRIVILEGED.set(self.0);
    }
}
