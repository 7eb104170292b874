//! Keeps each scheduled task's series in the agenda up to beyond the horizon. In the scheduler, in its pass, in transactions
//! of its own: the locks on series end with each portion. Those that have missed something come last: it may be very much, of
//! one owner, and the others' must not run out meanwhile. A task's past is entered as it is worked off, so that the agenda
//! never holds all of it (`catalog::agenda::backlog`).

use super::need;
use crate::catalog::agenda::{backlog, series};
use crate::catalog::ledger::{Ledger, New, Writer};
use crate::catalog::task::{self, Task};
use crate::catalog::upkeep::health;
use crate::pg::boundary::Failure;
use crate::pg::{clock, user, xact};
use schedule::{Base, Instant};
use std::cell::RefCell;
use std::collections::HashMap;

/// Occurrences of one task that are planned at a time.
const PORTION: usize = 2000;
/// And so long that takes, about. Microseconds.
const PORTION_TIME: i64 = 20_000;
/// How long one pass does nothing else, for what is missed and for what is not. Microseconds.
const TIME: i64 = 50_000;

/// What is not heard of for so long, of a task that was held up, is forgotten. Microseconds.
const FORGOTTEN_AFTER: i64 = 60_000_000;

/// A task whose past is entered as it is worked off.
#[derive(Clone, Copy)]
struct Held {
    /// As much waits as may, or more than half of that since it was as much.
    is_full: bool,
    /// When to look again, or when it was last planned: microseconds of the monotonic clock.
    at: i64,
}

thread_local! {
    static HELD: RefCell<HashMap<i32, Held>> = RefCell::new(HashMap::new());
}

/// What a portion of a series left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// More that is past.
    Past,
}

/// What is up to be planned in one pass.
struct Round {
    now: Instant,
    /// What fell due from here on waited behind other work; before, nobody was there.
    up_since: Instant,
}

/// Plans all that is to be planned now, for a moment; when to look again.
pub(super) fn all(now: Instant, up_since: Instant) -> Result<i64, Failure> {
    let begun = clock::monotonic();
    HELD.with_borrow_mut(|held| held.retain(|_, held| held.at > begun - FORGOTTEN_AFTER));
    let (horizon, round) = (need::horizon(), Round { now, up_since });
    let Some(mut end) = earliest_end()? else { return Ok(look_again_at()) };
    if end.0 < now.0 + horizon / 2 {
        let is_done = round.some(Some((now, i32::MIN)), Instant(now.0 + horizon))? & round.some(None, now)?;
        if !is_done {
            // What is due now waits for this. The rest comes with the next pass, which is at once.
            return Ok(now.0);
        }
        end = earliest_end()?.unwrap_or(Instant(i64::MAX));
    }
    Ok((end.0 - horizon / 2).max(now.0 + 1_000_000).min(look_again_at()))
}

fn earliest_end() -> Result<Option<Instant>, Failure> {
    xact::run(|| user::extension().and_then(|_| series::earliest_end(&full())))
}

/// The tasks that are left out for now.
fn full() -> Vec<i32> {
    let now = clock::monotonic();
    HELD.with_borrow(|held| held.iter().filter(|(_, held)| held.at > now).map(|(id, _)| *id).collect())
}

/// When the next of those is to be looked at.
fn look_again_at() -> i64 {
    let now = clock::monotonic();
    let next = HELD.with_borrow(|held| held.values().map(|held| held.at - now).filter(|left| *left > 0).min());
    next.map_or(i64::MAX, |left| clock::now().0 + left)
}

/// Does as much of a task wait as may? Then it is left alone for a moment.
fn is_full(task: i32, now: Instant) -> bool {
    HELD.with_borrow_mut(|held| {
        let was_full = held.get(&task).is_some_and(|held| held.is_full);
        let is_full = backlog::is_full(task, now, was_full);
        let now = clock::monotonic();
        if is_full {
            held.insert(task, Held { is_full, at: now + backlog::PAUSE });
        } else if let Some(held) = held.get_mut(&task) {
            *held = Held { is_full, at: now };
        }
        is_full
    })
}

impl Round {
    /// Those whose planned series end after `last` and before `until`, for a moment. False if there are more.
    fn some(&self, mut last: Option<(Instant, i32)>, until: Instant) -> Result<bool, Failure> {
        let stop_at = clock::monotonic() + TIME;
        loop {
            match xact::run(|| self.portion(last, until, stop_at))? {
                Ok(next @ Some(_)) => last = next,
                Ok(None) => return Ok(true),
                Err(Stopped) => return Ok(false),
            }
        }
    }

    /// Some of those, and which was the last; None: there was none.
    fn portion(
        &self,
        last: Option<(Instant, i32)>,
        until: Instant,
        stop_at: i64,
    ) -> Result<Option<(Instant, i32)>, Stopped> {
        if user::extension().is_none() {
            return Ok(None);
        }
        let settings = user::Settings::begin();
        settings.wait_at_most(1_000_000);
        let some = task::to_top_up(until, last, &full());
        let is_done = some.iter().all(|(_, task)| clock::monotonic() <= stop_at && self.one(*task, stop_at));
        settings.end();
        if is_done { Ok(some.last().copied()) } else { Err(Stopped) }
    }

    /// False if there is more of it that was missed. Executors know then that what they find is not the last
    /// (`executor::run::missed`).
    fn one(&self, task: i32, stop_at: i64) -> bool {
        // As it is now that its series is locked: whoever alters it waits.
        let Some(task) = task::by_id(task).filter(|task| task.enabled && !task.is_dropped) else { return true };
        loop {
            // Under a savepoint: one task's trouble is not the others'.
            match xact::savepoint(|| self.plan(&task)) {
                Ok(Rest::Past) if clock::monotonic() > stop_at => return false,
                Ok(Rest::Past) => {}
                Ok(Rest::Nothing) => return true,
                Err(failure) => {
                    failure.log(&format!("plan task \"{}\"", task.name));
                    return true;
                }
            }
        }
    }

    /// Enters the next portion of a task's series.
    fn plan(&self, task: &Task) -> Rest {
        let timing = match task.timing() {
            Ok(timing) => timing,
            Err(problem) => {
                health::mark(task.id, problem.message());
                return Rest::Nothing;
            }
        };
        let (Some(base), Some(planned)) = (timing.start_at, series::hold(task.id)) else { return Rest::Nothing };
        let horizon = Instant(self.now.0 + need::horizon());
        // The future never waits for the past.
        if planned.due_at >= horizon || planned.due_at < self.now && is_full(task.id, self.now) {
            return Rest::Nothing;
        }
        // What was held up by what waits before it is not too old by that.
        let floor = task.floor(self.up_since, schedule::span_micros(timing.catch_up_window));
        let from = Instant(planned.due_at.0 + 1).max(floor);
        let mut next: Vec<New> = Vec::new();
        let mut last = None;
        // A rule with long lists and many holidays may take its time: what is found by then is entered.
        let until = clock::monotonic() + PORTION_TIME;
        for occurrence in
            timing.schedule.occurrences(Base::Instant(base), &timing.zone, timing.end_at, from).take(PORTION)
        {
            last = Some(occurrence);
            next.push(New::scheduled(occurrence, task.looks_from.is_some() && occurrence.due_at < self.now));
            if occurrence.due_at > horizon || clock::monotonic() > until {
                break;
            }
        }
        let mut ledger = Ledger::open(task.id, Writer::Scheduler);
        ledger.enter_series(task.owner, next);
        ledger.close();
        series::set(task.id, last);
        let is_behind = last.is_some_and(|last| last.due_at < self.now);
        if let Some(asked) = task.looks_from.filter(|_| !is_behind) {
            task::set_looked_through(task.id, asked);
        }
        if is_behind {
            return Rest::Past;
        }
        HELD.with_borrow_mut(|held| held.remove(&task.id));
        Rest::Nothing
    }
}

/// Its time was up, or there is more of a task that was missed.
struct Stopped;
