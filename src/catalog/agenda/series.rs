//! How far the series of scheduled tasks is in the agenda.

use crate::pg::{sql, user};
use schedule::{Instant, Occurrence};

/// Sets the last planned occurrence; None: the series has ended.
pub fn set(task: i32, last: Option<Occurrence>) {
    user::as_extension_owner(|| {
        sql::run(
            "insert into jittask.series (task_id, nominal_at, due_at) values ($1, $2, $3)
             on conflict (task_id) do update set nominal_at = excluded.nominal_at, due_at = excluded.due_at",
            &[
                sql::arg(task),
                sql::maybe_at(last.map(|last| last.nominal_at)),
                sql::maybe_at(last.map(|last| last.due_at)),
            ],
        )
    });
}

/// The last planned occurrence of a task.
pub fn get(task: i32) -> Option<Occurrence> {
    let rows = user::as_extension_owner(|| {
        sql::run("select nominal_at, due_at from jittask.series where task_id = $1", &[sql::arg(task)])
    });
    Some(Occurrence { nominal_at: rows.at(0, 1)?, due_at: rows.at(0, 2)? })
}

/// Takes hold of a series for this transaction; None if it is gone or somebody alters or drops its task just now.
pub fn hold(task: i32) -> Option<Occurrence> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select nominal_at, due_at from jittask.series where task_id = $1 for update skip locked",
            &[sql::arg(task)],
        )
    });
    Some(Occurrence { nominal_at: rows.at(0, 1)?, due_at: rows.at(0, 2)? })
}

/// Is it nobody's who could be waited for? If so, it is this transaction's.
pub fn is_free(task: i32) -> bool {
    user::as_extension_owner(|| {
        let statement = "select (select count(*) from jittask.series where task_id = $1)
             = (select count(*) from (select 1 from jittask.series where task_id = $1 for update skip locked) s)";
        sql::run(statement, &[sql::arg(task)]).get(0, 1).unwrap_or(false)
    })
}

/// The same, and waits for whoever has it.
pub fn wait_for(task: i32) {
    user::as_extension_owner(|| {
        sql::run("select 1 from jittask.series where task_id = $1 for update", &[sql::arg(task)]);
    });
}

/// The earliest end of what is planned, over all tasks at work but those left out: when the next topping up is due, less the
/// horizon.
pub fn earliest_end(left_out: &[i32]) -> Option<Instant> {
    user::as_extension_owner(|| {
        // From the earliest on through the index, to the first that counts: there may be very many. What a task must be is no
        // condition of its look-up, which could go by an index of all tasks at work then, once for each series.
        sql::run(
            "select s.due_at from jittask.series s where s.due_at is not null and s.task_id <> all($1) and (
                 select t.enabled and t.dropped_at is null from jittask.task t where t.id = s.task_id)
             order by s.due_at limit 1",
            &[sql::arg(left_out.to_vec())],
        )
        .at(0, 1)
    })
}
