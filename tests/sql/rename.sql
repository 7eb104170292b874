-- Tasks follow renamed tables and columns, whatever the names are used for.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema rename_test authorization regress_owner;
set role regress_owner;
set search_path = rename_test, public;
create table contract (id int, part text, due_on date, until date, status text, note text, primary key (id, part));
create index on contract (due_on);
create function remind(contract) returns void language sql as $$ select $$;
select jittask.create_date_task('rows', 'contract', 'due_on', 'remind', end_column => 'until', repeat => 'daily', time_zone => 'UTC',
    filter => $$status = 'active' and contract.note is distinct from 'status' /* status */ and upper(note) <> E'sta\'tus'$$);
create view shown as
select t.schedule, t.definition ->> 'date_column' as date, t.definition ->> 'end_column' as "end", t.definition ->> 'filter' as filter
from jittask.tasks t;
create view triggers as
select tgname ~ '_insert$' as at_insert, replace(encode(substr(tgargs, position('\x00'::bytea in tgargs) + 1), 'escape'), '\000', ' ') as key
from pg_trigger where tgrelid = 'contract'::regclass order by tgname;
select * from shown;
select key from triggers;
insert into contract values (1, 'a', '2100-01-01', '2100-01-02', 'active', 'x');
-- Also one that was altered.
select jittask.alter_task('rows', '{"description": "kept"}');
alter table contract rename due_on to "Due On";
alter table contract rename until to ends;
alter table contract rename status to state;
alter table contract rename part to "upper";
select * from shown;
select key from triggers;
select * from jittask.preview('rows', 3, '{"id": 1, "upper": "a"}');
-- Names that change places: each stays the column that it was.
begin;
alter table contract rename "Due On" to due_2;
alter table contract rename ends to "Due On";
alter table contract rename due_2 to ends;
commit;
select * from shown;
select * from jittask.preview('rows', 3, '{"id": 1, "upper": "a"}');
-- A key that gives its name to another column.
alter table contract rename id to old_id;
alter table contract add id uuid default gen_random_uuid();
select key from triggers;
select row_key from jittask.preview('rows', 1, '{"old_id": 1, "upper": "a"}');
-- The table, its schema, and back.
alter table contract rename to agreement;
alter function remind(agreement) rename to recall;
select table_name from jittask.tasks;
select * from jittask.preview('rows', 1, '{"old_id": 1, "upper": "a"}');
-- Rolled back.
begin;
alter table agreement rename state to status;
rollback;
select filter from shown;
-- What was renamed can be exported, dropped and imported.
select jittask.export_task('rows') as definition \gset
select :'definition'::jsonb ->> 'service_function' as function, :'definition'::jsonb ->> 'table_name' as "table";
select jittask.drop_task('rows') is null as dropped;
select jittask.import_task(:'definition');
select jittask.export_task('rows') = :'definition'::jsonb as same;
-- A column that is dropped is none that was renamed.
alter table agreement drop column note;
select filter from shown;
-- Through an inheritance parent.
reset role;
drop schema rename_test cascade;
create schema rename_test authorization regress_owner;
set role regress_owner;
create table parent (id int, due_on date) partition by range (id);
create table contract partition of parent (primary key (id)) for values from (0) to (100);
create function remind(contract) returns void language sql as $$ select $$;
create index on contract (due_on);
select jittask.create_date_task('part', 'contract', 'due_on', 'remind', time_zone => 'UTC');
alter table parent rename due_on to falls_due_on;
alter table parent rename id to nr;
select definition ->> 'date_column' as date from jittask.tasks where name = 'part';
select replace(encode(substr(tgargs, position('\x00'::bytea in tgargs) + 1), 'escape'), '\000', ' ') as key
from pg_trigger where tgrelid = 'contract'::regclass order by tgname;
\set ECHO none
reset role;
set client_min_messages = warning;
drop schema rename_test cascade;
