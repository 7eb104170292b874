-- In a read-only transaction nothing is written: 25006, whatever the function. What reads goes on.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema read_only authorization regress_owner;
set role regress_owner;
set search_path = read_only, public;
create table contract (id int primary key, due timestamptz);
create index on contract (due);
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';
select jittask.create_date_task('Rows', 'contract', 'due', 'remind');
select jittask.create_scheduled_task('Tick', '2100-01-01 00:00+00', 'tick');
select jittask.create_calendar('feast');
begin read only;
select statement, refused('select jittask.' || statement) from unnest(array[
    $$create_date_task('Other', 'contract', 'due', 'remind')$$,
    $$create_scheduled_task('Other', '2100-01-01 00:00+00', 'tick')$$,
    $$alter_task('tick', '{"description": "x"}')$$,
    $$import_task(jittask.export_task('tick'), true)$$,
    $$pause_task('tick')$$,
    $$resume_task('tick')$$,
    $$drop_task('tick')$$,
    $$run_task('tick')$$,
    $$cancel_record(1)$$,
    $$retry_record(1)$$,
    $$activate()$$,
    $$create_calendar('other')$$,
    $$load_holidays('feast', 'DE')$$,
    $$add_holiday('feast', '2100-01-01', 'x')$$,
    $$add_workday('feast', '2100-01-01', 'x')$$,
    $$remove_day('feast', '2100-01-01')$$,
    $$drop_calendar('feast')$$]) statement;
select count(*) from jittask.tasks where owner = 'regress_owner';
select count(*) from jittask.preview('tick', 2);
select count(*) from jittask.simulate('rows', '-infinity', 'infinity');
select count(*) from jittask.audit();
select jittask.export_task('tick') ->> 'title';
select jittask.is_working_day('2100-01-04', 'feast'), jittask.next_working_day('2100-01-02', 'feast');
select count(*) from jittask.status();
commit;
-- and by default
set default_transaction_read_only = on;
select refused($$select jittask.pause_task('tick')$$);
set default_transaction_read_only = off;
select jittask.drop_task('tick'), jittask.drop_task('rows'), jittask.drop_calendar('feast');
drop schema read_only cascade;
