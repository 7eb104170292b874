//! `status()` and `activate()`.

use super::{require_preloaded, writing};
use crate::catalog::status;
use crate::catalog::task::home;
use crate::catalog::upkeep::activation;
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::shmem::Executor;
use crate::pg::shmem::{self, DatabaseState};
use crate::pg::{clock, sql, user, wake, worker};
use crate::settings;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// Executors are called stuck when all of them have been at one row for this long; sooner when somebody waits for one.
/// Microseconds.
const STUCK_AFTER: i64 = 30_000_000;
const STUCK_AFTER_IF_WANTED: i64 = 5_000_000;

type Row = (bool, Option<pgrx::datum::Interval>, i64, i64, i64, i64, i64, Vec<String>);

/// How jittask is doing in this database: of the caller's own tasks, for superusers and pg_monitor of all.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // a row of SQL
fn status() -> TableIterator<
    'static,
    (
        name!(running, bool),
        name!(behind, Option<pgrx::datum::Interval>),
        name!(pending, i64),
        name!(overdue, i64),
        name!(executing, i64),
        name!(failed_last_hour, i64),
        name!(unaccounted, i64),
        name!(problems, Vec<String>),
    ),
> {
    TableIterator::once(sql::session(row))
}

fn row() -> Row {
    let counts = status::read(user::current(), sees_all());
    let mut problems = of_the_server();
    problems.extend(counts.problems);
    let behind = pgrx::datum::Interval::from_micros(counts.behind.max(0));
    (
        is_running(),
        Some(behind),
        counts.pending,
        counts.overdue,
        counts.executing,
        counts.failed_last_hour,
        counts.unaccounted,
        problems,
    )
}

fn sees_all() -> bool {
    user::is_superuser() || user::is_member_of("pg_monitor")
}

/// Is the database served: by a scheduler now, or by the launcher once something is due?
fn is_running() -> bool {
    let Some(shared) = shmem::shared() else { return false };
    let here = worker::database().to_u32();
    let slot = shared.databases.iter().find(|slot| slot.oid.load(Acquire) == here);
    let is_served = slot.is_some_and(|slot| slot.scheduler.is_alive() || slot.state() == DatabaseState::Asleep);
    settings::ENABLED.get() && is_served && home::is_here()
}

fn of_the_server() -> Vec<String> {
    let mut problems = Vec::new();
    let Some(shared) = shmem::shared() else {
        return vec!["jittask is not in shared_preload_libraries: nothing runs".to_string()];
    };
    if crate::pg::xact::in_recovery() {
        problems.push("this server is a standby: tasks run on the primary".to_string());
    } else if !shared.launcher.is_alive() {
        problems.push(
            "the launcher is not running; it starts again within a second unless all max_worker_processes slots are in use"
                .to_string(),
        );
    }
    if !settings::ENABLED.get() {
        problems.push("jittask.enabled is off: nothing runs".to_string());
    }
    if !home::is_here() {
        problems.push("this database is a copy of the one its tasks were made in: nothing runs until jittask.activate() is called".to_string());
    }
    problems.extend(shared.without_worker_since(clock::now().0).map(|since| {
        let since = status::in_words(Instant(since));
        format!("no background worker is free for jittask since {since}: all max_worker_processes slots are in use")
    }));
    problems.extend(stuck(shared));
    problems.extend(deaf(shared));
    problems
}

/// All slots taken by runs that do not end.
fn stuck(shared: &shmem::Shared) -> Option<String> {
    let (now, most) = (clock::now().0, settings::MAX_EXECUTORS.get() as usize);
    let after = if shared.is_slot_wanted() { STUCK_AFTER_IF_WANTED } else { STUCK_AFTER };
    let is_long = |slot: &&Executor| {
        let started = slot.started_at.load(Acquire);
        !slot.is_deaf() && started != 0 && now - started > after
    };
    let named: Vec<String> = shared.alive_executors().filter(is_long).map(named).collect();
    let is_so = named.len() >= most;
    is_so.then(|| format!("all {most} executors have been busy with one row each for a while: {}", named.join(", ")))
}

/// Runs that were to end and do not.
fn deaf(shared: &shmem::Shared) -> impl Iterator<Item = String> {
    shared.alive_executors().filter(|slot| slot.is_deaf()).map(|slot| {
        format!(
            "{} does not heed that it was told to end, and its owner has no other executor until it has: it is in a function \
             that looks at no signal",
            named(slot)
        )
    })
}

/// What an executor runs, in words.
fn named(slot: &Executor) -> String {
    let (pid, task) = (slot.process.pid.load(Acquire), slot.task.load(Acquire));
    status::run_name(pid, task, Instant(slot.started_at.load(Acquire)), user::current(), sees_all())
}

/// Makes a copied database the tasks' own: from now on they run here.
#[pg_extern(sql = false)]
fn activate() {
    sql::session(|| writing(activate_here).or_raise())
}

fn activate_here() -> Result<()> {
    require_preloaded()?;
    if !(user::is_superuser() || activation::is_database_owner()) {
        return Err(Error::new(Kind::Denied, "must be owner of the database to activate its tasks"));
    }
    if home::is_here() {
        return Ok(());
    }
    // Whoever owns a copy may have put other functions where the tasks' bodies look for theirs.
    if !user::is_superuser()
        && let Some(owner) = activation::first_stranger(user::current())
    {
        let message = format!("the database has tasks of role \"{owner}\", of which you are not a member");
        return Err(Error::new(Kind::Denied, message)
            .hint("Have a superuser activate them, or a role that is a member of all roles that have tasks here."));
    }
    activation::move_here(clock::transaction_start());
    wake::launcher_at_commit();
    Ok(())
}
