-- Objects that are missing or of the wrong kind: 42P01, 42703, 42704, 42710, 42804, 42809, 42883, 42P16, 0A000.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema missing authorization regress_owner;
create function missing.evil() returns void language internal as 'pg_backend_pid';
set role regress_owner;
set search_path = missing, public;
create table contract (id int primary key, due_on date, note text, started time, "Due" date);
create index contract_due on contract (due_on);
create sequence numbers;
create type pair as (a int, b int);
create view recent as select * from contract;
create materialized view stored as select * from contract;
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';
create function due_on_other(int) returns void language sql as '';

-- 42P01, and relations of a kind that has no rows of its own
select refused($$select jittask.create_date_task('t', 'nothing', 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 4294967295::oid::regclass, 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract_due', 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'numbers', 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'pair', 'a', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'recent', 'due_on', body => 'null')$$);
select refused($$select jittask.create_date_task('t', 'stored', 'due_on', body => 'null')$$);
create temporary table fleeting (id int primary key, due_on date);
select refused($$select jittask.create_date_task('t', 'fleeting', 'due_on', body => 'null')$$);

-- 42703, 42804: columns
select refused($$select jittask.create_date_task('t', 'contract', 'nothing', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'DUE_ON', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'ctid', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'note', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'started', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'id', 'remind')$$);
select refused_date($$'remind', end_column => 'nothing'$$);
select refused_date($$'remind', end_column => 'note'$$);
select refused_date($$'remind', key_columns => '{nothing}'$$);

-- 42P16: row keys
create table keyless (id int, due_on date);
create table soft_key (id int unique, due_on date);
create table partial_key (id int not null, due_on date);
create unique index on partial_key (id) where id > 0;
create table expression_key (id int not null, due_on date);
create unique index on expression_key ((id + 1));
create table late_key (id int not null unique deferrable, due_on date);
create table point_key (id inet primary key, due_on date);
create table array_key (id int[] primary key, due_on date);
select refused(format($$select jittask.create_date_task('t', %L, 'due_on', body => 'null')$$, t))
from unnest('{keyless,soft_key,partial_key,expression_key,late_key,point_key,array_key}'::text[]) t;
select refused($$select jittask.create_date_task('t', 'recent', 'due_on', body => 'null', capture => 'scan')$$);
select refused($$select jittask.create_date_task('t', 'point_key', 'due_on', body => 'null', key_columns => '{id}')$$);

-- 42883, 42809: functions
create function rows_of(contract) returns setof int language sql as 'select 1';
create function table_of(contract) returns table (a int) language sql as 'select 1';
create function on_change() returns trigger language plpgsql as 'begin return new; end';
create function many_of(variadic contract[]) returns void language sql as '';
create procedure proceed(contract) language sql as '';
create procedure proceed() language sql as '';
create function state_of(int, contract) returns int language sql as 'select 1';
create aggregate total(contract) (sfunc = state_of, stype = int);
create function with_default(contract, int default 1) returns void language sql as '';
select refused_date($$'nothing'$$);
select refused_date($$'nowhere.remind'$$);
select refused_date($$'missing.nothing'$$);
select refused_date($$'remind(int)'$$);
select refused_date($$'remind()'$$);
select refused_date($$'nothing(contract)'$$);
select refused_date($$'due_on_other'$$);
select refused_date($$'due_on_other(int)'$$);
select refused_date($$'tick'$$);
select refused_date($$'with_default'$$);
select refused_date($$'rows_of'$$);
select refused_date($$'table_of(contract)'$$);
select refused_date($$'on_change'$$);
select refused_date($$'many_of'$$);
select refused_date($$'proceed'$$);
select refused_date($$'total'$$);
select refused_date($$'count'$$);
select refused_date($$'row_number'$$);
select refused_scheduled($$'nothing'$$);
select refused_scheduled($$'remind'$$);
select refused_scheduled($$'remind(contract)'$$);
select refused_scheduled($$'on_change'$$);
select refused_scheduled($$'proceed()'$$);
select refused_scheduled($$'row_number'$$);
select refused_scheduled($$'count'$$);
select refused_scheduled($$'pg_timezone_names'$$);

-- languages
select refused_scheduled($$body => 'x', language => 'klingon'$$);
select refused_scheduled($$body => 'x', language => 'c'$$);
select refused_scheduled($$body => 'x', language => 'internal'$$);

-- bodies
select refused_scheduled($$body => ''$$);
select refused_scheduled($$body => '  -- nothing'$$);
select refused_scheduled($$body => 'performm 1'$$);
select refused_scheduled($$body => 'begin perform 1;'$$);
select refused_scheduled($$body => 'selec 1', language => 'sql'$$);
select refused_scheduled($$body => 'select * from nothing', language => 'sql'$$);
select refused_scheduled($$body => 'perform 1; end; $x$; drop table contract; --'$$);
select refused_scheduled($$body => 'perform row_data'$$) is not null;

-- 42704, 42710: names of tasks
select jittask.create_scheduled_task('taken', '2100-01-01', 'tick');
select refused_scheduled($$'tick', name => 'taken'$$);
select refused_date($$'remind', name => 'taken'$$);
select refused_date($$body => 'null', name => 'taken'$$);
select refused(format('select jittask.%s(%L)', f, 'nothing')) from unnest('{pause_task,resume_task,drop_task,run_task}'::text[]) f;
select refused(format('select jittask.%s(null)', f)) from unnest('{pause_task,resume_task,drop_task,run_task}'::text[]) f;
select refused($$select * from jittask.preview('nothing')$$);
select refused($$select * from jittask.preview(null)$$);

-- 55000, 22023: in the wrong state, or without what is needed
select refused($$select jittask.resume_task('taken')$$);
select refused($$select jittask.run_task('taken', '{"id": 1}')$$);
select refused($$select * from jittask.preview('taken', -1)$$);
select refused($$select * from jittask.preview('taken', 2000000)$$);
select jittask.create_date_task('dated', 'contract', 'due_on', 'remind');
select refused($$select jittask.run_task('dated')$$);
select refused(format($$select jittask.run_task('dated', %L)$$, k)) from unnest(array['1', '[1]', '"x"', 'null', '{}', '{"ID": 1}', '{"id": null}',
    '{"id": "x"}', '{"id": 1, "note": "x"}', '{"id": [1]}', '{"id": {"a": 1}}', '{"id": 1.5}', '{"id": 99999999999}', '{"id": true}']) k;
select refused($$select * from jittask.preview('dated', row_key => '{"nr": 1}')$$);
select refused($$select jittask.resume_task('dated', '1 day')$$);
select jittask.pause_task('dated');
select refused($$select jittask.resume_task('dated', '-1 day')$$);
drop function remind;
select refused($$select jittask.run_task('dated', '{"id": 1}')$$);

-- preview_schedule
select refused($$select * from jittask.preview_schedule(null, 'daily')$$);
select refused($$select * from jittask.preview_schedule('infinity', 'daily')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'sometimes')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'custom')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', rule => 'FREQ=DAILY')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', time_zone => 'UTC+1')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', count => -7)$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', calendar => 'nothing')$$);
set timezone = 'GMT+3';
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily')$$);

select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema missing cascade;
