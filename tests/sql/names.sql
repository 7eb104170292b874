-- Names of tasks out of titles, and objects and titles whose names need quoting.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema "names ""and' more";
grant all on schema "names ""and' more" to regress_owner;
set role regress_owner;
set search_path = "names ""and' more", public;
create function tick() returns void language sql as '';
create function named(title text) returns text language sql as $$ select jittask.create_scheduled_task(title, '2100-01-01', 'tick') $$;

-- generated
select named('合同到期提醒');
select named('合同到期提醒');
select named('合同到期提醒');
select named('Contract due');
select named('  Contract -- Due!  ');
select named('Ünïcödé & Größe');
select named('Договор истекает');
select named('契約の期限');
select named('계약 만료');
select named('2026 budget');
select named('2026 budget');
select named('🎂');
select named('---');
select named('_x_');
select named(E'line\nbreak\ttab');
select named('a"b');
select named('x''; --');
select named('CamelCase');
-- at most 48 bytes, with the suffix
select named(repeat('x', 60));
select named(repeat('x', 60));
select named(repeat('ab ', 30));
select named(repeat('ab ', 30));
select named(repeat('期', 40));
select bool_and(length(name) <= 48 and name ~ '^[a-z][a-z0-9_]{0,47}$') from jittask.tasks;
-- a given name, and a generated one beside it
select jittask.create_scheduled_task('x', '2100-01-01', 'tick', name => 'billing');
select named('billing');
select jittask.create_scheduled_task('x', '2100-01-01', 'tick', name => 'billing_3');
select named('billing');
-- names of PostgreSQL's are names like others
select named('select');
select named('table');
select jittask.create_scheduled_task('group', '2100-01-01', body => 'null');
select count(jittask.drop_task(name)) from jittask.tasks;

-- hostile names
create type "Ünïcode" as enum ('a"b', 'x''; --', '期');
create table "a""b" ("x'; --" "Ünïcode" primary key, "select" date, "due, on" timestamptz, "$1" text, "ends'\" date);
create index on "a""b" ("select");
create table "x'; --" (jittask_row int, "row_data" text, "new" date, "old" date, "with space" text, primary key (jittask_row, "row_data", "with space"));
create function "x'; drop"("a""b") returns void language sql as '';
create function "select"("a""b"[]) returns void language sql as '';
create function "Order By"("x'; --") returns void language sql as '';
insert into "a""b" values ('a"b', current_date + 3, now() + interval '3 days', 'one', null),
    ('x''; --', current_date + 4, now() + interval '4 days', 'two', null), ('期', current_date + 5, null, 'three', null);
insert into "x'; --" values (1, 'k"1', current_date + 3, null, 'a b'), (2, E'k\\2\n', current_date + 4, null, '');
select jittask.create_date_task('a"b', '"a""b"', 'select', '"x''; drop"', before => '1 day', filter => '"$1" <> ''two'' and "a""b"."x''; --" is not null',
    end_column => 'ends''\', end_after => '1 day');
select jittask.create_date_task('x''; --', '"a""b"', 'due, on', '"names ""and'' more"."x''; drop"("a""b")', description => 'x''; drop table "a""b"; --');
select jittask.create_date_task('Ünïcode', '"x''; --"', 'new', '"Order By"');
select jittask.create_date_task('old', '"x''; --"', 'old', body => $$ perform row_data."row_data", 'x''; --'; $$);
select jittask.create_date_task('select', '"a""b"', 'select', '"select"');
select row_key from jittask.preview('a_b');
select row_key from jittask.preview('x');
select row_key from jittask.preview('unicode');
select row_key from jittask.preview('select');
select jittask.run_task('a_b', row_key) > 0 from jittask.preview('select') order by row_key;
select jittask.run_task('unicode', row_key) > 0 from jittask.preview('unicode') order by row_key;
select task, title, row_key from jittask.records where status = 'pending' order by id;
select name, title, table_name, date_column, schedule, state from jittask.tasks order by name;
select definition ->> 'service_function' from jittask.tasks where definition ? 'service_function' order by name;
-- the triggers work
update "a""b" set "select" = "select" + 1, "due, on" = "due, on" + interval '1 day';
update "x'; --" set "new" = "new" - 1, "old" = current_date;
delete from "x'; --";
-- a table renamed stays the same table
alter table "a""b" rename to plain;
alter table plain rename column "select" to due_on;
select name, table_name from jittask.tasks where name = 'a_b';
select count(jittask.drop_task(name, false)) from jittask.tasks;
select count(*) from pg_trigger where tgname like 'jittask%';
reset role;
set client_min_messages = warning;
drop schema "names ""and' more" cascade;
