//! The agenda: entries of occurrences that are due soon or wait for a retry.

use super::moves;
use super::origin::{Origin, PUT_ASIDE};
use crate::catalog::table::key;
use crate::catalog::task::Task;
use crate::error::cut;
use crate::pg::boundary::Failure;
use crate::pg::walk::{self, Place};
use crate::pg::{clock, memory, sql, user};
use schedule::{Instant, Occurrence};
use std::collections::HashSet;
use std::ffi::c_long;
use std::rc::Rc;

/// Most keys in one entry. Ids step by 1,024, so that every key has one.
pub const ENTRY_KEYS: usize = 1000;
/// And of more than one key, so many bytes of them: the scheduler reads an entry whose process died.
pub const ENTRY_BYTES: usize = 64 << 10;

/// Entries that are looked at together, and about how many keys are taken out together.
const PORTION: c_long = 1000;
const PORTION_KEYS: i32 = 1000;
/// Keys that are taken back at a time have about so many bytes, as they are stored.
const WITHDRAWN_BYTES: i64 = 8 << 20;
/// And so many entries of the index are passed for them.
const PASSED: usize = 10_000;

/// What [`entry`] reads.
pub const COLUMNS: &str = "id, task_id, nominal_at, due_at, attempt::int, origin, keys, places, owes is not null";

/// A claimed entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The first key's record id.
    pub id: i64,
    /// Its task.
    pub task: i32,
    /// When it is due.
    pub occurrence: Occurrence,
    /// Attempts made before.
    pub attempt: i32,
    /// Why it is there.
    pub origin: Origin,
    /// The rows' keys, or `[""]`.
    pub keys: Rc<[String]>,
    /// Where the rows lay when they were found, in the form of [`super::places`].
    pub places: Vec<u8>,
    /// Its attempts are over, only its record is to be written ([`owed`]).
    pub owes: bool,
}

impl Entry {
    /// Planned, and not tried yet?
    pub fn is_fresh(&self) -> bool {
        self.origin == Origin::Planned && self.attempt == 0
    }

    /// Does its row run by itself, under a savepoint, not with the rows of an entry?
    pub fn is_isolated(&self) -> bool {
        self.origin.is_isolated() || self.attempt > 0
    }
}

/// The occurrences of a task that are in the agenda with a nominal instant in `[from, until]`. There may be millions: they
/// are read in portions.
pub fn pending(task: i32, from: Instant, until: Instant) -> HashSet<key::Occurrence> {
    user::as_extension_owner(|| {
        let mut known = HashSet::new();
        let mut entries = sql::cursor(
            "select nominal_at, keys from jittask.agenda where task_id = $1 and nominal_at between $2 and $3",
            &[sql::arg(task), sql::at(from), sql::at(until)],
        );
        while memory::scratch(|| {
            let rows = entries.fetch(20);
            for row in 0..rows.len() {
                let Some(nominal_at) = rows.at(row, 1) else { continue };
                let keys = rows.get::<pgrx::Array<&str>>(row, 2);
                let keys = keys.iter().flat_map(|keys| keys.iter_deny_null());
                known.extend(keys.map(|key| key::occurrence(key::mark(key), nominal_at)));
            }
            !rows.is_empty()
        }) {}
        entries.close();
        known
    })
}

/// Entries of the index among which the last one before another is looked for.
const NEAR: usize = 100;

/// Holidays move an occurrence by so much at most. Microseconds.
const LONGEST_MOVE: i64 = 400 * 86_400_000_000;

/// The last instant before `until` at which a task has an entry that was not asked for by run_task.
pub fn last_due_before(task: &Task, until: Instant) -> Option<Instant> {
    user::as_extension_owner(|| {
        let statement = "select max(due_at) from jittask.agenda where task_id = $1 and nominal_at < $3 and due_at < $2 and origin <> 'm'";
        let nominal = Instant(until.0.saturating_add(moved(task)));
        sql::run(statement, &[sql::arg(task.id), sql::at(until), sql::at(nominal)]).at(0, 1)
    })
}

/// By how much an occurrence may be due before or after its nominal instant, which the index knows it by. Microseconds.
pub fn moved(task: &Task) -> i64 {
    if task.definition.holidays_of().is_some() { LONGEST_MOVE } else { 0 }
}

/// Takes hold of one entry again after its transaction was rolled back; None if it is gone or held.
pub fn hold(id: i64) -> Option<Entry> {
    let rows = user::as_extension_owner(|| {
        sql::run(&format!("select {COLUMNS} from jittask.agenda where id = $1 for update skip locked"), &[sql::arg(id)])
    });
    entry(&rows)
}

/// The first row, of [`COLUMNS`].
pub fn entry(rows: &sql::Rows) -> Option<Entry> {
    entry_at(rows, 0)
}

fn entry_at(rows: &sql::Rows, row: usize) -> Option<Entry> {
    Some(Entry {
        id: rows.get(row, 1)?,
        task: rows.get(row, 2)?,
        occurrence: Occurrence { nominal_at: rows.at(row, 3)?, due_at: rows.at(row, 4)? },
        attempt: rows.get(row, 5)?,
        origin: Origin::of(rows.get(row, 6)?)?,
        keys: rows.get::<Vec<String>>(row, 7)?.into(),
        places: rows.get(row, 8).unwrap_or_default(),
        owes: rows.get(row, 9)?,
    })
}

/// The entry that holds the occurrence of this record id, and the key's position in it (0-based).
pub fn find(id: i64) -> Option<(Entry, usize)> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!("select {COLUMNS} from jittask.agenda where id <= $1 and id > $1 - 1024 order by id desc limit 1"),
            &[sql::arg(id)],
        )
    });
    let entry = entry(&rows)?;
    let position = usize::try_from(id - entry.id).ok()?;
    (position < entry.keys.len()).then_some((entry, position))
}

/// Takes one key out of an entry that the transaction holds; what is before and after it stays, under the same ids.
pub fn take_out(entry: &Entry, position: usize) {
    user::as_extension_owner(|| {
        let position = position as i32;
        moves::run(
            "",
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, attempt, origin, keys)
             select id + $2 + 1, owner, task_id, run_at, due_at, nominal_at, attempt, origin, keys[$2 + 2:]
             from jittask.agenda where id = $1 and key_count > $2 + 1",
            &[sql::arg(entry.id), sql::arg(position)],
        );
        let statement = if position == 0 {
            "delete from jittask.agenda where id = $1 and $2 = 0"
        } else {
            "update jittask.agenda set keys = keys[:$2], places = null where id = $1"
        };
        sql::run(statement, &[sql::arg(entry.id), sql::arg(position)]);
    });
}

/// Removes an entry.
pub fn delete(id: i64) {
    user::as_extension_owner(|| sql::run("delete from jittask.agenda where id = $1", &[sql::arg(id)]));
}

/// Does an earlier occurrence of the task wait for its first attempt, or is it in hand? True: and it would be claimed before
/// this entry. They run one after the other, so one that waits is near; what has run lies dead before that, and may be much.
pub fn earlier(task: &Task, entry: &Entry) -> Option<bool> {
    let run_at = if moved(task) == 0 { earlier_in_index(entry) } else { None };
    let run_at = match run_at {
        Some(found) => found?,
        None => earlier_anywhere(entry)?,
    };
    user::as_extension_owner(|| {
        let own = sql::run("select run_at from jittask.agenda where id = $1", &[sql::arg(entry.id)]);
        Some(own.at(0, 1).is_some_and(|own| run_at <= own))
    })
}

/// When an earlier one is to run, if there is one. None: the index by which they lie in order is not there.
fn earlier_in_index(entry: &Entry) -> Option<Option<Instant>> {
    let mut found = None;
    let until = clock::to_pg(entry.occurrence.nominal_at);
    let looked = walk::along(c"agenda", (c"agenda_occurrence", 2), |walk| {
        walk.back(entry.task, until, [c"run_at", c"attempt", c"origin"], NEAR, |[run_at, attempt, origin]| {
            let is_first_try = attempt.is_some_and(|attempt| attempt.value() as i16 == 0);
            let is_manual = origin.and_then(|origin| Origin::of(origin.value() as i8)).is_none_or(Origin::is_manual);
            found = run_at.filter(|_| is_first_try && !is_manual).map(|at| clock::from_pg(at.value() as i64));
            found.is_none()
        })
    });
    looked.map(|_| found)
}

fn earlier_anywhere(entry: &Entry) -> Option<Instant> {
    user::as_extension_owner(|| {
        let statement = "select run_at from jittask.agenda where task_id = $1 and due_at < $2 and attempt = 0 and origin <> 'm' limit 1";
        sql::run(statement, &[sql::arg(entry.task), sql::at(entry.occurrence.due_at)]).at(0, 1)
    })
}

/// Lets a claimed entry wait until `run_at`; None: until its task is resumed.
pub fn postpone(id: i64, run_at: Option<Instant>) {
    user::as_extension_owner(|| {
        moves::run(
            "",
            "update jittask.agenda set run_at = coalesce($2, 'infinity') where id = $1",
            &[sql::arg(id), sql::maybe_at(run_at)],
        )
    });
}

/// Replaces a claimed entry by its keys from `first` on (0-based): the rest of a batch that ended early.
pub fn keep_rest(entry: &Entry, first: usize) {
    user::as_extension_owner(|| {
        moves::run(
            "",
            "update jittask.agenda set id = id + $2, keys = keys[$2::int + 1:], places = null where id = $1",
            &[sql::arg(entry.id), sql::arg(first as i64)],
        );
    });
}

/// Puts single keys of a claimed entry aside: each becomes an entry of its own, under its record id.
pub fn put_aside(entry: &Entry, positions: &[usize]) {
    let positions: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
    let origin = entry.origin.put_aside().letter();
    user::as_extension_owner(|| {
        // The entry's own id is that of its first key, so it goes first.
        moves::run(
            "gone as (delete from jittask.agenda where id = $1 returning *),",
            "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, attempt, origin, keys)
             select g.id + p.i, g.owner, g.task_id, g.run_at, g.due_at, g.nominal_at, g.attempt, $3, array[g.keys[p.i::int + 1]]
             from gone g cross join unnest($2::bigint[]) p (i)
             where p.i > 0",
            &[sql::arg(entry.id), sql::arg(positions.clone()), sql::arg(origin)],
        );
        if positions.contains(&0) {
            let key = entry.keys.first().cloned().unwrap_or_default();
            moves::run(
                "",
                "insert into jittask.agenda (id, owner, task_id, run_at, due_at, nominal_at, attempt, origin, keys)
                 select $1, t.owner, $2, $3, $3, $4, $5, $6, array[$7] from jittask.task t where t.id = $2",
                &[
                    sql::arg(entry.id),
                    sql::arg(entry.task),
                    sql::at(entry.occurrence.due_at),
                    sql::at(entry.occurrence.nominal_at),
                    sql::arg(entry.attempt as i16),
                    sql::arg(origin),
                    sql::arg(key),
                ],
            );
        }
    });
}

/// Each key of an entry runs by itself from now on.
pub fn put_all_aside(entry: i64) {
    if let Some(entry) = hold(entry) {
        put_aside(&entry, &(0..entry.keys.len()).collect::<Vec<_>>());
    }
}

/// Notes a failed attempt and when the next one is.
pub fn retry_later(id: i64, attempt: i32, started_at: Instant, failure: &Failure, run_at: Instant) {
    user::as_extension_owner(|| {
        moves::run(
            "",
            &format!(
                "update jittask.agenda set attempt = $2, run_at = $3, started_at = $4, error_code = $5, error = $6, error_context = $7, {PUT_ASIDE}, record_error = null where id = $1"
            ),
            &[
                sql::arg(id),
                sql::arg(attempt as i16),
                sql::at(run_at),
                sql::at(started_at),
                sql::arg(failure.sqlstate.as_str()),
                sql::arg(cut(&failure.message)),
                sql::arg(failure.context_text()),
            ],
        )
    });
}

/// Takes back what a task has planned for after `from` and nobody is running; how many occurrences that were.
pub(super) fn withdraw(task: i32, from: Instant) -> i64 {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "with free as (select id from jittask.agenda where task_id = $1 and due_at >= $2 and attempt = 0 and origin <> 'm' for update skip locked),
                 gone as (delete from jittask.agenda a using free where a.id = free.id returning a.key_count as count)
             select coalesce(sum(count), 0)::bigint from gone",
            &[sql::arg(task), sql::at(from)],
        );
        rows.get(0, 1).unwrap_or_default()
    })
}

/// The same of what lies below a place, down from which it is taken: so many entries at most, about so many bytes of them, and so
/// many entries of the index, all of the owner's, are passed. How many occurrences were taken back, and below which place there
/// may be more.
pub(super) fn withdraw_some(task: &Task, from: Instant, below: Place, most: usize) -> (i64, Option<Place>) {
    let (mut found, from_pg) = (Vec::new(), clock::to_pg(from));
    let columns = [c"task_id", c"due_at", c"attempt", c"origin"];
    let looked = walk::along(c"agenda", (c"agenda_claim", 3), |walk| {
        walk.down((task.owner, below, from_pg), columns, PASSED, |place, [id, due_at, attempt, origin]| {
            let is_of_task = id.is_some_and(|id| id.value() as i32 == task.id);
            let is_due_then = due_at.is_some_and(|due_at| due_at.value() as i64 >= from_pg);
            let is_first_try = attempt.is_some_and(|attempt| attempt.value() as i16 == 0);
            let origin = origin.and_then(|origin| Origin::of(origin.value() as i8));
            if is_of_task && is_due_then && is_first_try && origin.is_some_and(|origin| !origin.is_manual()) {
                found.push(place);
            }
            found.len() < most
        })
    });
    // Somebody has dropped the index.
    let Some(rest) = looked else { return (withdraw(task.id, from), None) };
    let (count, taken) = take_back(found.iter().map(|place| place.id).collect());
    let cut = taken.checked_sub(1).filter(|_| taken < found.len()).and_then(|last| found.get(last).copied());
    (count, cut.or(rest))
}

/// Takes the first of these entries out of the agenda, about so many bytes of them, but for those that somebody holds: how many
/// occurrences that were, and how many entries were looked at.
fn take_back(ids: Vec<i64>) -> (i64, usize) {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "with chosen as (select a.id, u.number, sum(pg_column_size(a.keys)) over (order by u.number) as size
                     from unnest($1::bigint[]) with ordinality u (id, number) join jittask.agenda a on a.id = u.id),
                 free as (select id from jittask.agenda where id in (select id from chosen where number = 1 or size <= $2) for update skip locked),
                 gone as (delete from jittask.agenda a using free where a.id = free.id returning a.key_count as count)
             select (select coalesce(sum(count), 0)::bigint from gone),
                 coalesce(max(number) filter (where number = 1 or size <= $2), cardinality($1)) from chosen",
            &[sql::arg(ids), sql::arg(WITHDRAWN_BYTES)],
        );
        let taken: i64 = rows.get(0, 2).unwrap_or_default();
        (rows.get(0, 1).unwrap_or_default(), usize::try_from(taken).unwrap_or_default())
    })
}

/// Takes a dropped task's entries that nobody is running out of the agenda, and has each portion dealt with: there may be
/// millions.
pub fn take_unclaimed(task: i32, mut each: impl FnMut(&[Entry])) {
    let statement = "select id, key_count::int from jittask.agenda where task_id = $1 for update skip locked";
    let mut waiting = user::as_extension_owner(|| sql::cursor(statement, &[sql::arg(task)]));
    while memory::scratch(|| {
        let rows = user::as_extension_owner(|| waiting.fetch(PORTION));
        let entry = |row: usize| Some((rows.get::<i64>(row, 1)?, rows.get::<i32>(row, 2)?));
        let (mut ids, mut keys) = (Vec::new(), 0);
        for (id, count) in (0..rows.len()).filter_map(entry) {
            ids.push(id);
            keys += count;
            if keys >= PORTION_KEYS {
                each(&take("id = any($1)", &[sql::arg(std::mem::take(&mut ids))]));
                keys = 0;
            }
        }
        each(&take("id = any($1)", &[sql::arg(ids)]));
        !rows.is_empty()
    }) {}
    waiting.close();
}

/// Takes a scheduled task's entries due in `[from, until)` that were not tried yet and that nobody is running out of the
/// agenda, the earliest first, so many at most. What is in an executor's hand may be between two transactions.
pub fn take_due(task: &Task, (from, until): (Instant, Instant), in_hand: Vec<i64>, count: i64) -> Vec<Entry> {
    let which = "id in (select id from jittask.agenda where task_id = $1 and nominal_at >= $6 and nominal_at < $7
                     and due_at >= $2 and due_at < $3 and attempt = 0
                     and origin = 'p' and run_at < 'infinity' and id <> all($5) order by due_at limit $4)";
    let moved = moved(task);
    let nominal = (Instant(from.0.saturating_sub(moved)), Instant(until.0.saturating_add(moved)));
    let (nominal_from, nominal_until) = (sql::at(nominal.0), sql::at(nominal.1));
    let due = [sql::arg(task.id), sql::at(from), sql::at(until), sql::arg(count), sql::arg(in_hand)];
    take(which, &[due.as_slice(), &[nominal_from, nominal_until]].concat())
}

fn take(which: &str, arguments: &[sql::Arg]) -> Vec<Entry> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "with free as (select id as free_id from jittask.agenda where {which} for update skip locked)
                 delete from jittask.agenda using free where id = free_id returning {COLUMNS}"
            ),
            arguments,
        )
    });
    (0..rows.len()).filter_map(|row| entry_at(&rows, row)).collect()
}
