-- What is refused, each with the calendars unchanged; and who may do what.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/calendar.sql'
\i :setup
\set ECHO all
set role regress_owner;
select jittask.create_calendar('mine', 'DE');
set role regress_other;
select jittask.create_calendar('theirs');
set role regress_owner;

-- null
select refused_calendar($$ select jittask.create_calendar(null) $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => null) $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => '{6,null}') $$);
select refused_calendar($$ select jittask.load_holidays(null, 'DE') $$);
select refused_calendar($$ select jittask.load_holidays('mine', null) $$);
select refused_calendar($$ select jittask.add_holiday(null, '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.add_holiday('mine', null, 'x') $$);
select refused_calendar($$ select jittask.add_holiday('mine', '2026-01-01', null) $$);
select refused_calendar($$ select jittask.add_workday('mine', '2026-01-01', null) $$);
select refused_calendar($$ select jittask.add_workday('mine', null, 'x') $$);
select refused_calendar($$ select jittask.remove_day('mine', null) $$);
select refused_calendar($$ select jittask.remove_day(null, '2026-01-01') $$);
select refused_calendar($$ select jittask.drop_calendar(null) $$);
select refused_calendar($$ select jittask.is_working_day(null) $$);
select refused_calendar($$ select jittask.is_working_day('2026-01-01', null) $$);
select refused_calendar($$ select jittask.next_working_day(null, 'mine') $$);
select refused_calendar($$ select jittask.next_working_day('2026-01-01', null) $$);

-- no such calendar, and one that is there
select refused_calendar($$ select jittask.load_holidays('nowhere', 'DE') $$);
select refused_calendar($$ select jittask.add_holiday('nowhere', '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.add_workday('nowhere', '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.remove_day('nowhere', '2026-01-01') $$);
select refused_calendar($$ select jittask.drop_calendar('nowhere') $$);
select refused_calendar($$ select jittask.is_working_day('2026-01-01', 'nowhere') $$);
select refused_calendar($$ select jittask.next_working_day('2026-01-01', 'nowhere') $$);
select refused_calendar($$ select jittask.create_calendar('mine') $$);
select refused_calendar($$ select jittask.create_calendar('default') $$);
select refused_calendar($$ select jittask.create_calendar('theirs', 'DE') $$);

-- names, weekends, days
select refused_calendar($$ select jittask.create_calendar('') $$);
select refused_calendar($$ select jittask.create_calendar('  ') $$);
select refused_calendar($$ select jittask.create_calendar(repeat('x', 64)) $$);
select refused_calendar($$ select jittask.create_calendar(e'two\nlines') $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => '{0}') $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => '{6,8}') $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => '{1,2,3,4,5,6,7}') $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => '{{1,2,3,4},{5,6,7,7}}') $$);
select refused_calendar($$ select jittask.create_calendar('x', weekend => array_fill(9, array[100000])) $$);
select refused_calendar($$ select jittask.add_holiday('mine', 'infinity', 'x') $$);
select refused_calendar($$ select jittask.add_workday('mine', '-infinity', 'x') $$);
select refused_calendar($$ select jittask.remove_day('mine', 'infinity') $$);
select refused_calendar($$ select jittask.is_working_day('-infinity') $$);
select refused_calendar($$ select jittask.next_working_day('infinity') $$);

-- countries, subdivisions, years
select refused_calendar($$ select jittask.create_calendar('x', 'XX') $$);
select refused_calendar($$ select jittask.create_calendar('x', 'China') $$);
select refused_calendar($$ select jittask.create_calendar('x', 'DEU') $$);
select refused_calendar($$ select jittask.create_calendar('x', '') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'Germny') $$);
select refused_calendar($$ select jittask.create_calendar('x', subdivision => 'BY') $$);
select refused_calendar($$ select jittask.create_calendar('x', 'DE', 'XX') $$);
select refused_calendar($$ select jittask.create_calendar('x', 'DE', 'Bayern') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'US', 'Californa') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'IT', 'XX') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'FR', '') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'CN', 'BJ') $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'DE', from_year => 2019) $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'DE', until_year => 2036) $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'DE', from_year => 2147483647) $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'DE', from_year => -2147483648) $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'DE', from_year => 2027, until_year => 2026) $$);
select refused_calendar($$ select jittask.load_holidays('mine', 'CN', from_year => 2028) $$);

-- another's calendar may be read, not changed
select jittask.is_working_day('2026-01-01', 'theirs');
select refused_calendar($$ select jittask.load_holidays('theirs', 'DE') $$);
select refused_calendar($$ select jittask.add_holiday('theirs', '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.add_workday('theirs', '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.remove_day('theirs', '2026-01-01') $$);
select refused_calendar($$ select jittask.drop_calendar('theirs') $$);
select refused_calendar($$ select jittask.add_holiday('default', '2026-01-01', 'x') $$);
select refused_calendar($$ select jittask.load_holidays('default', 'DE') $$);
select refused_calendar($$ select jittask.drop_calendar('default') $$);
-- the tables are nobody's to touch
select refused_calendar($$ select from jittask.calendar $$);
select refused_calendar($$ insert into jittask.calendar_day values ('theirs', '2026-01-01', 'override', 'holiday', 'x') $$);
select refused_calendar($$ update jittask.calendars set owner = 'x' $$);
select refused_calendar($$ delete from jittask.calendar_days $$);
reset role;
-- the owner's group may, a superuser may; nobody drops the default
create role regress_group;
grant regress_other to regress_group;
set role regress_group;
select jittask.add_holiday('theirs', '2026-01-01', 'New Year');
reset role;
select jittask.add_workday('theirs', '2026-01-01', 'a superuser''s idea');
drop role regress_group;
select refused_calendar($$ select jittask.drop_calendar('default') $$);
-- without USAGE on the schema, nothing
create role regress_stranger;
set role regress_stranger;
select refused_calendar($$ select * from jittask.calendars $$);
reset role;
drop role regress_stranger;

-- in use by a task
set role regress_owner;
select jittask.create_scheduled_task('uses it', '2100-01-01 09:00+00', body => 'perform 1', calendar => 'mine', enabled => false);
-- only named, for when it skips holidays
select refused_calendar($$ select jittask.drop_calendar('mine') $$);
reset role;
update jittask.task set definition = definition || '{"skip_holidays": true, "calendar": "mine"}';
set role regress_owner;
select refused_calendar($$ select jittask.drop_calendar('mine') $$);
select jittask.drop_task('uses_it');
select jittask.drop_calendar('mine');
set role regress_other;
select jittask.drop_calendar('theirs');
reset role;
select name from jittask.calendars;
select count(*) from jittask.calendar_day;
select count(*) from jittask.calendar_load;

-- a search_path and operators of the caller's own change nothing
create schema trap;
create function trap.always(int, int) returns boolean language sql as 'select true';
create operator trap.= (function = trap.always, leftarg = int, rightarg = int);
create function trap.clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$;
grant usage on schema trap to public;
set role regress_owner;
set search_path = trap, pg_catalog;
set datestyle = 'German';
select jittask.create_calendar('trapped', 'DE');
select jittask.add_holiday('trapped', '2026-12-24', 'x');
select jittask.next_working_day('2026-12-24', 'trapped');
reset search_path;
reset role;
set client_min_messages = warning;
drop schema trap cascade;
