-- A filter's text follows a renamed column, read as the server reads it. What runs is its function, which follows by itself.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema rename_test authorization regress_owner;
set role regress_owner;
set search_path = rename_test, public;
create table t (id int primary key, due timestamptz, b text, e text, u text, x text, "date" date, "N" text, é text);
create index on t (due);
create function run(t) returns void language sql as '';
create table said (name text, filter text);
insert into said values
    ('nested', 'b = ''x'' /* it''s /* b */ b''s */ and b <> ''b'''),
    ('line', 'b = ''x'' -- it''s b' || e'\n' || ' and b <> ''y'''),
    ('escapes', 'b <> E''a\''b'' and b <> e''\\'' and b = ''b'''),
    ('continued', 'b <> E''a''' || e'\n  ' || '''b\''b'' and b = ''x'''),
    ('bits', 'b''1'' = b''1'' and x''1f'' = x''1F'' and n''b'' = b and x <> ''x'' and e <> e''e'''),
    ('unicode', 'U&''\0062 b'' <> b and u is not null and u&''u'' <> t.u'),
    ('dollars', '$b$b$b$ = b and $$b$$ <> t.b and $_$ $b$ b $_$ <> b'),
    ('types', '"date" = date ''2020-01-01'' and cast(''2020-01-01'' as date) <> t.date and ''2020-01-01''::date <> t . /* here */ date'),
    ('cases', '"N" = ''N'' and B = ''B'' and é = ''é''');
select count(jittask.create_date_task(name, 't', 'due', 'run', filter => filter, name => name)) from said;
alter table t rename column b to c;
alter table t rename column e to f;
alter table t rename column u to v;
alter table t rename column x to "Y";
alter table t rename column "date" to day;
alter table t rename column "N" to n;
alter table t rename column é to ä;
select name, definition ->> 'filter' as filter from jittask.tasks order by name;
-- what reads so is accepted again
select count(jittask.import_task(jittask.export_task(name) || jsonb_build_object('name', 'again_' || name))) from said;
select count(*) from jittask.tasks where problem is null;
\set ECHO none
reset role;
set client_min_messages = warning;
drop schema rename_test cascade;
