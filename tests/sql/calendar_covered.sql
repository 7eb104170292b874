-- How far a calendar's holidays are known: what a person is told when a task is created, and when the end comes near.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema covered authorization regress_owner;
set role regress_owner;
set search_path = covered, public;
create table contract (id int primary key, due_on date);
create index on contract (due_on);
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';
select jittask.create_calendar('empty');
select jittask.create_calendar('germany', 'DE');
-- no holidays at all
select jittask.create_scheduled_task('none', '2100-01-01 09:00', 'tick', repeat => 'daily', skip_holidays => true, calendar => 'empty');
select jittask.create_scheduled_task('none', '2100-01-01 09:00', 'tick', repeat => 'daily', skip_holidays => true);
-- it goes on beyond what is known
reset role;
update jittask.calendar_load set covered_until = '2100-12-31' where calendar = 'germany';
set role regress_owner;
select jittask.create_scheduled_task('beyond', '2100-01-01 09:00', 'tick', repeat => 'daily', skip_holidays => true, calendar => 'germany');
select jittask.create_date_task('beyond', 'contract', 'due_on', 'remind', skip_holidays => true, calendar => 'germany');
-- and here it does not, or does not ask
select jittask.create_scheduled_task('within', '2100-01-01 09:00', 'tick', repeat => 'daily', end_at => '2100-12-31 23:00', skip_holidays => true, calendar => 'germany');
select jittask.create_scheduled_task('once', '2100-01-01 09:00', 'tick', skip_holidays => true, calendar => 'germany');
select jittask.create_scheduled_task('not asking', '2100-01-01 09:00', 'tick', repeat => 'daily', calendar => 'germany');
select jittask.create_scheduled_task('paused', '2100-01-01 09:00', 'tick', repeat => 'daily', enabled => false, skip_holidays => true, calendar => 'germany');
select name, state, problem from jittask.tasks where problem is not null;
-- within 60 days of the end, those that go on beyond it have a problem; they stay active
reset role;
create function pg_temp.known_for(days int) returns table (name text, state text, problem text) language sql as $$
    update jittask.calendar_load set covered_until = current_date + days where calendar = 'germany';
    -- what ends with the known days ends with them
    update jittask.task set definition = jsonb_set(definition, '{end_at}', to_jsonb(to_char(current_date + days, 'YYYY-MM-DD"T23:00:00Z"'))) where name = 'within';
    select name, state, replace(problem, (current_date + days)::text, 'DAY') from jittask.tasks where problem is not null order by name
$$;
select * from pg_temp.known_for(61);
select * from pg_temp.known_for(60);
select * from pg_temp.known_for(-1);
select regexp_replace(p, '\d{4}-\d\d-\d\d', 'DAY') from jittask.status(), unnest(problems) p where p like 'task%';
-- loading more ends it
select jittask.load_holidays('germany', 'DE') > 100;
select name, problem from jittask.tasks where problem is not null and extract(year from current_date) < 2035;
set client_min_messages = warning;
select count(jittask.drop_task(name)) from jittask.tasks;
drop schema covered cascade;
