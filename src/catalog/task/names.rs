//! Names of tasks: which are taken, and locks on those that are just being given. An object lock of the server's, on the name's
//! hash; held until the caller's transaction ends.

use crate::error::{Error, Kind, Result};
use crate::pg::{digest, lock, sql, user};
use pgrx::pg_sys::Oid;

/// 42710.
pub fn taken(name: &str) -> Error {
    Error::new(Kind::Exists, format!("task \"{name}\" already exists"))
        .hint("Give another name, or leave name out to have one generated.")
}

/// Is a task of this name there, whoever owns it?
pub fn exists(name: &str) -> bool {
    !user::as_extension_owner(|| {
        sql::run("select 1 from jittask.task where name = $1 and dropped_at is null", &[sql::arg(name)])
    })
    .is_empty()
}

/// Is this name, for a new task, taken by another or just being given to one? If not, it is this transaction's.
pub fn is_busy(name: &str) -> bool {
    exists(name) || lock_of(name).is_some_and(|(catalog, hash)| !lock::try_name(catalog, hash)) || exists(name)
}

/// 42710 if a task has this name; waits for a transaction that is just giving it to one. Then it is this transaction's.
pub fn take(name: &str) -> Result<()> {
    if let Some((catalog, hash)) = lock_of(name) {
        lock::wait_for_name(catalog, hash);
    }
    if exists(name) { Err(taken(name)) } else { Ok(()) }
}

fn lock_of(name: &str) -> Option<(Oid, u32)> {
    Some((lock::relation(c"task")?, digest::lock_number(name.as_bytes())))
}
