-- Holidays of countries: loading, loading again, what stays, and until when they are known.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/calendar.sql'
\i :setup
\set ECHO all
set role regress_owner;
-- Germany, and two of its states
select jittask.create_calendar('de', 'DE');
select jittask.create_calendar('bavaria', 'de', 'by');
select jittask.create_calendar('berlin', 'DE', 'DE-BE');
select * from jittask.calendars where owner = 'regress_owner' order by name collate "C";
select count(*), min(day), max(day) from jittask.calendar_days where calendar = 'de';
select day, kind, name, source from jittask.calendar_days where calendar = 'de' and day between '2026-01-01' and '2026-12-31' order by day;
-- what the states have more
select s.calendar, s.day, s.name from jittask.calendar_days s where s.calendar in ('bavaria', 'berlin') and s.day between '2026-01-01' and '2026-12-31'
    and not exists (select from jittask.calendar_days d where d.calendar = 'de' and d.day = s.day) order by s.calendar collate "C", s.day;
select jittask.is_working_day('2026-01-06', 'bavaria'), jittask.is_working_day('2026-01-06', 'berlin'), jittask.is_working_day('2026-01-06', 'de');
select jittask.next_working_day('2026-12-25', 'de'), jittask.next_working_day('2027-12-24', 'de');

-- the United States: observed days; California has no Columbus Day, but Cesar Chavez Day
select jittask.create_calendar('us', 'US');
select jittask.create_calendar('california', 'US', 'CA');
select day, name from jittask.calendar_days where calendar = 'us' and day between '2026-07-01' and '2026-12-31' order by day;
select day, calendar, name from (select * from jittask.calendar_days where calendar in ('us', 'california') and day between '2026-01-01' and '2026-12-31') a
    where (select count(*) from jittask.calendar_days b where b.calendar in ('us', 'california') and b.day = a.day) = 1 order by day;

-- China: make-up workdays; known a year ahead only
select jittask.create_calendar('cn', 'CN');
select covered_until from jittask.calendars where name = 'cn';
select day, kind, name, jittask.is_working_day(day, 'cn') from jittask.calendar_days where calendar = 'cn' and day between '2026-01-01' and '2026-03-31' order by day;
select day::date from generate_series('2026-02-09'::date, '2026-03-01', '1 day') day where jittask.is_working_day(day::date, 'cn') order by day;
select count(*) filter (where jittask.is_working_day(day::date, 'cn')) as working_days_of_2026 from generate_series('2026-01-01'::date, '2026-12-31', '1 day') day;
-- beyond, only the weekend is known
select max(day) from jittask.calendar_days where calendar = 'cn';
select jittask.is_working_day('2027-10-01', 'cn'), jittask.is_working_day('2027-10-02', 'cn');

-- Taiwan and Hungary: make-up workdays
select jittask.create_calendar('tw', 'TW');
select jittask.create_calendar('hu', 'HU');
select calendar, day, name, extract(isodow from day) from jittask.calendar_days where calendar in ('tw', 'hu') and kind = 'workday' and day >= '2024-01-01' order by calendar collate "C", day;
select day, name from jittask.calendar_days where calendar = 'hu' and day between '2026-08-01' and '2026-08-31' order by day;
select jittask.is_working_day('2026-08-08', 'hu'), jittask.is_working_day('2026-08-21', 'hu');

-- another weekend than the calendar's is told, unless it was chosen
select jittask.create_calendar('saudi', 'SA');
select jittask.create_calendar('saudi arabia', 'SA', weekend => '{5,6}');
select jittask.create_calendar('kelantan', 'MY', '03');
-- dates that hang on the moon are marked
select day, name from jittask.calendar_days where calendar = 'saudi' and day between '2030-01-01' and '2030-12-31' order by day;

-- days of one's own survive loading again
select jittask.create_calendar('own');
select jittask.load_holidays('own', 'DE', from_year => 2026, until_year => 2026);
select jittask.add_holiday('own', '2026-12-24', 'Christmas Eve');
select jittask.add_workday('own', '2026-12-25', 'emergency');
select jittask.remove_day('own', '2026-12-26');
select jittask.remove_day('own', '2026-12-28');
select day, kind, name, source from jittask.calendar_days where calendar = 'own' and day >= '2026-12-01' order by day;
select jittask.load_holidays('own', 'DE', from_year => 2026, until_year => 2027);
select day, kind, name, source from jittask.calendar_days where calendar = 'own' and day between '2026-12-01' and '2027-01-31' order by day;
select jittask.is_working_day('2026-12-25', 'own'), jittask.is_working_day('2026-12-26', 'own'), jittask.is_working_day('2026-12-28', 'own');
select country, subdivision, covered_until from jittask.calendars where name = 'own';
-- the later call wins also over a removal
select jittask.add_holiday('own', '2026-12-26', 'Boxing Day');
select day, kind, name, source from jittask.calendar_days where calendar = 'own' and day = '2026-12-26';
-- another country in place of the first; the number of days loaded
select jittask.load_holidays('own', 'FR', null, 2026, 2026);
select day, kind, name, source from jittask.calendar_days where calendar = 'own' order by day;
select country, subdivision, covered_until from jittask.calendars where name = 'own';
select jittask.load_holidays('own', 'CN', null, 2026, 2026);
select jittask.load_holidays('own', 'CN', null, 2026, 2030);
select jittask.load_holidays('own', 'DE', 'NW', until_year => 2020);
select country, subdivision, covered_until from jittask.calendars where name = 'own';
-- countries without holidays of their own, of which nothing can be loaded
select jittask.load_holidays('own', 'BV');

-- what there is
select count(*), count(*) filter (where covered_until = '2035-12-31'), sum(cardinality(subdivisions)) from jittask.holiday_countries();
select country, covered_until from jittask.holiday_countries() where covered_until < '2035-12-31' order by 1;
select * from jittask.holiday_countries() where country in ('CN', 'DE', 'SA') order by 1;

-- the default calendar can be loaded by its owner
reset role;
select jittask.load_holidays('default', 'GB', 'ENG', 2026, 2026);
select name, country, subdivision, covered_until from jittask.calendars where name = 'default';
select jittask.next_working_day('2026-12-25');
