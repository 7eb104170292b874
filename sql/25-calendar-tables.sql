-- Calendars. Written by jittask alone, as the extension's owner; read through the views.

create table jittask.calendar (
    name        text primary key,
    owner       regrole not null,
    weekend     int[] not null,                   -- ISO weekdays, ascending
    description text,
    changed_at  timestamptz not null default pg_catalog.clock_timestamp() -- differs after every change of anything in it
);

-- What was loaded into a calendar. Not in calendar: the row of 'default' comes from the extension, this one from a dump.
create table jittask.calendar_load (
    calendar      text primary key references jittask.calendar on delete cascade,
    country       text not null,
    subdivision   text,
    covered_until date not null,
    data_version  text not null                   -- of the Python package that the data was made from
);

-- Days that are not what their weekday says. A day can be here twice: an override hides what was loaded, also later.
create table jittask.calendar_day (
    calendar text not null references jittask.calendar on delete cascade,
    day      date not null,
    source   text not null check (source in ('loaded', 'override')),
    kind     text not null check (kind in ('holiday', 'workday', 'ordinary')), -- ordinary: as its weekday says
    name     text,
    primary key (calendar, day, source),
    check (kind = 'ordinary' or name is not null),
    check (kind <> 'ordinary' or source = 'override')
);

comment on table jittask.calendar is 'internal: calendars; read jittask.calendars';
comment on table jittask.calendar_load is 'internal: what was loaded into calendars; read jittask.calendars';
comment on table jittask.calendar_day is 'internal: the calendars'' days; read jittask.calendar_days';
