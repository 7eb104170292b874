//! Planning, as the owner: the near future of date-field tasks goes into the agenda. The new horizon is published
//! first and the tables are read after, so that a row is seen by the scan or by its own trigger; a window is closed
//! only by a scan that sees every transaction that was running at publication as ended. One transaction a task. What is
//! due about now comes first; how much of the past there is to be looked through must not keep that waiting.

pub mod candidate;
pub mod done;
pub mod past;
pub mod scan;
pub mod sift;

use crate::catalog::agenda::candidates::{self, Candidates};
use crate::catalog::ledger::{Ledger, Writer};
use crate::catalog::table::key;
use crate::catalog::task::at_work::{self, Watched};
use crate::catalog::task::query::Resolved;
use crate::catalog::task::{self, Task, home};
use crate::catalog::upkeep::rebind;
use crate::error::OrRaise;
use crate::pg::boundary::Failure;
use crate::pg::shmem::Limit;
use crate::pg::{clock, counters, lock, user, worker, xact};
use crate::worker::events;
use crate::worker::executor::plan::done::Done;
use crate::worker::executor::plan::scan::{Scan, Seen};
use crate::worker::executor::prepare::{self, Prepared};
use crate::worker::executor::session::Me;
use crate::worker::need::{self, Need};
use schedule::Instant;
use std::rc::Rc;
use std::sync::atomic::Ordering::*;

/// A table that somebody has locked is tried again after this; microseconds.
const LOCKED_PAUSE: i64 = 500_000;

/// Rows that are passed over.
const TOO_LONG: &str = "only rows run whose keys are";

/// A round over the tasks begins no further one after this long. Microseconds.
const ROUND: i64 = 100_000;
/// Sweeps take this much of one pass over all tasks. Microseconds.
const SWEEP: i64 = 200_000;

/// Plans all tasks of the owner that need it. True if anything came into the agenda.
pub fn all(me: &Me, was_idle: bool) -> bool {
    if me.rests() {
        // The scheduler asks again when that is over.
        return false;
    }
    worker::report(Some("jittask: planning"));
    let tasks = xact::run(|| in_need(me)).unwrap_or_else(|failure| {
        failure.log("read the tasks of a role");
        Vec::new()
    });
    let mut found = false;
    let begun = clock::now().0;
    let sweep_until = if was_idle || begun >= me.sweep_after.get() { begun + SWEEP } else { 0 };
    for task in tasks {
        // The rest comes in the next round, when what is due has had its turn, and whoever waits for this slot theirs.
        if clock::now().0 - begun > ROUND {
            me.slot.look.store(true, Release);
            break;
        }
        events::forget();
        let limit = me.shared.limit_or_new(task.token, me.owner.to_u32()).map(Limit::serial);
        me.begin_planning(task.token, limit);
        let planned = xact::run(|| one(me, &task, sweep_until));
        let was_ended = me.end_planning(&task, limit, planned.as_ref().err());
        match planned {
            Err(_) if was_ended => me.note_unlimited(task.token),
            Ok(done) => {
                events::tell();
                found |= done.entered > 0;
                done.note(me, task.token);
            }
            Err(failure) if is_passing(&failure) => try_soon(me, &task, &failure),
            Err(failure) => give_up(me, &task, limit, &failure),
        }
    }
    if sweep_until != 0 {
        let now = clock::now().0;
        me.sweep_after.set(now + past::REST * (now - begun));
        // Its time is up: it goes on in the next round.
        if now >= sweep_until {
            me.slot.look.store(true, Release);
        }
    }
    found
}

/// Nobody's fault, as it seems.
fn try_soon(me: &Me, task: &Watched, failure: &Failure) {
    // Nothing is known any more of how far it is planned: it may have been by an older definition.
    let Some(limit) = me.shared.renew_limit(task.token, me.owner.to_u32()) else { return };
    let pause = if failure.is_lock() { LOCKED_PAUSE } else { limit.pace.pause_after_failure() };
    limit.retry_at.store(clock::now().0 + pause, Release);
    // It does not pass: somebody raises it. No fault of the rows that were captured, perhaps.
    if pause >= need::scan_interval()
        && let Err(failure) = xact::run(|| task::set_plan_problem(task.id, Some(&failure.message)))
    {
        failure.log("note why a task was not planned");
    }
}

/// This task's trouble alone: the others are planned, this one is tried again at the next scan.
fn give_up(me: &Me, task: &Watched, limit: Option<u64>, failure: &Failure) {
    failure.log(&format!("plan task \"{}\"", task.name));
    // Forgotten meanwhile, perhaps by whoever mended it: it is planned again at once.
    if me.shared.limit(task.token).map(Limit::serial) != limit {
        return me.slot.look.store(true, Release);
    }
    // A candidate that cannot be read must not stop the task for good: the next scan finds the good ones.
    let captured = me.shared.limit(task.token).and_then(|limit| limit.captures.waiting());
    let noted = xact::run(|| {
        if let Some(captured) = captured {
            candidates::discard(task.token, captured.blocks());
        }
        task::set_plan_problem(task.id, Some(&failure.message));
    });
    if let Err(failure) = &noted {
        failure.log("note why a task was not planned");
    }
    if let (Ok(()), Some(limit), Some(captured)) = (noted, me.shared.limit(task.token), captured) {
        limit.captures.taken(captured, None);
        // Among them may have been word of another definition.
        me.shared.renew_limit(task.token, me.owner.to_u32());
    }
    match me.shared.limit(task.token).map(Limit::serial) {
        Some(serial) => {
            me.shared.change_limit(task.token, serial, |limit| limit.put_off(need::scan_interval()));
        }
        None => me.note_unlimited(task.token),
    }
}

/// Is it nobody's fault, and to be tried again soon? A lock, a cancel, two that collided.
fn is_passing(failure: &Failure) -> bool {
    failure.is_lock() || failure.is_cancel() || failure.sqlstate.starts_with("40")
}

/// The owner's tasks that there is something to plan of: mostly few of many.
fn in_need(me: &Me) -> Vec<Watched> {
    if !home::is_here() {
        return Vec::new();
    }
    let (now, mut tasks) = (clock::now(), at_work::of(me.owner));
    let limit = |task: &Watched| me.shared.limit(task.token);
    let is_captured = |task: &Watched| limit(task).is_some_and(|limit| need::is_captured(limit, now));
    let asks = |task: &&Watched| limit(task).is_some_and(|limit| need::asks_for_changes(limit, now));
    let signatures = counters::of(tasks.iter().filter(asks).filter_map(|task| task.relation));
    let unlimited = me.unlimited.borrow();
    tasks.retain(|task| {
        let signature = task.relation.and_then(|relation| signatures.get(&relation.to_u32()).copied());
        task.has_new_table
            || is_captured(task)
            || match limit(task) {
                Some(limit) => !matches!(need::of(limit, signature, now), Need::Nothing(_)),
                None => now.0 >= unlimited.get(&task.token).map_or(0, |planned_at| planned_at + need::scan_interval()),
            }
    });
    tasks
}

/// Locks a task for planning, and what it reads, without waiting for anybody: the owner's other tasks would wait too. None:
/// somebody has it, or it is not what it was.
fn lock_task(me: &Me, task: &Watched, now: Instant) -> Option<Rc<Prepared>> {
    if !lock::try_plan(lock::relation(c"task")?, task.id) {
        return None;
    }
    let is_locked = || {
        let limit = me.shared.limit(task.token);
        limit.into_iter().for_each(|limit| limit.retry_at.store(now.0 + LOCKED_PAUSE, Release));
        None
    };
    if task.relation.is_some_and(|relation| !lock::try_read(relation)) {
        return is_locked();
    }
    // Under these locks it is as it is looked up now. Whoever changed it meanwhile has the scheduler look again.
    let prepared = me.prepared.task(task.id).filter(|prepared| is_unchanged(&prepared.task, task))?;
    if prepared.try_hold() { Some(prepared) } else { is_locked() }
}

/// Plans one task.
fn one(me: &Me, task: &Watched, sweep_until: i64) -> Done {
    let now = clock::now();
    let Some(prepared) = lock_task(me, task, now) else { return Done::default() };
    xact::commit_without_waiting();
    let limit = me.shared.limit_or_new(task.token, me.owner.to_u32());
    let mut done = Done { limit: limit.map(Limit::serial), ..Default::default() };
    if limit.is_none() {
        me.note_unlimited(task.token);
    }
    if let Ok(timing) = prepared.task.timing() {
        me.give_planning(limit, &timing);
    }
    // Counters and need before anything is read: what is written from here on shows at the next pass.
    let asked = task.relation.filter(|_| limit.is_some_and(|limit| need::asks_for_changes(limit, now)));
    let signature = asked.and_then(|relation| counters::of(std::iter::once(relation)).into_values().next());
    let need = limit.map_or(Need::Everything, |limit| need::of(limit, signature, now));
    let resolved = match prepared.resolved() {
        // Its limit is forgotten, so the scheduler asks again at once.
        Err(_) if rebind::table(task.id, task.relation).or_raise() => return Done::default(),
        resolved => resolved.or_raise(),
    };
    if let Some(serial) = done.limit {
        me.shared.change_limit(task.token, serial, |limit| publish(limit, resolved, now));
    }
    let settings = user::Settings::begin();
    // A partition may be locked although its table is not.
    settings.wait_at_most(1_000_000);
    let xmin = xact::snapshot_xmin();
    done.until = limit.map_or(now.0 + need::horizon(), |limit| limit.planned_to.load(Acquire));
    let mut scan = Scan::begin(resolved, now, done.until, Writer::Executor(me.index));
    let candidates = take_candidates(limit, task.token, resolved, &mut done);
    let need = if candidates.everything { Need::Everything } else { need };
    let is_fresh = limit.is_none_or(|limit| limit.behind_to.load(Acquire) == 0);
    look_through(&mut scan, need, limit, now);
    scan.rows(&candidates.dated, Seen::Dated);
    scan.rows(&candidates.others, Seen::Changed);
    let is_whole = look_back(&mut scan, need, limit, (now, sweep_until), &mut done);
    let too_long = scan.too_long;
    let ledger = scan.finish();
    settings.end();
    if candidates.rest.is_some() {
        me.slot.look.store(true, Release);
    }
    close(&prepared, ledger, is_whole, &mut done);
    tell_problem(&prepared.task, need, too_long);
    if matches!(need, Need::Everything | Need::Window) {
        done.scan = Some((xmin, now));
        // A window that had to be extended says nothing of what no trigger saw: the safety net has its own clock.
        done.is_scan = need == Need::Everything || asked.is_some();
        done.signature = signature.filter(|_| need == Need::Everything && is_fresh);
    }
    done.took = (need == Need::Everything).then(|| clock::now().0 - now.0);
    done
}

/// What the triggers have captured: before the snapshot that sees it. Without a limit nobody knows where anything lies.
fn take_candidates(limit: Option<&Limit>, token: i64, resolved: &Resolved, done: &mut Done) -> Candidates {
    let captured = limit.and_then(|limit| limit.captures.waiting());
    let candidates = match (limit, captured) {
        (Some(_), None) => Candidates::default(),
        (_, captured) => {
            candidates::take(token, resolved.target.relation, captured.and_then(|captured| captured.blocks()))
        }
    };
    done.captured = captured.map(|captured| (captured, candidates.rest));
    done.is_anew = candidates.is_anew;
    candidates
}

/// Begins to look through the past, or goes on with it, or looks through all of it where there is no limit to say how far one
/// has come. True if with this the task has been looked through from its floor on.
fn look_back(
    scan: &mut Scan,
    need: Need,
    limit: Option<&Limit>,
    (now, sweep_until): (Instant, i64),
    done: &mut Done,
) -> bool {
    let (floor, behind_to) = (scan.floor(), limit.map_or(0, |limit| limit.behind_to.load(Acquire)));
    // A sweep that is under way goes on, for it must come to its end some time; the next scan begins another one.
    if need == Need::Everything && limit.is_some() && behind_to == 0 && is_behind(floor, now) {
        done.sweep_from = Some(need::recent(now).0);
    }
    let sweep_from = done.sweep_from.unwrap_or(behind_to);
    past::leave_arrears(scan, limit);
    let is_whole = need == Need::Everything
        && (!is_behind(floor, now) || limit.is_none() && past::all(scan, need::recent(now), SWEEP));
    done.swept = limit.and_then(|limit| {
        let as_of = if done.sweep_from.is_some() { now.0 } else { limit.swept_since.load(Acquire).min(now.0) };
        past::sweep(scan, limit, (Instant(as_of), sweep_from), sweep_until)
    });
    is_whole
}

/// Writes what was found, if the task is what it was.
fn close(prepared: &Prepared, ledger: Ledger, is_whole: bool, done: &mut Done) {
    // What was planned by an older definition would not be withdrawn by whoever changes it just now. From here on they wait.
    if !prepare::hold(prepared) {
        Failure::changed("the task was changed while it was planned").raise();
    }
    done.entered = ledger.entered();
    ledger.close();
    let task = &prepared.task;
    let is_swept = done.swept.as_ref().is_some_and(|swept| swept.is_whole);
    if is_whole || is_swept {
        task.looks_from.into_iter().for_each(|from| task::set_looked_through(task.id, from));
        if task.is_unplanned {
            task::set_planned(task.id);
        }
    }
}

/// What is wrong with planning a task that was planned: `too_long` is the length of the longest key that is too long.
fn tell_problem(task: &Task, need: Need, too_long: usize) {
    let problem =
        (too_long > 0).then(|| format!("{TOO_LONG} of at most {} bytes: one has {too_long}", key::MOST_BYTES));
    // Seen by whoever looks through all; others see few rows.
    let may_be_so = |known: &String| need != Need::Everything && problem.is_none() && known.starts_with(TOO_LONG);
    if task.plan_problem != problem && !task.plan_problem.as_ref().is_some_and(may_be_so) {
        task::set_plan_problem(task.id, problem.as_deref());
    }
}

/// Is a task still what it was a moment ago, as far as planning it goes?
fn is_unchanged(task: &Task, was: &Watched) -> bool {
    task.enabled && !task.is_dropped && (task.owner, task.token, task.relation) == (was.owner, was.token, was.relation)
}

/// What there is to look through at once.
fn look_through(scan: &mut Scan, need: Need, limit: Option<&Limit>, now: Instant) {
    let floor = scan.floor();
    match (need, limit) {
        (Need::Everything, _) => drop(scan.window(floor.max(need::recent(now)), scan.until())),
        (Need::Window, _) => {
            let closed_to = limit.map_or(0, |limit| limit.closed_to.load(Acquire));
            let from = floor.max(Instant(closed_to));
            scan.window(from, scan.until());
        }
        (Need::Nothing(_) | Need::Sweep, _) => {}
    }
}

/// Is there something before what is looked through at once?
fn is_behind(floor: Instant, now: Instant) -> bool {
    need::recent(now) > floor
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
