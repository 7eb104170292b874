//! The flight recorder: which row each executor is executing, in a file mapped from the data directory, so that it
//! outlives a crash that takes shared memory away. A bystander that the postmaster ends because another process
//! crashed marks itself; one without a mark was the one that crashed.

use super::part::{AtomicPart, Part};
use crate::settings::EXECUTOR_SLOTS;
use pgrx::pg_sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Ordering::*};

/// What one executor is doing.
#[repr(C)]
pub struct Flight {
    database: AtomicU32,
    /// Which of its rows.
    pub part: AtomicPart,
    /// The agenda entry, 0: nothing is executing.
    pub entry: AtomicI64,
    /// When it started; microseconds since 1970.
    started_at: AtomicI64,
    /// Ended by the postmaster for another's crash.
    bystander: AtomicI32,
    postmaster: AtomicI32,
    /// When that postmaster started: in a container the next one may have its pid. A crash that it survives changes neither.
    postmaster_since: AtomicI64,
}

/// A run whose process ended in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The database.
    pub database: u32,
    /// The agenda entry.
    pub entry: i64,
    /// Which of its rows.
    pub part: Part,
    /// Microseconds since 1970.
    pub started_at: i64,
}

/// The layout of [`Flight`] is that of the file: another one gets another name.
const FILE: &str = "jittask.flights.2";

static FLIGHTS: AtomicPtr<Flight> = AtomicPtr::new(std::ptr::null_mut());
static MINE: AtomicPtr<Flight> = AtomicPtr::new(std::ptr::null_mut());

// As in sys/mman.h and unistd.h, of a 64-bit system.
unsafe extern "C" {
    fn mmap(address: *mut u8, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut u8;
    fn _exit(code: i32) -> !;
}

const READ_WRITE: i32 = 3;
const MAP_SHARED: i32 = 1;

/// Maps the file; in the postmaster, whose children inherit the mapping. Without it (a full disk) crashes go uncounted.
pub fn init() {
    let length = size_of::<Flight>() * EXECUTOR_SLOTS;
    // The postmaster's working directory is the data directory.
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(FILE);
    let Ok(file) = file.and_then(|file| file.set_len(length as u64).map(|()| file)) else { return };
    // SAFETY: a new mapping, at an address that the system chooses: it takes nothing away.
    let place = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, MAP_SHARED, file.as_raw_fd(), 0) };
    if place as isize != -1 {
        FLIGHTS.store(place.cast(), Release);
    }
}

fn all() -> &'static [Flight] {
    let place = FLIGHTS.load(Acquire);
    // SAFETY: mapped by `init` for as many flights, page by page aligned, and never unmapped. The file has their
    // length: nobody but who owns the data directory could shorten it. They are of atomics alone, of which any bytes
    // are a value.
    if place.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(place, EXECUTOR_SLOTS) } }
}

/// The pid of this process's postmaster, and when it started.
fn postmaster() -> (i32, i64) {
    // SAFETY: variables that the postmaster sets before it starts this process, copied.
    unsafe { (pg_sys::PostmasterPid, pg_sys::PgStartTime) }
}

/// Takes the slot for this executor.
pub fn enter(index: usize, database: u32) {
    let Some(flight) = all().get(index) else { return };
    flight.entry.store(0, Release);
    flight.bystander.store(0, Release);
    flight.database.store(database, Release);
    let (postmaster, since) = postmaster();
    flight.postmaster.store(postmaster, Release);
    flight.postmaster_since.store(since, Release);
    MINE.store(std::ptr::from_ref(flight).cast_mut(), Release);
    super::worker::on_quit(quit);
}

/// Notes what executes from now on; entry 0: nothing.
pub fn note(entry: i64, part: Part, started_at: i64) {
    // SAFETY: null, or one of `all`, which are there as long as the process.
    if let Some(flight) = unsafe { MINE.load(Acquire).as_ref() } {
        flight.part.store(part);
        flight.started_at.store(started_at, Release);
        flight.entry.store(entry, Release);
    }
}

/// SIGQUIT: the postmaster ends all because one crashed. Only what is safe in a signal handler.
extern "C-unwind" fn quit(_signal: i32) {
    // SAFETY: null, or one of `all`, which are there as long as the process. Atomics may be used in a signal handler.
    if let Some(flight) = unsafe { MINE.load(Acquire).as_ref() } {
        flight.bystander.store(1, Release);
    }
    // As the server's own handler: at once, without any cleaning up, and telling the postmaster that it was no exit.
    // SAFETY: it may be called in a signal handler, and does not return.
    unsafe { _exit(2) }
}

/// Runs that were executing in a process that died under this same postmaster; asked once, after its restart. Those
/// of another postmaster ended with it, by a power cut or a kill: nobody's fault.
pub fn take_crashes(is_running: impl Fn(usize) -> bool) -> Vec<Ended> {
    let postmaster = postmaster();
    let crashed = |(_, flight): (usize, &Flight)| {
        let entry = flight.entry.swap(0, AcqRel);
        let noted = (flight.postmaster.load(Acquire), flight.postmaster_since.load(Acquire));
        let ours = noted == postmaster && flight.bystander.load(Acquire) == 0;
        (entry != 0 && ours).then(|| Ended {
            database: flight.database.load(Acquire),
            entry,
            part: flight.part.load(),
            started_at: flight.started_at.load(Acquire),
        })
    };
    all().iter().enumerate().filter(|(index, _)| !is_running(*index)).filter_map(crashed).collect()
}
