-- The C functions under the interface. Callable by all where a trigger, a view or a wrapper needs it; each checks for itself.

create function jittask.define_task(kind jittask.task_kind, relation oid, definition jsonb) returns text
language c volatile as 'MODULE_PATHNAME', 'define_task_wrapper';
comment on function jittask.define_task(jittask.task_kind, oid, jsonb) is
    'internal: what create_scheduled_task and create_date_task do with their arguments';

create function jittask.due_soon(token bigint, value date) returns boolean
language c volatile strict parallel unsafe cost 1 as 'MODULE_PATHNAME', 'due_soon_date_wrapper';
create function jittask.due_soon(token bigint, value timestamp) returns boolean
language c volatile strict parallel unsafe cost 1 as 'MODULE_PATHNAME', 'due_soon_micros_wrapper';
create function jittask.due_soon(token bigint, value timestamptz) returns boolean
language c volatile strict parallel unsafe cost 1 as 'MODULE_PATHNAME', 'due_soon_micros_wrapper';
comment on function jittask.due_soon(bigint, date) is 'internal: could this value be due before the horizon? never raises';
comment on function jittask.due_soon(bigint, timestamp) is 'internal: could this value be due before the horizon? never raises';
comment on function jittask.due_soon(bigint, timestamptz) is 'internal: could this value be due before the horizon? never raises';

create function jittask.capture_row() returns trigger
language c as 'MODULE_PATHNAME', 'capture_row';
comment on function jittask.capture_row() is 'internal: notes that a row may be due soon; never raises, never waits';

create function jittask.running() returns table (entry bigint, pos int, pid int, started_at timestamptz, total int)
language c volatile as 'MODULE_PATHNAME', 'running_wrapper';
comment on function jittask.running() is 'internal: what the executors of this database are executing';

create function jittask.worker_slots()
returns table (pid int, kind text, database oid, role oid, state text, since timestamptz, heartbeat_at timestamptz)
language c volatile as 'MODULE_PATHNAME', 'worker_slots_wrapper';
comment on function jittask.worker_slots() is 'internal: jittask''s processes';

create function jittask.make_row_key(columns name[], key text) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select case
        when key = '' then null
        when cardinality(columns) = 1 then jsonb_build_object(columns[1], key::jsonb)
        -- Of a record from before the task's key was altered: no view fails because of one row.
        when jsonb_typeof(key::jsonb) <> 'array' then jsonb_build_object('key', key::jsonb)
        when jsonb_array_length(key::jsonb) <> cardinality(columns) then jsonb_build_object('key', key::jsonb)
        else (select jsonb_object_agg(c, v) from unnest(columns) with ordinality a (c, i)
              join jsonb_array_elements(key::jsonb) with ordinality b (v, i) using (i))
    end
$$;
comment on function jittask.make_row_key(name[], text) is 'internal: a stored key as {"column": value}; null for a scheduled task';

create function jittask.may_read(owner regrole) returns boolean
language c stable parallel safe as 'MODULE_PATHNAME', 'may_read_wrapper';
comment on function jittask.may_read(regrole) is 'internal: may the current role see the tasks of this owner?';

create function jittask.schema_changed() returns event_trigger
language c as 'MODULE_PATHNAME', 'schema_changed';
comment on function jittask.schema_changed() is 'internal: tasks follow renamed tables and columns, and the scheduler looks whether tasks have what they need';

create function jittask.announce_install() returns void
language c volatile as 'MODULE_PATHNAME', 'announce_install_wrapper';
comment on function jittask.announce_install() is 'internal: at commit, lets the launcher find this database';
