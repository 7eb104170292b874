-- Who may audit what; what there is to find is in the cluster tests.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema audit authorization regress_owner;
set role regress_owner;
set search_path = audit, public;
create table contract (id int primary key, due timestamptz);
create function tick() returns void language sql as '';
select jittask.create_date_task('Expires', 'contract', 'due', body => 'null;');
select jittask.create_scheduled_task('Tick', now() + interval '1 day', 'tick');
select * from jittask.audit();
select * from jittask.audit(until_at => 'infinity');
select * from jittask.audit('expires', '-infinity', 'infinity');
select * from jittask.audit('tick', now(), now() - interval '1 day');
select * from jittask.audit('nowhere');
-- a task whose table is gone is said, and hides nothing
drop table contract cascade;
select * from jittask.audit(until_at => 'infinity');
select * from jittask.audit('expires', until_at => 'infinity');
reset role;
-- for the owner alone; others have none
select * from jittask.audit('tick');
select count(*) from jittask.audit();
set role regress_owner;
select jittask.drop_task('tick'), jittask.drop_task('expires');
drop schema audit cascade;
