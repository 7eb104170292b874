//! Has anything in the system catalogs changed, as far as this process was told? What was looked up under one generation
//! is right until the next.

use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;

thread_local! {
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// Starts to listen; once in a process.
pub fn listen() {
    let caches = [
        pg_sys::SysCacheIdentifier::PROCOID,
        pg_sys::SysCacheIdentifier::TYPEOID,
        pg_sys::SysCacheIdentifier::NAMESPACEOID,
        pg_sys::SysCacheIdentifier::AUTHOID,
        pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
    ];
    // SAFETY: called once in a process, whose table of callbacks has room. They live as long as the library, which is
    // never unloaded, and only count, so they may be called at any moment.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), Datum::from(0));
        for cache in caches {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(entry_changed), Datum::from(0));
        }
    }
}

/// Compare it with an earlier one. Changes of other sessions count from this transaction's or the next lock's start.
pub fn generation() -> u64 {
    GENERATION.get()
}

extern "C-unwind" fn relation_changed(_argument: Datum, _relation: Oid) {
    GENERATION.set(GENERATION.get() + 1);
}

extern "C-unwind" fn entry_changed(_argument: Datum, _cache: i32, _hash: u32) {
    GENERATION.set(GENERATION.get() + 1);
}
