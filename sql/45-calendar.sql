-- Calendars: anyone makes and reads them, each is changed by its owner.

create function jittask.create_calendar(
    name        text,
    country     text default null,
    subdivision text default null,
    weekend     int[] default '{6,7}',
    description text default null
) returns void
language c volatile as 'MODULE_PATHNAME', 'create_calendar_wrapper';
comment on function jittask.create_calendar(text, text, text, int[], text) is
    'creates a calendar with these days off in every week (ISO: 1 Monday to 7 Sunday); with a country, its holidays and make-up workdays are loaded';

create function jittask.load_holidays(
    calendar    text,
    country     text,
    subdivision text default null,
    from_year   int default null,
    until_year  int default null
) returns int
language c volatile as 'MODULE_PATHNAME', 'load_holidays_wrapper';
comment on function jittask.load_holidays(text, text, text, int, int) is
    'loads the public holidays and make-up workdays of a country (and subdivision), all years or some, in place of all that was loaded before; own days stay; returns the number of days loaded';

create function jittask.add_holiday(calendar text, day date, name text) returns void
language c volatile as 'MODULE_PATHNAME', 'add_holiday_wrapper';
comment on function jittask.add_holiday(text, date, text) is
    'makes a day a holiday, whatever was loaded or will be; the latest of add_holiday, add_workday and remove_day counts';

create function jittask.add_workday(calendar text, day date, name text) returns void
language c volatile as 'MODULE_PATHNAME', 'add_workday_wrapper';
comment on function jittask.add_workday(text, date, text) is
    'makes a day a working day, even on a weekend, whatever was loaded or will be; the latest of add_holiday, add_workday and remove_day counts';

create function jittask.remove_day(calendar text, day date) returns void
language c volatile as 'MODULE_PATHNAME', 'remove_day_wrapper';
comment on function jittask.remove_day(text, date) is
    'makes a day an ordinary one, off or not as its weekday is, whatever was loaded or will be';

create function jittask.drop_calendar(name text) returns void
language c volatile as 'MODULE_PATHNAME', 'drop_calendar_wrapper';
comment on function jittask.drop_calendar(text) is 'drops a calendar that no task uses';

create function jittask.is_working_day(day date, calendar text default 'default') returns boolean
language c stable as 'MODULE_PATHNAME', 'is_working_day_wrapper';
comment on function jittask.is_working_day(date, text) is
    'is the day neither in the weekend nor a holiday, or a make-up workday? beyond the calendar''s covered_until only its weekend and own days are known';

create function jittask.next_working_day(day date, calendar text default 'default') returns date
language c stable as 'MODULE_PATHNAME', 'next_working_day_wrapper';
comment on function jittask.next_working_day(date, text) is 'the first working day on or after a day';

create function jittask.holiday_countries()
returns table (country text, name text, weekend int[], covered_until date, subdivisions text[])
language c stable as 'MODULE_PATHNAME', 'holiday_countries_wrapper';
comment on function jittask.holiday_countries() is
    'the countries and subdivisions whose holidays load_holidays knows, their days off in the week, and until when they are known';

create view jittask.calendars with (security_barrier) as
select c.name, pg_get_userbyid(c.owner) as owner, l.country, l.subdivision, c.weekend, l.covered_until, c.description
from jittask.calendar c left join jittask.calendar_load l on l.calendar = c.name;
comment on view jittask.calendars is
    'the calendars; beyond covered_until only their weekend and own days are known; null: nothing was loaded';

create view jittask.calendar_days with (security_barrier) as
select d.calendar, d.day, d.kind, d.name, d.source
from jittask.calendar_day d
where d.kind <> 'ordinary'
  and (d.source = 'override' or not exists (
      select from jittask.calendar_day o where o.calendar = d.calendar and o.day = d.day and o.source = 'override'));
comment on view jittask.calendar_days is
    'holidays and make-up workdays that count, loaded or set by add_holiday and add_workday (source override)';

grant select on jittask.calendars, jittask.calendar_days to public;

-- The row of 'default' comes with the extension, its days and what was loaded into it are dumped.
select pg_catalog.pg_extension_config_dump('jittask.calendar', $$where name <> 'default'$$);
select pg_catalog.pg_extension_config_dump('jittask.calendar_load', '');
select pg_catalog.pg_extension_config_dump('jittask.calendar_day', '');

-- By the number: regrole reads a name as SQL, and Admin would be admin.
insert into jittask.calendar (name, owner, weekend, description)
select 'default', r.oid::regrole, '{6,7}', 'weekends only; fill it with load_holidays, add_holiday and add_workday'
from pg_catalog.pg_roles r where r.rolname = current_user;
