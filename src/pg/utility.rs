//! Statements on whole databases: our workers leave before DROP, RENAME, SET TABLESPACE or a copy of theirs goes on, and
//! before DROP EXTENSION. In the session of who says so, before the statement.
//! And COMMIT PREPARED, which no transaction callback of the preparing session sees.

use super::shmem::{self, Shared};
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};
use std::sync::atomic::Ordering::*;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// How long our workers stay away if the statement fails and nobody lets them back. One that takes longer holds a lock
/// on the database, which keeps them out too.
const KEEP_OUT_MICROS: i64 = 4_000_000;

/// Hooks in; only while shared_preload_libraries are loaded.
pub fn init() {
    // SAFETY: the postmaster is loading libraries, before it has children. The hook that was there is kept and called.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(hook);
    }
}

// As in tcop/utility.h. What it raises passes our hook by.
unsafe extern "C-unwind" {
    #[link_name = "standard_ProcessUtility"]
    fn raw_standard(
        statement: *mut pg_sys::PlannedStmt,
        query: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// Every utility statement of every session passes here, so its errors must pass untouched: the frame owns nothing,
/// is not guarded, and an ERROR jumps over it as over C. What we do ourselves is in the two guarded functions.
///
/// # Safety
/// Only the server may call it, as ProcessUtility_hook.
#[allow(clippy::too_many_arguments)] // the server's signature
unsafe extern "C-unwind" fn hook(
    statement: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: all arguments are the server's, and go on to whom they were for. A utility statement has a node. PREVIOUS
    // was written once, by `init`, in the postmaster.
    unsafe {
        let node = (*statement).utilityStmt;
        // Read before: the statement may be freed when a transaction ends in it.
        let is_commit_prepared = is_commit_prepared(node);
        let cleared = before(node);
        match PREVIOUS {
            Some(previous) => {
                previous(statement, query, read_only, context, params, environment, destination, completion)
            }
            None => raw_standard(statement, query, read_only, context, params, environment, destination, completion),
        }
        if cleared != 0 || is_commit_prepared {
            after(cleared, is_commit_prepared);
        }
    }
}

/// The database that was cleared of our workers, or 0.
///
/// # Safety
/// `node` must be a utility statement of the server's.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn before(node: *mut pg_sys::Node) -> u32 {
    // SAFETY: as this function's caller says.
    unsafe { database_of(node) }.filter(|database| clear(*database)).unwrap_or(0)
}

#[pgrx::pg_guard]
extern "C-unwind" fn after(cleared: u32, is_commit_prepared: bool) {
    if cleared != 0 {
        let_back(cleared);
    }
    if is_commit_prepared {
        super::wake::committed_prepared();
    }
}

/// The database that must be free of connections for this statement, if the caller may run it at all.
///
/// # Safety
/// `node` must be a utility statement of the server's.
unsafe fn database_of(node: *mut pg_sys::Node) -> Option<u32> {
    // SAFETY: a node's tag says which struct it is, and the parser fills in the name of each of these. None of them is
    // let into a transaction that has failed, so catalogs may be asked.
    unsafe {
        let name = match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            pg_sys::NodeTag::T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                if rename.renameType != pg_sys::ObjectType::OBJECT_DATABASE {
                    return None;
                }
                rename.subname
            }
            pg_sys::NodeTag::T_AlterDatabaseStmt => option(&*node.cast::<pg_sys::AlterDatabaseStmt>(), c"tablespace")?,
            pg_sys::NodeTag::T_DropStmt => return dropped_extension(&*node.cast::<pg_sys::DropStmt>()),
            pg_sys::NodeTag::T_CreatedbStmt => return template(&*node.cast::<pg_sys::CreatedbStmt>()),
            _ => return None,
        };
        let database = pg_sys::get_database_oid(name, true);
        (database != pg_sys::Oid::INVALID && owns(database)).then(|| database.to_u32())
    }
}

/// The database, if the statement has this option.
///
/// # Safety
/// The statement must be as the parser made it.
unsafe fn option(statement: &pg_sys::AlterDatabaseStmt, wanted: &CStr) -> Option<*mut c_char> {
    // SAFETY: the parser makes a list of DefElem of them.
    unsafe { value_of(statement.options, wanted).map(|_| statement.dbname) }
}

/// DROP EXTENSION takes the locks of all our tables, and workers that hold some of them would deadlock with it.
///
/// # Safety
/// The statement must be as the parser made it.
unsafe fn dropped_extension(statement: &pg_sys::DropStmt) -> Option<u32> {
    // SAFETY: the parser makes a list of strings of extensions' names.
    unsafe {
        if statement.removeType != pg_sys::ObjectType::OBJECT_EXTENSION || !pg_sys::superuser() {
            return None;
        }
        let names = pgrx::PgList::<pg_sys::Node>::from_pg(statement.objects);
        let is_ours = names.iter_ptr().any(|name| CStr::from_ptr(text_of(name)) == c"jittask");
        is_ours.then(|| pg_sys::MyDatabaseId.to_u32())
    }
}

/// The text of a string node.
///
/// # Safety
/// `node` must be one.
unsafe fn text_of(node: *mut pg_sys::Node) -> *mut c_char {
    #[cfg(feature = "pg14")]
    // SAFETY: as the caller says; of a string's value the text is what is filled in.
    return unsafe { (*node.cast::<pg_sys::Value>()).val.str_ };
    #[cfg(not(feature = "pg14"))]
    // SAFETY: as the caller says.
    return unsafe { (*node.cast::<pg_sys::String>()).sval };
}

/// The database that CREATE DATABASE copies, if the caller may have it copied.
///
/// # Safety
/// The statement must be as the parser made it.
unsafe fn template(statement: &pg_sys::CreatedbStmt) -> Option<u32> {
    // SAFETY: the parser makes a list of DefElem of the options; the text that is found is a C string.
    unsafe {
        let name = value_of(statement.options, c"template")?;
        let database = pg_sys::get_database_oid(name, true);
        (database != pg_sys::Oid::INVALID && may_create_databases() && owns(database)).then(|| database.to_u32())
    }
}

/// The server's own check is not offered by all its versions.
fn may_create_databases() -> bool {
    // SAFETY: the entry is held in the cache until it is released, and read before that; a role's first columns are
    // never null.
    unsafe {
        let entry = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::AUTHOID as i32,
            pg_sys::Datum::from(pg_sys::GetUserId()),
        );
        if entry.is_null() {
            return false;
        }
        let may_create = (*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_authid>()).rolcreatedb;
        pg_sys::ReleaseSysCache(entry);
        may_create || pg_sys::superuser()
    }
}

/// The text of an option that has a value.
///
/// # Safety
/// The list must be null or one of DefElem.
unsafe fn value_of(options: *mut pg_sys::List, wanted: &CStr) -> Option<*mut c_char> {
    // SAFETY: the list is as the caller says; each option has a name, and a node where it has a value, of which the
    // server makes a C string in the current memory context.
    unsafe {
        pgrx::PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .find(|option| CStr::from_ptr((**option).defname) == wanted)
            .filter(|option| !(**option).arg.is_null())
            .map(|option| pg_sys::defGetString(option))
    }
}

/// Does the current role own a database that there is, or is it a superuser?
fn owns(database: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the catalog cache that keep nothing; a database that is gone by now raises.
    unsafe {
        let role = pg_sys::GetUserId();
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        return pg_sys::pg_database_ownercheck(database, role);
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        return pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, role);
    }
}

/// Asks our workers to leave and waits for it, three seconds at most. False when there were none.
fn clear(oid: u32) -> bool {
    let Some(shared) = shmem::shared() else { return false };
    let Some(database) = shared.databases.iter().find(|slot| slot.oid.load(Acquire) == oid) else { return false };
    let now = super::clock::now().0;
    database.keep_out_until.store(now + KEEP_OUT_MICROS, Release);
    while workers_left(shared, oid, database) && super::clock::now().0 < now + 3_000_000 {
        database.scheduler.signal(SIGTERM);
        shared.executors_of(oid).for_each(shmem::Executor::end);
        // SAFETY: it sleeps, and may be called anywhere.
        unsafe { pg_sys::pg_usleep(10_000) };
        super::worker::check_interrupts();
    }
    true
}

const SIGTERM: i32 = 15;

fn workers_left(shared: &Shared, oid: u32, database: &shmem::Database) -> bool {
    database.scheduler.is_alive() || shared.executors_of(oid).next().is_some()
}

/// After the statement: whoever is still there may be served again.
fn let_back(oid: u32) {
    let Some(shared) = shmem::shared() else { return };
    if let Some(database) = shared.databases.iter().find(|slot| slot.oid.load(Acquire) == oid) {
        database.keep_out_until.store(0, Release);
        database.look_again();
        shared.launcher.wake();
    }
}

/// Is it COMMIT PREPARED?
///
/// # Safety
/// `node` must be a utility statement of the server's.
unsafe fn is_commit_prepared(node: *mut pg_sys::Node) -> bool {
    // SAFETY: a node's tag says which struct it is.
    unsafe {
        (*node).type_ == pg_sys::NodeTag::T_TransactionStmt
            && (*node.cast::<pg_sys::TransactionStmt>()).kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED
    }
}
