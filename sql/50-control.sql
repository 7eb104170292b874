-- Working with tasks.

create function jittask.pause_task(task text, note text default null) returns void
language c volatile as 'MODULE_PATHNAME', 'pause_task_wrapper';
comment on function jittask.pause_task(text, text) is
    'stops a task from starting runs; running work ends; what falls due until resume_task is skipped, reason paused';

create function jittask.resume_task(task text, make_up interval default '0') returns void
language c volatile as 'MODULE_PATHNAME', 'resume_task_wrapper';
comment on function jittask.resume_task(text, interval) is
    'lets a paused task run again, from now; make_up also runs what fell due within this long ago';

create function jittask.drop_task(task text, keep_records boolean default true) returns void
language c volatile as 'MODULE_PATHNAME', 'drop_task_wrapper';
comment on function jittask.drop_task(text, boolean) is
    'drops a task with its triggers and internal function; what was due and not done becomes cancelled';

create function jittask.run_task(task text, row_key jsonb default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'run_task_wrapper';
comment on function jittask.run_task(text, jsonb) is
    'runs a task (for one row, if it is a date-field task) once, at commit, whatever its schedule and filter say; returns the record''s id';

create function jittask.preview(task text, count int default 7, row_key jsonb default null)
returns table (nominal_at timestamptz, due_at timestamptz, row_key jsonb)
language c volatile as 'MODULE_PATHNAME', 'preview_wrapper';
comment on function jittask.preview(text, int, jsonb) is 'the next occurrences of a task, by the scheduler''s own code';

create function jittask.preview_schedule(
    start_at timestamptz, repeat jittask.repeat_cycle, rule text default null, end_at timestamptz default null,
    skip_holidays boolean default false, calendar text default 'default',
    holiday_shift jittask.holiday_shift default 'following', time_zone text default null,
    count int default 7, from_at timestamptz default null
) returns table (nominal_at timestamptz, due_at timestamptz)
language sql volatile as $$
    select s.nominal_at, s.due_at from jittask.preview_definition(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'title', 'preview', 'start_at', pg_catalog.to_jsonb(start_at), 'repeat', repeat, 'rule', rule,
        'end_at', pg_catalog.to_jsonb(end_at), 'skip_holidays', skip_holidays, 'calendar', calendar,
        'holiday_shift', holiday_shift, 'time_zone', time_zone)), count, from_at) s
$$;
comment on function jittask.preview_schedule(timestamptz, jittask.repeat_cycle, text, timestamptz, boolean, text,
    jittask.holiday_shift, text, int, timestamptz) is
    'the first occurrences, due at from_at or later, of a schedule that is no task yet';

create function jittask.preview_definition(definition jsonb, count int, from_at timestamptz)
returns table (nominal_at timestamptz, due_at timestamptz)
language c volatile as 'MODULE_PATHNAME', 'preview_definition_wrapper';
comment on function jittask.preview_definition(jsonb, int, timestamptz) is 'internal: what preview_schedule does with its arguments';

create function jittask.current_run()
returns table (task text, record_id bigint, row_key jsonb, nominal_at timestamptz, due_at timestamptz, attempt int)
language c volatile as 'MODULE_PATHNAME', 'current_run_wrapper';
comment on function jittask.current_run() is
    'inside a service or internal function: the occurrence it serves; elsewhere no row. record_id is the same on every attempt';

create function jittask.status()
returns table (running boolean, behind interval, pending bigint, overdue bigint, executing bigint,
               failed_last_hour bigint, unaccounted bigint, problems text[])
language c volatile as 'MODULE_PATHNAME', 'status_wrapper';
comment on function jittask.status() is
    'how jittask is doing in this database: of the caller''s own tasks, for superusers and pg_monitor of all; problems in words';

create function jittask.activate() returns void
language c volatile as 'MODULE_PATHNAME', 'activate_wrapper';
comment on function jittask.activate() is
    'lets the tasks of a copied database (restored dump, template, other cluster) run there; for superusers, and its owner, if a member of all roles that have tasks';

create function jittask.alter_task(task text, changes jsonb) returns void
language c volatile as 'MODULE_PATHNAME', 'alter_task_wrapper';
comment on function jittask.alter_task(text, jsonb) is
    'changes a task: keys as the parameters of the function that creates it, null clears; counts from now; kind and table cannot change';

create function jittask.export_task(task text) returns jsonb
language c volatile as 'MODULE_PATHNAME', 'export_task_wrapper';
comment on function jittask.export_task(text) is 'the whole definition of a task, its internal function''s source too, as one JSON document';

create function jittask.export_tasks() returns jsonb
language c volatile as 'MODULE_PATHNAME', 'export_tasks_wrapper';
comment on function jittask.export_tasks() is 'the definitions of the caller''s own tasks, as a JSON array';

create function jittask.import_task(definition jsonb, replace boolean default false) returns text
language c volatile as 'MODULE_PATHNAME', 'import_task_wrapper';
comment on function jittask.import_task(jsonb, boolean) is
    'creates a task from what export_task wrote, or with replace alters the one of that name; returns its name';

create function jittask.simulate(task text, from_at timestamptz, until_at timestamptz)
returns table (row_key jsonb, nominal_at timestamptz, due_at timestamptz)
language c volatile as 'MODULE_PATHNAME', 'simulate_wrapper';
comment on function jittask.simulate(text, timestamptz, timestamptz) is
    'what would be due from from_at on and before until_at, on the rows as they are; for the owner alone';

create function jittask.audit(task text default null, from_at timestamptz default null, until_at timestamptz default null)
returns table (task text, row_key jsonb, nominal_at timestamptz, due_at timestamptz, finding text, detail text)
language c volatile as 'MODULE_PATHNAME', 'audit_wrapper';
comment on function jittask.audit(text, timestamptz, timestamptz) is
    'what was due from from_at on and before until_at (null: since the task''s floor, until a minute ago) and is missing, unexpected or there twice, by the rows alone; of all own tasks if task is null; for the owner alone';

create function jittask.explain_row(task text, row_key jsonb) returns table (step text, detail text)
language c volatile as 'MODULE_PATHNAME', 'explain_row_wrapper';
comment on function jittask.explain_row(text, jsonb) is
    'why this row runs, ran, or will not, step by step; for the owner alone';
