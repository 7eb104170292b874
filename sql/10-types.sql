-- Whatever is not qualified below is PostgreSQL's own: nothing that somebody has made is found by its name.
set local search_path = pg_catalog, pg_temp;

-- Schemas and the words of the interface. Plain CREATE SCHEMA: a schema that somebody else made is not taken over.
create schema jittask;
comment on schema jittask is 'jittask: tasks that run because of a date in a table or on a schedule';
create schema jittask_inner;
comment on schema jittask_inner is 'internal functions of jittask tasks, each owned by its task''s owner';
create schema jittask_filter;
comment on schema jittask_filter is 'filters of jittask tasks as functions, each created by its task''s owner under a name that cannot be guessed';

create type jittask.task_kind as enum ('scheduled', 'date_field');
create type jittask.repeat_cycle as enum ('none', 'hourly', 'daily', 'weekly', 'monthly', 'yearly', 'custom');
create type jittask.record_status as enum
    ('pending', 'executing', 'overdue', 'completed', 'failed', 'skipped', 'cancelled');
create type jittask.holiday_shift as enum ('following', 'preceding', 'modified_following', 'drop');
create type jittask.catch_up as enum ('none', 'last', 'all');
create type jittask.overlap as enum ('skip', 'queue', 'allow');

comment on type jittask.task_kind is 'scheduled: by its own series; date_field: by a column of each row of a table';
comment on type jittask.repeat_cycle is 'how an occurrence repeats; custom means by rule';
comment on type jittask.record_status is 'pending, executing and overdue are before the end; the others are the end';
comment on type jittask.holiday_shift is 'where an occurrence goes that falls on a day that is not a working day';
comment on type jittask.catch_up is 'which occurrences run that are first seen after their due time';
comment on type jittask.overlap is 'what a scheduled task does when its previous run is still going';
