-- Filters: what is refused, and that what is kept means the same whatever happens to names afterwards.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/include/setup.sql'
\i :setup
\set ECHO all
create schema sieve authorization regress_owner;
create schema decoy authorization regress_owner;
set role regress_owner;
set search_path = sieve, public;
create table contract (id int primary key, due_on date, status text, amount numeric, "Odd ""name" text, tags text[], collated text collate "C", statu text);
create index on contract (due_on);
create table blocked (id int, status text);
create function remind(contract) returns void language sql as '';
create function is_open(text) returns boolean language sql immutable as $$ select $1 = 'open' $$;
create function is_open(contract) returns boolean language sql stable as $$ select $1.status = 'open' $$;

-- refused: syntax
select refused_date($$'remind', filter => ''$$);
select refused_date($$'remind', filter => '   '$$);
select refused_date($$'remind', filter => '-- true'$$);
select refused_date($$'remind', filter => 'status ='$$);
select refused_date($$'remind', filter => 'where status = 1'$$);
select refused_date($$'remind', filter => '/* open'$$);
select refused_date($$'remind', filter => 'status = ''open'$$);
select refused_date($$'remind', filter => 'status = $x$open'$$);
-- refused: several statements, or a way out of the parenthesis
select refused_date($$'remind', filter => 'true; drop table contract'$$);
select refused_date($$'remind', filter => 'true;'$$);
select refused_date($$'remind', filter => 'true) or (true'$$);
select refused_date($$'remind', filter => 'true) union select (1 = 1'$$);
select refused_date($$'remind', filter => 'true) limit (1'$$);
select refused_date($$'remind', filter => 'true) --'$$);
select refused_date($$'remind', filter => 'true) /*'$$);
select refused_date($$'remind', filter => 'true limit 1'$$);
select refused_date($$'remind', filter => 'true order by 1'$$);
select refused_date($$'remind', filter => 'true from contract'$$);
select refused_date($$'remind', filter => 'true where true'$$);
select refused_date($$'remind', filter => 'distinct true'$$);
select refused_date($$'remind', filter => 'true as x'$$);
select refused_date($$'remind', filter => 'true, true'$$);
select refused_date($$'remind', filter => '*'$$);
select refused_date($$'remind', filter => 'contract.*'$$);
select refused_date($$'remind', filter => 'select true'$$);
select refused_date($$'remind', filter => 'into x true'$$);
select refused_date(format($$'remind', filter => %L$$, E'a\u0001b'));
-- refused: names and types
select refused_date($$'remind', filter => 'nothing > 1'$$);
select refused_date($$'remind', filter => 'blocked.status = ''x'''$$);
select refused_date($$'remind', filter => 'jittask_row.id = 1'$$);
select refused_date($$'remind', filter => 'exists (select from nowhere)'$$);
select refused_date($$'remind', filter => 'no_function(id)'$$);
select refused_date($$'remind', filter => 'id'$$);
select refused_date($$'remind', filter => 'amount + 1'$$);
select refused_date($$'remind', filter => 'status > 1'$$);
select refused_date($$'remind', filter => 'id = $1'$$);
select refused_date($$'remind', filter => 'count(*) > 1'$$);
select refused_date($$'remind', filter => 'row_number() over () = 1'$$);
select refused_date($$'remind', filter => 'generate_series(1, 2) = 1'$$);
select refused_date($$'remind', filter => 'excluded.id = 1'$$);
select refused($$select jittask.create_date_task('t', 'contract', 'due_on', 'remind', filter => E'id = 1\0')$$);

-- accepted, and how it is kept
select jittask.create_date_task(f, 'contract', 'due_on', 'remind', filter => f)
from unnest(array[
    'status = ''open''',
    'contract.status = ''open'' -- with a comment',
    'sieve.contract.status = ''open''',
    'status = ''open'' or status = ''late''',
    '"Odd ""name" is not null',
    '(id, status) = (1, ''a''/* ) */)',
    'is_open(status)',
    'is_open(contract)',
    'contract is not null',
    'collated > ''a'' and status is not null',
    'statu = ''x filter.status'' and amount > 0',
    'status = any (tags) and ''{a}'' <@ tags',
    'amount between 1 and 2::numeric and not (id = 3)',
    'id in (select b.id from blocked b where b.status = contract.status)',
    'exists (select from blocked jittask_row where jittask_row.id = contract.id)',
    'exists (select from contract c where c.id < contract.id)',
    'due_on > current_date',
    'null'
]) with ordinality u (f, i) order by i;
reset role;
select t.title || ' => ' || replace(pg_get_function_sqlbody(p.oid), p.proname, 'THE_ROW') || case when t.filter_runs_late then ' (late)' else '' end
from jittask.task t join pg_proc p on t.filter_sql like 'jittask_filter.' || p.proname || '(%' order by t.id;

-- Names are looked up at creation, once: other objects of the same names change nothing.
set role regress_owner;
create table decoy.blocked (id int, status text);
create function decoy.is_open(text) returns boolean language sql as 'select false';
insert into contract (id, due_on, status) values (1, current_date + 10, 'open'), (2, current_date + 10, 'shut');
insert into blocked values (2, 'shut');
set search_path = decoy, public;
select row_key from jittask.preview('is_open_status');
select row_key from jittask.preview('is_open_contract');
select row_key from jittask.preview('id_in_select_b_id_from_blocked_b_where_b_status');
select row_key from jittask.preview('exists_select_from_blocked_jittask_row_where_jit');
select row_key from jittask.preview('exists_select_from_contract_c_where_c_id_contrac');
select row_key from jittask.preview('due_on_current_date') order by row_key;
select row_key from jittask.preview('null');
-- Nor does renaming what it names.
set search_path = sieve, public;
alter table contract rename to agreement;
select row_key from jittask.preview('is_open_status');
select row_key from jittask.preview('contract_is_not_null');
alter table sieve.blocked rename to stopped;
alter function sieve.is_open(text) rename to was_open;
select row_key from jittask.preview('is_open_status');
select row_key from jittask.preview('id_in_select_b_id_from_blocked_b_where_b_status');
-- The table can be altered, as by anybody who knows nothing of tasks: a filter is given columns, not the row …
create table altered (id int primary key, due_on date, kind text, spare int);
create index on altered (due_on);
select jittask.create_date_task('altered', 'altered', 'due_on', body => 'null', filter => 'kind = ''a'' and exists (select from altered a where a.id <= altered.id)');
alter table altered add column extra int default 1;
alter table altered add column stamped timestamptz default clock_timestamp();
alter table altered alter column extra type bigint;
alter table altered drop column spare;
insert into altered (id, due_on, kind) values (1, current_date + 10, 'a'), (2, current_date + 10, 'b');
select row_key from jittask.preview('altered');
-- … and a column that a filter reads can go; its task then says what is missing.
alter table altered drop column kind;
select refused($$select * from jittask.preview('altered')$$);
-- A filter stays its renamed task's, and is made anew when it is altered.
select jittask.create_date_task('changing', 'altered', 'due_on', body => 'null', filter => 'id = 1');
select jittask.alter_task('changing', '{"name": "changed"}');
select row_key from jittask.preview('changed');
select jittask.alter_task('changed', '{"filter": "id = 2 and altered is not null"}');
select row_key from jittask.preview('changed');
select jittask.alter_task('changed', '{"name": "again"}');
select row_key from jittask.preview('again');
select refused($$select jittask.alter_task('again', '{"filter": "id = 2) or (true"}')$$);
select jittask.alter_task('again', '{"filter": null}');
select row_key from jittask.preview('again');
-- Names of columns may look like parts of the call; system columns, and types that hold less than the column, are no part of a filter.
create table named (id int primary key, due_on date, "a, jittask_row.b" int, "c""d" text, "e.*)" smallint, f int);
create index on named (due_on);
select jittask.create_date_task('named', 'named', 'due_on', body => 'null', filter => '"a, jittask_row.b" = 1 and "c""d" = ''x'' and "e.*)" = 2');
insert into named values (1, current_date + 10, 1, 'x', 2, 3), (2, current_date + 10, 1, 'y', 2, 3);
select row_key from jittask.preview('named');
select refused($$select jittask.create_date_task('t', 'named', 'due_on', body => 'null', filter => 'ctid is not null')$$);
alter table named alter "c""d" type varchar(9), alter f type bigint;
select row_key from jittask.preview('named');
alter table named alter "e.*)" type int;
select refused($$select * from jittask.preview('named')$$);
select jittask.alter_task('named', '{"filter": "\"e.*)\" = 2"}');
select row_key from jittask.preview('named');
select jittask.drop_task('named');
drop table named;
-- What somebody's code raises while his filter is read keeps its SQLSTATE, whatever that is, and says where it came from.
create function strict(text) returns boolean language plpgsql as $$ begin raise 'not so odd: %', $1 using errcode = 'JT001', hint = 'Be odd.'; end $$;
create domain odd as text check (sieve.strict(value));
select refused($$select jittask.create_date_task('odd', 'altered', 'due_on', body => 'null', filter => $f$'{x}'::odd[] is null$f$)$$);
do $$
declare context text;
begin
    perform jittask.create_date_task('odd', 'altered', 'due_on', body => 'null', filter => $f$'{x}'::odd[] is null$f$);
exception when sqlstate 'JT001' then
    get stacked diagnostics context = pg_exception_context;
    raise notice '%', context;
end $$;
-- Each filter goes with its task, and is nobody else's.
reset role;
select count(*), bool_and(pg_get_userbyid(proowner) = 'regress_owner' and proacl::text = '{regress_owner=X/regress_owner}' and not prosecdef)
from pg_proc where pronamespace = 'jittask_filter'::regnamespace;
set role regress_owner;

select count(jittask.drop_task(name)) from jittask.tasks;
reset role;
set client_min_messages = warning;
drop schema sieve, decoy cascade;
