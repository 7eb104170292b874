//! The audit of the owner's tasks, by itself: a slice of a table's rows at a time, when nothing else is to be done, so that a
//! fiftieth of a core is spent. What is missing twice, some time apart, is captured anew, as its trigger should have done, and
//! runs as what is late does. In the executor, one transaction a slice.

use crate::catalog::agenda::{candidates, series};
use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::{Ledger, New, Writer};
use crate::catalog::table::key;
use crate::catalog::task;
use crate::catalog::upkeep::audit::{self, Missing, Span};
use crate::catalog::upkeep::audited::{self, Audited};
use crate::error::OrRaise;
use crate::pg::shmem::Limit;
use crate::pg::{clock, user, worker, xact};
use crate::worker::audits;
use crate::worker::executor::prepare::Prepared;
use crate::worker::executor::session::Me;
use crate::worker::need::{self, Need};
use pgrx::prelude::*;
use schedule::Instant;

/// A slice may take so long, for whatever falls due meanwhile waits for it. Microseconds.
const MOST: i64 = 500_000;
/// Keys that are captured together.
const TOGETHER: usize = 1000;
/// What waits for others is tried again after this. Microseconds.
const PAUSE: i64 = 60_000_000;

/// How a slice ended.
enum Slice {
    /// There is nothing to audit.
    Idle,
    /// It went on.
    Done,
    /// So many of this task's were missing, and run now, though they had been captured or not.
    Repaired { task: String, count: usize, was_captured: bool },
}

/// Audits a slice, if it is time. True if it did.
pub fn go_on(me: &Me) -> bool {
    let Some(interval) = audits::interval() else { return false };
    if !me.slices.is_time() {
        return false;
    }
    let begun = clock::monotonic();
    worker::report(Some("jittask: auditing"));
    me.begin_audit(MOST);
    let is_small = me.slices.is_smallest();
    let slice = xact::run(|| slice(me, interval));
    let was_ended = me.end_audit(slice.as_ref().err());
    me.slices.rest(clock::monotonic() - begun);
    worker::report(None);
    match slice {
        Ok(Slice::Idle) => {
            me.slices.sleep(interval.min(PAUSE));
            return false;
        }
        Ok(Slice::Done) => {}
        Ok(Slice::Repaired { task, count, was_captured }) => tell(&task, count, was_captured),
        Err(failure) => {
            if !was_ended && !failure.is_lock() && !failure.is_cancel() {
                failure.log("audit a task");
            }
            put_off(me, interval, (was_ended, is_small));
        }
    }
    true
}

fn tell(task: &str, count: usize, was_captured: bool) {
    let how = if was_captured { "captured, and never planned" } else { "neither captured nor found by a scan" };
    let rows = if count == 1 { "an occurrence".to_string() } else { format!("{count} occurrences") };
    warning!("the audit of task \"{task}\" found {rows} that had neither run nor waited ({how}): they run now");
}

/// It failed: for a lock or the like it is tried again soon, and what took too long in a smaller slice. What takes too long and
/// cannot be divided is not audited but by hand.
fn put_off(me: &Me, interval: i64, (was_ended, is_small): (bool, bool)) {
    let now = clock::now();
    let later = xact::run(|| {
        let Some(work) = audited::take(me.owner, interval, now) else { return };
        let Some(task) = task::by_id(work.task).filter(|_| was_ended) else { return again(&work, now, interval) };
        if is_small || task.relation.and_then(audited::blocks).is_none() {
            log!(
                "task \"{}\" is not audited: reading its rows takes longer than {} ms (jittask.audit() does it whenever it is called)",
                task.name,
                MOST / 1000
            );
            audited::end(work.task, Instant(now.0 + interval));
        }
    });
    if let Err(failure) = later {
        failure.log("put an audit off");
    }
}

fn again(work: &Audited, now: Instant, interval: i64) {
    let next = Instant(now.0 + PAUSE.min(interval));
    match work.span {
        Some(span) => audited::go_on(work.task, span, work.block, next),
        None => audited::end(work.task, next),
    }
}

/// A slice of the task that waits longest.
fn slice(me: &Me, interval: i64) -> Slice {
    let now = clock::now();
    let Some(work) = audited::take(me.owner, interval, now) else { return Slice::Idle };
    let Some(prepared) = me.prepared.task(work.task).filter(|prepared| prepared.try_hold()) else {
        audited::end(work.task, Instant(now.0 + PAUSE.min(interval)));
        return Slice::Done;
    };
    if !is_settled(me, &prepared, now) {
        audited::go_on(
            work.task,
            work.span.unwrap_or((now, now)),
            work.block,
            Instant(now.0 + PAUSE.min(interval / 4)),
        );
        return Slice::Done;
    }
    let usual = Span { from: None, until: None }.of(&prepared.task, now).or_raise();
    // What counts may have become less since it began.
    let (from, until) = work.span.filter(|(from, until)| from < until).unwrap_or(usual);
    let span = (from.max(usual.0), until);
    audit_slice(me, &prepared, (&work, span), interval)
}

fn audit_slice(me: &Me, prepared: &Prepared, (work, span): (&Audited, (Instant, Instant)), interval: i64) -> Slice {
    let task = &prepared.task;
    let blocks = task.relation.filter(|_| task.kind == TaskKind::DateField).and_then(audited::blocks);
    let slice = blocks.map(|_| me.slices.from(work.block));
    let settings = user::Settings::begin();
    settings.wait_at_most(1_000_000);
    let missing = match task.kind {
        TaskKind::Scheduled => planned_by_now(task.id, audit::missing_of_series(task, span).or_raise()),
        TaskKind::DateField => audit::missing_of_rows(prepared.resolved().or_raise(), span, slice),
    };
    settings.end();
    let now = clock::now();
    let confirm = confirm_after(interval);
    let is_confirmed = missing.is_empty() || me.slices.were_missing(task.id, &missing, now.0 - confirm);
    if !is_confirmed {
        audited::go_on(task.id, span, work.block, Instant(now.0 + confirm));
        return Slice::Done;
    }
    me.slices.forget(task.id);
    let was_captured = !missing.is_empty() && candidates::are_there(task.token);
    repair(me, prepared, &missing);
    match slice.filter(|(_, end)| blocks.is_some_and(|blocks| *end < blocks)) {
        Some((_, end)) => audited::go_on(task.id, span, end, now),
        None => audited::end(task.id, Instant(now.0 + interval)),
    }
    if missing.is_empty() {
        return Slice::Done;
    }
    audited::count(task.id, missing.len());
    Slice::Repaired { task: task.name.clone(), count: missing.len(), was_captured }
}

/// But for what the scheduler is still to plan: much of the past comes by and by.
fn planned_by_now(task: i32, missing: Vec<Missing>) -> Vec<Missing> {
    let last = series::get(task);
    missing.into_iter().filter(|(_, due)| last.is_none_or(|last| *due <= last)).collect()
}

/// What is missing may be on its way: a scan finds it within two of its intervals.
fn confirm_after(interval: i64) -> i64 {
    (2 * need::scan_interval()).min(interval / 4)
}

/// Has planning come to its end, as far as it knows? What it has left for later is not missing.
fn is_settled(me: &Me, prepared: &Prepared, now: Instant) -> bool {
    let limit: Option<&Limit> = me.shared.limit(prepared.task.token);
    prepared.task.kind == TaskKind::Scheduled
        || limit.is_none_or(|limit| matches!(need::without_scan(limit, now), Need::Nothing(_)))
}

/// Captured anew, as their triggers should have done; a scheduled task's come into the agenda at once.
fn repair(me: &Me, prepared: &Prepared, missing: &[Missing]) {
    let task = &prepared.task;
    match task.relation.filter(|_| task.kind == TaskKind::DateField) {
        Some(relation) => {
            let mut keys: Vec<String> = missing.iter().map(|(key, _)| key.to_string()).collect();
            keys.sort_unstable();
            keys.dedup();
            for keys in key::portions(&keys, TOGETHER, key::STATEMENT_BYTES, String::as_str) {
                candidates::note(task.token, relation, true, Some(keys.to_vec()));
            }
        }
        None => {
            let mut ledger = Ledger::open(task.id, Writer::Executor(me.index));
            let missing: Vec<New> = missing.iter().map(|(_, occurrence)| New::scheduled(*occurrence, false)).collect();
            ledger.enter(task.owner, &missing);
            ledger.close();
        }
    }
}
