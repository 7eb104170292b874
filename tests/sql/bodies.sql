-- Internal functions: what a body may be, and what becomes of it.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema inner_test authorization regress_owner;
set role regress_owner;
set search_path = inner_test, public;
create table contract (id int primary key, due_on date, note text);
create index on contract (due_on);
create table effect (n serial, what text);
create function first_service(contract) returns void language sql as $$ insert into effect (what) values ('first ' || $1.id) $$;
create function second_service(contract) returns void language sql as $$ insert into effect (what) values ('second ' || $1.note) $$;
-- Creates a task with this body, calls its function once as its owner, shows the effects, drops the task.
create function try_body(body text, language name default 'plpgsql') returns text language plpgsql as $$
declare
    made text := jittask.create_date_task('inner', 'contract', 'due_on', body => try_body.body, language => try_body.language);
    shown text;
begin
    delete from effect;
    execute format('select jittask_inner.%I(c) from contract c', made);
    select string_agg(what, ', ' order by n) into shown from effect;
    perform jittask.drop_task(made, keep_records => false);
    return shown;
end $$;
insert into contract values (1, '2100-01-01', 'note');

-- statements
select try_body($$insert into effect (what) values (row_data.note);$$);
select try_body($$insert into effect (what) values (row_data.note)$$);
select try_body($$insert into effect (what) values (row_data.note) -- no semicolon before the comment$$);
select try_body($$insert into effect (what) values (row_data.note); -- done$$);
select try_body($$insert into effect (what) values (row_data.note); /* done; /* nested */ */ $$);
select try_body($$
    -- two services
    perform first_service(row_data);
    perform second_service(row_data)
$$);
select try_body($$if row_data.id = 1 then perform first_service(row_data); end if$$);
select try_body($$for i in 1..3 loop insert into effect (what) values (i::text); end loop;$$);
select try_body($$perform first_service(row_data); begin perform 1/0; exception when others then perform second_service(row_data); end$$);
select try_body($$insert into effect (what) values ('-- no comment')$$);
select try_body($$insert into effect (what) values ($x$ /* no comment $x$)$$);
select try_body($$insert into effect (what) values (E'it''s -- \\ fine') ;$$);
select refused($$select try_body('beginning := 1')$$);
-- a block
select try_body($$begin perform first_service(row_data); end$$);
select try_body($$begin perform first_service(row_data); end;$$);
select try_body($$BEGIN perform first_service(row_data); END;$$);
select try_body($$declare x text := row_data.note; begin insert into effect (what) values (x); end$$);
select try_body($$
    -- a comment first
    /* and /* another */ */
    declare
        x text := row_data.note;
    begin
        insert into effect (what) values (x);
    end;
$$);
select try_body($$<<outermost>> declare x text := 'labelled'; begin insert into effect (what) values (outermost.x); end$$);
select try_body($$#variable_conflict use_column
declare what text := 'x'; begin insert into effect (what) values ('option'); end$$);
-- other languages
select try_body('insert into effect (what) values (row_data.note)', 'sql');
select try_body('select first_service(row_data); select second_service(row_data);', 'sql');
-- Line numbers are those of the body.
select try_body($$perform first_service(row_data);
perform 1 / 0;$$);

-- whose it is
select jittask.create_date_task('mine', 'contract', 'due_on', body => 'null', name => 'mine');
select jittask.create_scheduled_task('tick', '2100-01-01', body => 'null', name => 'tick');
reset role;
select p.oid::regprocedure, pg_get_userbyid(p.proowner), p.prosecdef, l.lanname, p.prorettype::regtype, p.proargnames, p.proacl
from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace = 'jittask_inner'::regnamespace order by 1;
select has_function_privilege('regress_other', 'jittask_inner.tick()', 'execute'), has_schema_privilege('regress_other', 'jittask_inner', 'create');
set role regress_other;
select jittask_inner.tick();
-- What is taken, what is free again.
reset role;
set role regress_owner;
select refused($$select jittask.create_scheduled_task('tick', '2100-01-01', body => 'null', name => 'tick')$$);
select jittask.drop_task('tick');
select count(*) from pg_proc where pronamespace = 'jittask_inner'::regnamespace;
select jittask.create_date_task('tick', 'contract', 'due_on', body => 'null', name => 'tick');
select oid::regprocedure from pg_proc where pronamespace = 'jittask_inner'::regnamespace order by 1;
-- The source is kept as it was written, and the language.
select definition ->> 'body', definition ->> 'language', definition ? 'service_function' from jittask.tasks where name = 'tick';
select jittask.create_scheduled_task('x', '2100-01-01', 'now');
select definition ? 'body', definition ? 'language' from jittask.tasks where name = 'x';
-- A body is checked with its owner's rights and names, and never called at creation.
select jittask.create_scheduled_task('raises', '2100-01-01', body => $$raise exception 'never at creation'$$);
select refused_scheduled($$body => 'insert into effect (what) values (1', language => 'sql'$$);
select refused_scheduled($$body => 'insert into nowhere values (1)', language => 'sql'$$);
-- Any trusted language will do, whoever made its validator.
reset role;
create function inner_test.look(function oid) returns void language plpgsql as $$ begin if (select prosrc = 'bad' from pg_proc where oid = function) then raise 'a bad body'; end if; end $$;
create trusted language another handler plpgsql_call_handler validator inner_test.look;
set role regress_owner;
select jittask.create_scheduled_task('another', '2100-01-01', body => 'begin null; end', language => 'another');
select refused_scheduled($$body => 'bad', language => 'another'$$);
select jittask.drop_task('another');
reset role;
drop language another;
set role regress_owner;

-- outside a run
select * from jittask.current_run();
select count(*) from jittask.current_run();

select count(jittask.drop_task(name)) from jittask.tasks;
select count(*) from pg_proc where pronamespace = 'jittask_inner'::regnamespace;
reset role;
set client_min_messages = warning;
drop schema inner_test cascade;
