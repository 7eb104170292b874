//! Heavyweight locks on our own objects. Not advisory locks: those anybody may take or release.

use super::worker;
use pgrx::pg_sys::{self, Oid};

/// The session's lock_timeout in microseconds; 0: none.
pub fn timeout() -> i64 {
    // SAFETY: a setting's variable, of this process alone, copied.
    i64::from(unsafe { pg_sys::LockTimeout }) * 1000
}

/// Tries to take the right to plan a task, until the transaction ends. False: another executor plans it.
pub fn try_plan(catalog: Oid, task: i32) -> bool {
    acquire(catalog, task as u32, PLAN, pg_sys::ExclusiveLock, false)
}

/// Tries to take a name for a new task, until the transaction ends. False: another transaction is just using it. `hash`
/// is the name's.
pub fn try_name(catalog: Oid, hash: u32) -> bool {
    acquire(catalog, hash, NAME, pg_sys::ExclusiveLock, false)
}

/// The same, and waits for the other one's end.
pub fn wait_for_name(catalog: Oid, hash: u32) {
    acquire(catalog, hash, NAME, pg_sys::ExclusiveLock, true);
}

/// The right to make one more task of a role, until the transaction ends.
pub fn wait_for_quota(catalog: Oid, owner: Oid) {
    acquire(catalog, owner.to_u32(), QUOTA, pg_sys::ExclusiveLock, true);
}

/// What of a task is locked.
const PLAN: u16 = 0;
const NAME: u16 = 1;
const QUOTA: u16 = 2;

fn acquire(catalog: Oid, object: u32, part: u16, mode: u32, waits: bool) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: worker::database().to_u32(),
        locktag_field2: catalog.to_u32(),
        locktag_field3: object,
        locktag_field4: part,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    // SAFETY: the tag lives in this frame and is copied. A transaction is open, at whose end the lock is released.
    let taken = unsafe { pg_sys::LockAcquire(&tag, mode as i32, false, !waits) };
    taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Something in the system catalogs: the OID of its catalog, and its own.
pub type Object = (Oid, Oid);

/// Takes the lock of a reader on an object until the transaction ends: whoever alters it or gives it away waits. What was
/// changed until then is known from here on. False: somebody is changing it, and this `waits` for nobody.
pub fn read(object: Object, waits: bool) -> bool {
    let (class, oid) = object;
    if class == pg_sys::RelationRelationId && waits {
        // SAFETY: any OID can be locked, also one of no relation; the transaction that is open releases it.
        unsafe { pg_sys::LockRelationOid(oid, pg_sys::AccessShareLock as i32) };
        return true;
    }
    if class == pg_sys::RelationRelationId {
        return try_read(oid);
    }
    let is_taken = acquire(class, oid.to_u32(), 0, pg_sys::AccessShareLock, waits);
    // SAFETY: a transaction is open, so that the callbacks may look into catalogs.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    is_taken
}

/// Takes the lock of a reader on a user's table until the transaction ends, unless that would have to wait: for somebody
/// who has locked it, or who waits to lock it.
pub fn try_read(relation: Oid) -> bool {
    try_now(relation, pg_sys::AccessShareLock)
}

/// Takes a lock of this mode on a table until the transaction ends, unless that would have to wait.
pub fn try_now(relation: Oid, mode: u32) -> bool {
    // SAFETY: any OID can be locked, also one of no relation; the transaction that is open releases it.
    unsafe { pg_sys::ConditionalLockRelationOid(relation, mode as i32) }
}

/// The same, but waits as long as lock_timeout lets it (55P03).
pub fn take(relation: Oid, mode: u32) {
    // SAFETY: as above; a wait that is given up raises.
    unsafe { pg_sys::LockRelationOid(relation, mode as i32) };
}

/// The OID of one of our relations, found without any search_path.
pub fn relation(name: &std::ffi::CStr) -> Option<Oid> {
    // SAFETY: the names are C strings; look-ups in the catalog caches that keep nothing.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"jittask".as_ptr(), true);
        if schema == Oid::INVALID {
            return None;
        }
        let relation = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (relation != Oid::INVALID).then_some(relation)
    }
}
