-- alter_task: each parameter by itself, pairs of which one clears the other, and what is refused changes nothing.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema altering authorization regress_owner;
select jittask.create_calendar('works', weekend => '{7}');
set role regress_owner;
set search_path = altering, public;
create table contract (id int primary key, other int unique not null, due_on date, due_at timestamptz, ends_on date, amount int);
create index on contract (due_on);
create index on contract (due_at);
create function tick() returns void language sql as '';
create function tock() returns void language sql as '';
create function remind(contract) returns void language sql as '';
create function warn(contract) returns void language sql as '';
select jittask.create_scheduled_task('Clock', '2100-01-01 09:00', 'tick', repeat => 'daily');
select jittask.create_date_task('Rows', 'contract', 'due_on', 'remind');

-- What is another in the definition than before; a parameter that is left out has its default.
create function altered(task text, changes jsonb) returns text language plpgsql as $$
declare
    before jsonb := jittask.export_task(task);
    after jsonb;
begin
    perform jittask.alter_task(task, changes);
    after := jittask.export_task(coalesce(changes ->> 'name', task));
    return (select coalesce(string_agg(format('%s %s -> %s', key, coalesce(b.value::text, '-'), coalesce(a.value::text, '-')), ', ' order by key), 'nothing')
            from jsonb_each(before) b full join jsonb_each(after) a using (key) where a.value is distinct from b.value);
end $$;

-- Each parameter of both kinds, there and back.
create table change (kind text, key text, there jsonb, back jsonb default '{}');
insert into change (kind, key, there, back) values
    ('scheduled', 'title', '{"title": "Uhr ⏰"}', '{"title": "Clock"}'),
    ('scheduled', 'start_at', '{"start_at": "2100-02-03 10:00+00"}', '{"start_at": "2100-01-01 09:00+00"}'),
    ('scheduled', 'service_function', '{"service_function": "tock"}', '{"service_function": "tick"}'),
    ('scheduled', 'body', '{"body": "null"}', '{"service_function": "tick"}'),
    ('scheduled', 'language', '{"body": "select 1", "language": "sql"}', '{"service_function": "tick"}'),
    ('scheduled', 'repeat', '{"repeat": "weekly"}', '{"repeat": "daily"}'),
    ('scheduled', 'rule', '{"rule": "every 2 weeks"}', '{"repeat": "daily"}'),
    ('scheduled', 'overlap', '{"overlap": "queue"}', '{"overlap": null}'),
    ('scheduled', 'time_zone', '{"time_zone": "asia/shanghai"}', '{"time_zone": "UTC"}'),
    ('scheduled', 'name', '{"name": "uhr"}', '{"name": "clock"}'),
    ('scheduled', 'catch_up_window', '{"catch_up_window": "3 days"}', '{"catch_up_window": null}'),
    ('date_field', 'title', '{"title": "Zeilen"}', '{"title": "Rows"}'),
    ('date_field', 'date_column', '{"date_column": "due_at"}', '{"date_column": "due_on"}'),
    ('date_field', 'service_function', '{"service_function": "warn"}', '{"service_function": "remind"}'),
    ('date_field', 'body', '{"body": "null"}', '{"service_function": "remind"}'),
    ('date_field', 'language', '{"body": "select 1", "language": "sql"}', '{"service_function": "remind"}'),
    ('date_field', 'before', '{"before": "1 month"}', '{"before": null}'),
    ('date_field', 'after', '{"after": "P2D"}', '{"after": null}'),
    ('date_field', 'at', '{"at": "9:30"}', '{"at": null}'),
    ('date_field', 'filter', '{"filter": "amount > 3"}', '{"filter": null}'),
    ('date_field', 'repeat', '{"repeat": "yearly"}', '{"repeat": null}'),
    ('date_field', 'rule', '{"rule": "FREQ=MONTHLY;BYMONTHDAY=-1"}', '{"repeat": null}'),
    ('date_field', 'end_column', '{"end_column": "ends_on"}', '{"end_column": null}'),
    ('date_field', 'end_before', '{"end_column": "ends_on", "end_before": "1 day"}', '{"end_column": null}'),
    ('date_field', 'end_after', '{"end_column": "ends_on", "end_after": "2 days"}', '{"end_column": null}'),
    ('date_field', 'end_time', '{"end_column": "ends_on", "end_time": "18:00"}', '{"end_column": null}'),
    ('date_field', 'time_zone', '{"time_zone": "Europe/Berlin"}', '{"time_zone": "UTC"}'),
    ('date_field', 'name', '{"name": "zeilen"}', '{"name": "rows"}'),
    ('date_field', 'catch_up_window', '{"catch_up_window": "2 days"}', '{"catch_up_window": null}'),
    ('date_field', 'existing_rows', '{"existing_rows": "2 hours"}', '{"existing_rows": null}'),
    ('date_field', 'capture', '{"capture": "scan"}', '{"capture": null}'),
    ('date_field', 'key_columns', '{"key_columns": ["other"]}', '{"key_columns": null}');
insert into change (kind, key, there, back)
select kind, key, jsonb_build_object(key, value), jsonb_build_object(key, null) from (values ('scheduled'), ('date_field')) k (kind),
    jsonb_each('{"end_at": "2101-01-01 00:00+00", "skip_holidays": true, "calendar": "works", "holiday_shift": "preceding",
                 "description": "Es schlägt.", "catch_up": "all", "max_attempts": 7, "retry_backoff": "90 seconds", "timeout": "1 minute",
                 "enabled": false}');
-- none is missing
select f.kind, p.name from (values ('scheduled', 'create_scheduled_task'), ('date_field', 'create_date_task')) f (kind, function)
join pg_proc on proname = function cross join lateral unnest(proargnames) p (name)
where p.name <> 'table_name' and not exists (select from change c where c.kind = f.kind and c.key = p.name);
create function there_and_back(kind text, there jsonb, back jsonb) returns text language plpgsql as $$
declare
    task text := case kind when 'scheduled' then 'clock' else 'rows' end;
    before jsonb := jittask.export_task(task);
    what text := altered(task, there);
begin
    perform altered(coalesce(there ->> 'name', task), back);
    return what || case when jittask.export_task(task) <> before then ' AND NOT BACK: ' || jittask.export_task(task)::text else '' end;
end $$;
set client_min_messages = warning;
select kind, key, there_and_back(kind, there, back) from change order by kind desc, key;
reset client_min_messages;
-- Nothing is left of what was.
select count(*) from pg_trigger where tgrelid = 'contract'::regclass and not tgisinternal;
select count(*) from pg_proc where pronamespace in ('jittask_inner'::regnamespace, 'jittask_filter'::regnamespace);

-- Pairs: one clears the other, and what belongs to it.
select altered('rows', '{"before": "1 day"}');
select altered('rows', '{"after": "2 days"}');
select altered('rows', '{"before": "3 days"}');
select altered('rows', '{"before": null}');
select altered('rows', '{"end_at": "2101-01-01"}');
select altered('rows', '{"end_column": "ends_on", "end_before": "1 day", "end_time": "12:00"}');
select altered('rows', '{"end_after": "2 days"}');
select altered('rows', '{"end_at": "2102-01-01"}');
select altered('rows', '{"end_at": null}');
select altered('rows', '{"body": "perform 1"}');
select altered('rows', '{"service_function": "warn"}');
select altered('rows', '{"rule": "every 2 days"}');
select altered('rows', '{"repeat": "daily"}');
select altered('rows', '{}');
-- An order of keys does not matter, and several at once are one change.
select altered('rows', '{"repeat": "custom", "rule": "every 3 days", "at": "08:00", "before": "1 day", "max_attempts": 2}');
select schedule from jittask.tasks where name = 'rows';

-- Only what bears on the time is planned anew: the occurrence and its id stay otherwise.
create function planned() returns text language sql as
    $$ select string_agg(format('%s %s', id, due_at), ', ' order by due_at) from jittask.records where task = 'clock' and status = 'pending' $$;
select planned() as planned \gset
select altered('clock', '{"body": "perform 1", "timeout": "5 s", "catch_up": "none", "overlap": "allow", "description": "d", "max_attempts": 9}');
select planned() = :'planned';
select altered('clock', '{"start_at": "2100-01-01 10:00+00"}');
select due_at from jittask.records where task = 'clock';
select sum(abs(unaccounted)) from jittask.accounts;

-- A rename: records and internal function follow.
select altered('clock', '{"name": "time"}');
select distinct task from jittask.records order by 1;
select proname, pg_get_userbyid(proowner) from pg_proc where pronamespace = 'jittask_inner'::regnamespace;
select refused($$select jittask.alter_task('time', '{"name": "rows"}')$$);
select refused($$select jittask.alter_task('time', '{"name": "No Name"}')$$);
select refused($$select jittask.alter_task('time', '{"name": null}')$$);

-- What is refused changes nothing, also where a part of it would do.
select refused($$select jittask.alter_task('rows', '{"max_attempts": 5, "colour": "red"}')$$);
select refused($$select jittask.alter_task('rows', '{"start_at": "2100-01-01"}')$$);
select refused($$select jittask.alter_task('rows', '{"overlap": "skip"}')$$);
select refused($$select jittask.alter_task('time', '{"before": "1 day"}')$$);
select refused($$select jittask.alter_task('rows', '{"kind": "scheduled"}')$$);
select refused($$select jittask.alter_task('rows', '{"table_name": "contract"}')$$);
select refused($$select jittask.alter_task('rows', '{"body": "perform 2", "max_attempts": 0}')$$);
select refused($$select jittask.alter_task('rows', '{"body": "begin oops"}')$$);
select refused($$select jittask.alter_task('rows', '{"filter": "amount > 3", "date_column": "amount"}')$$);
select refused($$select jittask.alter_task('rows', '{"filter": "amount >"}')$$);
select refused($$select jittask.alter_task('rows', '{"capture": "scan", "date_column": "missing"}')$$);
select refused($$select jittask.alter_task('rows', '{"service_function": "tick"}')$$);
select refused($$select jittask.alter_task('rows', '{"service_function": null}')$$);
select refused($$select jittask.alter_task('rows', '{"title": null}')$$);
select refused($$select jittask.alter_task('rows', '{"calendar": "none"}')$$);
select refused($$select jittask.alter_task('rows', '{"time_zone": "CEST"}')$$);
select refused($$select jittask.alter_task('rows', '{"rule": "every so often"}')$$);
select refused($$select jittask.alter_task('rows', '{"repeat": "weekly", "rule": "every 2 weeks"}')$$);
select refused($$select jittask.alter_task('rows', '{"max_attempts": "three"}')$$);
select refused($$select jittask.alter_task('rows', '{"before": "1 day", "after": "2 days"}')$$);
select refused($$select jittask.alter_task('time', '{"start_at": "2001-01-01", "repeat": "none"}')$$);
select refused($$select jittask.alter_task('rows', '[]')$$);
select refused($$select jittask.alter_task('rows', null)$$);
select refused($$select jittask.alter_task(null, '{}')$$);
select refused($$select jittask.alter_task('nobody', '{}')$$);
set role regress_other;
select refused($$select jittask.alter_task('rows', '{"title": "mine"}')$$);
reset role;
select refused($$select jittask.alter_task('rows', '{"title": "mine"}')$$);
set client_min_messages = warning;
drop schema altering cascade;
