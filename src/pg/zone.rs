//! Time zones by the server's own rules (`pg_tzset`), never a second copy of them.

use pgrx::pg_sys;
use schedule::{Instant, Zone};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};

unsafe extern "C-unwind" {
    /// timezone/pgtz.h: opens the zone's file, and writes the name in its true case.
    fn pg_open_tzfile(name: *const c_char, canonname: *mut c_char) -> c_int;
    fn close(file: c_int) -> c_int;
}

/// A named zone of the server.
#[derive(Clone, Copy)]
pub struct ServerZone {
    rules: *mut pg_sys::pg_tz,
}

thread_local! {
    static ZONES: RefCell<HashMap<String, ServerZone>> = RefCell::new(HashMap::new());
}

/// The zone's name in its true case, or None where the server has no zone of that name: offsets and abbreviations
/// have no file and are no zones here.
pub fn canonical(name: &str) -> Option<String> {
    let hidden = ["posix", "right", "posixrules", "localtime"];
    let first = name.split('/').next().unwrap_or_default().to_ascii_lowercase();
    if name.is_empty() || name.len() > 255 || name.contains('.') || hidden.contains(&first.as_str()) {
        return None;
    }
    let asked = CString::new(name).ok()?;
    let mut found = [0 as c_char; 256];
    unsafe {
        let file = pg_open_tzfile(asked.as_ptr(), found.as_mut_ptr());
        if file < 0 {
            return None;
        }
        close(file);
        let found = CStr::from_ptr(found.as_ptr()).to_str().ok()?.to_string();
        load(&found).map(|_| found)
    }
}

/// The rules of a zone.
pub fn load(name: &str) -> Option<ServerZone> {
    if let Some(known) = ZONES.with_borrow(|zones| zones.get(name).copied()) {
        return Some(known);
    }
    let text = CString::new(name).ok()?;
    let rules = unsafe { pg_sys::pg_tzset(text.as_ptr()) };
    // One that is not there may come.
    let zone = (!rules.is_null()).then_some(ServerZone { rules })?;
    ZONES.with_borrow_mut(|zones| zones.insert(name.to_string(), zone));
    Some(zone)
}

impl Zone for ServerZone {
    fn offset_at(&self, at: Instant) -> i32 {
        let seconds: pg_sys::pg_time_t = at.0.div_euclid(1_000_000);
        let broken_down = unsafe { pg_sys::pg_localtime(&seconds, self.rules) };
        if broken_down.is_null() { 0 } else { unsafe { (*broken_down).tm_gmtoff as i32 } }
    }
}
