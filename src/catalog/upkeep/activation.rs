//! A copied database becomes its tasks' own: who may do that, and what it does. In the session of who calls activate().

use crate::catalog::ledger::forget;
use crate::catalog::task::home;
use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;
use schedule::Instant;

/// Does the current role own the database, directly or by membership?
pub fn is_database_owner() -> bool {
    let rows = user::with_pinned_path(|| {
        sql::run("select pg_has_role(datdba, 'USAGE') from pg_database where datname = current_database()", &[])
    });
    rows.get(0, 1).unwrap_or(false)
}

/// An owner of tasks, if any, for whom this role may not act.
pub fn first_stranger(role: Oid) -> Option<String> {
    user::as_extension_owner(|| {
        let statement = "select r.rolname::text from pg_roles r
             where not pg_has_role($1, r.oid, 'USAGE')
                 and exists (select 1 from jittask.task t where t.owner = r.oid::regrole and t.dropped_at is null)
             order by r.rolname limit 1";
        sql::run(statement, &[sql::arg(role)]).get(0, 1)
    })
}

/// Makes this database the tasks' own. Everything counts from `now`: what the copy brought along as due before is left out.
pub fn move_here(now: Instant) {
    user::as_extension_owner(|| {
        // A restored table may have its columns under other numbers, and another function may have the number of the task's.
        sql::run(
            "update jittask.task t set home = $2, counts_from = $1, looks_from = null, function_oid = 0, column_numbers = array(
                 select coalesce(a.attnum, 0) from unnest(t.columns) with ordinality n (name, i)
                 left join pg_attribute a on a.attrelid = t.relation::oid and a.attname = n.name order by n.i)
             where dropped_at is null",
            &[sql::at(now), sql::arg(home::here())],
        );
        sql::run("delete from jittask.capture", &[]);
        sql::run("delete from jittask.arrears", &[]);
    });
    forget::pending_before(now);
}
