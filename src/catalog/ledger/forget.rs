//! What goes for good: records that are old enough, and with them what is left of dropped tasks; what a copy of the database
//! brought along.

use crate::pg::{lock, sql, user};
use pgrx::pg_sys::ShareUpdateExclusiveLock;
use schedule::Instant;
use std::collections::BTreeSet;

/// What one portion came to.
pub struct Gone {
    /// The ranges of blocks that the records lay in.
    pub ranges: Vec<i64>,
    /// Where the next portion begins; None: it was the last one.
    pub rest: Option<Instant>,
}

/// Blocks in a range of the records' BRIN indexes.
const BLOCKS: i64 = 32;

/// Looks at up to `most` records nominally due in `[from, cutoff)`, the oldest first, and removes those that ended before
/// `cutoff` and longer ago than their task's catch_up_window. A portion is what is looked at, not what goes: very much may have
/// to stay, and whoever looks has other work. An occurrence ends after it was due, so no other record is old enough.
pub fn records_before(cutoff: Instant, from: Instant, most: i64) -> Gone {
    let statement = "
        with seen as (
            select r.ctid as place, r.nominal_at, r.task_id, r.finished_at from jittask.record r
            where r.nominal_at >= $2 and r.nominal_at < $1 order by r.nominal_at limit $3),
        old as (
            select s.place from seen s left join jittask.task t on t.id = s.task_id
            where (t.looks_from is null or t.dropped_at is not null)
                and s.finished_at < least($1, clock_timestamp() - case when t.id is null then '0'
                    else coalesce((t.definition ->> 'catch_up_window')::interval, '1 year') end)),
        gone as (
            delete from jittask.record where ctid = any (array(
                select r.ctid from jittask.record r where r.ctid = any (array(select place from old)) for update skip locked))
            returning (ctid::text::point)[0]::bigint / $4 as range)
        select (select array_agg(distinct range) from gone), (select max(nominal_at) from seen having count(*) = $3)";
    let arguments = [sql::at(cutoff), sql::at(from), sql::arg(most), sql::arg(BLOCKS)];
    let gone = user::as_extension_owner(|| {
        // By the index on the nominal instant, however small the table was when the plan was made.
        let settings = user::Settings::begin();
        settings.set(c"enable_seqscan", c"off");
        settings.set(c"enable_sort", c"off");
        let gone = sql::run(statement, &arguments);
        settings.end();
        gone
    });
    let mut ranges: Vec<i64> = gone.get(0, 1).unwrap_or_default();
    match gone.at(0, 2) {
        // So many of one instant that a portion does not come to its end.
        Some(last) if last == from => {
            let more = records_before(cutoff, from, most * 2);
            ranges.extend(more.ranges);
            Gone { ranges, ..more }
        }
        rest => Gone { ranges, rest },
    }
}

/// Removes what is left of dropped tasks, of which nothing runs any more: of up to `most` with ids greater than `after`, once
/// all records from before `cutoff` were looked through. A record that is left even so goes without its task. The last id that
/// was looked at; None: there is none.
pub fn tasks_before(cutoff: Instant, after: i32, most: i64) -> Option<i32> {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "with seen as (select t.id, t.definition from jittask.task t where t.id > $2 and t.dropped_at < $1 and t.triggers_go_at is null order by t.id limit $3),
                 ended as (
                     select s.id from seen s join jittask.task t on t.id = s.id
                     where t.dropped_at < clock_timestamp() - coalesce((s.definition ->> 'catch_up_window')::interval, '1 year')
                         and not exists (select 1 from jittask.agenda a where a.task_id = s.id)),
                 counts as (delete from jittask.tally y using ended e where y.task_id = e.id),
                 gone as (delete from jittask.task t using ended e where t.id = e.id)
             select max(id) from seen",
            &[sql::at(cutoff), sql::arg(after), sql::arg(most)],
        );
        rows.get(0, 1)
    })
}

/// Sums up these ranges anew, without what has gone. Else what is written there next would leave each range with both the
/// oldest and the newest, and in the end no search by time or id could leave one out. False where somebody else works on the
/// table, VACUUM for one: nobody waits for this, nor this for anybody.
pub fn sum_up(ranges: &BTreeSet<i64>) -> bool {
    let is_free = |relation| lock::try_now(relation, ShareUpdateExclusiveLock);
    if !lock::relation(c"record").is_some_and(is_free) {
        return false;
    }
    let blocks: Vec<i64> = ranges.iter().map(|range| range * BLOCKS).collect();
    user::as_extension_owner(|| {
        sql::run(
            "select brin_desummarize_range(i.indexrelid, b.block), brin_summarize_range(i.indexrelid, b.block)
             from unnest($1) b (block), pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
             where i.indrelid = 'jittask.record'::regclass and m.amname = 'brin'",
            &[sql::arg(blocks)],
        );
    });
    true
}

/// Removes all records of a task that keeps none when it is dropped.
pub fn records_of(task: i32) {
    user::as_extension_owner(|| sql::run("delete from jittask.record where task_id = $1", &[sql::arg(task)]));
}

/// Withdraws what all tasks had due before `now` in the database that this one is a copy of.
pub fn pending_before(now: Instant) {
    user::as_extension_owner(|| {
        sql::run(
            "with gone as (delete from jittask.agenda where due_at < $1 returning task_id, cardinality(keys) as count)
             insert into jittask.tally as t (task_id, writer, entered)
             select task_id, -pg_backend_pid(), -sum(count) from gone group by task_id
             on conflict (task_id, writer) do update set entered = t.entered + excluded.entered",
            &[sql::at(now)],
        );
    });
}
