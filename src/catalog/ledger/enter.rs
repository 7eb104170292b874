//! Occurrences come into the agenda: planned, asked for by a person, or back under their old ids.

use super::entries::{ENTRY_BYTES, ENTRY_KEYS};
use super::moves;
use super::origin::Origin;
use crate::catalog::table::key::{self, NO_ROW};
use crate::catalog::task::Task;
use crate::pg::tid::Tid;
use crate::pg::{memory, sql, user};
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::{Instant, Occurrence};
use std::rc::Rc;
use text::row_hints;

/// An occurrence to be entered.
pub struct New {
    /// When it is due.
    pub occurrence: Occurrence,
    /// Its row, or [`NO_ROW`].
    pub key: Rc<str>,
    /// Where the row lies.
    pub place: Option<Tid>,
    /// Planned or requested; of a scheduled task that waits for other runs, and is not late.
    pub origin: Origin,
}

impl New {
    /// Of a scheduled task.
    pub fn scheduled(occurrence: Occurrence, is_requested: bool) -> New {
        let origin = if is_requested { Origin::Requested } else { Origin::Planned };
        New { occurrence, key: NO_ROW.into(), place: None, origin }
    }
}

/// Puts occurrences into the agenda: those that share their instants share entries.
pub fn insert(owner: Oid, task: i32, occurrences: &[New]) {
    let mut groups: std::collections::BTreeMap<Occurrence, Vec<&New>> = Default::default();
    for new in occurrences {
        groups.entry(new.occurrence).or_default().push(new);
    }
    let (mut singles, mut entries) = (Vec::new(), Vec::new());
    for (occurrence, news) in &groups {
        match news.as_slice() {
            [one] => singles.push(*one),
            many => {
                let portions = key::portions(many, ENTRY_KEYS, ENTRY_BYTES, |new| &new.key);
                entries.extend(portions.into_iter().map(|portion| (*occurrence, portion)));
            }
        }
    }
    user::as_extension_owner(|| {
        for (occurrence, news) in entries {
            memory::scratch(|| insert_entry(owner, task, occurrence, news));
        }
        for portion in key::portions(&singles, usize::MAX, key::STATEMENT_BYTES, |new| &new.key) {
            memory::scratch(|| insert_singles(owner, task, portion));
        }
    });
}

fn insert_entry(owner: Oid, task: i32, occurrence: Occurrence, news: &[&New]) {
    moves::run(
        "",
        "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, places)
         values (nextval('jittask.occurrence_id'), $1, $2, $3, $3, $4, $5, $6)",
        &[
            sql::datum(REGROLEOID, Some(owner.into())),
            sql::arg(task),
            sql::at(occurrence.due_at),
            sql::at(occurrence.nominal_at),
            sql::arg(news.iter().map(|new| &*new.key).collect::<Vec<_>>()),
            sql::arg(row_hints::encode(&news.iter().map(|new| new.place.map(Tid::numbers)).collect::<Vec<_>>())),
        ],
    );
}

fn insert_singles(owner: Oid, task: i32, singles: &[&New]) {
    moves::run(
        "",
        "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, origin)
         select nextval('jittask.occurrence_id'), $1, $2, u.due, u.due, u.nominal, array[u.key], u.origin
         from unnest($3::timestamptz[], $4::timestamptz[], $5::text[], $6::\"char\"[]) u (due, nominal, key, origin)",
        &[
            sql::datum(REGROLEOID, Some(owner.into())),
            sql::arg(task),
            sql::ats(singles.iter().map(|new| new.occurrence.due_at)),
            sql::ats(singles.iter().map(|new| new.occurrence.nominal_at)),
            sql::arg(singles.iter().map(|new| &*new.key).collect::<Vec<_>>()),
            sql::arg(singles.iter().map(|new| new.origin.letter()).collect::<Vec<_>>()),
        ],
    );
}

/// Ids for occurrences that are recorded without having been in the agenda.
pub fn next_ids(count: usize) -> Vec<i64> {
    if count == 0 {
        return Vec::new();
    }
    let rows = user::as_extension_owner(|| {
        sql::run("select nextval('jittask.occurrence_id') from generate_series(1, $1)", &[sql::arg(count as i64)])
    });
    (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect()
}

/// An occurrence by run_task: due now, whatever the schedule says. Returns the record's id.
pub fn insert_manual(owner: Oid, task: i32, key: &str) -> i64 {
    user::as_extension_owner(|| {
        let rows = moves::run(
            "",
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, origin)
             select nextval('jittask.occurrence_id'), $1, $2, n.at, n.at, n.at, array[$3], 'm'
             from (select greatest(clock_timestamp(),
                       (select max(a.nominal_at) + interval '1 microsecond' from jittask.agenda a where a.task_id = $2 and a.origin = 'm'),
                       (select max(r.nominal_at) + interval '1 microsecond' from jittask.record r
                        where r.task_id = $2 and r.key = $3 and r.nominal_at >= clock_timestamp())) as at) n",
            &[sql::datum(REGROLEOID, Some(owner.into())), sql::arg(task), sql::arg(key)],
        );
        rows.get(0, 4).unwrap_or_default()
    })
}

/// Puts an occurrence back under its old record id, to run at this instant; [`Instant::MAX`]: when its task is resumed.
pub fn insert_again(task: &Task, id: i64, occurrence: Occurrence, key: &str, origin: Origin, run_at: Instant) {
    user::as_extension_owner(|| {
        moves::run(
            "",
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, keys, origin)
             values ($1, $2, $3, coalesce($8, 'infinity'), $4, $5, array[$6], $7)",
            &[
                sql::arg(id),
                sql::datum(REGROLEOID, Some(task.owner.into())),
                sql::arg(task.id),
                sql::at(occurrence.due_at),
                sql::at(occurrence.nominal_at),
                sql::arg(key),
                sql::arg(origin.letter()),
                sql::maybe_at(Some(run_at).filter(|run_at| *run_at != Instant::MAX)),
            ],
        )
    });
}
