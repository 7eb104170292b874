-- Rights, what pg_dump keeps, and what watches the database's objects.

revoke all on all functions in schema jittask from public;
grant execute on all functions in schema jittask to public;
revoke execute on function jittask.announce_install() from public;
grant usage on schema jittask_inner to public; -- each function in it is its owner's alone
grant usage on schema jittask_filter to public; -- likewise; and nobody may create here, see src/catalog/table/filter.rs
grant select on jittask.records, jittask.tasks, jittask.workers, jittask.progress, jittask.task_stats, jittask.accounts to public;

select pg_catalog.pg_extension_config_dump('jittask.task', '');
select pg_catalog.pg_extension_config_dump('jittask.task_id_seq', '');
select pg_catalog.pg_extension_config_dump('jittask.series', '');
select pg_catalog.pg_extension_config_dump('jittask.occurrence_id', '');
select pg_catalog.pg_extension_config_dump('jittask.agenda', '');
select pg_catalog.pg_extension_config_dump('jittask.record', '');
select pg_catalog.pg_extension_config_dump('jittask.capture', '');
select pg_catalog.pg_extension_config_dump('jittask.arrears', '');
select pg_catalog.pg_extension_config_dump('jittask.tally', '');

create event trigger jittask_schema_changed on ddl_command_end
    when tag in ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER SCHEMA', 'CREATE FUNCTION',
                 'CREATE TABLE', 'CREATE VIEW')
    execute function jittask.schema_changed();
create event trigger jittask_objects_dropped on sql_drop execute function jittask.schema_changed();
comment on event trigger jittask_schema_changed is 'jittask: tasks follow renames, and heal when what they need is back';
comment on event trigger jittask_objects_dropped is 'jittask: tasks whose function, table or column was dropped become broken';

select jittask.announce_install();
