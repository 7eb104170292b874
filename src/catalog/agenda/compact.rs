//! The agenda after a flood: nearly empty, but its file and indexes as large as they ever were, which VACUUM keeps.

use crate::pg::{sql, user};

/// A larger agenda is made small again. Bytes, with indexes.
const LARGE: i64 = 4 << 20;
/// If it has no more entries than this. And these no longer keys. Bytes.
const ENTRIES: i64 = 256;
const KEYS: i64 = 1 << 20;
/// Snapshots that are younger than this keep nobody from rewriting it. Microseconds.
pub const YOUNG: i64 = 100_000;

/// Does the agenda take so much?
pub fn is_large() -> bool {
    let large = "select pg_total_relation_size('jittask.agenda') > $1";
    user::as_extension_owner(|| sql::run(large, &[sql::arg(LARGE)]).get(0, 1).unwrap_or(false))
}

/// Rewrites it with what is in it, if that is little, for older snapshots too. False if it is not little, or if somebody's
/// snapshot keeps what was deleted, which would all be copied. Raises 55P03 where somebody uses it: this waits for nobody,
/// and nobody waits long for this.
pub fn agenda() -> bool {
    user::as_extension_owner(|| {
        if !may_be_small() {
            return false;
        }
        sql::once("lock table jittask.agenda in access exclusive mode nowait", &[]);
        // Only now, with all that was committed until then, it is certain.
        if !is_nearly_empty() {
            return false;
        }
        sql::once("cluster jittask.agenda using agenda_pkey", &[]);
        true
    })
}

/// Is there little in it, and nobody's snapshot that keeps more?
pub fn may_be_small() -> bool {
    // In this order: to see how much there is, all that is kept is passed.
    user::as_extension_owner(|| !is_kept() && is_nearly_empty())
}

/// May somebody still see what was deleted a moment ago: an older snapshot here, or a standby's, a prepared transaction, a
/// slot?
fn is_kept() -> bool {
    let kept = "select exists (select from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid()
                        and datname = current_database() and xact_start < clock_timestamp() - $1 * interval '1 microsecond')
                    or exists (select from pg_stat_activity where backend_xmin is not null and backend_type = 'walsender')
                    or exists (select from pg_prepared_xacts where database = current_database())
                    or exists (select from pg_replication_slots where xmin is not null)";
    sql::run(kept, &[sql::arg(YOUNG)]).get(0, 1).unwrap_or(true)
}

fn is_nearly_empty() -> bool {
    user::as_extension_owner(|| {
        let few = "select count(*) <= $1 and coalesce(sum(pg_column_size(keys)), 0) <= $2
                   from (select keys from jittask.agenda limit $1 + 1) e";
        sql::run(few, &[sql::arg(ENTRIES), sql::arg(KEYS)]).get(0, 1).unwrap_or(false)
    })
}
