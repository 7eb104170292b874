-- Series of schedules that are no task yet: cycles, month ends, clock changes, ends, and how many.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
set timezone = 'UTC';
-- Local time in the zone, and the instant.
create function pg_temp.shown(start_at timestamptz, repeat jittask.repeat_cycle, zone text, count int default 4, end_at timestamptz default null,
    from_at timestamptz default null) returns setof text language sql as $$
    select to_char(due_at at time zone zone, 'Dy YYYY-MM-DD HH24:MI') || to_char(due_at, ' = DD HH24:MI"Z"') || case when nominal_at = due_at then '' else ' moved' end
    from jittask.preview_schedule(start_at, repeat, time_zone => zone, count => count, end_at => end_at, from_at => from_at)
$$;

-- month ends, always from the base
select pg_temp.shown('2023-01-31 09:00+00', 'monthly', 'UTC', 14);
select pg_temp.shown('2024-02-29 09:00+00', 'yearly', 'UTC', 6);
select pg_temp.shown('2023-01-30 09:00+00', 'monthly', 'UTC', 3);
select pg_temp.shown('2023-12-31 23:30+00', 'monthly', 'UTC', 4);
-- The month is the zone's: in Shanghai it is the 31st when it is the 30th in UTC.
select pg_temp.shown('2023-01-30 16:30+00', 'monthly', 'Asia/Shanghai', 3);
-- none, weekly
select pg_temp.shown('2023-01-31 09:00+00', 'none', 'UTC');
select pg_temp.shown('2024-03-03 09:00-05', 'weekly', 'America/New_York', 3);

-- New York, 10 March 2024: 02:00 EST is followed by 03:00 EDT
select pg_temp.shown('2024-03-09 09:00-05', 'daily', 'America/New_York', 3);
select pg_temp.shown('2024-03-09 02:30-05', 'daily', 'America/New_York', 3);
select pg_temp.shown('2024-03-10 00:30-05', 'hourly', 'America/New_York', 4);
select pg_temp.shown('2024-01-10 02:30-05', 'monthly', 'America/New_York', 4);
-- 3 November 2024: 01:00 to 02:00 is passed twice, first EDT, then EST
select pg_temp.shown('2024-11-02 09:00-04', 'daily', 'America/New_York', 3);
select pg_temp.shown('2024-11-02 01:30-04', 'daily', 'America/New_York', 3);
select pg_temp.shown('2024-11-03 00:30-04', 'hourly', 'America/New_York', 4);
-- An instant that nothing moves stays what it is, also in the second pass.
select pg_temp.shown('2024-11-03 01:30-05', 'daily', 'America/New_York', 2);
select pg_temp.shown('2024-11-03 01:30-05', 'none', 'America/New_York', 2);

-- Lord Howe moves by half an hour: 02:00 is followed by 02:30 on 6 October 2024, 01:30 to 02:00 comes twice on 7 April
select pg_temp.shown('2024-10-05 02:15+10:30', 'daily', 'Australia/Lord_Howe', 3);
select pg_temp.shown('2024-10-05 09:00+10:30', 'daily', 'Australia/Lord_Howe', 3);
select pg_temp.shown('2024-04-06 01:45+11', 'daily', 'Australia/Lord_Howe', 3);
select pg_temp.shown('2024-04-07 00:30+11', 'hourly', 'Australia/Lord_Howe', 4);
-- Shanghai has had no summer time since 1991; in 1986 it had.
select pg_temp.shown('2024-03-09 09:00+08', 'daily', 'Asia/Shanghai', 3);
select pg_temp.shown('1986-05-03 02:30+08', 'daily', 'Asia/Shanghai', 3);
-- A whole day that did not exist: 30 December 2011 in Samoa.
select pg_temp.shown('2011-12-29 09:00-10', 'daily', 'Pacific/Apia', 3);

-- ends are inclusive
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 9, '2024-01-03 09:00+00');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 9, '2024-01-03 08:59:59.999999+00');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 9, '2023-12-31+00');
select pg_temp.shown('2024-01-01 09:00+00', 'none', 'UTC', 9, '2024-01-01 09:00+00');

-- from_at
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, null, '2024-03-01 09:00+00');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, null, '2024-03-01 09:00:00.000001+00');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, '2024-02-01+00', '2024-03-01 09:00+00');
select pg_temp.shown('2024-01-31 09:00+00', 'monthly', 'UTC', 2, null, '9999-02-01+00');
select pg_temp.shown('2024-01-01 09:00+00', 'none', 'UTC', 2, null, '2024-01-01 09:00+00');
select pg_temp.shown('2024-01-01 09:00+00', 'none', 'UTC', 2, null, '2024-01-01 09:01+00');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, null, '-infinity');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, null, 'infinity');
select pg_temp.shown('2024-01-01 09:00+00', 'daily', 'UTC', 2, null, null);

-- count
select count(*) from jittask.preview_schedule('2024-01-01', 'daily');
select count(*) from jittask.preview_schedule('2024-01-01', 'daily', count => null);
select count(*) from jittask.preview_schedule('2024-01-01', 'daily', count => 0);
select count(*), max(due_at) from jittask.preview_schedule('2024-01-01', 'hourly', count => 100000);
select refused($$select * from jittask.preview_schedule('2024-01-01', 'daily', count => -1)$$);
select refused($$select * from jittask.preview_schedule('2024-01-01', 'daily', count => 2147483647)$$);

-- the edges of what PostgreSQL can say
select pg_temp.shown('0001-01-01 00:00+00', 'daily', 'UTC', 2);
select count(*) from jittask.preview_schedule('9999-01-01', 'yearly', count => 1000000);
select max(due_at) from jittask.preview_schedule('9999-12-31 23:59+00', 'daily', count => 2);
select refused($$select count(*) from jittask.preview_schedule('290000-01-01', 'daily')$$);
select refused($$select count(*) from jittask.preview_schedule('0001-12-31 12:00+00 BC', 'daily')$$);

-- the zone: the session's by name, or the one that is given, whatever its case
set timezone = 'America/New_York';
select due_at from jittask.preview_schedule('2024-03-09 02:30', 'daily', count => 2);
select due_at from jittask.preview_schedule('2024-03-09 02:30', 'daily', count => 2, time_zone => 'asia/shanghai');
set timezone = 'europe/berlin';
select due_at from jittask.preview_schedule('2024-03-30 02:30', 'daily', count => 2);
set timezone = 'UTC';
select count(*) from jittask.preview_schedule('2024-01-01', null);
