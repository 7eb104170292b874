//! Which table is a task's again, where its own was dropped and made anew.

/// The table that stands in the place of a task's table `t.relation`, which is gone: for a statement on `jittask.task t`.
pub const REPLACEMENT: &str = "select n.oid from pg_class n join pg_namespace s on s.oid = n.relnamespace
     where t.kind = 'date_field' and not exists (select 1 from pg_class c where c.oid = t.relation::oid)
       and n.relname = t.table_name and s.nspname = t.table_schema and n.relowner = t.table_owner::oid
       and n.relkind in ('r', 'p', 'v', 'm', 'f')";
