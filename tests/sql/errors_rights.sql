-- 42501: what a role may not do. Every refusal leaves the catalog as it was.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema shared;
create schema secret;
grant usage on schema shared to public;
create table shared.contract (id int primary key, due_on date, note text);
create index on shared.contract (due_on);
create table shared.theirs (id int primary key, due_on date);
alter table shared.theirs owner to regress_owner;
create table secret.contract (id int primary key, due_on date);
grant all on secret.contract to regress_owner;
create function shared.remind(shared.contract) returns void language sql as '';
create function shared.remind(shared.theirs) returns void language sql as '';
create function shared.tick() returns void language sql as '';
create function shared.forbidden() returns void language sql as '';
create function shared.forbidden(shared.contract) returns void language sql as '';
revoke execute on function shared.forbidden() from public;
revoke execute on function shared.forbidden(shared.contract) from public;
create function shared.their_tick() returns void language sql as '';
alter function shared.their_tick() owner to regress_owner;
create function secret.tick() returns void language sql as '';
select 'secret.contract'::regclass::oid as hidden \gset

set role regress_owner;
set search_path = shared, public;
-- the table
select refused_date($$'remind'$$);
reset role;
grant trigger on shared.contract to regress_owner;
set role regress_owner;
select refused_date($$'remind'$$);
reset role;
grant select (id, due_on) on shared.contract to regress_owner;
set role regress_owner;
select refused_date($$'remind'$$);
reset role;
grant select on shared.contract to regress_owner;
revoke trigger on shared.contract from regress_owner;
set role regress_owner;
select refused_date($$'remind'$$);
-- With SELECT alone, capture by scan.
select jittask.create_date_task('scanned', 'contract', 'due_on', 'remind', capture => 'scan');
select count(*) from pg_trigger where tgname like 'jittask%';
select refused($$select jittask.create_date_task('t', 'secret.contract', 'due_on', body => 'null')$$);
select refused(format($$select jittask.create_date_task('t', %s::oid::regclass, 'due_on', body => 'null', capture => 'scan')$$, :hidden));
select refused($$select jittask.create_date_task('t', 'pg_catalog.pg_authid', 'rolvaliduntil', body => 'null')$$);
-- the function
select refused_scheduled($$'forbidden'$$);
select refused_date($$'forbidden', capture => 'scan'$$);
select refused_scheduled($$'secret.tick'$$);
select refused_scheduled($$'secret.tick()'$$);
-- the language
select refused_scheduled($$body => 'select 1', language => 'c'$$);
reset role;
revoke usage on language plpgsql from public;
set role regress_owner;
select refused_scheduled($$body => 'null'$$);
reset role;
grant usage on language plpgsql to public;

-- the schema jittask
revoke usage on schema jittask from regress_other;
set role regress_other;
select refused_scheduled($$'tick'$$);
select refused($$select * from jittask.tasks$$);
reset role;
grant usage on schema jittask to regress_other;

-- A superuser's task calls and reads what superusers own.
select refused_scheduled($$'their_tick'$$);
select refused($$select jittask.create_date_task('t', 'theirs', 'due_on', 'remind')$$);
select refused($$select jittask.create_date_task('t', 'theirs', 'due_on', body => 'null')$$);
-- A member of the owner may still be served as that owner.
set role regress_owner;
select jittask.create_date_task('theirs', 'theirs', 'due_on', 'remind');
select jittask.create_scheduled_task('tick', '2100-01-01', 'their_tick');
reset role;

-- a role without login: only PostgreSQL 17 and later run its tasks
create role regress_nologin;
grant usage on schema jittask to regress_nologin;
set role regress_nologin;
select case when current_setting('server_version_num')::int < 170000 then
    refused_scheduled($$'tick'$$) =
    '22023: role "regress_nologin" cannot log in, so no background process can run its tasks | ALTER ROLE … LOGIN, create the task as another role, or use PostgreSQL 17 or later.'
else jittask.drop_task(jittask.create_scheduled_task('t', '2100-01-01', 'tick'))::text = '' end;
reset role;

-- another owner's task
set role regress_other;
select refused(format('select jittask.%s(%L)', f, t))
from unnest('{pause_task,resume_task,drop_task,run_task}'::text[]) f, unnest('{tick,theirs}'::text[]) t;
select refused($$select * from jittask.preview('tick')$$);
select refused($$select jittask.create_scheduled_task('t', '2100-01-01', 'tick', name => 'tick')$$);
reset role;
-- A superuser may work with any task, but evaluates nobody's filter.
select jittask.pause_task('tick', 'by the superuser');
select name, owner, state, problem from jittask.tasks where name = 'tick';
select jittask.resume_task('tick');
select refused($$select * from jittask.preview('tick')$$);
select refused($$select * from jittask.preview('theirs')$$);
select jittask.run_task('theirs', '{"id": 1}') > 0;
-- Members of the owner act in its place, except where its code would run as them.
grant regress_owner to regress_other;
set role regress_other;
select jittask.pause_task('tick');
select jittask.resume_task('tick');
select refused($$select * from jittask.preview('theirs')$$);
reset role;
revoke regress_owner from regress_other;
select count(jittask.drop_task(name)) from jittask.tasks;

-- A key column's domain or cast is its owner's code, too: it does not run for a superuser who only names a row.
set role regress_owner;



reset role;
create schema trap authorization regress_owner;
set role regress_owner;
create function trap.spring(int) returns boolean language plpgsql as $$ begin raise exception 'sprung as %', current_user; end $$;
create domain trap.number as int check (trap.spring(value));
create type trap.mood as enum ('good', 'bad');
create table trap.bait (id trap.number, mood trap.mood, due_on date, primary key (id, mood));
create index on trap.bait (due_on);
create function trap.to_mood(text) returns trap.mood language plpgsql as $$ begin raise exception 'sprung as %', current_user; end $$;
create cast (text as trap.mood) with function trap.to_mood(text) as implicit;
select jittask.create_date_task('bait', 'trap.bait', 'due_on', body => 'null');
reset role;
select jittask.run_task('bait', '{"id": 1, "mood": "good"}') > 0;
select row_key from jittask.records where task = 'bait';
select jittask.drop_task('bait', keep_records => false);

set client_min_messages = warning;

drop schema shared, secret, trap cascade;
drop owned by regress_nologin;
drop role regress_nologin;
