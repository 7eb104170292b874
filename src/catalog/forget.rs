//! Records that are old enough go, and with them what is left of dropped tasks.

use crate::pg::{lock, sql, user};
use pgrx::pg_sys::ShareUpdateExclusiveLock;
use schedule::Instant;
use std::collections::BTreeSet;

/// What one portion came to.
pub struct Gone {
    /// How many records.
    pub count: i64,
    /// The ranges of blocks that they lay in.
    pub ranges: Vec<i64>,
}

/// Blocks in a range of the records' BRIN indexes.
const BLOCKS: i64 = 32;

/// Removes up to `most` records that ended before `cutoff` and longer ago than their task's catch_up_window; and what is
/// left of dropped tasks that have no record any more.
pub fn records_before(cutoff: Instant, most: i64) -> Gone {
    user::as_extension_owner(|| {
        // An occurrence ends after it was due, so the oldest are the first in the index by time.
        let gone = sql::run(
            "with gone as (
                 delete from jittask.record where ctid = any (array(
                     select r.ctid from jittask.record r join jittask.task t on t.id = r.task_id
                     where r.nominal_at < least($1, clock_timestamp() - (
                             select min(coalesce((w.definition ->> 'catch_up_window')::interval, '1 year')) from jittask.task w))
                         and t.looks_from is null and r.finished_at < least($1,
                         clock_timestamp() - coalesce((t.definition ->> 'catch_up_window')::interval, '1 year'))
                     order by r.nominal_at limit $2 for update of r skip locked))
                 returning (ctid::text::point)[0]::bigint / $3 as range)
             select count(*), array_agg(distinct range) from gone",
            &[sql::at(cutoff), sql::arg(most), sql::arg(BLOCKS)],
        );
        let ended = "t.dropped_at < $1 and not exists (select 1 from jittask.record r where r.task_id = t.id)
             and not exists (select 1 from jittask.agenda a where a.task_id = t.id)";
        sql::run(
            &format!("delete from jittask.tally y using jittask.task t where t.id = y.task_id and {ended}"),
            &[sql::at(cutoff)],
        );
        sql::run(&format!("delete from jittask.task t where {ended}"), &[sql::at(cutoff)]);
        Gone { count: gone.get(0, 1).unwrap_or(0), ranges: gone.get(0, 2).unwrap_or_default() }
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
