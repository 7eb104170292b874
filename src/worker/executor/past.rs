//! Looking through the past of a date-field task: how much of it is entered at a time, and captured rows that have very much
//! of it. Inside the planning transaction of one task. A row with a rule of seconds has tens of millions of occurrences in a
//! year: they are entered as they are worked off (`catalog::backlog`), and until then they are nowhere.

use super::scan::{Scan, Seen};
use crate::catalog::arrears::{self, Arrears};
use crate::catalog::backlog;
use crate::pg::shmem::Limit;
use crate::worker::need;
use schedule::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::*;

/// Occurrences that one transaction enters, more or less.
pub const MOST: i64 = backlog::MOST / 4;

/// Does as much of the task's past wait as may?
pub fn is_full(scan: &Scan, limit: &Limit) -> bool {
    backlog::is_full(scan.resolved.task.id, scan.now, limit.is_full.load(Acquire))
}

/// One step of a sweep. False if there is more in it than is entered at a time; the least step is done as a whole, for no row
/// has more than one occurrence in it.
pub fn step(scan: &mut Scan, from: Instant, to: Instant, is_least: bool) -> bool {
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
    enter_arrears(scan, None, micros);
    is_whole
}

/// Keeps in the table what captured rows have of the past, and are behind with.
pub fn leave_arrears(scan: &mut Scan, limit: Option<&Limit>) {
    let keys = std::mem::take(&mut scan.in_arrears);
    if !keys.is_empty() {
        let (since, as_of) = (scan.captured_floor(), scan.now);
        arrears::add(scan.resolved.task.id, &Arrears { since, as_of, keys });
        owes(limit);
    }
}

/// Told before the commit: if that fails, somebody looks in vain.
fn owes(limit: Option<&Limit>) {
    limit.into_iter().for_each(|limit| limit.has_no_arrears.store(false, Release));
}

/// Goes on with rows that are behind, for a moment.
pub fn enter_arrears(scan: &mut Scan, limit: Option<&Limit>, micros: i64) {
    if micros <= 0 {
        return;
    }
    let task = scan.resolved.task.id;
    scan.bound(scan.now, MOST, micros);
    while !scan.is_spent() {
        let Some(some) = arrears::take(task) else {
            // Nobody else plans it now, and whoever does next sees what is committed.
            limit.into_iter().for_each(|limit| limit.has_no_arrears.store(true, Release));
            return;
        };
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
}
