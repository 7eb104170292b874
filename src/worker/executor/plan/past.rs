//! Looking through the past of a date-field task: how much of it is entered at a time, and captured rows that have very much
//! of it. Inside the planning transaction of one task. A row with a rule of seconds has tens of millions of occurrences in a
//! year: they are entered as they are worked off (`catalog::agenda::backlog`), and until then they are nowhere.

use crate::catalog::agenda::arrears::{self, Arrears};
use crate::catalog::agenda::backlog;
use crate::pg::clock;
use crate::pg::shmem::Limit;
use crate::worker::executor::plan::scan::{Scan, Seen};
use crate::worker::need;
use schedule::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::*;

/// Occurrences that one transaction enters, more or less.
const MOST: i64 = backlog::MOST / 4;

/// One step of a sweep takes about this long. Microseconds.
const STEP: i64 = 50_000;
/// Due time in one step at least: a rule has one occurrence a second at most. Microseconds.
const LEAST_STEP: i64 = 1_000_000;
/// Sweeps rest this many times as long, while there is other work, and where nothing is expected to be found.
pub const REST: i64 = 9;

/// How far a sweep came, and how.
pub struct Swept {
    /// To there, back in time: microseconds since 1970; 0: to the floor.
    pub to: i64,
    /// How much due time the next step takes. Microseconds.
    pub step: i64,
    /// It has come to the floor.
    pub is_whole: bool,
    /// As much of the past waits as may.
    pub is_full: bool,
    /// No captured row is behind any more.
    pub has_no_arrears: bool,
    /// When. Microseconds since 1970.
    pub began: i64,
}

/// Goes on with a task's sweep, which began at `as_of`, from `to` back in time to the floor, in steps that take some 50 ms
/// each: there may be millions of rows, all done already, and others wait for this executor. And then with captured rows that
/// are behind. How far it came; None if it did nothing.
pub fn sweep(scan: &mut Scan, limit: &Limit, (as_of, mut to): (Instant, i64), until: i64) -> Option<Swept> {
    let (began, was_active) = (clock::now().0, to != 0);
    let mut step = limit.step.load(Acquire).max(LEAST_STEP);
    if until <= began || !was_active && limit.has_no_arrears.load(Acquire) {
        return None;
    }
    if is_full(scan, limit) {
        return Some(Swept { to, step, is_whole: false, is_full: true, has_no_arrears: false, began });
    }
    if was_active {
        scan.bound(as_of, MOST, until - began);
    }
    let floor = scan.floor();
    while to != 0 && clock::now().0 < until && !scan.is_spent() {
        let (from, step_begun) = (floor.0.max(to - step), clock::now().0);
        if from < to && !look_through(scan, Instant(from), Instant(to), step <= LEAST_STEP) {
            step = (step / 16).max(LEAST_STEP);
            break;
        }
        let took = clock::now().0 - step_begun;
        step = if took < STEP / 4 {
            step.saturating_mul(4)
        } else if took > STEP {
            (step / 2).max(LEAST_STEP)
        } else {
            step
        };
        to = if from <= floor.0 { 0 } else { from };
    }
    let has_no_arrears = to == 0 && enter_arrears(scan, until - clock::now().0);
    Some(Swept { to, step, is_whole: was_active && to == 0, is_full: false, has_no_arrears, began })
}

/// Does as much of the task's past wait as may?
fn is_full(scan: &Scan, limit: &Limit) -> bool {
    backlog::is_full(scan.resolved.task.id, scan.now, limit.is_full.load(Acquire))
}

/// One step of a sweep. False if there is more in it than is entered at a time; the least step is done as a whole, for no row
/// has more than one occurrence in it.
fn look_through(scan: &mut Scan, from: Instant, to: Instant, is_least: bool) -> bool {
    if !is_least {
        return scan.window(from, to);
    }
    let bound = scan.bound.take();
    scan.window(from, to);
    scan.bound = bound;
    true
}

/// All of the past before `to`, of a task without a limit in shared memory, which cannot tell how far one came: in each scan so
/// much of it as is new. False if that is not all.
pub fn all(scan: &mut Scan, to: Instant, micros: i64) -> bool {
    if backlog::is_full(scan.resolved.task.id, scan.now, false) {
        return false;
    }
    let (now, floor) = (scan.now, scan.floor());
    scan.bound(now, MOST, micros);
    let is_whole = scan.window(floor, to);
    enter_arrears(scan, micros);
    is_whole
}

/// Keeps in the table what captured rows have of the past, and are behind with.
pub fn leave_arrears(scan: &mut Scan, limit: Option<&Limit>) {
    let keys = std::mem::take(&mut scan.in_arrears);
    if !keys.is_empty() {
        let (since, as_of) = (scan.captured_floor(), scan.now);
        arrears::add(scan.resolved.task.id, &Arrears { since, as_of, keys });
        // Told before the commit: if that fails, somebody looks in vain.
        limit.into_iter().for_each(|limit| limit.has_no_arrears.store(false, Release));
    }
}

/// Goes on with rows that are behind, for a moment. True if there are none any more.
fn enter_arrears(scan: &mut Scan, micros: i64) -> bool {
    if micros <= 0 {
        return false;
    }
    let task = scan.resolved.task.id;
    scan.bound(scan.now, MOST, micros);
    while !scan.is_spent() {
        // Nobody else plans it now, and whoever does next sees what is committed.
        let Some(some) = arrears::take(task) else { return true };
        let until = need::recent(some.as_of);
        scan.now = some.as_of;
        // In one go: else it is read again for each portion that is found, from the first on.
        scan.know(some.since, until);
        let left = scan.rows_from(&some.keys, some.since, until, Seen::InArrears);
        let mut by_start: BTreeMap<Instant, Vec<String>> = BTreeMap::new();
        for (key, since) in left {
            by_start.entry(since).or_default().push(key);
        }
        for (since, keys) in by_start {
            arrears::add(task, &Arrears { since, as_of: some.as_of, keys });
        }
    }
    false
}
