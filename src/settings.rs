//! The settings of the README's table. Defined in the postmaster, read in every process.

use pgrx::guc::PostgresGucEnum;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

/// Off counts as "server down": nothing is planned or run.
pub static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
/// Comma-separated database names, or `*`.
pub static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"*"));
/// Executors of the whole cluster.
pub static MAX_EXECUTORS: GucSetting<i32> = GucSetting::<i32>::new(4);
/// Seconds.
pub static PLANNING_HORIZON: GucSetting<i32> = GucSetting::<i32>::new(3600);
/// Milliseconds.
pub static SCAN_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(60_000);
/// Seconds; 0: never.
pub static AUDIT_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(86_400);
/// Milliseconds; read by the view `jittask.records`.
static OVERDUE_AFTER: GucSetting<i32> = GucSetting::<i32>::new(60_000);
/// Milliseconds.
pub static EXECUTOR_IDLE: GucSetting<i32> = GucSetting::<i32>::new(10_000);

/// Seconds; 0 keeps for ever.
pub static RECORD_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(90 * 86_400);
/// Seconds.
pub static MAX_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(12 * 3600);
/// Tasks of one role, and calendars.
pub static MAX_TASKS_PER_ROLE: GucSetting<i32> = GucSetting::<i32>::new(1000);
/// Which ends of occurrences are announced.
pub static NOTIFY: GucSetting<Notify> = GucSetting::<Notify>::new(Notify::failed);

/// Which ends of occurrences are announced on channel `jittask_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
#[allow(non_camel_case_types)] // the labels as they are written in postgresql.conf
pub enum Notify {
    /// Only failures.
    failed,
    /// Every end.
    all,
    /// None.
    none,
}

/// Most executors that shared memory has room for.
pub const EXECUTOR_SLOTS: usize = 64;

/// Defines the settings; only from `_PG_init`.
pub fn init() {
    GucRegistry::define_bool_guc(
        c"jittask.enabled",
        c"Lets tasks run; off counts as a server that is down.",
        c"Running work ends normally. What falls due meanwhile is treated by each task's catch_up when this is on again.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"jittask.databases",
        c"Databases in which tasks run, separated by commas; * means all that have the extension.",
        c"Template databases and those that allow no connections are never used.",
        &DATABASES,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"jittask.max_executors",
        c"Most executors at work in the whole cluster.",
        c"Each needs one of max_worker_processes, beside one launcher and one scheduler a database.",
        &MAX_EXECUTORS,
        1,
        EXECUTOR_SLOTS as i32,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    intervals();
    GucRegistry::define_int_guc(
        c"jittask.record_retention",
        c"How long records are kept; 0 keeps them for ever.",
        c"A record younger than its task's catch_up_window is kept in any case: without it its row could run twice.",
        &RECORD_RETENTION,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_enum_guc(
        c"jittask.notify",
        c"Which ends of occurrences are announced on channel jittask_event: failed, all or none.",
        c"The payload has the record's id and status, and no names, since anybody may listen.",
        &NOTIFY,
        GucContext::Sighup,
        GucFlags::default(),
    );
    limits();
    reserve_prefix();
}

/// How far ahead, how often, how long.
fn intervals() {
    interval(
        c"jittask.planning_horizon",
        c"How far ahead occurrences enter the agenda.",
        &PLANNING_HORIZON,
        (1, 7 * 86_400),
        GucFlags::UNIT_S,
    );
    interval(
        c"jittask.scan_interval",
        c"How often tables are looked through for what their triggers did not see.",
        &SCAN_INTERVAL,
        (100, 86_400_000),
        GucFlags::UNIT_MS,
    );
    interval(
        c"jittask.audit_interval",
        c"How often each task is audited, for rows that were due and have not run; 0 turns that off.",
        &AUDIT_INTERVAL,
        (0, i32::MAX),
        GucFlags::UNIT_S,
    );
    interval(
        c"jittask.overdue_after",
        c"How long after its due time an occurrence that has not started is called overdue.",
        &OVERDUE_AFTER,
        (0, i32::MAX),
        GucFlags::UNIT_MS,
    );
    interval(
        c"jittask.executor_idle",
        c"How long an executor without work stays.",
        &EXECUTOR_IDLE,
        (0, 86_400_000),
        GucFlags::UNIT_MS,
    );
}

/// What a superuser allows others; ALTER ROLE … SET gives one role more or less.
fn limits() {
    GucRegistry::define_int_guc(
        c"jittask.max_timeout",
        c"The longest timeout that a task may have.",
        c"A task that has a longer one from before is ended after this. Only superusers may change it, for a role too.",
        &MAX_TIMEOUT,
        1,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"jittask.max_tasks_per_role",
        c"Most tasks, and most calendars, that a role may have in a database; superusers may have any number.",
        c"All tasks are looked at by the same processes. Only superusers may change it, for a role too.",
        &MAX_TASKS_PER_ROLE,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::default(),
    );
}

fn interval(
    name: &'static std::ffi::CStr,
    what: &'static std::ffi::CStr,
    setting: &'static GucSetting<i32>,
    range: (i32, i32),
    unit: GucFlags,
) {
    GucRegistry::define_int_guc(
        name,
        what,
        c"A duration; reload to change.",
        setting,
        range.0,
        range.1,
        GucContext::Sighup,
        unit,
    );
}

/// Do tasks run in a database of this name?
pub fn serves(database: &str) -> bool {
    let served = DATABASES.get();
    let served = served.as_ref().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    served.split(',').map(str::trim).any(|one| one == "*" || one == database)
}

/// A misspelt `jittask.…` in postgresql.conf is reported instead of ignored.
fn reserve_prefix() {
    crate::pg::reserve_guc_prefix(c"jittask");
}
