-- Bad arguments of the functions that create tasks: 22023, 22004, 0A000, and nothing stored.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema bad authorization regress_owner;
set role regress_owner;
set search_path = bad, public;
create table contract (id int primary key, due_on date, due_ts timestamp, due_at timestamptz, ends_on date, ends_at timestamptz);
create index on contract (due_on);
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';

-- nulls
select refused($$select jittask.create_date_task(null, 'contract', 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', null, 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'contract', null, 'remind')$$);
select refused($$select jittask.create_scheduled_task(null, '2100-01-01', 'tick')$$);
select refused($$select jittask.create_scheduled_task('t', null, 'tick')$$);
select refused($$select jittask.create_scheduled_task('  ', '2100-01-01', 'tick')$$);

-- service_function and body
select refused_date($$null$$);
select refused_date($$'remind', 'perform 1'$$);
select refused_scheduled($$null$$);
select refused_scheduled($$'tick', 'perform 1'$$);
select refused_scheduled($$''$$);
select refused_scheduled($$'a.b.c.d'$$);
select refused_scheduled($$'tick('$$);
select refused_scheduled($$'(tick)'$$);
select refused_scheduled($$'tick; drop table contract'$$);

-- offsets
select refused_date($$'remind', before => '1 day', after => '2 days'$$);
select refused_date($$'remind', before => '-1 day'$$);
select refused_date($$'remind', after => '-2 days'$$);
select refused_date($$'remind', before => '1 month -2 days'$$);
select refused_date($$'remind', before => '36 hours'$$);
select refused_date($$'remind', after => '1 day 00:30'$$);
select refused_date($$'remind', before => '1 day 00:30', at => '09:00'$$);
select refused($$select jittask.create_date_task('t', 'contract', 'due_at', 'remind', before => '30 minutes', at => '09:00')$$);
select refused($$select jittask.create_date_task('t', 'contract', 'due_ts', 'remind', after => '24 hours', at => '09:00')$$);
select refused_date($$'remind', at => '24:00'$$);

-- ends
select refused_scheduled($$'tick', end_at => '2099-12-31'$$);
select refused($$select jittask.create_scheduled_task('t', '2000-01-01', 'tick')$$);
select refused($$select jittask.create_scheduled_task('t', '2000-01-01', 'tick', repeat => 'daily', end_at => '2000-02-01')$$);
select refused($$select jittask.create_scheduled_task('t', 'infinity', 'tick')$$);
select refused($$select jittask.create_scheduled_task('t', '-infinity', 'tick')$$);
select refused_scheduled($$'tick', end_at => 'infinity'$$);
select refused_date($$'remind', end_at => '2100-01-01', end_column => 'ends_on'$$);
select refused_date($$'remind', end_before => '1 day'$$);
select refused_date($$'remind', end_after => '1 day'$$);
select refused_date($$'remind', end_time => '09:00'$$);
select refused_date($$'remind', end_column => 'ends_on', end_before => '1 day', end_after => '1 day'$$);
select refused_date($$'remind', end_column => 'ends_on', end_before => '-1 day'$$);
select refused_date($$'remind', end_column => 'ends_on', end_after => '1 hour'$$);
select refused_date($$'remind', end_column => 'ends_at', end_after => '1 hour', end_time => '12:00'$$);
select refused_date($$'remind', end_column => 'ends_on', end_time => '24:00'$$);

-- numbers and other intervals
select refused_date($$'remind', catch_up_window => '367 days'$$);
select refused_date($$'remind', catch_up_window => '-1 day'$$);
select refused_date($$'remind', catch_up_window => '5000000 years -1800000000 days'$$);
select refused_date($$'remind', existing_rows => '-1 day'$$);
select refused_date($$'remind', retry_backoff => '-1 second'$$);
select refused_date($$'remind', timeout => '0'$$);
select refused_date($$'remind', max_attempts => 0$$);
select refused_date($$'remind', max_attempts => -1$$);
select refused_date($$'remind', max_attempts => 1000000$$);
-- PostgreSQL 17 and later have infinite intervals; before, the literal itself is refused.
select left(refused_date($$'remind', before => 'infinity'$$), 5) in ('22023', '22007');
select left(refused_scheduled($$'tick', timeout => 'infinity'$$), 5) in ('22023', '22007');

-- words
select refused_date($$'remind', repeat => 'fortnightly'$$);
select refused_date($$'remind', holiday_shift => 'back'$$);
select refused_date($$'remind', catch_up => 'some'$$);
select refused_scheduled($$'tick', overlap => 'kill'$$);
select refused_date($$'remind', capture => 'poll'$$);
select refused_date($$'remind', key_columns => '{}'$$);
select refused_date($$'remind', key_columns => '{id,id}'$$);
select refused_date($$'remind', key_columns => array['id', null]::name[]$$);

-- zones
select refused_date($$'remind', time_zone => 'Mars/Phobos'$$);
select refused_date($$'remind', time_zone => 'GMT-08:00'$$);
select refused_date($$'remind', time_zone => '+08'$$);
select refused_date($$'remind', time_zone => ''$$);
select refused_date($$'remind', time_zone => '../Berlin'$$);
select refused_date($$'remind', time_zone => 'CEST'$$);
set timezone = 'GMT-08:00';
select refused_date($$'remind'$$);
select refused_scheduled($$'tick'$$);
set timezone = -8;
select refused_scheduled($$'tick'$$);
set timezone = 'UTC';

-- names
select refused_scheduled($$'tick', name => 'Upper'$$);
select refused_scheduled($$'tick', name => ''$$);
select refused_scheduled($$'tick', name => '1st'$$);
select refused_scheduled($$'tick', name => '_x'$$);
select refused_scheduled($$'tick', name => 'with space'$$);
select refused_scheduled($$'tick', name => '合同'$$);
select refused_scheduled($$'tick', name => 'a' || repeat('b', 48)$$);

-- rules
select refused_scheduled($$'tick', repeat => 'custom'$$);
select refused_scheduled($$'tick', rule => 'nonsense'$$);
select refused_scheduled($$'tick', rule => 'FREQ=DAILY;INTERVAL=0'$$);
select refused_scheduled($$'tick', rule => 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30'$$);
select refused_scheduled($$'tick', rule => 'cron: 61 * * * *'$$);
select refused_scheduled($$'tick', rule => 'cron: 0 0 31 2 *'$$);
select refused_scheduled($$'tick', rule => 'every 1 day 2 hours'$$);
select refused_scheduled($$'tick', repeat => 'daily', rule => 'FREQ=MONTHLY'$$);
select refused_scheduled($$'tick', calendar => 'china'$$);

-- Functions under the interface, called directly.
select jittask.define_task(null, 0, '{}');
select jittask.define_task('scheduled', 0, null);
select * from jittask.preview_definition(null, 7, null);
-- JSON that cannot be read.
select jittask.import_task((repeat('[', 200) || repeat(']', 200))::jsonb);
select jittask.import_task(('{"title": ' || repeat('{"a":', 130) || '1' || repeat('}', 130) || '}')::jsonb);
select jittask.alter_task('any', (repeat('[', 2000) || repeat(']', 2000))::jsonb);
select jittask.run_task('any', (repeat('[', 200) || repeat(']', 200))::jsonb);
-- Numbers that no record has, and the last days.
select jittask.cancel_record(-9223372036854775808), jittask.retry_record(0);
select jittask.next_working_day('5874897-12-31'), jittask.next_working_day('4714-11-24 BC'), jittask.next_working_day('0001-12-31 BC'),
    jittask.next_working_day('10000-01-01');
select jittask.next_working_day('infinity');
select jittask.create_calendar('last'), jittask.add_holiday('last', '5874897-12-31', 'last day');
select jittask.next_working_day('5874897-12-31', 'last');
select jittask.drop_calendar('last');

-- An explicit null means the default.
select jittask.create_date_task('All null', 'contract', 'due_on', 'remind', repeat => null, calendar => null, holiday_shift => null,
    skip_holidays => null, existing_rows => null, catch_up => null, catch_up_window => null, capture => null, max_attempts => null,
    retry_backoff => null, timeout => null, enabled => null, language => null);
select jittask.create_date_task('No null', 'contract', 'due_on', 'remind');
select a.definition - 'title' - 'name' = b.definition - 'title' - 'name', jsonb_pretty(b.definition)
from jittask.tasks a, jittask.tasks b where a.name = 'all_null' and b.name = 'no_null';
select jittask.create_scheduled_task('All null', '2100-01-01', 'tick', catch_up_window => null, overlap => null);
select definition ->> 'catch_up_window', definition ->> 'overlap' from jittask.tasks where name = 'all_null_2';
-- The limits themselves are accepted.
select jittask.create_date_task('limits', 'contract', 'due_on', 'remind', catch_up_window => '1 year', max_attempts => 1,
    retry_backoff => '0', existing_rows => '10 years', at => '23:59:59.999999', before => '0', name => 'a' || repeat('b', 47));

select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema bad cascade;
