-- Texts that are equal without being the same are no key. Ends early on a server without ICU.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create function pg_temp.no_icu() returns boolean language plpgsql as $$ begin
    create collation pg_temp.probe (provider = icu, locale = 'und');
    return false;
exception when others then
    return true;
end $$;
select pg_temp.no_icu() \gset
\if :no_icu
\quit
\endif
create schema loose_keys authorization regress_owner;
set role regress_owner;
set search_path = loose_keys, public;
set client_min_messages = warning;
create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table loose_key (name text collate loose primary key, nr int, due_on date);
select refused($$select jittask.create_date_task('t', 'loose_key', 'due_on', body => 'null')$$);
select refused($$select jittask.create_date_task('t', 'loose_key', 'due_on', body => 'null', key_columns => '{name}')$$);
create domain loose_text as text collate loose;
create domain looser as loose_text;
create table loose_domain (name looser primary key, due_on date);
select refused($$select jittask.create_date_task('t', 'loose_domain', 'due_on', body => 'null')$$);
create view loose_view as select * from loose_key;
select refused($$select jittask.create_date_task('t', 'loose_view', 'due_on', body => 'null', capture => 'scan', key_columns => '{name}')$$);
-- Another key is there.
alter table loose_key alter nr set not null, add unique (nr);
select jittask.create_date_task('loose', 'loose_key', 'due_on', body => 'null');
select refused($$select jittask.run_task('loose')$$);
-- Other collations are fine.
create table strict_key (name text collate "C" primary key, due_on date);
select jittask.create_date_task('strict', 'strict_key', 'due_on', body => 'null');
select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
drop schema loose_keys cascade;
