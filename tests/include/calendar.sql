-- Included by the tests of calendars: the extension, two roles, and a function that shows how a statement is refused.
set client_min_messages = warning;
drop extension if exists jittask cascade;
create extension jittask;
do $$ begin
    create role regress_owner login;
    create role regress_other login;
exception when duplicate_object then null;
end $$;
grant usage on schema jittask to regress_owner, regress_other;

create or replace function calendar_state() returns text language sql security definer set search_path = pg_catalog, pg_temp as $$
    select md5(concat(
        (select string_agg(c::text, '|' order by c.name) from jittask.calendar c),
        (select string_agg(l::text, '|' order by l.calendar) from jittask.calendar_load l),
        (select string_agg(d::text, '|' order by d.calendar, d.day, d.source) from jittask.calendar_day d)))
$$;
-- SQLSTATE, message and hint of a statement that fails and leaves the calendars as they were.
create or replace function refused_calendar(statement text) returns text language plpgsql as $$
declare
    before text := calendar_state();
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
    if before is distinct from calendar_state() then
        return 'CHANGED SOMETHING: ' || statement;
    end if;
    return state || ': ' || message || case when hint <> '' then ' | ' || hint else '' end;
end $$;
grant execute on all functions in schema public to public;
set client_min_messages = notice;
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
\pset format unaligned
\pset tuples_only on
