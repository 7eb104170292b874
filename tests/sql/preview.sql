-- When rows are due: offsets, time of day, ends, in the zone's clock. All dates are far in the future.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema due authorization regress_owner;
set role regress_owner;
set search_path = due, public;
set timezone = 'UTC';
create table day (id int primary key, due_on date, ends_on date, ends_at timestamptz, ends_ts timestamp);
create table moment (id int primary key, due_at timestamptz, due_ts timestamp, ends_on date, ends_at timestamptz);
create index on day (due_on);
create index on moment (due_at);
create index on moment (due_ts);
-- A task on this column with these arguments: its first occurrences, in its zone and as instants. The task is gone after.
create function shown(table_name text, date_column text, arguments text default '', zone text default 'UTC', count int default 20)
returns setof text language plpgsql as $$
declare made text;
begin
    execute format('select jittask.create_date_task(%L, %L, %L, body => %L, time_zone => %L %s)', 'shown', table_name, date_column, 'null', zone,
        case when arguments <> '' then ', ' || arguments else '' end) into made;
    return query select (row_key ->> 'id') || ': ' || to_char(p.due_at at time zone zone, 'Dy YYYY-MM-DD HH24:MI:SS') || to_char(p.due_at, ' = DD HH24:MI"Z"')
        || case when p.nominal_at = p.due_at then '' else ' moved' end from jittask.preview(made, count) p;
    perform jittask.drop_task(made, false);
end $$;

-- 7 days before, at 09:00, around the clock changes of 2090: New York 12 March and 5 November, Lord Howe 2 April and 1 October
insert into day (id, due_on) values (1, '2090-03-18'), (2, '2090-03-19'), (3, '2090-04-08'), (4, '2090-04-09'),
    (5, '2090-10-07'), (6, '2090-10-08'), (7, '2090-11-11'), (8, '2090-11-12');
select shown('day', 'due_on', $$before => '7 days', at => '09:00'$$, 'America/New_York');
select shown('day', 'due_on', $$before => '7 days', at => '09:00'$$, 'Asia/Shanghai');
select shown('day', 'due_on', $$before => '7 days', at => '09:00'$$, 'Australia/Lord_Howe');
-- Times that do not exist move forward by the gap; of those that exist twice it is the first.
select shown('day', 'due_on', $$before => '7 days', at => '02:15'$$, 'America/New_York');
select shown('day', 'due_on', $$before => '7 days', at => '02:15'$$, 'Australia/Lord_Howe');
select shown('day', 'due_on', $$before => '7 days', at => '01:45'$$, 'Australia/Lord_Howe');
select shown('day', 'due_on', $$before => '7 days', at => '01:30'$$, 'America/New_York');
-- without at: midnight; after; at the end of the day
select shown('day', 'due_on', '', 'America/New_York', 2);
select shown('day', 'due_on', $$after => '1 month 1 day'$$, 'America/New_York', 2);
select shown('day', 'due_on', $$at => '23:59:59'$$, 'America/New_York', 2);

-- 30 minutes before an instant: elapsed, whatever the clock shows
insert into moment (id, due_at) values (1, '2090-03-12 01:45-05'), (2, '2090-03-12 03:15-04'), (3, '2090-03-12 03:45-04'),
    (4, '2090-04-02 01:45+11'), (5, '2090-04-02 01:45+10:30'), (6, '2090-10-01 02:45+11'),
    (7, '2090-11-05 01:15-04'), (8, '2090-11-05 01:15-05'), (9, '2090-11-05 02:15-05');
select shown('moment', 'due_at', $$before => '30 minutes'$$, 'America/New_York');
select shown('moment', 'due_at', $$before => '30 minutes'$$, 'Asia/Shanghai');
select shown('moment', 'due_at', $$before => '30 minutes'$$, 'Australia/Lord_Howe');
-- A day is of the clock, 24 hours are elapsed.
truncate moment;
insert into moment (id, due_at) values (1, '2090-03-13 02:30-04'), (2, '2090-11-06 01:30-05');
select shown('moment', 'due_at', $$before => '1 day'$$, 'America/New_York');
select shown('moment', 'due_at', $$before => '24:00'$$, 'America/New_York');
-- Days on the clock first, then the hours.
select shown('moment', 'due_at', $$before => '1 day 1 hour'$$, 'America/New_York');
select shown('moment', 'due_at', $$before => '1 day', at => '12:00'$$, 'America/New_York');
-- The date that takes the time of day is the zone's: it is already the 13th and the 6th there.
select shown('moment', 'due_at', $$at => '12:00'$$, 'Asia/Shanghai');
-- a timestamp is read in the task's zone
truncate moment;
insert into moment (id, due_ts) values (1, '2090-03-12 02:30'), (2, '2090-11-05 01:30'), (3, '2090-07-01 12:00');
select shown('moment', 'due_ts', '', 'America/New_York');
select shown('moment', 'due_ts', $$before => '30 minutes'$$, 'America/New_York');
select shown('moment', 'due_ts', $$before => '30 minutes'$$, 'Asia/Shanghai');

-- month ends and leap years
truncate day;
insert into day (id, due_on) values (1, '2090-01-31');
select shown('day', 'due_on', $$repeat => 'monthly'$$, 'UTC', 4);
select shown('day', 'due_on', $$repeat => 'monthly', before => '1 month'$$, 'UTC', 4);
select shown('day', 'due_on', $$repeat => 'monthly', after => '1 day', at => '09:00'$$, 'UTC', 4);
update day set due_on = '2092-02-29';
select shown('day', 'due_on', $$repeat => 'yearly'$$, 'UTC', 5);
select shown('day', 'due_on', $$repeat => 'yearly', before => '1 day'$$, 'UTC', 5);
update day set due_on = '2090-03-01';
select shown('day', 'due_on', $$repeat => 'yearly', before => '3 days'$$, 'UTC', 7);
select shown('day', 'due_on', $$repeat => 'yearly', before => '1 year'$$, 'UTC', 2);
-- offset and at move each member, but of an hourly series the base alone
select shown('day', 'due_on', $$repeat => 'daily', before => '3 days', at => '09:00'$$, 'UTC', 3);
select shown('day', 'due_on', $$repeat => 'weekly', after => '1 week'$$, 'UTC', 3);
select shown('day', 'due_on', $$repeat => 'hourly', before => '1 day', at => '09:00'$$, 'UTC', 3);
-- the hours of an hourly series are elapsed, across the change
update day set due_on = '2090-03-12';
select shown('day', 'due_on', $$repeat => 'hourly', at => '00:30'$$, 'America/New_York', 4);
select shown('day', 'due_on', $$repeat => 'daily', at => '02:30'$$, 'America/New_York', 2);
-- A base in the past, a series that goes on: 1 January 1970 was a Thursday.
update day set due_on = '1970-01-01';
select shown('day', 'due_on', '');
select to_char(due_at, 'Dy HH24:MI') from jittask.preview(jittask.create_date_task('past', 'day', 'due_on', body => 'null', repeat => 'weekly', at => '09:00'), 3);
select count(*) from jittask.preview('past', 3);
select count(*), min(due_at) >= now(), max(due_at) < now() + interval '22 days' from jittask.preview('past', 3);
select jittask.drop_task('past');

-- ends, fixed
update day set due_on = '2090-01-01';
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_at => '2090-01-02 09:00+00'$$);
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_at => '2090-01-02 08:59:59+00'$$);
-- ends by a date: the whole local day
update day set ends_on = '2090-01-02', ends_at = '2090-01-02 09:00-05', ends_ts = '2090-01-02 09:00';
select shown('day', 'due_on', $$repeat => 'daily', at => '23:59:59', end_column => 'ends_on'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_on', end_time => '09:00'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_on', end_time => '08:59'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_on', end_before => '1 day'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_on', end_after => '1 day'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_on', end_after => '1 day', end_time => '08:00'$$, 'America/New_York');
-- ends by an instant, and by a local time
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_at'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_at', end_before => '1 second'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_at', end_after => '23 hours'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_at', end_time => '08:00'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_ts'$$, 'America/New_York');
select shown('day', 'due_on', $$repeat => 'daily', at => '09:00', end_column => 'ends_ts', end_before => '1 day'$$, 'Asia/Shanghai');
-- The end holds for the moved instant: 3 days before the 4th is within, though the 4th is not.
select shown('day', 'due_on', $$repeat => 'daily', before => '3 days', at => '09:00', end_column => 'ends_on', end_before => '3 days'$$);
-- no end, an end before the beginning
update day set ends_on = null;
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_on'$$, 'UTC', 2);
update day set ends_on = 'infinity';
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_on'$$, 'UTC', 2);
update day set ends_on = '-infinity';
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_on'$$, 'UTC', 2);
update day set ends_on = '2089-12-31';
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_on'$$, 'UTC', 2);
update day set ends_at = 'infinity';
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_at'$$, 'UTC', 2);
update day set ends_at = '-infinity';
select shown('day', 'due_on', $$repeat => 'daily', end_column => 'ends_at'$$, 'UTC', 2);

-- no date, no occurrence
truncate day, moment;
insert into day (id, due_on) values (1, null), (2, 'infinity'), (3, '-infinity'), (4, '5874897-12-31'), (5, '2090-01-01');
insert into moment (id, due_at, due_ts) values (1, null, null), (2, 'infinity', 'infinity'), (3, '-infinity', '-infinity'), (4, '294276-12-31', '294276-12-31'),
    (5, '2090-01-01', '2090-01-01');
select shown('day', 'due_on');
select shown('day', 'due_on', $$after => '300000 years'$$);
select shown('day', 'due_on', $$repeat => 'yearly', before => '1 day'$$, 'UTC', 2);
select shown('moment', 'due_at', $$before => '1 hour'$$);
select shown('moment', 'due_ts', $$repeat => 'hourly'$$, 'UTC', 2);

-- which rows, how many, in which order
truncate day;
insert into day (id, due_on) select i, date '2090-01-01' + (i * 7) % 30 from generate_series(0, 29) i;
select shown('day', 'due_on', '', 'UTC', 3);
select shown('day', 'due_on', $$filter => 'id % 2 = 1'$$, 'UTC', 3);
select shown('day', 'due_on', $$repeat => 'weekly', filter => 'id in (0, 13)'$$, 'UTC', 4);
select shown('day', 'due_on', '', 'UTC', 0);
select count(*) from shown('day', 'due_on', '', 'UTC', 1000000);
-- A repeating task's next occurrences are not those of the smallest dates: of 20,001 rows the last is due first.
truncate day;
insert into day (id, due_on) select i, current_date - 3650 + i % 300 from generate_series(1, 20000) i where extract(day from current_date - 3650 + i % 300) <> extract(day from current_date + 1);
insert into day (id, due_on) values (0, (current_date + 1 - interval '1 month')::date);
select jittask.create_date_task('many', 'day', 'due_on', body => 'null', repeat => 'monthly', at => '09:00');
select count(*), count(distinct row_key) from jittask.preview('many', 50);
select p.due_at = (select min(u.due_at) from day d, lateral (select s.due_at from jittask.preview_schedule(d.due_on + time '09:00', 'monthly', from_at => now(), count => 1) s) u)
from jittask.preview('many', 1) p;
-- one row
select due_at::time from jittask.preview('many', 2, (select jsonb_build_object('id', max(id)) from day));
select count(*) from jittask.preview('many', 2, '{"id": -7}');
-- a scheduled task
select jittask.create_scheduled_task('tick', '2090-01-31 12:00', body => 'null', repeat => 'monthly', end_at => '2090-03-31 12:00');
select due_at, row_key is null from jittask.preview('tick');
select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema due cascade;
