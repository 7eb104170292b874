-- Creating tasks. These pack their arguments under their names; they pin no search_path, because names in them
-- (table, function, filter) are looked up by the caller's, once.

create function jittask.create_scheduled_task(
    title            text,
    start_at         timestamptz,
    service_function text default null,
    body             text default null,
    repeat           jittask.repeat_cycle default 'none',
    rule             text default null,
    end_at           timestamptz default null,
    skip_holidays    boolean default false,
    calendar         text default 'default',
    holiday_shift    jittask.holiday_shift default 'following',
    time_zone        text default null,
    language         name default 'plpgsql',
    name             text default null,
    description      text default null,
    catch_up         jittask.catch_up default 'last',
    catch_up_window  interval default '32 days',
    overlap          jittask.overlap default 'skip',
    max_attempts     int default 3,
    retry_backoff    interval default '10 seconds',
    timeout          interval default '12 hours',
    enabled          boolean default true
) returns text language sql volatile as $$
    select jittask.define_task('scheduled', 0::pg_catalog.oid, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'title', title, 'start_at', pg_catalog.to_jsonb(start_at), 'service_function', service_function, 'body', body,
        'repeat', repeat, 'rule', rule, 'end_at', pg_catalog.to_jsonb(end_at), 'skip_holidays', skip_holidays,
        'calendar', calendar, 'holiday_shift', holiday_shift, 'time_zone', time_zone, 'language', language,
        'name', name, 'description', description, 'catch_up', catch_up,
        'catch_up_window', catch_up_window::pg_catalog.text, 'overlap', overlap, 'max_attempts', max_attempts,
        'retry_backoff', retry_backoff::pg_catalog.text, 'timeout', timeout::pg_catalog.text, 'enabled', enabled)))
$$;
comment on function jittask.create_scheduled_task(text, timestamptz, text, text, jittask.repeat_cycle, text, timestamptz,
    boolean, text, jittask.holiday_shift, text, name, text, text, jittask.catch_up, interval, jittask.overlap, int,
    interval, interval, boolean) is
    'creates a task that runs a function at start_at and then by its cycle, in time_zone, until end_at (inclusive); returns its name';

create function jittask.create_date_task(
    title            text,
    table_name       regclass,
    date_column      name,
    service_function text default null,
    body             text default null,
    before           interval default null,
    after            interval default null,
    at               time default null,
    filter           text default null,
    repeat           jittask.repeat_cycle default 'none',
    rule             text default null,
    end_at           timestamptz default null,
    end_column       name default null,
    end_before       interval default null,
    end_after        interval default null,
    end_time         time default null,
    skip_holidays    boolean default false,
    calendar         text default 'default',
    holiday_shift    jittask.holiday_shift default 'following',
    time_zone        text default null,
    language         name default 'plpgsql',
    name             text default null,
    description      text default null,
    existing_rows    interval default '0',
    catch_up         jittask.catch_up default 'last',
    catch_up_window  interval default '1 day',
    capture          text default 'trigger',
    key_columns      name[] default null,
    max_attempts     int default 3,
    retry_backoff    interval default '10 seconds',
    timeout          interval default '12 hours',
    enabled          boolean default true
) returns text language sql volatile as $$
    select jittask.define_task('date_field', table_name::pg_catalog.oid, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'title', title, 'date_column', date_column, 'service_function', service_function, 'body', body,
        'before', before::pg_catalog.text, 'after', after::pg_catalog.text, 'at', at::pg_catalog.text, 'filter', filter,
        'repeat', repeat, 'rule', rule, 'end_at', pg_catalog.to_jsonb(end_at), 'end_column', end_column,
        'end_before', end_before::pg_catalog.text, 'end_after', end_after::pg_catalog.text,
        'end_time', end_time::pg_catalog.text, 'skip_holidays', skip_holidays, 'calendar', calendar,
        'holiday_shift', holiday_shift, 'time_zone', time_zone, 'language', language, 'name', name,
        'description', description, 'existing_rows', existing_rows::pg_catalog.text, 'catch_up', catch_up,
        'catch_up_window', catch_up_window::pg_catalog.text, 'capture', capture, 'key_columns', key_columns,
        'max_attempts', max_attempts, 'retry_backoff', retry_backoff::pg_catalog.text,
        'timeout', timeout::pg_catalog.text, 'enabled', enabled)))
$$;
comment on function jittask.create_date_task(text, regclass, name, text, text, interval, interval, time, text,
    jittask.repeat_cycle, text, timestamptz, name, interval, interval, time, boolean, text, jittask.holiday_shift, text,
    name, text, text, interval, jittask.catch_up, interval, text, name[], int, interval, interval, boolean) is
    'creates a task that runs a function with each row whose date column falls due, before or after it by an interval, at a time of day; returns its name';
