//! How often tables were written to, by the server's statistics; no user relation is opened.

use super::{sql, user};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;

/// A table of more parts has no such number: it would take too long to ask.
const MOST_PARTS: i64 = 1000;

/// For each table: a number that changes when rows or partitions do. Views and foreign tables have none, nor has a table with a
/// foreign part: nobody counts what is written on the other side. Nor one with policies: they may let other rows be seen, though
/// none of the table's has changed.
pub fn of(relations: impl Iterator<Item = Oid>) -> HashMap<u32, i64> {
    let relations: Vec<Oid> = relations.collect();
    if relations.is_empty() {
        return HashMap::new();
    }
    let rows = user::with_pinned_path(|| {
        sql::run_by_keys(
            "select root, (sum(pg_stat_get_tuples_inserted(relid) + pg_stat_get_tuples_updated(relid) + pg_stat_get_tuples_deleted(relid))
                 + 7919 * sum(relid::bigint + coalesce(pg_relation_filenode(relid), 0)::bigint
                     + (select coalesce(sum(d.xmin::text::bigint), 0) from pg_attrdef d where d.adrelid = relid)))::numeric % 9000000000000000000
             from pg_class c cross join lateral (
                 with recursive part (root, relid) as (
                     select c.oid, c.oid
                     union all
                     select p.root, i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid)
                 select root, relid from part limit $2 + 1) part
             join pg_class p on p.oid = part.relid
             where c.oid = any($1) and c.relkind in ('r', 'p') group by root having count(*) <= $2 and bool_and(p.relkind in ('r', 'p') and not p.relrowsecurity)",
            &[sql::arg(relations), sql::arg(MOST_PARTS)],
        )
    });
    (0..rows.len())
        .filter_map(|row| Some((rows.get::<Oid>(row, 1)?.to_u32(), rows.text(row, 2)?.parse().ok()?)))
        .collect()
}
