//! The search_path of a superuser's executor in a database whose owner is no superuser. The owner sets it for all sessions there
//! (ALTER DATABASE … SET), and makes schemas, and so would lend functions and operators to all code that leaves names
//! unqualified, in a session that nobody opened. In the executor, once it is connected.

use crate::pg::{name, sql, user, worker};
use std::ffi::CString;

/// Of these schemas those where nobody but superusers may create, in their order.
const SAFE: &str = "
    with superuser as (
        select r.oid from pg_roles r where r.rolsuper
        union all select d.oid from pg_roles d where d.rolname = 'pg_database_owner' and exists (
            select 1 from pg_database b join pg_roles r on r.oid = b.datdba where b.datname = current_database() and r.rolsuper))
    select array_agg(p.name order by p.i) from unnest($1) with ordinality p (name, i)
    join pg_namespace n on n.nspname::text = p.name
    where n.nspowner in (select oid from superuser)
      and not exists (select 1 from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                      where a.privilege_type = 'CREATE' and a.grantee not in (select oid from superuser))";

/// Is the database's owner a superuser? Then its settings are superusers' affair.
const IS_OWN: &str =
    "select r.rolsuper from pg_database b join pg_roles r on r.oid = b.datdba where b.datname = current_database()";

/// Leaves a superuser's session the schemas of its search_path where only superusers may create. Others' stays as it is: a
/// database's owner is trusted by its roles, as in any session.
pub fn keep_to_superusers() {
    if !user::is_superuser() || user::with_pinned_path(|| sql::once(IS_OWN, &[])).get(0, 1) == Some(true) {
        return;
    }
    let schemas: Vec<String> =
        sql::once("select pg_catalog.current_schemas(false)::pg_catalog.text[]", &[]).get(0, 1).unwrap_or_default();
    let safe = user::with_pinned_path(|| sql::once(SAFE, &[sql::arg(schemas)]));
    let safe: Vec<String> = safe.get(0, 1).unwrap_or_default();
    let path: Vec<String> = safe.iter().map(name::quoted).collect();
    if let Ok(path) = CString::new(path.join(", ")) {
        worker::set_as_client(c"search_path", &path);
    }
}
