//! Statements on whole databases: our workers leave before DROP, RENAME, SET TABLESPACE or a copy of theirs goes on, and
//! before DROP EXTENSION. In the session of who says so, before the statement.
//! And COMMIT PREPARED, which no transaction callback of the preparing session sees.

use super::shmem::{self, DatabaseState, Shared};
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};
use std::sync::atomic::Ordering::*;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// How long our workers stay away if the statement fails and nobody lets them back. One that takes longer holds a lock
/// on the database, which keeps them out too.
const KEEP_OUT_MICROS: i64 = 4_000_000;

/// Hooks in; only while shared_preload_libraries are loaded.
pub fn init() {
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(hook);
    }
}

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
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn before(node: *mut pg_sys::Node) -> u32 {
    unsafe { database_of(node) }.filter(|database| clear(*database)).unwrap_or(0)
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn after(cleared: u32, is_commit_prepared: bool) {
    if cleared != 0 {
        let_back(cleared);
    }
    if is_commit_prepared {
        super::wake::committed_prepared();
    }
}

/// The database that must be free of connections for this statement, if the caller may run it at all.
unsafe fn database_of(node: *mut pg_sys::Node) -> Option<u32> {
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

unsafe fn option(statement: &pg_sys::AlterDatabaseStmt, wanted: &CStr) -> Option<*mut c_char> {
    unsafe { value_of(statement.options, wanted).map(|_| statement.dbname) }
}

/// DROP EXTENSION takes the locks of all our tables, and workers that hold some of them would deadlock with it.
unsafe fn dropped_extension(statement: &pg_sys::DropStmt) -> Option<u32> {
    unsafe {
        if statement.removeType != pg_sys::ObjectType::OBJECT_EXTENSION || !pg_sys::superuser() {
            return None;
        }
        let names = pgrx::PgList::<pg_sys::Node>::from_pg(statement.objects);
        let is_ours = names.iter_ptr().any(|name| CStr::from_ptr(text_of(name)) == c"jittask");
        is_ours.then(|| pg_sys::MyDatabaseId.to_u32())
    }
}

unsafe fn text_of(node: *mut pg_sys::Node) -> *mut c_char {
    #[cfg(feature = "pg14")]
    return unsafe { (*node.cast::<pg_sys::Value>()).val.str_ };
    #[cfg(not(feature = "pg14"))]
    return unsafe { (*node.cast::<pg_sys::String>()).sval };
}

unsafe fn template(statement: &pg_sys::CreatedbStmt) -> Option<u32> {
    unsafe {
        let name = value_of(statement.options, c"template")?;
        let database = pg_sys::get_database_oid(name, true);
        (database != pg_sys::Oid::INVALID && may_create_databases() && owns(database)).then(|| database.to_u32())
    }
}

/// The server's own check is not offered by all its versions.
unsafe fn may_create_databases() -> bool {
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

unsafe fn value_of(options: *mut pg_sys::List, wanted: &CStr) -> Option<*mut c_char> {
    unsafe {
        pgrx::PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .find(|option| CStr::from_ptr((**option).defname) == wanted)
            .filter(|option| !(**option).arg.is_null())
            .map(|option| pg_sys::defGetString(option))
    }
}

unsafe fn owns(database: pg_sys::Oid) -> bool {
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
        shared.executors_of(oid).for_each(|executor| executor.process.signal(SIGTERM));
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
        database.set_state(DatabaseState::Unknown);
        shared.launcher.wake();
    }
}

unsafe fn is_commit_prepared(node: *mut pg_sys::Node) -> bool {
    unsafe {
        (*node).type_ == pg_sys::NodeTag::T_TransactionStmt
            && (*node.cast::<pg_sys::TransactionStmt>()).kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED
    }
}
