-- Row keys: each type that a key may have, in the same form whatever the session's settings are.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema keys authorization regress_owner;
set role regress_owner;
set search_path = keys, public;
create type mood as enum ('low', 'it''s "high"');
create domain code as char(6) check (value <> '');
create domain positive as int check (value > 0);
create domain small as positive check (value < 1000);
create domain deadline as date;
-- One table a type, its key made from a literal; a task on it, and a run for that row.
create function try_key(type text, literal text, given jsonb default null) returns text language plpgsql as $$
declare
    made text;
    stored jsonb;
    previewed jsonb;
begin
    execute format('create table one (k %s primary key, due_on date)', type);
    execute format('insert into one values (%L, current_date + 30)', literal);
    execute 'create index on one (due_on)';
    made := jittask.create_date_task('key', 'one', 'due_on', body => 'null');
    select p.row_key into previewed from jittask.preview(made) p;
    perform jittask.run_task(made, coalesce(given, previewed));
    select r.row_key into stored from jittask.records r where r.task = made and r.status = 'pending';
    -- and the row is found again by the key
    if not exists (select from jittask.preview(made, row_key => stored)) then
        stored := jsonb_build_object('lost', stored);
    end if;
    perform jittask.drop_task(made, keep_records => false);
    drop table one;
    return type || ': ' || previewed || case when stored = previewed then '' else ' but ' || stored::text end;
end $$;
set client_min_messages = warning;
select try_key('int2', '-7');
select try_key('int4', '42');
select try_key('int4', '42', '{"k": "42"}');
select try_key('int8', '9223372036854775807');
select try_key('int8', '9007199254740993');
select try_key('numeric', '1.0');
select try_key('numeric', '1.00', '{"k": 1}');
select try_key('numeric', '1', '{"k": "1.000"}');
select try_key('numeric', '100');
select try_key('numeric', '0.00');
select try_key('numeric', '-0.50', '{"k": -0.5}');
select try_key('numeric', '1234567890123456789012345678901234567890.000000001');
select try_key('numeric', '1e30', '{"k": 1000000000000000000000000000000}');
select try_key('numeric', 'NaN');
select try_key('numeric', '-Infinity');
select try_key('numeric(10,2)', '12.3', '{"k": 12.3}');
select try_key('uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
select try_key('uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"k": "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"}');
select try_key('text', 'plain');
select try_key('text', E'"quoted" \\ back\nline\t期 🎂');
select try_key('text', '');
select try_key('text', '{"a": 1}');
select try_key('text', '42', '{"k": 42}');
select try_key('text', 'null');
select try_key('text', '  padded  ');
select try_key('varchar(10)', 'short');
select try_key('varchar', 'any');
select try_key('char(5)', 'ab');
select try_key('char(5)', 'ab', '{"k": "ab"}');
select try_key('char(5)', 'ab', '{"k": "ab  "}');
select try_key('char', 'x');
select try_key('bpchar', 'ab');
select try_key('date', '2026-02-01');
select try_key('date', 'infinity');
select try_key('date', '0044-03-15 BC');
select try_key('timestamp', '2026-02-01 12:34:56.789');
select try_key('timestamptz', '2026-02-01 12:34:56.000001+08');
select try_key('timestamptz', '-infinity');
select try_key('timestamptz', '2026-02-01 12:34:56+08', '{"k": "2026-01-31T20:34:56-08:00"}');
select try_key('bytea', '\x00ff10');
select try_key('bytea', '');
select try_key('bool', 'true');
select try_key('bool', 'f', '{"k": "no"}');
select try_key('mood', 'it''s "high"');
select try_key('code', 'ab', '{"k": "ab"}');
select try_key('small', '999');
select try_key('deadline', '2026-02-01');

-- whatever the settings of the session are
set timezone = 'Asia/Kolkata';
set datestyle = 'SQL, DMY';
set intervalstyle = 'iso_8601';
set bytea_output = 'escape';
set extra_float_digits = 0;
select try_key('date', '01/02/2026');
select try_key('date', '01/02/2026', '{"k": "01/02/2026"}');
select try_key('timestamp', '01/02/2026 12:34:56');
select try_key('timestamptz', '01/02/2026 12:34:56');
select try_key('timestamptz', '01/02/2026 12:34:56', '{"k": "2026-02-01 07:04:56+00"}');
select try_key('bytea', '\x00ff10');
set datestyle = 'ISO, MDY';
set timezone = 'UTC';
reset bytea_output;

-- longer than its column: no row, where a cast would cut it to the key of another
create table fixed (k char(3) primary key, due_on date);
select jittask.create_date_task('fixed', 'fixed', 'due_on', body => 'null');
select jittask.run_task('fixed', '{"k": "abcd"}') > 0;
select row_key from jittask.records;
select refused($$select jittask.run_task('fixed', '{"k": {"a": 1}}')$$);

-- which key: the primary key first, then the smallest unique index on columns that are not null
create table chosen (a int not null, b int not null, c int not null, d int, due_on date, unique (a, b), unique (c), unique (d));
select jittask.create_date_task('chosen', 'chosen', 'due_on', body => 'null');
select refused($$select jittask.run_task('chosen')$$);
alter table chosen add primary key (b, a);
select jittask.create_date_task('chosen', 'chosen', 'due_on', body => 'null');
select refused($$select jittask.run_task('chosen_2')$$);
select jittask.create_date_task('chosen', 'chosen', 'due_on', body => 'null', key_columns => '{d}');
select refused($$select jittask.run_task('chosen_3')$$);

-- several columns
create table parts (day timestamptz, part text, nr numeric, due_on date, primary key (part, day, nr)) partition by list (part);
create table parts_a partition of parts for values in ('a', 'x,"y"');
insert into parts values ('2026-01-01 00:00+08', 'x,"y"', 1.50, current_date + 3);
select jittask.create_date_task('parts', 'parts', 'due_on', body => 'null');
select row_key from jittask.preview('parts');
select jittask.run_task('parts', '{"nr": 1.500, "part": "x,\"y\"", "day": "2025-12-31T16:00:00Z"}') > 0;
select row_key from jittask.records where task = 'parts';
select refused($$select jittask.run_task('parts', '{"nr": 1, "part": "a"}')$$);

-- views
create view chosen_view as select a as x, b as y, due_on from chosen;
insert into chosen values (1, 2, 3, 4, current_date + 3);
select refused($$select jittask.create_date_task('t', 'chosen_view', 'due_on', body => 'null', capture => 'scan')$$);
select refused($$select jittask.create_date_task('t', 'chosen_view', 'due_on', body => 'null', capture => 'scan', key_columns => '{a}')$$);
select jittask.create_date_task('view', 'chosen_view', 'due_on', body => 'null', capture => 'scan', key_columns => '{y,x}');
select row_key from jittask.preview('view');
create materialized view chosen_stored as select * from chosen_view;
create unique index on chosen_stored (x);
select refused($$select jittask.create_date_task('t', 'chosen_stored', 'due_on', body => 'null', capture => 'scan')$$);
select jittask.create_date_task('stored', 'chosen_stored', 'due_on', body => 'null', capture => 'scan', key_columns => '{x}');
select row_key from jittask.preview('stored');

select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
drop schema keys cascade;
