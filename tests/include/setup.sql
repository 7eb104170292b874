-- Included by every test: the extension, two roles, and functions that show how a statement is refused.
set client_min_messages = warning;
drop extension if exists jittask cascade;
create extension jittask;
-- Nothing runs while these tests look at what was stored.
alter system set jittask.enabled = off;
select pg_reload_conf() \gset
do $$ begin
    create role regress_owner login;
    create role regress_other login;
exception when duplicate_object then null;
end $$;
grant usage on schema jittask to regress_owner, regress_other;

create or replace function fingerprint() returns text language sql security definer set search_path = pg_catalog, pg_temp as $$
    select md5(concat(
        (select string_agg(t::text, '|' order by t.id) from jittask.task t),
        (select string_agg(a::text, '|' order by a.id) from jittask.agenda a),
        (select string_agg(s::text, '|' order by s.task_id) from jittask.series s),
        (select string_agg(y::text, '|' order by y.task_id, y.writer) from jittask.tally y),
        (select string_agg(r::text, '|' order by r.id) from jittask.record r),
        (select string_agg(g.tgname, '|' order by g.oid) from pg_trigger g where g.tgname like 'jittask%'),
        (select string_agg(p::text, '|' order by p.oid) from pg_proc p where p.pronamespace = 'jittask_inner'::regnamespace)))
$$;
-- What a failed call must leave as it was, of the session too.
create or replace function session_state() returns text language sql as $$
    select concat_ws('|', current_user, session_user, current_setting('search_path'), current_setting('datestyle'),
        current_setting('intervalstyle'), current_setting('lock_timeout'), current_setting('transaction_read_only'),
        current_setting('check_function_bodies'), current_setting('timezone'))
$$;
-- SQLSTATE, message and hint of a statement that fails.
create or replace function refused(statement text) returns text language plpgsql as $$
declare
    before text := fingerprint() || session_state();
    state text;
    message text;
    hint text;
begin
    begin
        execute statement;
        return 'NOT REFUSED: ' || statement;
    exception when others then
        get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint;
    end;
    if before is distinct from fingerprint() || session_state() then
        return 'CHANGED SOMETHING: ' || statement;
    end if;
    return state || ': ' || message || case when hint <> '' then ' | ' || hint else '' end;
end $$;
-- The same of a date-field task and of a scheduled task, with these arguments beside the required ones.
create or replace function refused_date(arguments text) returns text language sql as $$
    select refused('select jittask.create_date_task(''t'', ''contract'', ''due_on'', ' || arguments || ')')
$$;
create or replace function refused_scheduled(arguments text) returns text language sql as $$
    select refused('select jittask.create_scheduled_task(''t'', ''2100-01-01 09:00+00'', ' || arguments || ')')
$$;
grant execute on all functions in schema public to public;
set client_min_messages = notice;
set timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
