//! What the views read from shared memory and from the executor itself.

use crate::catalog::table::key;
use crate::error::{Error, Kind};
use crate::pg::{clock, current_run as run, shmem, user, worker};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::sync::atomic::Ordering::*;

fn timestamp(micros: i64) -> TimestampWithTimeZone {
    let raw = clock::to_pg(schedule::Instant(micros));
    TimestampWithTimeZone::try_from(raw).unwrap_or_else(|_| TimestampWithTimeZone::negative_infinity())
}

/// Anybody may call what is under the views: it must not tell more than they do.
fn may_see(slot: &shmem::Executor, readers: &std::ffi::CStr) -> bool {
    user::may_act_as(Oid::from(slot.owner.load(Acquire))) || user::may_act_as(user::role(readers))
}

/// May the current role see what belongs to this one?
#[pg_extern(sql = false)]
fn may_read(owner: Option<Oid>) -> Option<bool> {
    Some(user::may_act_as(owner?) || user::may_act_as(user::role(c"pg_read_all_data")))
}

/// What executors of this database are executing: entry, 1-based position (0: all of it), pid, start, keys.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn running() -> TableIterator<
    'static,
    (name!(entry, i64), name!(pos, i32), name!(pid, i32), name!(started_at, TimestampWithTimeZone), name!(total, i32)),
> {
    let here = worker::database().to_u32();
    let rows: Vec<_> = shmem::shared()
        .into_iter()
        .flat_map(|shared| shared.executors_of(here))
        .filter(|slot| slot.started_at.load(Acquire) != 0 && may_see(slot, c"pg_read_all_data"))
        .map(|slot| {
            (
                slot.entry.load(Acquire),
                slot.part.load().code(),
                slot.process.pid.load(Acquire),
                timestamp(slot.started_at.load(Acquire)),
                slot.total.load(Acquire),
            )
        })
        .collect();
    TableIterator::new(rows)
}

type WorkerRow = (Option<i32>, String, Option<Oid>, Option<Oid>, String, TimestampWithTimeZone, TimestampWithTimeZone);

/// jittask's processes.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn worker_slots() -> TableIterator<
    'static,
    (
        name!(pid, Option<i32>),
        name!(kind, String),
        name!(database, Option<Oid>),
        name!(role, Option<Oid>),
        name!(state, String),
        name!(since, TimestampWithTimeZone),
        name!(heartbeat_at, TimestampWithTimeZone),
    ),
> {
    let mut rows: Vec<WorkerRow> = Vec::new();
    let mut add = |process: &shmem::Process, kind: &str, database: u32, role: u32, state: &str| {
        let pid = process.pid.load(Acquire);
        if pid != 0 {
            let oid = |number: u32| (number != 0).then(|| Oid::from(number));
            let times = (timestamp(process.since.load(Relaxed)), timestamp(process.heartbeat.load(Relaxed)));
            // Reserved for a process that is being started.
            let pid = Some(pid).filter(|pid| *pid > 0);
            rows.push((pid, kind.to_string(), oid(database), oid(role), state.to_string(), times.0, times.1));
        }
    };
    if let Some(shared) = shmem::shared() {
        add(&shared.launcher, "launcher", 0, 0, "idle");
        for slot in &shared.databases {
            add(&slot.scheduler, "scheduler", slot.oid.load(Acquire), 0, "idle");
        }
        let may_see = |slot: &&shmem::Executor| may_see(slot, c"pg_monitor") || may_see(slot, c"pg_read_all_data");
        for slot in shared.executors.iter().filter(may_see) {
            let state = match slot.state() {
                shmem::State::Free | shmem::State::Reserved | shmem::State::Starting => "starting",
                shmem::State::Busy | shmem::State::ToldToEnd | shmem::State::Deaf => "busy",
                shmem::State::Idle => "idle",
            };
            add(&slot.process, "executor", slot.database.load(Acquire), slot.owner.load(Acquire), state);
        }
    }
    TableIterator::new(rows)
}

/// Inside a service or internal function: the occurrence it serves.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn current_run() -> TableIterator<
    'static,
    (
        name!(task, String),
        name!(record_id, Option<i64>),
        name!(row_key, Option<pgrx::JsonB>),
        name!(nominal_at, TimestampWithTimeZone),
        name!(due_at, TimestampWithTimeZone),
        name!(attempt, i32),
    ),
> {
    let rows: Vec<_> = run::get()
        .into_iter()
        .map(|(run, position)| {
            let columns = run.key_columns.iter().map(String::as_str);
            let key = run.keys.as_ref().zip(position).and_then(|(keys, position)| keys.get(position));
            (
                run.task.to_string(),
                position.map(|position| run.entry + position as i64),
                key.map(|key| pgrx::JsonB(key::shown(key, columns))),
                timestamp(run.occurrence.nominal_at.0),
                timestamp(run.occurrence.due_at.0),
                run.attempt,
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// Called at the end of the install script: the launcher looks at this database once this is committed. Texts are read as
/// UTF-8 everywhere here, so in a database of another encoding the extension is refused as a whole.
#[pg_extern(sql = false)]
fn announce_install() {
    if let Some(encoding) = worker::other_encoding() {
        Error::new(Kind::Unsupported, format!("jittask cannot be used in a database with encoding {encoding}"))
            .hint("Create the database with ENCODING 'UTF8'.")
            .raise();
    }
    if user::is_superuser() {
        crate::pg::wake::launcher_at_commit();
    }
}
