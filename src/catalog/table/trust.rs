//! What a superuser's task reads and calls must be superusers' own, down to each part of its table and each function that
//! the server would evaluate while it plans or runs our statements: an index's expression is evaluated by whoever plans a
//! query on its table, so the owner of a partition would be the superuser. What is looked at is held as it is until the
//! transaction ends, or it could change hands before it is read. Reads system catalogs only; in any process.

use crate::catalog::table::function::Function;
use crate::catalog::table::target::Target;
use crate::error::{Error, Kind, Result};
use crate::pg::lock::{self, Object};
use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;
use std::collections::HashSet;

/// From a table and a filter's function to all that they lead to: parts, what a view reads, indexes, checks, defaults and
/// generated columns, statistics, partition keys, and the functions, types and operators in them; and the types of the table's
/// columns, for a filter's literals are read as such. What a function calls is its owner's affair, but for the filter's own,
/// whose body is somebody's text. Policies and triggers are left out: a superuser passes policies by, and nothing of ours writes
/// into a user's table.
const REACHED: &str = "
    with recursive reached (class, object) as (
        select 'pg_class'::regclass::oid, $1::oid where $1 <> 0
        union select 'pg_proc'::regclass::oid, $2::oid where $2 <> 0
        union select 'pg_type'::regclass::oid, a.atttypid from pg_attribute a where a.attrelid = $3 and a.attnum > 0 and not a.attisdropped
        union
        select n.class, n.object from reached r cross join lateral (
            select 'pg_class'::regclass::oid as class, i.inhrelid as object from pg_inherits i
            where r.class = 'pg_class'::regclass and i.inhparent = r.object
            union all select 'pg_class'::regclass, x.indexrelid from pg_index x
            where r.class = 'pg_class'::regclass and x.indrelid = r.object
            union all select 'pg_rewrite'::regclass, w.oid from pg_rewrite w join pg_class c on c.oid = w.ev_class
            where r.class = 'pg_class'::regclass and w.ev_class = r.object and c.relkind = 'v'
            union all select 'pg_constraint'::regclass, k.oid from pg_constraint k
            where r.class = 'pg_class'::regclass and k.conrelid = r.object and k.contype <> 'f'
            union all select 'pg_attrdef'::regclass, a.oid from pg_attrdef a
            where r.class = 'pg_class'::regclass and a.adrelid = r.object
            union all select 'pg_statistic_ext'::regclass, s.oid from pg_statistic_ext s
            where r.class = 'pg_class'::regclass and s.stxrelid = r.object
            union all select 'pg_foreign_server'::regclass, f.ftserver from pg_foreign_table f
            where r.class = 'pg_class'::regclass and f.ftrelid = r.object
            union all select 'pg_constraint'::regclass, k.oid from pg_constraint k
            where r.class = 'pg_type'::regclass and k.contypid = r.object
            union all select 'pg_type'::regclass, t.typbasetype from pg_type t
            where r.class = 'pg_type'::regclass and t.oid = r.object and t.typbasetype <> 0
            union all select 'pg_type'::regclass, g.rngsubtype from pg_range g
            where r.class = 'pg_type'::regclass and r.object in (g.rngtypid, g.rngmultitypid)
            union all select 'pg_proc'::regclass, p.oid from pg_range g cross join unnest(array[g.rngcanonical, g.rngsubdiff]::oid[]) p (oid)
            where r.class = 'pg_type'::regclass and r.object in (g.rngtypid, g.rngmultitypid) and p.oid <> 0
            union all select 'pg_type'::regclass, t.typelem from pg_type t
            where r.class = 'pg_type'::regclass and t.oid = r.object and t.typelem <> 0
            union all select 'pg_type'::regclass, a.atttypid from pg_type t join pg_attribute a on a.attrelid = t.typrelid
            where r.class = 'pg_type'::regclass and t.oid = r.object and a.attnum > 0 and not a.attisdropped
            union all select 'pg_operator'::regclass, p.oid from pg_operator o cross join unnest(array[o.oprcom, o.oprnegate]) p (oid)
            where r.class = 'pg_operator'::regclass and o.oid = r.object and p.oid <> 0
            union all select 'pg_proc'::regclass, p.oid from pg_operator o cross join unnest(array[o.oprcode, o.oprrest, o.oprjoin]::oid[]) p (oid)
            where r.class = 'pg_operator'::regclass and o.oid = r.object and p.oid <> 0
            union all select d.refclassid, d.refobjid from pg_depend d
            where d.classid = r.class and d.objid = r.object
              and (r.class in ('pg_rewrite'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_statistic_ext'::regclass)
                   or r.class = 'pg_proc'::regclass and r.object = $2
                   or r.class = 'pg_class'::regclass and exists (select 1 from pg_class c where c.oid = r.object and c.relkind in ('i', 'I')))
              and (d.refclassid in ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass)
                   or d.refclassid = 'pg_class'::regclass and (r.class = 'pg_rewrite'::regclass or r.class = 'pg_proc'::regclass))
            -- Of any other table only what its partition key calls: a column's type is evaluated by nobody who reads it.
            union all select d.refclassid, d.refobjid from pg_depend d
            where r.class = 'pg_class'::regclass and d.classid = r.class and d.objid = r.object
              and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)) n)";

/// The first of them, if any, that is neither a superuser's nor this role's.
const FOREIGN: &str = "
    select pg_describe_object(r.class, r.object, 0)
    from reached r cross join lateral (
        select c.relowner as owner from pg_class c where r.class = 'pg_class'::regclass and c.oid = r.object
        union all select p.proowner from pg_proc p where r.class = 'pg_proc'::regclass and p.oid = r.object
        union all select t.typowner from pg_type t where r.class = 'pg_type'::regclass and t.oid = r.object
        union all select p.oprowner from pg_operator p where r.class = 'pg_operator'::regclass and p.oid = r.object
        union all select s.srvowner from pg_foreign_server s where r.class = 'pg_foreign_server'::regclass and s.oid = r.object) o
    where o.owner is distinct from $4 and not exists (select 1 from pg_roles a where a.oid = o.owner and a.rolsuper)
    order by r.class <> 'pg_class'::regclass, r.object limit 1";

/// What of it, and the task's function, can be given away by itself. What the server came with, nobody has a lock on; and
/// functions in our own schemas go with their task, which may be altered or dropped while it runs.
const HELD: &str = "
    select r.class, r.object from (select class, object from reached union select 'pg_proc'::regclass, $4) r
    where r.object >= 16384 and (
        r.class in ('pg_type'::regclass, 'pg_operator'::regclass, 'pg_foreign_server'::regclass)
        or r.class = 'pg_class'::regclass and exists (select 1 from pg_class c where c.oid = r.object and c.relkind not in ('i', 'I'))
        or r.class = 'pg_proc'::regclass and not exists (
            select 1 from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where p.oid = r.object and n.nspname in ('jittask_inner', 'jittask_filter')))";

/// Where a task's statements begin; 0 for what it has not.
#[derive(Clone, Copy)]
pub struct Roots {
    /// The function that it calls.
    pub function: Oid,
    /// Its table.
    pub relation: Oid,
    /// Its filter's function.
    pub filter: Oid,
}

impl Roots {
    /// What of all that they lead to is to be held.
    fn held(self) -> impl Iterator<Item = Object> {
        let rows = reached(HELD, [self.relation, self.filter, self.relation, self.function]);
        (0..rows.len()).filter_map(move |row| rows.get(row, 1).zip(rows.get(row, 2)))
    }

    /// The first, if any, that is not a superuser's.
    fn foreign(self) -> Option<String> {
        reached(FOREIGN, [self.relation, self.filter, self.relation, Oid::INVALID]).get(0, 1)
    }
}

/// Asks for some of what is reached: from a table, a filter's function and the types of a table's columns.
fn reached(what: &str, arguments: [Oid; 4]) -> sql::Rows {
    user::with_pinned_path(|| sql::run(&format!("{REACHED} {what}"), &arguments.map(sql::arg)))
}

/// Holds all that they lead to as a reader does, until the transaction ends, and gives it. None: somebody is changing some of
/// it, and this `waits` for nobody.
pub fn hold(roots: Roots, waits: bool) -> Option<HashSet<Object>> {
    let mut held = HashSet::new();
    loop {
        // What was held may have led elsewhere before it was.
        let more: Vec<Object> = roots.held().filter(|object| !held.contains(object)).collect();
        if more.is_empty() {
            return Some(held);
        }
        if !more.iter().all(|object| lock::read(*object, waits)) {
            return None;
        }
        held.extend(more);
    }
}

/// 42501 where a superuser's task would run what an ordinary role can change.
pub fn check(function: &Function, target: Option<&Target>, filter: Option<Oid>) -> Result<()> {
    if !user::is_superuser_role(function.owner) {
        return Err(denied(&format!("function {}", function.signature)));
    }
    let Some(target) = target else { return Ok(()) };
    let roots = Roots { function: function.oid, relation: target.relation, filter: filter.unwrap_or(Oid::INVALID) };
    hold(roots, true);
    match roots.foreign() {
        None => Ok(()),
        Some(object) => Err(denied(&object)),
    }
}

/// 42501 where a literal that is read as one of the table's columns would run what is neither this role's nor a superuser's.
pub fn check_types(target: &Target, owner: Oid) -> Result<()> {
    let invalid = Oid::INVALID;
    match reached(FOREIGN, [invalid, invalid, target.relation, owner]).get::<String>(0, 1) {
        None => Ok(()),
        Some(object) => {
            let message = format!(
                "table \"{}\" is another one now, and {object} in it is another role's: what was written for the old one is not read anew",
                target.name
            );
            Err(Error::new(Kind::Denied, message)
                .hint("See what the new table is, then drop the task and create it again."))
        }
    }
}

fn denied(object: &str) -> Error {
    Error::new(Kind::Denied, format!("{object} is not owned by a superuser")).hint(
        "A superuser's task would run what an ordinary role can change. Create the task as that role, with SET ROLE.",
    )
}
