//! What the capture triggers left: rows that may have become due soon.

use crate::catalog::shape;
use crate::pg::{clock, lock, sql, tuple, user, wake, xact};
use pgrx::IntoDatum;
use pgrx::pg_sys::{Datum, OIDOID, Oid, TEXTARRAYOID};
use std::cell::Cell;

/// Candidates of one task.
#[derive(Default)]
pub struct Candidates {
    /// Keys, in the stored form, of rows that are new or whose date is.
    pub dated: Vec<String>,
    /// Keys of rows that were changed otherwise.
    pub others: Vec<String>,
    /// The table must be looked through as a whole.
    pub everything: bool,
    /// A prepared transaction has changed the task: nothing is known any more of how far it is planned.
    pub is_anew: bool,
    /// There may be more than were taken: from this block on.
    pub rest: Option<u32>,
}

thread_local! {
    /// The log tells once in a process.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Leaves candidates of a token, from one table, in the transaction of whoever wrote the rows; without keys: all of the table
/// is to be looked through. No failure is theirs: where it cannot be written, the task is planned anew after their commit, which
/// finds the rows.
pub fn note(token: i64, relation: Oid, is_dated: bool, keys: Option<Vec<String>>) {
    let Some(heap) = lock::relation(c"capture") else { return };
    let keys = keys.and_then(IntoDatum::into_datum);
    // As a datum of an OID, no table's would be NULL.
    let relation = Some(Datum::from(relation.to_u32()));
    let values = [token.into_datum(), relation, is_dated.into_datum(), keys];
    if let Some(block) = tuple::append(heap, &shape::CAPTURE, &values) {
        return wake::captured_at_commit(token, Some(block));
    }
    // Somebody has given the table an index or a trigger. A statement keeps it, and may fail by it.
    let insert = || {
        sql::session(|| {
            user::as_extension_owner(|| {
                sql::run(
                    "insert into jittask.capture (token, relation, is_dated, keys) values ($1, $2, $3, $4)",
                    &[
                        sql::arg(token),
                        sql::datum(OIDOID, relation),
                        sql::arg(is_dated),
                        sql::datum(TEXTARRAYOID, keys),
                    ],
                )
                .len()
            })
        })
    };
    // Wherever it lies then.
    wake::captured_at_commit(token, None);
    // At the commit no snapshot is there any more for what it may call.
    if let Err(failure) = xact::savepoint(|| xact::statement(insert)) {
        if failure.is_cancel() {
            failure.raise();
        }
        if !TOLD.replace(true) {
            pgrx::log!(
                "jittask could not note candidates in jittask.capture, whose task is planned anew: {}",
                failure.message
            );
        }
        plan_anew_at_commit(token);
    }
}

/// At this transaction's commit, forget how far a task is planned that it has changed; also at a COMMIT PREPARED: where shared
/// memory has no room until then, word of it is left among the candidates, which the survey finds that follows.
pub fn plan_anew_at_commit(token: i64) {
    wake::forget_limit_at_commit(token, |token| note(token, Oid::INVALID, false, None));
}

/// Rows taken in one pass; each has up to 1,000 candidates.
const MOST: i64 = 100;
/// And rows that only say that the whole table is to be looked through.
const MOST_BARE: i64 = 20_000;
/// Blocks that a survey looks through at a time.
const SURVEYED: u32 = 100;
/// Rows that it throws away at a time, each with what lies outside of it, and for how long. Microseconds.
const THROWN_AWAY: i64 = 100;
const SURVEY_TIME: i64 = 20_000;

/// The rows of these blocks, read as such: nobody reads what lies elsewhere, for that is others'.
const IN_BLOCKS: &str = "ctid >= $1::tid and ctid < $2::tid";

/// From the first block to before the one after the last; None: all there are.
fn bounds(blocks: Option<(u32, u32)>) -> [sql::Arg; 2] {
    let (from, to) = blocks.unwrap_or((0, u32::MAX - 2));
    [sql::arg(format!("({from},0)")), sql::arg(format!("({},0)", to.saturating_add(1)))]
}

/// Takes candidates of a token that come from its task's table or a partition of it, out of these blocks. Others are thrown
/// away unread.
pub fn take(token: i64, table: Oid, blocks: Option<(u32, u32)>) -> Candidates {
    let arguments = |most: i64| {
        let [from, to] = bounds(blocks);
        [from, to, sql::arg(token), sql::arg(most)]
    };
    let rows = user::as_extension_owner(|| {
        let statement = format!(
            "with recursive part (relid) as (
                 select $5::oid union all select i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid),
             taken as (select ctid from jittask.capture where {IN_BLOCKS} and token = $3 and keys is not null limit $4),
             gone as (delete from jittask.capture c using taken where c.ctid = taken.ctid
                 returning c.relation, c.is_dated, c.keys, split_part(trim('(' from c.ctid::text), ',', 1)::bigint as block)
             select keys, relation in (select relid from part), is_dated, max(block) over (),
                 exists (select from jittask.capture where {IN_BLOCKS} and token = $3 and keys is null) from gone"
        );
        let [from, to, token, most] = arguments(MOST);
        sql::run(&statement, &[from, to, token, most, sql::arg(table)])
    });
    // Rare: rows that only say that the whole table is to be looked through.
    let has_bare = rows.get(0, 5).unwrap_or(true);
    let (bare, is_anew) = if has_bare { take_bare(&arguments(MOST_BARE)) } else { (0, false) };
    let are_more = rows.len() as i64 == MOST || bare == MOST_BARE;
    // Those with keys are read in the order of the blocks; of the others nobody knows how far.
    let last: Option<i64> = rows.get(0, 4).filter(|_| are_more && bare < MOST_BARE);
    let rest = are_more.then(|| last.map_or(blocks.map_or(0, |(from, _)| from), |block| block as u32));
    let mut found = Candidates { dated: Vec::new(), others: Vec::new(), everything: bare > 0, is_anew, rest };
    for row in (0..rows.len()).filter(|row| rows.get(*row, 2) == Some(true)) {
        match rows.get::<Vec<String>>(row, 1) {
            Some(keys) if rows.get(row, 3) == Some(true) => found.dated.extend(keys),
            Some(keys) => found.others.extend(keys),
            None => {}
        }
    }
    found.dated.sort_unstable();
    found.dated.dedup();
    found.others.sort_unstable();
    found.others.dedup();
    found.others.retain(|key| found.dated.binary_search(key).is_err());
    found
}

/// Are there candidates of a token, wherever they lie?
pub fn are_there(token: i64) -> bool {
    let statement = "select exists (select from jittask.capture where token = $1)";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(token)])).get(0, 1).unwrap_or(false)
}

/// How many, and whether one is of a prepared transaction that has changed the task.
fn take_bare(arguments: &[sql::Arg]) -> (i64, bool) {
    user::as_extension_owner(|| {
        let statement = format!(
            "with gone as (delete from jittask.capture where ctid = any(array(
                 select ctid from jittask.capture where {IN_BLOCKS} and token = $3 and keys is null limit $4)) returning relation = 0 as is_anew)
             select count(*), coalesce(bool_or(is_anew), false) from gone"
        );
        let rows = sql::run(&statement, arguments);
        (rows.get(0, 1).unwrap_or_default(), rows.get(0, 2).unwrap_or_default())
    })
}

/// What a portion of a survey has found.
pub struct Surveyed {
    /// Tokens of tasks at work, their owners, and the first and the last block of the portion where candidates of theirs lie.
    pub waiting: Vec<(i64, Oid, (u32, u32))>,
    /// Tokens of others.
    pub gone: Vec<i64>,
    /// Where the next portion begins; None: it was the last one.
    pub next: Option<u32>,
}

/// Looks, a portion at a time, whose candidates lie where: after a start, and where nobody noted it. Throws away those of
/// tasks that are gone or not at work, and such as there never were.
pub fn survey(from: u32) -> Surveyed {
    let blocks = (from, from.saturating_add(SURVEYED - 1));
    user::as_extension_owner(|| {
        let [low, high] = bounds(Some(blocks));
        let rows = sql::run(
            &format!(
                "select c.token, min(c.block), max(c.block), bool_or(t.id is not null), max(t.owner::oid)
                 from (select token, split_part(trim('(' from ctid::text), ',', 1)::bigint as block from jittask.capture where {IN_BLOCKS} offset 0) c
                 left join jittask.task t on t.token = c.token and t.dropped_at is null and t.enabled group by c.token"
            ),
            &[low, high],
        );
        let is_at_work = |row: usize| rows.get::<bool>(row, 4).unwrap_or(false);
        let is_clean = (0..rows.len()).all(is_at_work) || throw_away(blocks);
        let block = |row: usize, column: usize| rows.get::<i64>(row, column).unwrap_or_default() as u32;
        let gone = (0..rows.len()).filter(|row| !is_at_work(*row)).filter_map(|row| rows.get(row, 1)).collect();
        let waiting = (0..rows.len()).filter(|row| is_at_work(*row));
        let waiting = waiting
            .filter_map(|row| Some((rows.get(row, 1)?, rows.get(row, 5)?, (block(row, 2), block(row, 3)))))
            .collect();
        let next = if is_clean { blocks.1.saturating_add(1) } else { from };
        let size = sql::run("select pg_relation_size('jittask.capture') / current_setting('block_size')::bigint", &[]);
        let is_last = size.get::<i64>(0, 1).is_none_or(|size| i64::from(next) >= size);
        Surveyed { waiting, gone, next: (!is_last).then_some(next) }
    })
}

/// Throws away, for a moment, what lies in these blocks and is of no task at work. False if there is more of it.
fn throw_away(blocks: (u32, u32)) -> bool {
    let until = clock::monotonic() + SURVEY_TIME;
    // An executor may be at them: whoever holds a row deals with it.
    let statement = format!(
        "delete from jittask.capture where ctid = any(array(select c.ctid from jittask.capture c where {IN_BLOCKS} and not exists (
             select 1 from jittask.task t where t.token = c.token and t.dropped_at is null and t.enabled) limit $3 for update skip locked))"
    );
    loop {
        let [low, high] = bounds(Some(blocks));
        if (sql::run(&statement, &[low, high, sql::arg(THROWN_AWAY)]).len() as i64) < THROWN_AWAY {
            return true;
        }
        if clock::monotonic() > until {
            return false;
        }
    }
}

/// Throws away the candidates of one task that lie in these blocks.
pub fn discard(token: i64, blocks: Option<(u32, u32)>) {
    let [from, to] = bounds(blocks);
    user::as_extension_owner(|| {
        // An executor may be at them: whoever holds a row deals with it.
        let statement = format!(
            "delete from jittask.capture where ctid = any(array(
                 select ctid from jittask.capture where {IN_BLOCKS} and token = $3 for update skip locked))"
        );
        sql::run(&statement, &[from, to, sql::arg(token)])
    });
}

/// Throws away all candidates there are, in a copy that is not activated. True if there were any.
pub fn discard_all() -> bool {
    user::as_extension_owner(|| !sql::run("delete from jittask.capture", &[]).is_empty())
}
