//! Planning, as the owner: the near future of date-field tasks goes into the agenda. The new horizon is published
//! first and the tables are read after, so that a row is seen by the scan or by its own trigger; a window is closed
//! only by a scan that sees every transaction that was running at publication as ended. One transaction a task.

use super::Me;
use super::scan::{self, Scan};
use crate::catalog::task::{self, Resolved, Task};
use crate::catalog::{capture, tally};
use crate::error::OrRaise;
use crate::pg::shmem::Limit;
use crate::pg::{clock, counters, lock, tuple, user, worker, xact};
use crate::worker::need::{self, Need};
use pgrx::prelude::*;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// Plans all tasks of the owner that need it. True if anything came into the agenda.
pub fn all(me: &Me) -> bool {
    worker::report(Some("jittask: planning"));
    let tasks = xact::run(|| task::planned_for(me.owner)).unwrap_or_else(|failure| {
        warning!("jittask cannot read its tasks: {}", failure.message);
        Vec::new()
    });
    let mut found = false;
    for task in tasks {
        let (id, name) = (task.id, task.name.clone());
        match xact::run(|| one(me, task)) {
            Ok(count) => found |= count > 0,
            Err(failure) => {
                // This task's trouble alone: the others are planned, this one is tried again at the next scan.
                warning!("jittask cannot plan task \"{name}\": {}", failure.message);
                let _ = xact::run(|| task::set_problem(id, Some(&failure.message)));
            }
        }
    }
    found
}

/// Plans one task; how many occurrences came into the agenda.
fn one(me: &Me, task: Task) -> usize {
    let Some(catalog) = lock::relation(c"task") else { return 0 };
    if !lock::try_plan(catalog, task.id) {
        return 0;
    }
    let limit = me.shared.limit_or_new(task.token);
    let now = clock::now();
    if let Some(limit) = limit {
        // Also when it fails, so that the next try is at the next scan and not at once.
        limit.scanned_at.fetch_max(1, AcqRel);
    }
    let signature = task.relation.and_then(|relation| counters::of(std::iter::once(relation)).into_values().next());
    let need = limit.map_or(Need::Everything, |limit| need::of(limit, signature, now));
    let first_pass = limit.is_none_or(|limit| limit.scanned_at.load(Acquire) <= 1);
    let had_problem = task.problem.is_some();
    let id = task.id;
    if let Some(limit) = limit {
        limit.scanned_at.store(now.0.max(2), Release);
    }
    let resolved = task.resolve().or_raise();
    if let Some(limit) = limit {
        publish(limit, &resolved, now);
    }
    let settings = user::Settings::begin();
    // A table that somebody has locked delays this task, not the owner's others.
    settings.set(c"lock_timeout", c"1s");
    let xmin = xact::snapshot_xmin();
    let mut scan =
        Scan::begin(&resolved, now, limit.map_or(now.0 + need::horizon(), |limit| limit.planned_to.load(Acquire)));
    let relation = resolved.target.relation;
    let candidates = capture::take(resolved.task.token, |from| tuple::is_part_of(from, relation));
    let everything = first_pass || candidates.everything || need == Need::Everything;
    if everything {
        scan.window(scan.floor());
    } else if need == Need::Window {
        let closed_to = limit.map_or(0, |limit| limit.closed_to.load(Acquire));
        scan.window(Instant(closed_to.max(scan.floor().0)));
    }
    scan.rows(&candidates.keys);
    let counts = scan.finish();
    settings.end();
    tally::add(id, tally::Writer::Executor(me.index), counts, None);
    if had_problem {
        task::set_problem(id, None);
    }
    if let Some(limit) = limit {
        if need != Need::Nothing(Instant(0)) && (everything || need == Need::Window) {
            close(limit, xmin, now, everything, signature);
        }
    }
    counts.entered as usize
}

/// Moves the horizon on, in shared memory, where the triggers read it.
fn publish(limit: &Limit, resolved: &Resolved, now: Instant) {
    if !need::must_extend(limit, now) {
        return;
    }
    let until = Instant(now.0 + need::horizon());
    let raw = scan::raw_limit(resolved, until);
    limit.limit.store(raw, Release);
    limit.planned_to.store(until.0, Release);
    // Read after publication: whoever gets a later id sees the new limit.
    limit.closing_xid.store(xact::next_xid(), Release);
}

fn close(limit: &Limit, xmin: u64, now: Instant, everything: bool, signature: Option<i64>) {
    if xmin >= limit.closing_xid.load(Acquire) {
        limit.closed_to.store(limit.planned_to.load(Acquire), Release);
    }
    if everything {
        limit.signature.store(signature.unwrap_or(0), Release);
    }
    limit.scanned_at.store(now.0, Release);
}
