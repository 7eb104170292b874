-- The interface itself: comments, search_path, barriers, rights.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
-- objects without a comment
select 'function', p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'jittask'::regnamespace and obj_description(p.oid, 'pg_proc') is null
union all
select 'relation', c.oid::regclass::text from pg_class c where c.relnamespace = 'jittask'::regnamespace and c.relkind in ('r', 'v', 'm', 'f', 'p', 'S')
    and obj_description(c.oid, 'pg_class') is null and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'i')
union all
select 'type', t.oid::regtype::text from pg_type t where t.typnamespace = 'jittask'::regnamespace and t.typtype in ('e', 'd', 'c', 'r')
    and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')) and obj_description(t.oid, 'pg_type') is null
union all
select 'schema', n.nspname from pg_namespace n where n.nspname like 'jittask%' and obj_description(n.oid, 'pg_namespace') is null
order by 1, 2;
-- SECURITY DEFINER without a pinned search_path; there are none at all
select oid::regprocedure from pg_proc where pronamespace = 'jittask'::regnamespace and prosecdef order by 1;
-- views without a security barrier
select oid::regclass from pg_class where relnamespace = 'jittask'::regnamespace and relkind = 'v' and not coalesce(reloptions, '{}') @> '{security_barrier=true}';
-- What everybody may do: read the views, call the functions, and nothing else.
select c.relname, a.privilege_type from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'jittask'::regnamespace and a.grantee <> c.relowner order by 1, 2;
select p.oid::regprocedure from pg_proc p where p.pronamespace = 'jittask'::regnamespace and not has_function_privilege('regress_other', p.oid, 'execute') order by 1;
select n.nspname, has_schema_privilege('regress_other', n.oid, 'create') from pg_namespace n where n.nspname like 'jittask%' order by 1;
-- the interface
select e.typname, array_agg(l.enumlabel order by l.enumsortorder) from pg_type e join pg_enum l on l.enumtypid = e.oid
where e.typnamespace = 'jittask'::regnamespace group by e.typname order by 1;
select c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum) from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'jittask'::regnamespace and c.relkind = 'v' and a.attnum > 0 group by c.relname order by 1;
select pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), p.proname from pg_proc p
where p.pronamespace = 'jittask'::regnamespace and obj_description(p.oid, 'pg_proc') not like 'internal:%' order by p.proname;
select extversion from pg_extension where extname = 'jittask';
