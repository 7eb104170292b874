//! The databases of the cluster, read from the shared catalog by a process that is connected to none.

use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// A database that one may connect to.
pub struct Found {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: String,
}

/// All that allow connections and are no templates. Needs a transaction.
pub fn list() -> Vec<Found> {
    let mut found = Vec::new();
    // SAFETY: a shared catalog, which can be read without a database; the lock is held as long as it is open. A tuple
    // lies in a buffer that the scan has pinned until the next one: what is kept of it is copied. Its first columns,
    // which are read, are never null, and so are where the C struct has them.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if row.datallowconn && !row.datistemplate && row.datconnlimit != -2 {
                let name = CStr::from_ptr(row.datname.data.as_ptr()).to_string_lossy().into_owned();
                found.push(Found { oid: row.oid, name });
            }
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    found
}
