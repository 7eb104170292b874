-- Service functions: found once, by the search_path of whoever creates the task.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema first authorization regress_owner;
create schema second authorization regress_owner;
create schema closed;
set role regress_owner;
set search_path = first, second, public;
create table first.contract (id int primary key, due_on date);
create table second.contract (id int primary key, due_on date);
create table first.other (id int primary key, due_on date);
create index on first.contract (due_on);
create index on second.contract (due_on);
create function taken(task text) returns text language sql as $$
    select definition ->> 'service_function' from jittask.tasks where name = task
$$;
grant execute on function taken to public;
create function create_task(service_function text, table_name regclass default 'first.contract') returns text language sql as $$
    select taken(jittask.create_date_task('t', table_name, 'due_on', service_function))
$$;
create function create_scheduled(service_function text) returns text language sql as $$
    select taken(jittask.create_scheduled_task('t', '2100-01-01', service_function))
$$;

-- the same name in two schemas
create function first.remind(first.contract) returns void language sql as '';
create function second.remind(first.contract) returns void language sql as '';
select create_task('remind');
select create_task('second.remind');
select create_task('second.remind(contract)');
select create_task('second.remind(first.contract)');
select create_task(' second . remind ( first.contract ) ');
select create_task('"first"."remind"');
select create_task('REMIND');
set search_path = second, first, public;
select create_task('remind');
-- The type in a signature is looked up, too.
select refused_date($$'second.remind(contract)'$$);
set search_path = first, second, public;
-- The first schema's function does not fit: the next schema's does.
create function second.remind(second.contract) returns void language sql as '';
select create_task('remind', 'second.contract');
select refused($$select jittask.create_date_task('t', 'second.contract', 'due_on', 'first.remind')$$);

-- overloads: the row before the array, in the first schema where either fits
create function first.batch(first.contract[]) returns void language sql as '';
create function first.batch(first.other) returns void language sql as '';
create function first.batch(int) returns void language sql as '';
create function second.batch(first.contract) returns void language sql as '';
select create_task('batch');
select create_task('second.batch');
create function first.batch(first.contract) returns void language sql as '';
select create_task('batch');
select create_task('batch(contract[])');
select create_task('batch(first.contract[])');
select create_task('batch', 'first.other');
select refused($$select jittask.create_date_task('t', 'second.contract', 'due_on', 'batch')$$);
-- with an argument, and without
create function first.tick() returns int language sql as 'select 1';
create function first.tick(int) returns int language sql as 'select 1';
select create_scheduled('tick');
select create_scheduled('tick()');
select refused_scheduled($$'tick(int)'$$);
create function "Quoted.Name"() returns int language sql as 'select 1';
select create_scheduled('"Quoted.Name"');
select create_scheduled('"first"."Quoted.Name"()');
select refused_scheduled($$'Quoted.Name'$$);
-- PostgreSQL's own
select create_scheduled('now');
select create_scheduled('pg_catalog.clock_timestamp()');
-- A schema in the path that the caller may not use is passed over, as in any query.
reset role;
create function closed.hidden() returns int language sql as 'select 1';
create function second.hidden() returns int language sql as 'select 1';
set role regress_owner;
set search_path = closed, first, second, public;
select create_scheduled('hidden');
set search_path = first, second, public;

-- After creation neither the search_path nor a new function changes what is called; a renamed one is the same.
select jittask.create_date_task('kept', 'first.contract', 'due_on', 'remind');
reset role;
create schema earlier authorization regress_owner;
set role regress_owner;
create function earlier.remind(first.contract) returns void language sql as '';
set search_path = earlier, first, public;
alter function first.remind(first.contract) rename to renamed;
select jittask.run_task('kept', '{"id": 1}') > 0;
alter function first.renamed(first.contract) set schema earlier;
select jittask.run_task('kept', '{"id": 1}') > 0;
-- Dropped and made again under the old name it is found again; an owner that was not there at creation is refused.
drop function earlier.renamed(first.contract);
select refused($$select jittask.run_task('kept', '{"id": 1}')$$);
create function first.remind(first.contract) returns void language sql as '';
select jittask.run_task('kept', '{"id": 1}') > 0;
reset role;
alter function first.remind(first.contract) owner to regress_other;
set role regress_owner;
select refused($$select jittask.run_task('kept', '{"id": 1}')$$);

select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema first, second, earlier, closed cascade;
