//! Names in SQL: quoted where they need it, whatever `quote_all_identifiers` says. It is anybody's setting, and a name that is
//! stored, or compared with one that is, has one form.

use pgrx::pg_sys;

/// A name.
pub fn quoted(name: impl AsRef<str>) -> String {
    plainly(|| pgrx::spi::quote_identifier(name.as_ref()))
}

/// A name with its schema.
pub fn qualified(schema: impl AsRef<str>, name: impl AsRef<str>) -> String {
    plainly(|| pgrx::spi::quote_qualified_identifier(schema.as_ref(), name.as_ref()))
}

fn plainly(quote: impl FnOnce() -> String) -> String {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            // SAFETY: a variable of this process, on its main thread, which is put back as it was, also while it unwinds.
            unsafe { pg_sys::quote_all_identifiers = self.0 };
        }
    }
    // SAFETY: as above; what is quoted reads it, and nothing else runs meanwhile.
    let reset = Reset(unsafe { pg_sys::quote_all_identifiers });
    // SAFETY: as above.
    unsafe { pg_sys::quote_all_identifiers = false };
    let name = quote();
    drop(reset);
    name
}
