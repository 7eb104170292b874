//! Which owners' date-field tasks must be planned, and when the next must. In the scheduler, in its pass. There may be very
//! many tasks, and tables of very many partitions: what is asked of them in one pass is bounded, and each is asked once in a
//! scan interval.

use super::need::{self, Need};
use super::overrun;
use super::pass::Pass;
use crate::catalog::task::at_work::{self, Watched};
use crate::pg::shmem::Shared;
use crate::pg::{clock, counters, worker};
use schedule::Instant;
use std::cell::RefCell;
use std::collections::HashMap;

/// How soon to look again for captured rows that nobody has planned. Microseconds.
const CAPTURED_PAUSE: i64 = 500_000;
/// Tables whose change counters are asked for together, and for how long in one pass. Microseconds.
const TOGETHER: usize = 20;
const ASK_TIME: i64 = 30_000;

thread_local! {
    /// When change counters were last asked for that said that nothing is to be done. By token; microseconds since 1970.
    static ASKED: RefCell<HashMap<i64, i64>> = RefCell::new(HashMap::new());
    /// When owners of tasks without a limit may be asked to plan again. Microseconds since 1970.
    static UNLIMITED: RefCell<HashMap<u32, i64>> = RefCell::new(HashMap::new());
}

/// What the change counters of one task's table said.
#[derive(Clone, Copy)]
enum Asked {
    /// It is not time for that.
    NotNow,
    /// The next pass asks.
    Later,
    /// This; None: the table has none.
    Now(Option<i64>),
}

/// Adds to the pass who has to plan, and when the next has to.
pub(super) fn find_planning(shared: &Shared, now: Instant, pass: &mut Pass) {
    let (tasks, database) = (at_work::all(), worker::database().to_u32());
    pass.watches = !tasks.is_empty();
    let asked = ask(shared, &tasks, now);
    for (task, asked) in tasks.iter().zip(asked) {
        let limit = shared.limit_or_new(task.token, task.owner.to_u32());
        if let Some((limit, (took, is_for_others))) = limit.and_then(|limit| Some((limit, limit.pace.untold()?))) {
            overrun::tell(task, Some(&limit.pace), took, is_for_others);
            limit.pace.told();
        }
        if let Some(until) = shared.rests_until(database, task.owner.to_u32()) {
            pass.next = pass.next.min(until);
            continue;
        }
        let Some(limit) = limit else {
            plan_without_limit(task, now, pass);
            continue;
        };
        if need::is_captured(limit, now) {
            pass.owners.push((task.owner, true));
            // They may have to wait, for a lock on their table: nobody says when it is gone.
            pass.next = pass.next.min(now.0 + CAPTURED_PAUSE);
        }
        let need = match asked {
            Asked::Now(signature) => need::of(limit, signature, now),
            Asked::NotNow => need::without_scan(limit, now),
            Asked::Later => {
                pass.next = now.0;
                need::without_scan(limit, now)
            }
        };
        match need {
            Need::Nothing(next) => {
                if matches!(asked, Asked::Now(_)) && need::asks_for_changes(limit, now) {
                    ASKED.with_borrow_mut(|asked| asked.insert(task.token, now.0));
                }
                pass.next = pass.next.min(next.0);
            }
            Need::Window | Need::Everything | Need::Sweep => {
                pass.owners.push((task.owner, true));
                pass.next = pass.next.min(now.0 + 1_000_000);
            }
        }
    }
    ASKED.with_borrow_mut(|asked| asked.retain(|_, at| *at <= now.0 && now.0 - *at < need::scan_interval()));
}

/// Asks for the change counters of those whose time it is, as many as a moment allows.
fn ask(shared: &Shared, tasks: &[Watched], now: Instant) -> Vec<Asked> {
    let is_recent = |token: i64| {
        ASKED
            .with_borrow(|asked| asked.get(&token).is_some_and(|at| (0..need::scan_interval()).contains(&(now.0 - at))))
    };
    let is_time = |task: &Watched| {
        shared.limit(task.token).is_some_and(|limit| need::asks_for_changes(limit, now)) && !is_recent(task.token)
    };
    let wanted: Vec<usize> = (0..tasks.len()).filter(|index| is_time(&tasks[*index])).collect();
    let mut answers = vec![Asked::NotNow; tasks.len()];
    let until = clock::monotonic() + ASK_TIME;
    // Not always those that come first.
    let first = now.0.unsigned_abs() as usize % wanted.len().max(1);
    let turned: Vec<usize> = wanted[first..].iter().chain(&wanted[..first]).copied().collect();
    for some in turned.chunks(TOGETHER) {
        if clock::monotonic() > until {
            some.iter().for_each(|index| answers[*index] = Asked::Later);
            continue;
        }
        let signatures = counters::of(some.iter().filter_map(|index| tasks[*index].relation));
        for index in some {
            let relation = tasks[*index].relation;
            answers[*index] = Asked::Now(relation.and_then(|relation| signatures.get(&relation.to_u32()).copied()));
        }
    }
    answers
}

/// No room in shared memory: its owner plans it at every scan.
fn plan_without_limit(task: &Watched, now: Instant, pass: &mut Pass) {
    let owner = task.owner.to_u32();
    let next = UNLIMITED.with_borrow_mut(|next| {
        let at = next.entry(owner).or_insert(now.0);
        if *at <= now.0 || *at > now.0 + need::scan_interval() {
            pass.owners.push((task.owner, true));
            // For the owner's other ones in this pass too.
            *at = now.0 + need::scan_interval();
        }
        *at
    });
    pass.next = pass.next.min(next);
}
