//! How often tables were written to, by the server's statistics; no user relation is opened.

use super::{sql, user};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;

/// For each table: a number that changes when rows or partitions do. Views and foreign tables have none.
pub fn of(relations: impl Iterator<Item = Oid>) -> HashMap<u32, i64> {
    let relations: Vec<Oid> = relations.collect();
    if relations.is_empty() {
        return HashMap::new();
    }
    let rows = user::with_pinned_path(|| {
        sql::run_by_keys(
            "with recursive part (root, relid) as (
                 select c.oid, c.oid from pg_class c where c.oid = any($1) and c.relkind in ('r', 'p')
                 union all
                 select p.root, i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid)
             select root, (sum(pg_stat_get_tuples_inserted(relid) + pg_stat_get_tuples_updated(relid) + pg_stat_get_tuples_deleted(relid))
                 + 7919 * sum(relid::bigint + coalesce(pg_relation_filenode(relid), 0)::bigint))::numeric % 9000000000000000000
             from part group by root",
            &[sql::arg(relations)],
        )
    });
    (0..rows.len())
        .filter_map(|row| Some((rows.get::<Oid>(row, 1)?.to_u32(), rows.text(row, 2)?.parse().ok()?)))
        .collect()
}
