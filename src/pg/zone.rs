//! Time zones by the server's own rules (`pg_tzset`), never a second copy of them.

use pgrx::pg_sys;
use schedule::{Instant, Zone};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};

unsafe extern "C-unwind" {
    /// timezone/pgtz.h: opens the zone's file, and writes the name in its true case. Raises nothing for itself; the
    /// server's reading of a directory does when as many are open as a process may have.
    fn pg_open_tzfile(name: *const c_char, canonname: *mut c_char) -> c_int;
    /// unistd.h
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
    // SAFETY: both names are C strings; the one found is no longer than a zone's may be, 255 bytes and a NUL. The file
    // is ours to close. Where no directory is kept open, as here, one more may be.
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
    // SAFETY: the name is a C string, and a name too long is refused. The rules are kept in the server's table of
    // zones, out of which nothing is ever taken: they live as long as the process.
    let rules = unsafe { pg_sys::pg_tzset(text.as_ptr()) };
    // One that is not there may come.
    let zone = (!rules.is_null()).then_some(ServerZone { rules })?;
    ZONES.with_borrow_mut(|zones| zones.insert(name.to_string(), zone));
    Some(zone)
}

impl Zone for ServerZone {
    fn offset_at(&self, at: Instant) -> i32 {
        let seconds: pg_sys::pg_time_t = at.0.div_euclid(1_000_000);
        // SAFETY: the rules are those of `load`, and live as long as the process. The result is null, or a static
        // struct that the next call writes over: it is read before that.
        unsafe { pg_sys::pg_localtime(&seconds, self.rules).as_ref() }.map_or(0, |local| local.tm_gmtoff as i32)
    }
}
