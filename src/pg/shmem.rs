//! Shared memory: wake flags, planning limits and slots. Nothing in it is a fact: after a crash it starts empty and
//! is filled again from the tables. Only atomics, so no lock is ever held across anything that can raise.

use super::clock;
pub use super::deaths::{Death, DeathSlot};
pub use super::executor::{Executor, Interruption, State};
pub use super::limit::Limit;
use super::planning::{OWNERS, Planner};
use super::prepared::{self, CHANGES, Change};
pub use super::process::Process;
pub use super::slots::{Database, DatabaseState};
use crate::settings::EXECUTOR_SLOTS;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering::*};

/// Databases that can have a scheduler at the same time.
pub const DATABASE_SLOTS: usize = 128;
/// Date-field tasks whose planning limit is shared; further ones are planned without it, at each scan.
pub const LIMIT_SLOTS: usize = 16_384;
/// Whoever finds no background worker tries again within this. Microseconds.
const NO_WORKER_FOR: i64 = 2_000_000;
/// What takes longer is not quick. Microseconds.
pub const QUICK: i64 = 100_000;

/// All of it.
#[repr(C)]
pub struct Shared {
    /// The launcher.
    pub launcher: Process,
    /// When there was last no background worker free for one of ours, and since when again and again. Microseconds since 1970.
    no_worker_at: AtomicI64,
    no_worker_since: AtomicI64,
    /// The databases.
    pub databases: [Database; DATABASE_SLOTS],
    /// The executors: `jittask.max_executors` at most, and those that are deaf.
    pub executors: [Executor; EXECUTOR_SLOTS],
    /// After a crash filled by the launcher when it starts, which is before any scheduler does.
    pub deaths: [DeathSlot; EXECUTOR_SLOTS],
    pub(super) planners: [Planner; OWNERS],
    pub(super) changes: [Change; CHANGES],
    pub(super) limits: [Limit; LIMIT_SLOTS],
    /// How many limits were made.
    pub(super) limits_made: AtomicU64,
    /// By which tokens find their home slots: tokens are in triggers, where everybody reads them, and nobody is to crowd round
    /// another's.
    pub(super) secret: AtomicU64,
}

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;
#[cfg(not(feature = "pg14"))]
static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;

/// The shared memory, or None where the library was not preloaded.
pub fn shared() -> Option<&'static Shared> {
    // SAFETY: null, or what `startup` set up. It stays mapped as long as the process lives, and is of atomics alone, so
    // that other processes may write while there is a reference.
    unsafe { SHARED.load(Acquire).as_ref() }
}

/// Asks for the memory; only while shared_preload_libraries are loaded.
pub fn init() {
    // SAFETY: the postmaster is loading libraries, the one time when memory may be asked for. The hooks that were there
    // are kept and called; ours are as long there as the library.
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::RequestAddinShmemSpace(size_of::<Shared>());
        #[cfg(not(feature = "pg14"))]
        {
            PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
            pg_sys::shmem_request_hook = Some(request);
        }
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

#[cfg(not(feature = "pg14"))]
#[pgrx::pg_guard]
extern "C-unwind" fn request() {
    // SAFETY: called by the postmaster as shmem_request_hook, in which alone memory may be asked for. The earlier hook
    // was written once, by `init`.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Shared>());
    }
}

#[pgrx::pg_guard]
extern "C-unwind" fn startup() {
    // SAFETY: called by the postmaster after a start and after each crash, when it has no children that share memory:
    // nobody sees it before it is filled. It is as large as asked for and aligned to cache lines, and zeros are a valid
    // `Shared`.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        let mut found = false;
        let place = pg_sys::ShmemInitStruct(c"jittask".as_ptr(), size_of::<Shared>(), &mut found).cast::<Shared>();
        if !found {
            // All zeros is the empty state of every atomic in it.
            std::ptr::write_bytes(place, 0, 1);
            let mut secret = [0_u8; 8];
            if !pg_sys::pg_strong_random(secret.as_mut_ptr().cast(), secret.len()) {
                pgrx::error!("could not generate random values");
            }
            (*place).secret.store(u64::from_ne_bytes(secret) | 1, Release);
        }
        SHARED.store(place, Release);
    }
}

impl Shared {
    /// The slot of a database; None: it has none.
    pub fn known_database(&self, oid: u32) -> Option<&Database> {
        self.databases.iter().find(|slot| slot.oid.load(Acquire) == oid)
    }

    /// The same, made if need be; None when all are taken.
    pub fn database(&self, oid: u32) -> Option<&Database> {
        // In the same order by all, so that two who take one in the same moment take the same.
        self.known_database(oid).or_else(|| {
            self.databases.iter().find(|slot| match slot.oid.compare_exchange(0, oid, AcqRel, Acquire) {
                Ok(_) => true,
                Err(other) => other == oid,
            })
        })
    }

    /// The same; when all are taken, one of a database in which the extension is not, and which is given.
    pub fn database_by_turns(&self, oid: u32) -> Option<(&Database, Option<u32>)> {
        if let Some(slot) = self.database(oid) {
            return Some((slot, None));
        }
        let is_idle = |slot: &&Database| {
            slot.state() == DatabaseState::Absent && !slot.changed.load(Acquire) && !slot.scheduler.is_alive()
        };
        self.databases.iter().filter(is_idle).find_map(|slot| {
            let before = slot.oid.load(Acquire);
            let is_free = slot.free(before);
            self.database(oid).map(|slot| (slot, Some(before).filter(|_| is_free)))
        })
    }

    /// The server had no background worker left for one of ours. Who needs one tries again several times a second.
    pub fn note_no_worker(&self, now: i64) {
        let before = self.no_worker_at.swap(now, AcqRel);
        if (now - before).abs() > NO_WORKER_FOR {
            self.no_worker_since.store(now, Release);
        }
    }

    /// Since when the server has had no background worker left for one of ours; None: there was no need of one, or it was there.
    pub fn without_worker_since(&self, now: i64) -> Option<i64> {
        let is_so = (now - self.no_worker_at.load(Acquire)).abs() <= NO_WORKER_FOR;
        is_so.then(|| self.no_worker_since.load(Acquire))
    }

    /// Leaves word of a run whose process died.
    pub fn note_death(&self, run: super::flight::Ended, death: Death) {
        // A negative entry reserves the slot while it is being filled.
        if let Some(slot) = self.deaths.iter().find(|slot| slot.entry.compare_exchange(0, -1, AcqRel, Acquire).is_ok())
        {
            slot.database.store(run.database, Release);
            slot.part.store(run.part);
            slot.started_at.store(run.started_at, Release);
            slot.noted_at.store(super::clock::now().0, Release);
            slot.death.store(death as u32, Release);
            slot.entry.store(run.entry, Release);
        }
    }

    /// The calling transaction, which is about to be prepared, has changed these tasks; gives back those that there is no room
    /// for.
    pub(super) fn prepare_changes(&self, tokens: &[i64]) -> Vec<i64> {
        prepared::keep(&self.changes, tokens, |token| self.forget_limit(token))
    }

    /// After a COMMIT PREPARED: what it has changed is planned anew.
    pub(super) fn finish_changes(&self) {
        prepared::finish(&self.changes, |token| self.forget_limit(token));
    }

    /// The clock was set: instants from before say nothing about how long something takes.
    pub fn forget_times(&self, database: u32) {
        self.limits.iter().for_each(Limit::forget_times);
        let now = super::clock::now().0;
        self.executors_of(database).for_each(|slot| slot.process.since.store(now, Relaxed));
        let died = self.deaths.iter().filter(|died| died.database.load(Acquire) == database);
        died.for_each(|died| died.noted_at.store(now, Release));
    }

    /// The executors that there are, in all databases.
    pub fn alive_executors(&self) -> impl Iterator<Item = &Executor> {
        self.executors.iter().filter(|slot| slot.process.is_alive())
    }

    /// The executors of one database.
    pub fn executors_of(&self, database: u32) -> impl Iterator<Item = &Executor> {
        self.alive_executors().filter(move |slot| slot.database.load(Acquire) == database)
    }

    /// The executors that an owner keeps, in all databases: slots are shared by them, and so is an owner's share of slots.
    pub fn executors_for(&self, owner: u32) -> impl Iterator<Item = &Executor> {
        let is_his = move |slot: &&Executor| slot.owner.load(Acquire) == owner && !slot.is_leaving();
        self.alive_executors().filter(is_his)
    }

    /// Does an owner who has no executor wait for a slot, in any database?
    pub fn is_slot_wanted(&self) -> bool {
        self.databases.iter().any(|slot| slot.oid.load(Acquire) != 0 && slot.slot_wanted.load(Acquire))
    }

    /// In how many other databases has somebody waited for a slot since before that?
    pub fn waiting_longer(&self, database: u32, since: i64) -> usize {
        let is_other = |slot: &&Database| slot.oid.load(Acquire) != database && slot.scheduler.is_alive();
        let others = self.databases.iter().filter(is_other);
        others.filter(|slot| (1..since).contains(&slot.waits_since.load(Acquire))).count()
    }

    /// Has an owner too few executors for what waits, in any database? The one who asks makes room: nobody else is told.
    pub fn take_call_for_help(&self) -> bool {
        let mut served = self.databases.iter().filter(|slot| slot.oid.load(Acquire) != 0);
        served.any(|slot| slot.help_wanted.swap(false, AcqRel))
    }

    /// Does nothing of this owner's take long, as far as was seen lately?
    pub fn is_quick(&self, database: u32, owner: u32) -> bool {
        let (now, long_ago) = (clock::monotonic(), clock::now().0 - QUICK);
        let own = self.executors_of(database).filter(|slot| slot.owner.load(Acquire) == owner);
        let is_executing_long = |started_at: i64| started_at != 0 && started_at < long_ago;
        !own.into_iter()
            .any(|slot| slot.slow_until.load(Acquire) > now || is_executing_long(slot.started_at.load(Acquire)))
    }

    /// Entries that executors of the database, but for `except`, have claimed, also between two of their transactions.
    /// One whose process died is left alone until the scheduler has counted that.
    pub fn in_hand(&self, database: u32, except: Option<&Executor>) -> Vec<i64> {
        let is_other = |slot: &&Executor| except.is_none_or(|except| !std::ptr::eq(*slot, except));
        let kept = |slot: &Executor| -> Vec<i64> {
            std::iter::once(&slot.entry).chain(&slot.unnoted).map(|entry| entry.load(Acquire)).collect()
        };
        let claimed = self.executors_of(database).filter(is_other).flat_map(kept);
        let died = self.deaths.iter().filter(|died| died.database.load(Acquire) == database);
        claimed.chain(died.map(|died| died.entry.load(Acquire))).filter(|entry| *entry > 0).collect()
    }
}
