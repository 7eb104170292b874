//! The server's keywords, those of the version that is running.

use pgrx::pg_sys;
use std::ffi::CString;

/// Is this, in lower case, a keyword that no column can be called by without quotes?
pub fn is_reserved(word: &str) -> bool {
    let Ok(word) = CString::new(word) else { return false };
    // SAFETY: a look-up of a C string in a list that is part of the server and never changes; there is a category for each
    // number that it gives.
    let category = unsafe {
        let number = pg_sys::ScanKeywordLookup(word.as_ptr(), &raw const pg_sys::ScanKeywords);
        let Ok(number) = usize::try_from(number) else { return false };
        *(&raw const pg_sys::ScanKeywordCategories).cast::<u8>().add(number)
    };
    [pg_sys::RESERVED_KEYWORD, pg_sys::TYPE_FUNC_NAME_KEYWORD].contains(&u32::from(category))
}
