-- Rules that are refused: each with 22023, the rule, why, and a hint; and nothing stored.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema rules authorization regress_owner;
set role regress_owner;
set search_path = rules, public;
create table contract (id int primary key, due_on date);
create index on contract (due_on);
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';
-- recurrences
select refused_scheduled(format($$'tick', rule => %L$$, rule)) from unnest(array[
    '', 'FREQ', 'FREQ=', 'FREQ=FORTNIGHTLY', 'INTERVAL=2', 'FREQ=DAILY;INTERVAL=-1', 'FREQ=DAILY;INTERVAL=x', 'FREQ=DAILY;INTERVAL=4294967296',
    'FREQ=DAILY;COUNT=0', 'FREQ=DAILY;COUNT=-5', 'FREQ=DAILY;COUNT=3;UNTIL=21001231', 'FREQ=DAILY;UNTIL=2100-12-31', 'FREQ=DAILY;UNTIL=21000230',
    'FREQ=DAILY;FREQ=WEEKLY', 'FREQ=DAILY;EXDATE=21000102', 'FREQ=DAILY;BYEASTER=0', E'FREQ=DAILY\nEXDATE:21000102',
    'FREQ=MONTHLY;BYMONTH=13', 'FREQ=MONTHLY;BYMONTHDAY=0', 'FREQ=MONTHLY;BYMONTHDAY=32', 'FREQ=YEARLY;BYYEARDAY=367', 'FREQ=YEARLY;BYWEEKNO=54',
    'FREQ=DAILY;BYHOUR=24', 'FREQ=DAILY;BYMINUTE=60', 'FREQ=DAILY;BYSECOND=60', 'FREQ=MONTHLY;BYDAY=FR;BYSETPOS=0', 'FREQ=WEEKLY;BYDAY=XX',
    'FREQ=WEEKLY;BYDAY=', 'FREQ=MONTHLY;BYDAY=0FR', 'FREQ=WEEKLY;WKST=MO,SU', 'FREQ=WEEKLY;BYDAY=1MO', 'FREQ=WEEKLY;BYMONTHDAY=1',
    'FREQ=MONTHLY;BYWEEKNO=1', 'FREQ=MONTHLY;BYYEARDAY=1', 'FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO', 'FREQ=MONTHLY;BYSETPOS=1',
    'FREQ=HOURLY;BYMINUTE=0', 'FREQ=MINUTELY;BYHOUR=9', 'FREQ=SECONDLY;BYDAY=MO']) rule;
-- intervals
select refused_scheduled(format($$'tick', rule => %L$$, rule)) from unnest(array[
    'every', 'every ', 'every 0 days', 'every -2 days', 'every 1 day -2 days', 'every 1 month -2 days', 'every 1 day 2 hours',
    'every 1 month 00:30', 'every 0.5 seconds', 'every 0.5 days', 'every 2 fortnights', 'every 99999999999 days', 'every 1:2:3:4', 'every 5']) rule;
-- cron
select refused_scheduled(format($$'tick', rule => %L$$, rule)) from unnest(array[
    'cron:', 'cron: * * * *', 'cron: * * * * * * *', 'cron: 60 * * * *', 'cron: * 24 * * *', 'cron: 0 0 32 * *', 'cron: 0 0 * 13 *', 'cron: 0 0 * * 8',
    'cron: 0 0 * * 1#6', 'cron: a * * * *', 'cron: @daily', 'cron: 5-1 * * * *', 'cron: */0 * * * *']) rule;
-- never, or not within 100 years
select refused_scheduled(format($$'tick', rule => %L$$, rule)) from unnest(array[
    'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', 'FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30', 'FREQ=MONTHLY;BYMONTH=4,6,9,11;BYMONTHDAY=31',
    'FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31;BYDAY=5MO;BYYEARDAY=1', 'FREQ=MONTHLY;BYDAY=FR;BYSETPOS=6', 'FREQ=YEARLY;INTERVAL=400;BYMONTH=2;BYMONTHDAY=29;BYDAY=TU',
    'FREQ=DAILY;UNTIL=20991231T000000Z', 'cron: 0 0 30 2 *', 'cron: 0 0 31 4,6,9,11 *', 'cron: 0 0 31 2 *']) rule;
select refused_date(format($$'remind', rule => %L$$, rule)) from unnest(array[
    'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', 'FREQ=DAILY;UNTIL=20000101', 'cron: 0 0 30 2 *', 'every 1 day 2 hours', 'every -1 days']) rule;
-- A sparse one is none of these: the only 29 February in decades that is a Monday.
select due_at from jittask.preview_schedule('2100-01-01 00:00+00', 'custom', 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO', time_zone => 'UTC', count => 2);
-- In a cron expression one of the two day fields is enough.
select due_at from jittask.preview_schedule('2100-01-01 00:00+00', 'custom', 'cron: 0 0 29 2 1', time_zone => 'UTC', count => 2);
-- Of preview_schedule as well.
select refused($$select * from jittask.preview_schedule('2100-01-01', 'custom', 'every 1 day 2 hours')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'custom')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', 'FREQ=DAILY')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', time_zone => 'Mars/Phobos')$$);
select refused($$select * from jittask.preview_schedule('2100-01-01', 'daily', skip_holidays => true, calendar => 'nowhere')$$);
select refused($$select * from jittask.preview_schedule(null, 'daily')$$);
reset role;
set client_min_messages = warning;
drop schema rules cascade;
