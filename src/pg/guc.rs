//! Settings for a while: what our statements rely on, whatever the session has set.

use super::raw;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// A nest level of settings: whatever is set inside, by us or by user code, is gone at its end.
pub struct Settings(i32);

impl Settings {
    /// Opens the level.
    pub fn begin() -> Self {
        // SAFETY: it only counts up. A transaction is open, whose abort closes the level if an ERROR passes `end` by.
        Settings(unsafe { raw::new_guc_nest_level() })
    }

    /// Sets one inside the level.
    pub fn set(&self, name: &CStr, value: &CStr) {
        // SAFETY: both are C strings, which the server copies; GUC_ACTION_SAVE keeps the old value on this level's
        // stack.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }

    /// From here on no lock is waited for any longer (55P03). Microseconds.
    pub fn wait_at_most(&self, micros: i64) {
        // Less than a millisecond would mean: for ever.
        let millis = (micros / 1000).max(1);
        let value = CString::new(format!("{millis}ms")).unwrap_or_default();
        self.set(c"lock_timeout", &value);
    }

    /// What statements of ours are parsed under: pg_catalog alone, and one way to read literals.
    pub fn pin(&self) {
        self.set(c"search_path", c"pg_catalog, pg_temp");
        self.set(c"datestyle", c"ISO, YMD");
        self.set(c"intervalstyle", c"postgres");
        self.set(c"standard_conforming_strings", c"on");
        // Names are compared as text: each is quoted in one way.
        self.set(c"quote_all_identifiers", c"off");
    }

    /// Closes it. "Not committed", so that even a plain SET of user code is undone.
    pub fn end(self) {
        // SAFETY: `self` is a level that was opened in this transaction and is closed once. With `false` this is what
        // an abort calls, so it raises nothing.
        unsafe { raw::end_of_guc_nest_level(false, self.0) };
    }
}
