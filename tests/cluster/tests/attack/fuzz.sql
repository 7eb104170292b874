-- Calls functions of jittask with whatever is odd, each call in a subtransaction that is rolled back. Values are SQL
-- expressions, kept by the name of their type; what is drawn depends on the session's setseed() alone.
create schema fuzz;
grant usage on schema fuzz to public;

create table fuzz.pool (kind text, value text);
grant select on fuzz.pool to public;

create table fuzz.due (id int primary key, due timestamptz, "we""ird. Näme'; --" date, note text);
insert into fuzz.due select id, now() + id * interval '1 day', current_date + id, 'x' from generate_series(1, 20) id;
create index on fuzz.due (due);
create view fuzz.seen as select * from fuzz.due;
create type fuzz.mood as enum ('good');
create function fuzz.run(fuzz.due) returns void language sql as '';
create function fuzz.run(fuzz.due[]) returns void language sql as '';
create function fuzz.tick() returns void language sql as '';
grant select, trigger on fuzz.due, fuzz.seen to public;

insert into fuzz.pool select 'text', v from unnest(array[
    'null', $$''$$, $$' '$$, $$'fuzz_tick'$$, $$'fuzz_tick'$$, $$'fuzz_rows'$$, $$'fuzz_rows'$$, $$'fuzz_paused'$$, $$'theirs'$$, $$'no_such'$$,
    $$repeat('x', 48)$$, $$repeat('x', 100000)$$, $$repeat('ä', 300)$$, $$e'\x01\t\r\n'$$, $$u&'\202e\feff\0301'$$, $$'合同到期提醒'$$,
    $$u&'\+01f4a9'$$, $$'we"ird. Näme''; --'$$, $$'%s%n%1$s'$$, $$'DE'$$, $$'BY'$$, $$'default'$$, $$'fuzz'$$, $$'Europe/Berlin'$$,
    $$'UTC'$$, $$'GMT-8'$$, $$'../../etc/passwd'$$, $$'FREQ=DAILY'$$, $$'FREQ=YEARLY;BYMONTHDAY=31'$$, $$'RRULE:FREQ=MONTHLY;BYDAY=-5FR'$$,
    $$'FREQ=SECONDLY;INTERVAL=99999999999999999999'$$, $$'FREQ=DAILY;COUNT=4294967296;INTERVAL=0'$$, $$'FREQ=DAILY;UNTIL=99999999T999999Z'$$,
    $$'cron: * * * * *'$$, $$'cron: 0 0 30 2 *'$$, $$'cron: 99999999999 L W # *'$$, $$'every 1 microsecond'$$, $$'every 178000000 years'$$,
    $$'every 2147483647 days'$$, $$'every -1 day'$$, $$'none'$$, $$'custom'$$, $$'monthly'$$, $$'trigger'$$, $$'scan'$$, $$'skip'$$, $$'all'$$,
    $$'plpgsql'$$, $$'sql'$$, $$'c'$$, $$'internal'$$, $$'fuzz.tick'$$, $$'fuzz.run'$$, $$'fuzz.run(fuzz.due)'$$, $$'fuzz.run(fuzz.due[])'$$,
    $$'fuzz.run('$$, $$'.'$$, $$'"'$$, $$'""'$$, $$'a.b.c.d'$$, $$'fuzz.due'$$, $$'fuzz.due.id'$$, $$'due'$$, $$'id'$$, $$'due < now()'$$,
    $$'id = 1 / 0'$$, $$'note = any(array[null])'$$, $$'true'$$, $$'select 1'$$, $$'null'$$, $$'begin end'$$, $$'{}'$$, $$'[]'$$, $$'["a"'$$,
    $$'1'$$, $$'"1"'$$, $$'-infinity'$$, $$'infinity'$$, $$'1e400'$$, $$'99999999999999999999'$$, $$repeat('(', 5000)$$, $$repeat('[', 5000)$$,
    $$repeat('[', 200) || repeat(']', 200)$$, $$'2026-02-30'$$, $$'4714-11-24 00:00:00+00 BC'$$, $$'294276-12-31 23:59:59.999999+00'$$,
    $$'2099-01-01'$$, $$'1 day'$$, $$'2147483647 mons 2147483647 days'$$, $$'-178000000 years'$$, $$'24:00'$$, $$'08:30'$$]) v;
insert into fuzz.pool select 'name', value from fuzz.pool where kind = 'text';
insert into fuzz.pool select 'integer', v from unnest(array['null', '0', '1', '-1', '7', '3', '1000', '1000001', '1969', '2026', '9999', '2147483647', '-2147483648']) v;
insert into fuzz.pool select 'bigint', v from unnest(array['null', '0', '1', '-1', '1024', '4096', '9223372036854775807', '-9223372036854775808',
    '(select min(id) from jittask.records)', '(select max(id) from jittask.records)']) v;
insert into fuzz.pool select 'boolean', v from unnest(array['null', 'true', 'false']) v;
insert into fuzz.pool select 'date', v from unnest(array['null', $$'-infinity'$$, $$'infinity'$$, $$'4714-11-24 BC'$$, $$'5874897-12-31'$$, $$'5874897-12-30'$$, $$'0001-01-01'$$,
    $$'0001-12-31 BC'$$, $$'9999-12-31'$$, $$'10000-01-01'$$, $$'262142-12-31'$$, $$'262143-01-01'$$, $$'2026-02-28'$$, $$'2026-12-26'$$]) v;
insert into fuzz.pool select k, v from unnest(array['timestamp with time zone', 'timestamp without time zone']) k,
    unnest(array['null', $$'-infinity'$$, $$'infinity'$$, $$'4714-11-24 00:00:00+00 BC'$$, $$'4714-11-25 00:00:00+00 BC'$$, $$'294276-12-31 23:59:59.999999+00'$$,
    $$'294276-12-31 00:00:00+00'$$, $$'0001-01-01 00:00:00+00'$$, $$'0001-12-31 23:59:59+00 BC'$$, $$'9999-12-31 23:59:59.999999+00'$$, $$'10000-01-01 00:00:00+00'$$,
    $$'262143-01-01 00:00:00+00'$$, $$now()$$, $$now() + interval '1 day'$$, $$now() + interval '30 days'$$, $$'2026-10-25 02:30'$$, $$'2099-01-31'$$, $$'2099-01-31'$$, $$'1970-01-01'$$]) v;
insert into fuzz.pool select 'interval', v from unnest(array['null', $$'0'$$, $$'1 microsecond'$$, $$'-1 microsecond'$$, $$'1 day'$$, $$'-1 day'$$, $$'1 year'$$, $$'12 hours'$$,
    $$'178000000 years'$$, $$'-178000000 years'$$, $$'2147483647 days'$$, $$'-2147483648 days'$$, $$'2147483647 mons 2147483647 days 2562047788:00:54.775807'$$,
    $$'-2147483648 mons -2147483648 days'$$, $$'infinity'$$, $$'-infinity'$$, $$'1 mon -1 day'$$]) v;
insert into fuzz.pool select 'time without time zone', v from unnest(array['null', $$'00:00'$$, $$'24:00'$$, $$'23:59:59.999999'$$, $$'08:30'$$]) v;
insert into fuzz.pool select 'name[]', v from unnest(array['null', $$'{}'$$, $$'{id}'$$, $$'{id,due}'$$, $$'{NULL}'$$, $$'{id,NULL}'$$, $$'{{id,due},{id,note}}'$$, $$'[0:1]={id,note}'$$,
    $$'[-5:-5]={id}'$$, $$'{ctid,tableoid}'$$, $$array_fill('id'::name, array[2000])$$, $$array['we"ird. Näme''; --']$$]) v;
insert into fuzz.pool select 'integer[]', v from unnest(array['null', $$'{}'$$, $$'{6,7}'$$, $$'{{6,7},{1,2}}'$$, $$'[5:6]={6,7}'$$, $$'{NULL}'$$, $$'{NULL,6}'$$, $$'{1,2,3,4,5,6,7}'$$,
    $$'{0}'$$, $$'{2147483647,-2147483648}'$$, $$'[-2147483648:-2147483647]={1,2}'$$, $$'{{{{{{6}}}}}}'$$, $$array_fill(1, array[20000])$$]) v;
insert into fuzz.pool select 'oid', v from unnest(array['null', '0', '1', '4294967295', '''fuzz.due''::regclass::oid', '''fuzz.due''::regclass::oid', '''fuzz.seen''::regclass::oid',
    '''pg_class''::regclass::oid', '''pg_class_oid_index''::regclass::oid', '''pg_toast.pg_toast_1255''::regclass::oid', '''jittask.task''::regclass::oid',
    '''fuzz.run(fuzz.due)''::regprocedure::oid', '''fuzz.mood''::regtype::oid', '''fuzz.due''::regtype::oid']) v;
insert into fuzz.pool select k, value from fuzz.pool, unnest(array['regclass', 'regrole', 'regtype', 'regprocedure']) k where pool.kind = 'oid';
insert into fuzz.pool select 'regrole', 'current_user::regrole' from generate_series(1, 5);
-- JSON as it is, and as the value of a key.
insert into fuzz.pool select 'odd json', v from unnest(array[$$'null'$$, $$'true'$$, $$'1'$$, $$'-1'$$, $$'0'$$, $$'3'$$, $$'2147483648'$$, $$'1e400'$$, $$'1e-400'$$, $$'1e100000'$$,
    $$'99999999999999999999'$$, $$'1.5'$$, $$'""'$$, $$'"x"'$$, $$'[]'$$, $$'{}'$$, $$'[null]'$$, $$'["id"]'$$, $$'["id", null]'$$, $$'[["id"]]'$$, $$'{"a": {"b": []}}'$$,
    $$'"\u0001"'$$, $$'"infinity"'$$, $$(repeat('[', 200) || repeat(']', 200))$$, $$(repeat('{"a":', 200) || '1' || repeat('}', 200))$$,
    $$(repeat('[', 120) || repeat(']', 120))$$, $$(repeat('[', 1500) || repeat(']', 1500))$$, $$('[' || repeat('null,', 5000) || '1]')$$, $$('"' || repeat('x', 300000) || '"')$$]) v;
insert into fuzz.pool select 'json key', v from unnest(array['title', 'name', 'description', 'date_column', 'service_function', 'body', 'language', 'before', 'after', 'at', 'filter',
    'repeat', 'rule', 'start_at', 'end_at', 'end_column', 'end_before', 'end_after', 'end_time', 'skip_holidays', 'calendar', 'holiday_shift', 'time_zone', 'existing_rows',
    'catch_up', 'catch_up_window', 'overlap', 'capture', 'key_columns', 'max_attempts', 'retry_backoff', 'timeout', 'enabled', 'kind', 'version', 'table_name', 'owner', 'id',
    '', 'we"ird']) v;
insert into fuzz.pool select 'json base', v from unnest(array['{}', '{"id": 1}', '{"title": "x", "body": "null", "start_at": "2099-01-01"}',
    '{"version": 1, "kind": "scheduled", "title": "x", "body": "null", "start_at": "2099-01-01", "repeat": "daily"}',
    '{"title": "x", "service_function": "fuzz.run", "date_column": "due"}',
    '{"version": 1, "kind": "date_field", "table_name": "fuzz.due", "title": "x", "service_function": "fuzz.run", "date_column": "due"}']) v;

-- What a call needs to get beyond its first argument, by the argument's name.
insert into fuzz.pool values ('of title', $$'x'$$), ('of body', $$'null'$$), ('of table_name', $$'fuzz.due'$$), ('of date_column', $$'due'$$),
    ('of start_at', $$'2099-01-31'$$), ('of task', $$'fuzz_tick'$$), ('of task', $$'fuzz_rows'$$), ('of task', $$'fuzz_paused'$$), ('of calendar', $$'fuzz'$$),
    ('of country', $$'DE'$$), ('of count', '7'), ('of kind', $$'scheduled'$$), ('of kind', $$'date_field'$$), ('of relation', $$'fuzz.due'::regclass$$);

-- One of a pool.
create function fuzz.pick(pool text[]) returns text language sql volatile as
    $$ select pool[1 + floor(random() * cardinality(pool))::int] $$;

-- A function is called so many times; returns how often which SQLSTATE came ("ok": none), with the last call of each.
create function fuzz.calls(called oid, calls int) returns table (state text, times bigint, example text) language plpgsql as $fuzz$
declare
    name text; kinds oid[]; names text[]; optional int; wide jsonb := '{}'; usual jsonb := '{}'; labels text[];
    odd text[] := array(select p.value from fuzz.pool p where p.kind = 'odd json' order by 1);
    keys text[] := array(select p.value from fuzz.pool p where p.kind = 'json key' order by 1);
    bases text[] := array(select p.value from fuzz.pool p where p.kind = 'json base' order by 1);
    words text[] := array(select p.value from fuzz.pool p where p.kind = 'text' order by 1);
    call text; arguments text[]; value text; states text[] := '{}'; examples jsonb := '{}'; what text;
begin
    select proname, proargtypes::oid[], proargnames, pronargs - pronargdefaults into name, kinds, names, optional from pg_proc where oid = called;
    for i in 1 .. cardinality(kinds) loop
        if kinds[i - 1] = 'jsonb'::regtype then continue; end if;
        select array_agg(quote_literal(enumlabel) order by enumsortorder) into labels from pg_enum where enumtypid = kinds[i - 1];
        labels := coalesce(case when labels <> '{}' then labels || 'null'::text end, array(select p.value from fuzz.pool p where p.kind = format_type(kinds[i - 1], null) order by 1));
        if labels = '{}' then raise exception 'no values of type % are known, for %', kinds[i - 1]::regtype, called::regprocedure; end if;
        wide := wide || jsonb_build_object(i, labels);
        labels := array(select p.value from fuzz.pool p where p.kind = 'of ' || names[i] order by 1);
        if labels <> '{}' then usual := usual || jsonb_build_object(i, labels); end if;
    end loop;
    for n in 1 .. calls loop
        arguments := '{}';
        for i in 1 .. cardinality(kinds) loop
            -- What may be left out mostly is: else hardly a call would get beyond its arguments.
            continue when i > optional and names[i] <> 'body' and random() < 0.8;
            if usual ? i::text and random() < 0.7 then
                value := usual -> i::text ->> floor(random() * jsonb_array_length(usual -> i::text))::int;
            elsif wide ? i::text then
                value := wide -> i::text ->> floor(random() * jsonb_array_length(wide -> i::text))::int;
            else
                value := case when random() < 0.1 then 'null' when random() < 0.15 then fuzz.pick(odd) else quote_literal(fuzz.pick(bases)) end;
                value := format('(%s)::jsonb', value);
                for k in 1 .. floor(random() * 3)::int loop
                    exit when value !~ '^\(?(jsonb_set\(|''\{)';
                    value := format('jsonb_set(%s, %L, %s)', value, array[fuzz.pick(keys)], case when random() < 0.5
                        then format('(%s)::jsonb', fuzz.pick(odd)) else format('coalesce(to_jsonb((%s)::text), ''null'')', fuzz.pick(words)) end);
                end loop;
            end if;
            value := format('(%s)::%s', value, format_type(kinds[i - 1], null));
            arguments := arguments || case when names is null then value else format('%I => %s', names[i], value) end;
        end loop;
        call := format('select jittask.%I(%s)', name, array_to_string(arguments, ', '));
        begin
            execute call;
            raise exception using errcode = 'F0000';
        exception when query_canceled or others then
            what := case sqlstate when 'F0000' then 'ok' else sqlstate end;
            states := states || what;
            if not examples ? what or what like 'XX%' then
                examples := examples || jsonb_build_object(what, left(call, 2000) || case what when 'ok' then '' else ' -- ' || left(sqlerrm, 300) end);
            end if;
        end;
    end loop;
    return query select s, count(*), examples ->> s from unnest(states) s group by s;
end
$fuzz$;
