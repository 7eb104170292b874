//! What goes for good: records that are old enough, and with them what is left of dropped tasks; what a copy of the database
//! brought along.

use crate::pg::{clock, lock, sql, user};
use pgrx::pg_sys::ShareUpdateExclusiveLock;
use schedule::Instant;
use std::collections::BTreeSet;

/// What one portion came to.
pub struct Gone {
    /// The ranges of blocks that the records lay in.
    pub ranges: Vec<i64>,
    /// Where the next portion begins; None: it was the last one.
    pub rest: Option<After>,
}

/// After this record, in the order of the index that records are unique by.
#[derive(Clone, Default)]
pub struct After {
    nominal_at: Option<Instant>,
    task: i32,
    identity: Vec<u8>,
}

/// Blocks in a range of the records' BRIN indexes.
const BLOCKS: i64 = 32;

/// No catch_up_window is longer, whatever it says: what a task says is reckoned with here for all. Seconds.
const LONGEST_WINDOW: f64 = 366.0 * 86_400.0;

/// Records that are looked at in one statement: a key may be of a megabyte, and what stands for it is computed.
const TOGETHER: i64 = 100;

/// What is old enough to go.
pub struct Old<'a> {
    /// Before whoever looks back was asked for: who begins later looks back from later on.
    pub now: Instant,
    /// What ended before this.
    pub cutoff: Instant,
    /// Tasks, by their tokens, whose past is being looked through, and as of when: their window ends there.
    pub looking_back: &'a [(i64, Instant)],
}

/// Looks at up to `most` records nominally due before the cutoff, the oldest first, and removes those that ended before it
/// and longer ago than their task's catch_up_window, as of when its past is looked through. A portion is what is looked at, not what goes: very much may have to stay,
/// also of one instant, and whoever looks has other work. An occurrence ends after it was due, so no other record is old enough.
fn records_before(old: &Old, after: &After, most: i64) -> Gone {
    let statement = "
        with seen as (
            select r.ctid as place, r.nominal_at, r.task_id, r.finished_at, jittask.key_identity(r.key) as identity
            from jittask.record r
            where (r.nominal_at, r.task_id, jittask.key_identity(r.key)) > ($2, $5, $6) and r.nominal_at < $1
            order by r.nominal_at, r.task_id, jittask.key_identity(r.key) limit $3),
        old as (
            select s.place from seen s left join jittask.task t on t.id = s.task_id
            where (t.looks_from is null or t.dropped_at is not null)
                and s.finished_at < least($1, least($8, (select min(u.as_of) from unnest($9::bigint[], $10::timestamptz[]) u (token, as_of) where u.token = t.token),
                        (select min(a.as_of) from jittask.arrears a where a.task_id = t.id)) - case when t.id is null then '0'
                    else make_interval(secs => least(extract(epoch from coalesce((t.definition ->> 'catch_up_window')::interval, '1 year')), $7)) end)),
        gone as (
            delete from jittask.record where ctid = any (array(
                select r.ctid from jittask.record r where r.ctid = any (array(select place from old)) for update skip locked))
            returning (ctid::text::point)[0]::bigint / $4 as range),
        last as (
            select nominal_at, task_id, identity from seen
            where (select count(*) from seen) = $3 order by nominal_at desc, task_id desc, identity desc limit 1)
        select (select array_agg(distinct range) from gone), nominal_at, task_id, identity from (select) one left join last on true";
    let arguments = [
        sql::at(old.cutoff),
        sql::at(after.nominal_at.unwrap_or(Instant(i64::MIN))),
        sql::arg(most),
        sql::arg(BLOCKS),
        sql::arg(after.task),
        sql::arg(after.identity.clone()),
        sql::arg(LONGEST_WINDOW),
        sql::at(old.now),
        sql::arg(old.looking_back.iter().map(|(token, _)| *token).collect::<Vec<i64>>()),
        sql::ats(old.looking_back.iter().map(|(_, as_of)| *as_of)),
    ];
    let gone = user::as_extension_owner(|| sql::run_in_index_order(statement, &arguments));
    let rest = gone.at(0, 2).map(|nominal_at| After {
        nominal_at: Some(nominal_at),
        task: gone.get(0, 3).unwrap_or_default(),
        identity: gone.get(0, 4).unwrap_or_default(),
    });
    Gone { ranges: gone.get(0, 1).unwrap_or_default(), rest }
}

/// The same, a few at a time, for about `micros` of the processor's time: by the clock a busy machine would hardly get anywhere.
pub fn records_for(old: &Old, mut after: After, most: i64, micros: i64) -> Gone {
    let until = clock::processor() + micros;
    let mut ranges = Vec::new();
    for _ in 0..(most / TOGETHER).max(1) {
        let gone = records_before(old, &after, TOGETHER);
        ranges.extend(gone.ranges);
        match gone.rest {
            None => return Gone { ranges, rest: None },
            Some(rest) => after = rest,
        }
        if clock::processor() > until {
            break;
        }
    }
    Gone { ranges, rest: Some(after) }
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
                     where t.dropped_at < clock_timestamp()
                         - make_interval(secs => least(extract(epoch from coalesce((s.definition ->> 'catch_up_window')::interval, '1 year')), $4))
                         and not exists (select 1 from jittask.agenda a where a.task_id = s.id)),
                 counts as (delete from jittask.tally y using ended e where y.task_id = e.id),
                 audits as (delete from jittask.audited a using ended e where a.task_id = e.id),
                 gone as (delete from jittask.task t using ended e where t.id = e.id)
             select max(id) from seen",
            &[sql::at(cutoff), sql::arg(after), sql::arg(most), sql::arg(LONGEST_WINDOW)],
        );
        rows.get(0, 1)
    })
}

/// Sums up these ranges anew, without what has gone, for about `micros` of the processor's time; what is left of them is still to be summed up. Else what
/// is written there next would leave each range with both the oldest and the newest, and in the end no search by time or id could
/// leave one out. False where somebody else works on the table, VACUUM for one: nobody waits for this, nor this for anybody.
pub fn sum_up(ranges: &mut BTreeSet<i64>, micros: i64) -> bool {
    let is_free = |relation| lock::try_now(relation, ShareUpdateExclusiveLock);
    if !lock::relation(c"record").is_some_and(is_free) {
        return false;
    }
    let until = clock::processor() + micros;
    while let Some(range) = ranges.pop_first() {
        user::as_extension_owner(|| {
            sql::run(
                "select brin_desummarize_range(i.indexrelid, $1), brin_summarize_range(i.indexrelid, $1)
                 from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
                 where i.indrelid = 'jittask.record'::regclass and m.amname = 'brin'",
                &[sql::arg(range * BLOCKS)],
            )
        });
        if clock::processor() > until {
            break;
        }
    }
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
            "with gone as (delete from jittask.agenda where due_at < $1 returning task_id, key_count as count)
             insert into jittask.tally as t (task_id, writer, entered)
             select task_id, -pg_backend_pid(), -sum(count) from gone group by task_id
             on conflict (task_id, writer) do update set entered = t.entered + excluded.entered",
            &[sql::at(now)],
        );
    });
}
