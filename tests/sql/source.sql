-- Source mode: a definition as one JSON document, out and in again without loss.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema source authorization regress_owner;
create schema "Other Schema" authorization regress_owner;
select jittask.create_calendar('works', weekend => '{7}');
set role regress_owner;
set search_path = source, public;
create table contract (id int, part text, due_on date, due_at timestamptz, ends_on date, amount int, primary key (id, part));
create table "Other Schema"."Verträge" (id uuid primary key, "fällig am" timestamp, "endet am" timestamptz, "Note 'x'" text);
create view lines as select id, due_on from contract;
create function tick() returns void language sql as '';
create function "Other Schema"."Erinnere!"("Other Schema"."Verträge"[]) returns text language sql as $$ select '' $$;
set client_min_messages = warning;

-- the least that a task needs
select jittask.create_scheduled_task('least', '2100-01-01 09:00', 'tick');
select jittask.create_date_task('least', 'contract', 'due_on', body => 'null');
-- everything other than its default
select jittask.create_scheduled_task(
    'Wöchentlich 每周', '2100-01-01 09:00:00.123456+02', body => E'declare\n  t text := ''it''''s "quoted" \\ $$ \t end'';\nbegin\n  perform t; -- 注释\nend;\n',
    rule => 'RRULE:FREQ=WEEKLY;BYDAY=MO,FR;COUNT=100', end_at => '2101-12-31 23:59:59.999999+00', skip_holidays => true, calendar => 'works',
    holiday_shift => 'modified_following', time_zone => 'America/Argentina/Buenos_Aires', name => 'weekly_2', description => E'Zeile 1\nZeile 2 ✓',
    catch_up => 'all', catch_up_window => '1 day 02:03:04.5', overlap => 'allow', max_attempts => 17, retry_backoff => '1.5 s', timeout => '90 minutes',
    enabled => false);
select jittask.create_scheduled_task('cron', '2100-01-01', body => 'select 1', language => 'sql', rule => 'cron: 30 9 L * *', overlap => 'queue', catch_up => 'none');
select jittask.create_date_task(
    'Verträge ⏰', '"Other Schema"."Verträge"', 'fällig am', '"Other Schema"."Erinnere!"', before => '1 year 2 mons 3 days', at => '09:30:15.25',
    filter => $$"Note 'x'" like '%''%' and "Verträge"."Note 'x'" <> E'\\'$$, repeat => 'yearly', end_column => 'endet am', end_before => '1 mon', end_time => '18:00',
    skip_holidays => true, calendar => 'works', holiday_shift => 'drop', time_zone => 'Europe/Berlin', name => 'vertraege', description => '',
    existing_rows => '2 days', catch_up => 'none', catch_up_window => '30 days', capture => 'scan', key_columns => '{id}', max_attempts => 1,
    retry_backoff => '0', timeout => '1 second', enabled => false);
select jittask.create_date_task(
    'after', 'contract', 'due_at', body => 'perform row_data.amount;', after => '1 day 01:00', rule => 'every 45 minutes', end_at => '2100-06-01 12:00+02',
    holiday_shift => 'preceding', skip_holidays => true, existing_rows => '1 hour');
select jittask.create_date_task('view', 'lines', 'due_on', body => 'null', end_column => 'due_on', end_after => '1 week', capture => 'scan', key_columns => '{id}');
-- a name, a function and a table that a session would not find by itself
set search_path = pg_catalog;
select jsonb_pretty(jittask.export_task(name)) from jittask.tasks order by name;
select jittask.export_tasks() = (select jsonb_agg(jittask.export_task(name) order by name) from jittask.tasks);

-- Out, dropped, in again as somebody with other settings would: the same.
create table source.before as select name, jittask.export_task(name) as document, definition, schedule from jittask.tasks;
select count(jittask.drop_task(name)) from source.before;
set timezone = 'Asia/Tokyo';
set datestyle = 'German';
set intervalstyle = 'iso_8601';
set extra_float_digits = 0;
select jittask.import_task(document) from source.before order by name;
select name, document, jittask.export_task(name) from source.before where document is distinct from jittask.export_task(name);
select name, b.definition, t.definition from source.before b join jittask.tasks t using (name)
where (b.definition, b.schedule) is distinct from (t.definition, t.schedule);
-- again, over what is there
select count(jittask.import_task(document, replace => true)) from source.before;
select name from source.before where document is distinct from jittask.export_task(name);
set search_path = source, public;
select refused(format('select jittask.import_task(%L)', document)) from source.before where name = 'least';
-- replace changes in place, and what the document leaves out goes back to its default
select id as id from jittask.records where task = 'least' and status = 'pending' \gset
select jittask.import_task(document || '{"description": "now with one", "max_attempts": 5}', replace => true) from source.before where name = 'least';
select jittask.export_task('least') - 'body' - 'service_function';
select count(*) from jittask.records where id = :id;
select jittask.import_task(document, replace => true) from source.before where name = 'least';
select jittask.export_task('least') = document from source.before where name = 'least';
set timezone = 'UTC';
reset datestyle;
reset intervalstyle;
reset extra_float_digits;

-- An instant without offset is read in the definition's zone, one with an offset is what it says.
select jittask.import_task('{"kind": "scheduled", "title": "zone", "start_at": "2100-07-01 09:00", "end_at": "2100-07-02T09:00:00Z", "time_zone": "Asia/Shanghai", "repeat": "daily", "service_function": "tick"}');
select jittask.export_task('zone') -> 'start_at', jittask.export_task('zone') -> 'end_at';
select next_due_at from jittask.tasks where name = 'zone';
select jittask.import_task('{"version": 1, "kind": "scheduled", "name": "zone", "title": "zone", "start_at": "2100-07-01 10:00", "time_zone": "Europe/Berlin", "service_function": "tick", "description": null}', true);
select jittask.export_task('zone');
-- Without a name one is generated, without a zone it is the session's.
select jittask.import_task('{"kind": "scheduled", "title": "zone", "start_at": "2100-07-01 09:00", "service_function": "tick"}');
select jittask.export_task('zone_2') -> 'time_zone';

-- what is refused, and where it is
select refused($$select jittask.import_task('{"kind": "scheduled", "title": "t", "start_at": "2100-01-01", "service_function": "tick", "colour": "red"}')$$);
select refused($$select jittask.import_task('{"kind": "scheduled", "title": "t", "start_at": "2100-01-01", "service_function": "tick", "before": "1 day"}')$$);
select refused($$select jittask.import_task('{"kind": "scheduled", "title": "t", "start_at": "2100-01-01", "service_function": "tick", "table_name": "contract"}')$$);
select refused($$select jittask.import_task('{"kind": "date_field", "title": "t", "table_name": "contract", "date_column": "due_on", "body": "null", "overlap": "skip"}')$$);
select refused($$select jittask.import_task('{"kind": "date_field", "title": "t", "date_column": "due_on", "body": "null"}')$$);
select refused($$select jittask.import_task('{"kind": "date_field", "title": "t", "table_name": "missing", "date_column": "due_on", "body": "null"}')$$);
select refused($$select jittask.import_task('{"kind": "date_field", "title": "t", "table_name": 7, "date_column": "due_on", "body": "null"}')$$);
select refused($$select jittask.import_task('{"kind": "other", "title": "t"}')$$);
select refused($$select jittask.import_task('{"title": "t"}')$$);
select refused($$select jittask.import_task('{"version": 2, "kind": "scheduled", "title": "t"}')$$);
select refused($$select jittask.import_task('{"kind": "scheduled", "title": ["t"], "start_at": "2100-01-01", "service_function": "tick"}')$$);
select refused($$select jittask.import_task('{"kind": "scheduled", "title": "t", "start_at": "2100-01-01", "service_function": "tick", "max_attempts": 2.5}')$$);
select refused($$select jittask.import_task('{"kind": "scheduled", "title": "t", "start_at": "2100-01-01", "service_function": "tick", "enabled": "yes"}')$$);
select refused($$select jittask.import_task('[]')$$);
select refused($$select jittask.import_task(null)$$);
select refused($$select jittask.import_task('{"kind": "date_field", "name": "zone", "title": "t", "table_name": "contract", "date_column": "due_on", "body": "null"}', true)$$);
select refused($$select jittask.import_task('{"kind": "date_field", "name": "view", "title": "t", "table_name": "contract", "date_column": "due_on", "body": "null"}', true)$$);
set role regress_other;
select refused($$select jittask.import_task('{"kind": "scheduled", "name": "zone", "title": "t", "start_at": "2100-01-01", "body": "null"}', true)$$);
select refused($$select jittask.export_task('zone')$$);
reset role;
set client_min_messages = warning;
drop schema source cascade;
drop schema "Other Schema" cascade;
