-- What a task's life leaves: states, rights of the views, transactions, dropping it and the extension.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema life authorization regress_owner;
set role regress_owner;
set search_path = life, public;
create table contract (id int primary key, due_on date, note text);
create index on contract (due_on);
create function remind(contract) returns void language sql as '';
create function tick() returns void language sql as '';
insert into contract values (1, '2100-01-01', 'a'), (2, '2100-01-02', 'b');
-- everything that a task has put anywhere
create function traces() returns table (tasks bigint, triggers bigint, functions bigint, agenda bigint, accounted boolean) language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    select (select count(*) from jittask.task where dropped_at is null), (select count(*) from pg_trigger where tgname like 'jittask%' and not tgisinternal),
        (select count(*) from pg_proc where pronamespace = 'jittask_inner'::regnamespace), (select coalesce(sum(cardinality(keys)), 0) from jittask.agenda),
        (select coalesce(bool_and(unaccounted = 0), true) from jittask.accounts)
$$;
reset role;
alter function life.traces() owner to postgres;
set role regress_owner;
select * from traces();

-- a transaction that is rolled back leaves nothing
begin;
select jittask.create_date_task('gone', 'contract', 'due_on', body => 'null');
select jittask.create_scheduled_task('gone', '2100-01-01', 'tick');
select * from traces();
rollback;
select * from traces();
begin;
select jittask.create_date_task('kept', 'contract', 'due_on', 'remind');
savepoint here;
select jittask.create_date_task('gone', 'contract', 'due_on', body => 'null');
select jittask.pause_task('kept');
rollback to here;
select jittask.create_scheduled_task('tick', '2100-01-01', 'tick', repeat => 'daily');
commit;
select * from traces();
select name, enabled, state from jittask.tasks order by name;

-- states
select jittask.pause_task('kept', 'for the holidays');
select jittask.pause_task('tick');
select name, enabled, state, problem, definition -> 'enabled' from jittask.tasks order by name;
select jittask.pause_task('kept', 'for longer');
select name, problem from jittask.tasks where name = 'kept';
select jittask.resume_task('kept');
select jittask.resume_task('kept');
select jittask.resume_task('tick', '1 day');
select name, enabled, state, problem from jittask.tasks order by name;
select name, next_due_at from jittask.tasks order by name;
select * from traces();
select jittask.pause_task('tick');
select jittask.resume_task('tick');
select * from traces();
-- a series that has nothing left to plan, paused and resumed: its one occurrence stays one
select jittask.create_scheduled_task('once', '2100-01-01', 'tick');
select jittask.pause_task('once');
select jittask.resume_task('once');
select jittask.pause_task('once');
select jittask.resume_task('once', '1 day');
select count(*) from jittask.records where task = 'once';
-- created paused
select jittask.create_scheduled_task('later', '2100-01-01', 'tick', enabled => false);
select state, next_due_at from jittask.tasks where name = 'later';
select jittask.resume_task('later');
select state, next_due_at from jittask.tasks where name = 'later';
select jittask.create_date_task('finished', 'contract', 'due_on', 'remind', end_at => '2000-01-01');
select state from jittask.tasks where name = 'finished';

-- run_task, and what dropping makes of it
select jittask.run_task('kept', '{"id": 1}') > 0, jittask.run_task('kept', '{"id": 1}') > 0, jittask.run_task('tick') > 0, jittask.run_task('tick') > 0;
select task, kind, row_key, status, attempt, owner, nominal_at = due_at, started_at is null and finished_at is null and error is null and pid is null
from jittask.records order by task, id;
select count(distinct (task, row_key, nominal_at)) from jittask.records;
select jittask.pause_task('kept');
select jittask.run_task('kept', '{"id": 2}') > 0;
select jittask.drop_task('kept');
select task, row_key, status, reason, finished_at is null from jittask.records where task = 'kept' order by id;
select jittask.drop_task('tick', keep_records => false);
select count(*) from jittask.records where task = 'tick';
select refused($$select jittask.drop_task('tick')$$);
select count(jittask.drop_task(name)) from jittask.tasks;
select * from traces();
select task, status, reason, due_at from jittask.records where row_key is null order by id;
-- names can be used again, records of the old task keep theirs
select jittask.create_scheduled_task('kept', '2100-01-01', 'tick');
select count(*) from jittask.records where task = 'kept';

-- a table, a column or a function that goes away
select jittask.create_date_task('orphan', 'contract', 'due_on', 'remind');
begin;
drop table contract cascade;
select refused($$select jittask.run_task('orphan', '{"id": 1}')$$);
select refused($$select * from jittask.preview('orphan')$$);
select jittask.drop_task('orphan');
rollback;
select jittask.drop_task('orphan');
-- A user of the table may go on dropping columns that no task names.
select jittask.create_date_task('plain', 'contract', 'due_on', 'remind');
alter table contract drop column note;
select jittask.drop_task('plain');

-- With a filter a change of any column counts, and still the table is its owner's to change.
select jittask.create_date_task('filtered', 'contract', 'due_on', 'remind', filter => 'id > 0');
alter table contract add extra int default 1;
alter table contract alter extra type bigint;
update contract set extra = 2;
alter table contract drop column extra;
select refused('alter table contract drop column due_on');
select jittask.drop_task('filtered');

-- who sees what
select jittask.create_date_task('mine', 'contract', 'due_on', 'remind');
select jittask.run_task('mine', '{"id": 1}') > 0;
set role regress_other;
select count(*) from jittask.tasks;
select count(*) from jittask.records;
select count(*) from jittask.progress;
select count(*) from jittask.accounts;
select count(*) from jittask.running();
select count(*) from jittask.worker_slots() where kind = 'executor';
select relname from pg_class where relnamespace = 'jittask'::regnamespace and relkind in ('r', 'S')
and refused(format('select * from jittask.%I', relname)) not like '42501: permission denied for %';
select refused(format('insert into jittask.%I default values', relname)) from pg_class
where relnamespace = 'jittask'::regnamespace and relkind = 'r' and relname = 'capture';
-- A view that leaks through a cheap function would show it here.
create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0001 as $$ begin raise notice 'leaked %', $1; return true; end $$;
select count(*) from jittask.tasks where pg_temp.leak(name);
select count(*) from jittask.records where pg_temp.leak(task);
reset role;
grant pg_read_all_data to regress_other;
set role regress_other;
select name, owner from jittask.tasks order by name;
select count(*) from jittask.records where task = 'mine';
select refused($$select jittask.pause_task('mine')$$);
reset role;
revoke pg_read_all_data from regress_other;
grant regress_owner to regress_other;
set role regress_other;
select count(*) from jittask.tasks;
reset role;
revoke regress_owner from regress_other;
-- the superuser
select name, owner from jittask.tasks order by name;

-- the extension: not without CASCADE, and then with everything
select refused('drop extension jittask');
set client_min_messages = warning;
drop extension jittask cascade;
select count(*) from pg_trigger where tgname like 'jittask%';
select count(*) from pg_namespace where nspname like 'jittask%';
select count(*) from pg_proc where proname like '%jittask%' or probin like '%jittask%';
insert into life.contract values (3, '2100-01-03');
-- and it can be made again
create extension jittask;
select count(*) from jittask.tasks;
alter table life.contract add note text;
drop schema life cascade;
