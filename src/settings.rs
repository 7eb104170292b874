//! The settings of contract §7. Defined in the postmaster, read everywhere.

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
/// Milliseconds; read by the view `jittask.records`.
static OVERDUE_AFTER: GucSetting<i32> = GucSetting::<i32>::new(60_000);
/// Milliseconds.
pub static EXECUTOR_IDLE: GucSetting<i32> = GucSetting::<i32>::new(10_000);

/// Most executors that shared memory has room for.
pub const EXECUTOR_SLOTS: usize = 64;

/// Defines the settings; only from `_PG_init`.
pub fn init() {
    let reload = GucContext::Sighup;
    GucRegistry::define_bool_guc(
        c"jittask.enabled",
        c"Lets tasks run; off counts as a server that is down.",
        c"Running work ends normally. What falls due meanwhile is treated by each task's catch_up when this is on again.",
        &ENABLED,
        reload,
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
    interval(
        c"jittask.planning_horizon",
        c"How far ahead occurrences enter the agenda.",
        &PLANNING_HORIZON,
        (10, 7 * 86_400),
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
    reserve_prefix();
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

/// A misspelt `jittask.…` in postgresql.conf is reported instead of ignored.
fn reserve_prefix() {
    crate::pg::reserve_guc_prefix(c"jittask");
}
