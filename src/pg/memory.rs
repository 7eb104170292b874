//! Memory of the server's for a part of a long transaction.

use pgrx::pg_sys;

/// Runs `body`; what it allocated is gone afterwards. An ERROR takes it along with the transaction's.
pub fn scratch<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the new context is a child of the current one, so it is deleted once: here, or along with that after an
    // ERROR. Of what `body` allocates nothing but Rust's own values comes out.
    unsafe {
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"jittask scratch".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        let before = pg_sys::MemoryContextSwitchTo(context);
        let value = body();
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::MemoryContextDelete(context);
        value
    }
}
