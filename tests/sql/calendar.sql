-- Calendars: the one that is there, own ones, days of one's own, what is a working day.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/calendar.sql'
\i :setup
\set ECHO all
select * from jittask.calendars;
select * from jittask.calendar_days;
-- 2026-11-27 is a Friday
select day::date, jittask.is_working_day(day::date) from generate_series('2026-11-27'::date, '2026-11-30', '1 day') day;
select jittask.next_working_day('2026-11-27'), jittask.next_working_day('2026-11-28'), jittask.next_working_day('2026-11-29');
-- the extension's owner fills the default calendar
select jittask.add_holiday('default', '2026-11-30', 'Saint Andrew');
select jittask.next_working_day('2026-11-28'), jittask.is_working_day('2026-11-30', 'default');
select jittask.remove_day('default', '2026-11-30');
select jittask.is_working_day('2026-11-30');
select * from jittask.calendar_days;

set role regress_owner;
select jittask.create_calendar('Büro');
select jittask.create_calendar('six days', weekend => '{7}', description => 'Saturday is worked');
select jittask.create_calendar('gulf', weekend => '{6,5,6}');
select jittask.create_calendar('never off', weekend => '{}');
select jittask.create_calendar('Mondays', weekend => '{2,3,4,5,6,7}');
select * from jittask.calendars where owner = 'regress_owner' order by name collate "C";
-- Friday, Saturday, Sunday, Monday in each
select c.name, array_agg(jittask.is_working_day('2026-11-27'::date + n, c.name) order by n),
    jittask.next_working_day('2026-11-27', c.name)
from jittask.calendars c, generate_series(0, 3) n where c.owner = 'regress_owner' group by c.name order by c.name collate "C";

-- days of one's own: the latest call counts
select jittask.add_holiday('Büro', '2026-12-24', 'Christmas Eve');
select jittask.add_holiday('Büro', '2026-12-25', 'Christmas');
select jittask.add_workday('Büro', '2026-12-26', 'Stocktaking');
select jittask.add_holiday('Büro', '2026-12-27', 'a holiday on a Sunday');
select * from jittask.calendar_days where calendar = 'Büro' order by day;
select jittask.next_working_day('2026-12-24', 'Büro');
select jittask.add_holiday('Büro', '2026-12-26', 'no stocktaking');
select jittask.add_workday('Büro', '2026-12-25', 'after all');
select jittask.remove_day('Büro', '2026-12-24');
select * from jittask.calendar_days where calendar = 'Büro' order by day;
select day::date, jittask.is_working_day(day::date, 'Büro') from generate_series('2026-12-23'::date, '2026-12-28', '1 day') day;
-- other calendars know nothing of it
select jittask.is_working_day('2026-12-25', 'six days');
-- a long run of holidays
select count(jittask.add_holiday('Mondays', '2026-11-30'::date + 7 * n, 'off')) from generate_series(0, 60) n;
select jittask.next_working_day('2026-11-30', 'Mondays');
-- far dates, and the end of all dates
select jittask.is_working_day('4713-01-01 BC', 'Büro'), jittask.next_working_day('99999-12-31', 'Büro');
select refused_calendar($$ select jittask.next_working_day('5874897-12-31', 'Mondays') $$);

-- every change can be noticed
reset role;
create table seen as select name, changed_at from jittask.calendar;
grant all on seen to public;
select jittask.add_holiday('Büro', '2027-01-01', 'New Year');
select jittask.remove_day('gulf', '2027-01-01');
select jittask.load_holidays('six days', 'FR', until_year => 2020);
select s.name, c.changed_at > s.changed_at as changed from seen s join jittask.calendar c using (name) order by name collate "C";
drop table seen;
-- a superuser may change any, others may read all
set role regress_other;
select count(*) from jittask.calendars;
select count(*) > 60 from jittask.calendar_days;
reset role;

-- undone with the transaction
begin;
select jittask.drop_calendar('Büro');
select jittask.create_calendar('Büro', 'AT');
select country from jittask.calendars where name = 'Büro';
rollback;
select country, owner from jittask.calendars where name = 'Büro';

-- dropped with its days
set role regress_owner;
select jittask.drop_calendar('Büro');
select jittask.drop_calendar('six days');
select jittask.drop_calendar('gulf');
select jittask.drop_calendar('never off');
select jittask.drop_calendar('Mondays');
select name from jittask.calendars;
select * from jittask.calendar_days;
