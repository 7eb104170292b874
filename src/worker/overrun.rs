//! Planning that was ended, in words: by the executor that was at it, or by the scheduler where its process ended. The caller
//! owns the transaction.

use crate::catalog::task;
use crate::catalog::task::at_work::Watched;
use crate::pg::planning::Pace;
use pgrx::prelude::*;

/// Notes it in the task, and once in the log.
pub fn tell(task: &Watched, pace: Option<&Pace>, took: i64, is_for_others: bool) {
    let problem = problem(took, is_for_others);
    task::set_plan_problem(task.id, Some(&problem));
    if pace.is_none_or(|pace| !pace.is_logged()) {
        warning!("jittask could not plan task \"{}\": {problem}", task.name);
    }
}

fn problem(took: i64, is_for_others: bool) -> String {
    let seconds = took as f64 / 1e6;
    if is_for_others {
        format!("reading its rows was ended after {seconds:.1} s because other roles waited for an executor")
    } else {
        format!("reading its rows was ended because it took longer than {seconds:.1} s")
    }
}
