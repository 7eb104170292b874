//! Is this the database that the tasks were made in, or a copy of it?

use crate::pg::{sql, user};
use schedule::Instant;

/// False in a copy: nothing runs there.
pub fn is_here() -> bool {
    user::as_extension_owner(|| {
        let rows = sql::run(
            // A restored dump brings its own row beside the one that CREATE EXTENSION made: then this is a copy.
            "select coalesce(bool_and(h.system_identifier = c.system_identifier and h.database = d.oid), false)
             from jittask.home h, pg_control_system() c, pg_database d where d.datname = current_database()",
            &[],
        );
        rows.get(0, 1).unwrap_or(false)
    })
}

/// Does the current role own the database, directly or by membership?
pub fn is_database_owner() -> bool {
    let rows = user::with_pinned_path(|| {
        sql::run("select pg_has_role(datdba, 'USAGE') from pg_database where datname = current_database()", &[])
    });
    rows.get(0, 1).unwrap_or(false)
}

/// Makes this database the tasks' own. Everything counts from `now`: what the copy brought along as due before is left out.
pub fn move_here(now: Instant) {
    user::as_extension_owner(|| {
        sql::run("delete from jittask.home", &[]);
        sql::run(
            "insert into jittask.home select c.system_identifier, d.oid
             from pg_control_system() c, pg_database d where d.datname = current_database()",
            &[],
        );
        // A restored table may have its columns under other numbers.
        sql::run(
            "update jittask.task t set counts_from = $1, column_numbers = array(
                 select coalesce(a.attnum, 0) from unnest(t.columns) with ordinality n (name, i)
                 left join pg_attribute a on a.attrelid = t.relation::oid and a.attname = n.name order by n.i)
             where dropped_at is null",
            &[sql::at(now)],
        );
        sql::run("delete from jittask.capture", &[]);
        sql::run(
            "with gone as (delete from jittask.agenda where due_at < $1 returning task_id, cardinality(keys) as count)
             insert into jittask.tally as t (task_id, writer, entered)
             select task_id, -pg_backend_pid(), -sum(count) from gone group by task_id
             on conflict (task_id, writer) do update set entered = t.entered + excluded.entered",
            &[sql::at(now)],
        );
    });
}
