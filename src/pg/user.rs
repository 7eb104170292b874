//! Who is acting: the switch to the extension's owner for bookkeeping, and the settings that user code may not shape.

pub use super::guc::Settings;
use super::privileged::{Privileged, is_privileged};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::ffi::CStr;

/// From miscadmin.h: the user id is switched locally, session commands that would undo it are refused.
const LOCAL_USERID_CHANGE: i32 = 0x0001;
/// Likewise: no SET ROLE, no temporary tables, no cursors that outlive the transaction, deferred triggers run at once.
const RESTRICTED_OPERATION: i32 = 0x0002;

thread_local! {
    /// Extension OID and its owner, looked up once for each incarnation of the extension, and after roles have changed.
    static OWNER: Cell<(Oid, Oid)> = const { Cell::new((Oid::INVALID, Oid::INVALID)) };
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// The extension's OID, or None where it is not installed.
pub fn extension() -> Option<Oid> {
    // SAFETY: the name is a C string; a look-up in the catalog that keeps nothing.
    let oid = unsafe { pg_sys::get_extension_oid(c"jittask".as_ptr(), true) };
    (oid != Oid::INVALID).then_some(oid)
}

/// The role that owns the extension. Needs SPI.
pub fn extension_owner() -> Oid {
    let extension = extension().unwrap_or(Oid::INVALID);
    let (known, owner) = OWNER.get();
    if known == extension && owner != Oid::INVALID {
        return owner;
    }
    if !LISTENS.replace(true) {
        let role = pg_sys::SysCacheIdentifier::AUTHOID as i32;
        // SAFETY: once in a process, whose table of callbacks has room. It lives as long as the library, and only sets
        // a cell.
        unsafe { pg_sys::CacheRegisterSyscacheCallback(role, Some(role_changed), pg_sys::Datum::from(0)) };
    }
    let rows = super::sql::once(
        "select extowner from pg_catalog.pg_extension where oid operator(pg_catalog.=) $1",
        &[super::sql::arg(extension)],
    );
    let Some(owner) = rows.get::<Oid>(0, 1) else {
        crate::error::Error::new(crate::error::Kind::State, "extension jittask is not installed in this database")
            .raise()
    };
    OWNER.set((extension, owner));
    owner
}

/// REASSIGN OWNED may have given the extension to another; when its old owner is dropped, everybody is told.
extern "C-unwind" fn role_changed(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
    OWNER.set((Oid::INVALID, Oid::INVALID));
}

/// The current role.
pub fn current() -> Oid {
    // SAFETY: it reads this process's own state, which is set since it was connected.
    unsafe { pg_sys::GetUserId() }
}

/// The session's role, to which RESET ROLE leads.
pub fn session() -> Oid {
    // SAFETY: it reads this process's own state, which is set since it was connected.
    unsafe { pg_sys::GetSessionUserId() }
}

/// May the current role act as `role`, that is, has it its privileges?
pub fn may_act_as(role: Oid) -> bool {
    // SAFETY: a look-up in the cache of memberships; any OID may be asked for.
    unsafe { pg_sys::has_privs_of_role(current(), role) }
}

/// The OID of a predefined role.
pub fn role(name: &CStr) -> Oid {
    // SAFETY: the name is a C string; a look-up in the catalog cache that keeps nothing.
    unsafe { pg_sys::get_role_oid(name.as_ptr(), true) }
}

/// Is the current role a superuser?
pub fn is_superuser() -> bool {
    // SAFETY: a look-up in the catalog cache, by the current role.
    unsafe { pg_sys::superuser() }
}

/// Has the current role the privileges of this (predefined) role?
pub fn is_member_of(role: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(role) else { return false };
    let role = self::role(&name);
    role != Oid::INVALID && may_act_as(role)
}

/// Is `role` a superuser?
pub fn is_superuser_role(role: Oid) -> bool {
    // SAFETY: a look-up in the catalog cache; any OID may be asked for.
    unsafe { pg_sys::superuser_arg(role) }
}

/// A role's name, or None when it is gone.
pub fn name_of(role: Oid) -> Option<String> {
    // SAFETY: null, or a C string in the current memory context; it is copied.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// Bookkeeping: runs `body` as the extension's owner under pinned settings. Only our own fixed SQL may go in here.
/// An ERROR needs no cleaning up: the abort of the (sub)transaction restores the user and the settings.
pub fn as_extension_owner<T>(body: impl FnOnce() -> T) -> T {
    if is_privileged() {
        return body();
    }
    let owner = extension_owner();
    let _privileged = Privileged::begin();
    let (user, context) = identity();
    let settings = Settings::begin();
    settings.pin();
    settings.set(c"jit", c"off");
    // A plan made while a table is empty, as the agenda mostly is, serves when it is large.
    settings.set(c"enable_seqscan", c"off");
    // User code may have made the transaction read-only; the record of that must still be written.
    let read_only = super::xact::is_read_only();
    // SAFETY: a transaction is open, whose state these are; its abort, or that of the savepoint, puts both back if
    // `body` does not return. The owner is a role that there is.
    unsafe {
        pg_sys::XactReadOnly = false;
        pg_sys::SetUserIdAndSecContext(owner, context | LOCAL_USERID_CHANGE);
    }
    let result = body();
    // SAFETY: what was there before, in the same transaction.
    unsafe {
        pg_sys::SetUserIdAndSecContext(user, context);
        pg_sys::XactReadOnly = read_only;
    }
    settings.end();
    result
}

/// What evaluates somebody's code in a session that may be more than the current role, after SET ROLE: code in it can
/// neither go back to that session's role nor leave anything behind that runs later.
pub fn restricted<T>(body: impl FnOnce() -> T) -> T {
    if session() == current() {
        return body();
    }
    let (user, context) = identity();
    let restriction = LOCAL_USERID_CHANGE | RESTRICTED_OPERATION;
    // SAFETY: the role stays, and a transaction is open, whose abort puts the context back if `body` does not return.
    unsafe { pg_sys::SetUserIdAndSecContext(user, context | restriction) };
    let result = body();
    // SAFETY: what was there before, in the same transaction.
    unsafe { pg_sys::SetUserIdAndSecContext(user, context) };
    result
}

/// The current role, and by which restrictions it is bound.
fn identity() -> (Oid, i32) {
    let (mut user, mut context) = (Oid::INVALID, 0);
    // SAFETY: it writes this process's own state into this frame.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    (user, context)
}

/// Statements of ours as the caller, with no search_path that could lend an operator or a function.
pub fn with_pinned_path<T>(body: impl FnOnce() -> T) -> T {
    let settings = Settings::begin();
    settings.pin();
    let result = body();
    settings.end();
    result
}
