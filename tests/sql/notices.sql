-- What a person is told when a task is created, and how its schedule reads.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema told authorization regress_owner;
set role regress_owner;
set search_path = told, public;
create function tick() returns void language sql as '';
create table contract (id int primary key, due_on date, due_at timestamptz, ends_on date);
create index on contract (due_on);

-- the zone of literals: where it is another than the session's, the first run as the task's zone shows it
set timezone = 'Europe/Berlin';
select jittask.create_scheduled_task('t', '2100-07-01 09:00', 'tick');
select jittask.create_scheduled_task('t', '2100-07-01 09:00', 'tick', time_zone => 'europe/berlin');
select jittask.create_scheduled_task('t', '2100-07-01 09:00', 'tick', time_zone => 'Asia/Shanghai');
select jittask.create_scheduled_task('t', '2100-01-31 00:30', 'tick', time_zone => 'America/New_York', repeat => 'monthly');
set datestyle = 'German';
select jittask.create_scheduled_task('t', '01.07.2100 09:00', 'tick', time_zone => 'Asia/Shanghai');
reset datestyle;
set timezone = 'UTC';
select name, time_zone, next_due_at from jittask.tasks order by name;
-- the last day of a month, where the month is the zone's
select jittask.create_scheduled_task('t', '2100-04-30 09:00', 'tick', repeat => 'monthly');
select jittask.create_scheduled_task('t', '2100-02-28 09:00', 'tick', repeat => 'monthly');
select jittask.create_scheduled_task('t', '2096-02-28 09:00', 'tick', repeat => 'monthly');
select jittask.create_scheduled_task('t', '2096-02-29 09:00', 'tick', repeat => 'monthly');
select jittask.create_scheduled_task('t', '2100-05-31 09:00', 'tick', repeat => 'monthly');
select jittask.create_scheduled_task('t', '2100-04-30 09:00', 'tick', repeat => 'yearly');
select jittask.create_scheduled_task('t', '2100-04-30 23:00', 'tick', repeat => 'monthly', time_zone => 'Asia/Shanghai');
select jittask.create_scheduled_task('t', '2100-04-29 23:00', 'tick', repeat => 'monthly', time_zone => 'Asia/Shanghai');
-- no index that leads with the column
select jittask.create_date_task('t', 'contract', 'due_on', body => 'null');
select jittask.create_date_task('t', 'contract', 'due_at', body => 'null');
create index on contract (id, due_at);
select jittask.create_date_task('t', 'contract', 'due_at', body => 'null');
create index on contract using brin (due_at);
select jittask.create_date_task('t', 'contract', 'due_at', body => 'null');

-- one readable line
select count(jittask.drop_task(name)) from jittask.tasks;
select jittask.create_scheduled_task('s1', '2100-07-01 09:00', 'tick');
select jittask.create_scheduled_task('s2', '2100-07-01 09:00', 'tick', repeat => 'daily', end_at => '2101-07-01 09:00:00.5');
select jittask.create_date_task('d1', 'contract', 'due_on', body => 'null');
select jittask.create_date_task('d2', 'contract', 'due_on', body => 'null', before => '1 year 2 months 3 weeks', at => '09:00');
select jittask.create_date_task('d3', 'contract', 'due_at', body => 'null', after => '90.5 minutes', repeat => 'weekly');
select jittask.create_date_task('d4', 'contract', 'due_on', body => 'null', repeat => 'yearly', at => '09:00:30', end_column => 'ends_on', end_before => '1 week');
select jittask.create_date_task('d5', 'contract', 'due_on', body => 'null', repeat => 'daily', end_column => 'ends_on', end_after => '1 month', end_time => '12:00');
select name, schedule from jittask.tasks order by name;
-- Intervals, times and instants are kept in one form, whatever the session's style was.
set intervalstyle = 'sql_standard';
set datestyle = 'SQL, DMY';
select jittask.create_date_task('d2', 'contract', 'due_on', body => 'null', before => '1-2', at => '09:00 PM', retry_backoff => '1 0:00:01.5', end_at => '01/02/2100');
set intervalstyle = 'iso_8601';
select jittask.create_date_task('d2', 'contract', 'due_on', body => 'null', before => 'P1Y2M', at => '21:00', retry_backoff => 'P1DT1.5S', end_at => '01/02/2100');
reset intervalstyle;
reset datestyle;
select name, definition ->> 'before', definition ->> 'at', definition ->> 'retry_backoff', definition ->> 'end_at' from jittask.tasks where name like 'd2\__' order by name;
select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema told cascade;
