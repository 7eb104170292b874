//! Background workers: starting, connecting, signals, waiting.

use super::clock;
use pgrx::pg_sys::{self, Oid};
use schedule::Instant;
use std::ffi::{CStr, c_char, c_int};

// The server's own signal handlers; the bridge wraps them and has no pointer to them. They are never called from here.
unsafe extern "C-unwind" {
    /// tcop/tcopprot.h: ends the process at its next check for interrupts.
    fn die(signal: c_int);
    /// postmaster/interrupt.h: sets ConfigReloadPending and the latch.
    #[link_name = "SignalHandlerForConfigReload"]
    fn on_sighup(signal: c_int);
}

/// Describes a worker of this library.
fn describe(name: &str, kind: &str, function: &CStr) -> pg_sys::BackgroundWorker {
    let mut worker = pg_sys::BackgroundWorker::default();
    copy(name, &mut worker.bgw_name);
    copy(kind, &mut worker.bgw_type);
    copy("jittask", &mut worker.bgw_library_name);
    copy(&function.to_string_lossy(), &mut worker.bgw_function_name);
    worker.bgw_flags = (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as c_int;
    worker
}

fn copy(text: &str, place: &mut [c_char]) {
    let room = place.len() - 1;
    for (slot, byte) in place[..room].iter_mut().zip(text.bytes()) {
        *slot = byte as c_char;
    }
}

/// Registers a worker that lives as long as the server and comes back a second after it failed.
pub fn register_static(name: &str, function: &CStr) {
    let mut worker = describe(name, name, function);
    worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = 1;
    // SAFETY: the description is complete, in this frame, and is copied. Outside of the postmaster the server refuses
    // it.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut worker) };
}

/// Starts a worker now, with an argument; false when the server has no slot free.
pub fn start(name: &str, kind: &str, function: &CStr, argument: usize, tell: i32) -> bool {
    let mut worker = describe(name, kind, function);
    worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = pg_sys::BGW_NEVER_RESTART as c_int;
    worker.bgw_main_arg = pg_sys::Datum::from(argument);
    worker.bgw_notify_pid = tell;
    // SAFETY: likewise; it is copied into shared memory. No handle is asked for.
    unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, std::ptr::null_mut()) }
}

/// Replaces a signal's handler.
///
/// # Safety
/// `handler` may do only what may be done between any two instructions of the process.
unsafe fn set_handler(signal: c_int, handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: the handler lives as long as the library, which is never unloaded.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(signal, Some(handler));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(signal, Some(handler));
    }
}

/// Replaces the handler of SIGQUIT, by which the postmaster ends a process at once.
pub fn on_quit(handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: the one caller, `flight`, gives a handler that touches atomics alone and ends the process.
    unsafe { set_handler(3, handler) };
}

/// SIGTERM ends the process wherever it is, also in user code; SIGHUP reloads.
pub fn take_signals() {
    // SAFETY: both are the server's own handlers, made for processes of this kind, in which it is called.
    unsafe {
        set_handler(15, die);
        set_handler(1, on_sighup);
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Reads the configuration again if SIGHUP came. True if it did.
pub fn reload_if_asked() -> bool {
    // SAFETY: the variable is written by a signal handler of this thread, so it is read and written as volatile. The
    // configuration is read between two transactions, as the server's own processes do it.
    unsafe {
        let pending = &raw mut pg_sys::ConfigReloadPending;
        if pending.read_volatile() == 0 {
            return false;
        }
        pending.write_volatile(0);
        pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        true
    }
}

/// Connects to no database: only shared catalogs can be read.
pub fn connect_nowhere() {
    // SAFETY: called once, in a worker's main function, outside of a transaction. No names: no database and no role.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
}

/// Connects as the bootstrap superuser, for our own tables only.
pub fn connect(database: Oid) {
    // SAFETY: called once, in a worker's main function, outside of a transaction; a database that is gone ends the
    // process.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, Oid::INVALID, 0) };
    be_called(c"jittask scheduler");
    let_transactions_last();
}

/// Connects as a role, which from PostgreSQL 17 on need not be able to log in.
pub fn connect_as(database: Oid, role: Oid) {
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    let flags = pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK;
    #[cfg(not(any(feature = "pg17", feature = "pg18")))]
    let flags = 0;
    // SAFETY: called once, in a worker's main function, outside of a transaction; a role that is gone ends the process.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, flags) };
    be_called(c"jittask executor");
    let_transactions_last();
}

/// What a role or the server allows a person's transactions ends nothing of ours: a run has its task's timeout, and so has planning.
fn let_transactions_last() {
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    set_as_client(c"transaction_timeout", c"0");
}

/// Sets application_name. It is seen from the end of the next transaction on.
fn be_called(name: &CStr) {
    set_as_client(c"application_name", name);
}

/// A setting as a client gives it when it connects: RESET ALL comes back to it.
pub fn set_as_client(setting: &CStr, value: &CStr) {
    let (context, source) = (pg_sys::GucContext::PGC_USERSET, pg_sys::GucSource::PGC_S_CLIENT);
    // SAFETY: both are C strings, which the server copies.
    unsafe { pg_sys::SetConfigOption(setting.as_ptr(), value.as_ptr(), context, source) };
}

/// The database this process is connected to.
pub fn database() -> Oid {
    // SAFETY: a variable of this process alone, set when it is connected and 0 before, copied.
    unsafe { pg_sys::MyDatabaseId }
}

/// The database's encoding, if it is not UTF8.
pub fn other_encoding() -> Option<String> {
    // SAFETY: it reads this process's own state, which is set since it was connected.
    if unsafe { pg_sys::GetDatabaseEncoding() } == pg_sys::pg_enc::PG_UTF8 as i32 {
        return None;
    }
    // SAFETY: a C string in the server's own table of encodings, which is constant.
    Some(unsafe { CStr::from_ptr(pg_sys::GetDatabaseEncodingName()) }.to_string_lossy().into_owned())
}

/// Its name.
pub fn database_name() -> Option<String> {
    // SAFETY: null, or a C string in the current memory context; it is copied.
    unsafe {
        let name = pg_sys::get_database_name(database());
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// What tells this server's data from all others'; a physical standby has the same.
pub fn system_identifier() -> u64 {
    // SAFETY: it reads the copy of the control file that each process has.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// This process.
pub fn pid() -> i32 {
    // SAFETY: a variable that is set when the process starts, copied.
    unsafe { pg_sys::MyProcPid }
}

/// Can tasks of a role that cannot log in run here?
pub fn runs_nologin_roles() -> bool {
    cfg!(any(feature = "pg17", feature = "pg18"))
}

/// The longest sleep without a look at the clock, which somebody may have set; microseconds.
const LONGEST_SLEEP: i64 = 5_000_000;

/// Sleeps until `until`, the latch, a jump of the clock, or the postmaster's death; SIGTERM ends the process from here.
pub fn wait_until(until: Instant) {
    let offset = clock::offset();
    loop {
        let left = until.0.saturating_sub(clock::now().0).max(0);
        let sleep = left.min(LONGEST_SLEEP);
        // Rounded up: waking a moment early would only mean to sleep again.
        if wait((sleep + 999) / 1000) || sleep == left || clock::is_jump(offset, clock::offset()) {
            return;
        }
    }
}

/// Sleeps the full time even if the latch is set, so that a burst of wake-ups is served by one pass. A few milliseconds.
pub fn rest(millis: i64) {
    wait_for(0, millis);
}

/// True if somebody set the latch.
fn wait(millis: i64) -> bool {
    wait_for(pg_sys::WL_LATCH_SET, millis)
}

fn wait_for(event: u32, millis: i64) -> bool {
    let events = event | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: the latch is this process's own, which it alone may wait for and reset, and it is valid while the process
    // lives.
    let woken_by = unsafe {
        let woken_by = pg_sys::WaitLatch(pg_sys::MyLatch, events as c_int, millis, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        woken_by
    };
    check_interrupts();
    woken_by as u32 & pg_sys::WL_LATCH_SET != 0
}

/// Ends the process or cancels the statement if that was asked for.
pub fn check_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Ends this process now, without an error.
pub fn exit(code: i32) -> ! {
    // SAFETY: called in a worker's main function, outside of a transaction; it runs the callbacks and does not return.
    unsafe { pg_sys::proc_exit(code) };
    #[allow(unreachable_code)] // not every version's binding says that it does not return
    {
        unreachable!("proc_exit does not return")
    }
}

/// Runs `clean_up` when this process ends in whatever way but a crash.
pub fn at_exit(clean_up: unsafe extern "C-unwind" fn(c_int, pg_sys::Datum), argument: usize) {
    // SAFETY: the callbacks of ours are guarded, take any argument, and live as long as the library.
    unsafe { pg_sys::before_shmem_exit(Some(clean_up), pg_sys::Datum::from(argument)) };
}

/// What `pg_stat_activity` shows of this process.
pub fn report(text: Option<&str>) {
    use pg_sys::BackendState::*;
    let text = text.and_then(|text| std::ffi::CString::new(text).ok());
    let (state, shown) = text.as_ref().map_or((STATE_IDLE, std::ptr::null()), |text| (STATE_RUNNING, text.as_ptr()));
    // SAFETY: null, or a C string that lives in this frame; it is copied.
    unsafe { pg_sys::pgstat_report_activity(state, shown) }
}

/// Is the postmaster loading shared_preload_libraries, for real and not for pg_upgrade?
pub fn is_preloading() -> bool {
    // SAFETY: variables of this process alone, copied.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade }
}
