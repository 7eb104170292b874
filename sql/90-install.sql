-- Rights, what pg_dump keeps, and the first row of things.

revoke all on all functions in schema jittask from public;
grant execute on all functions in schema jittask to public;
revoke execute on function jittask.announce_install() from public;
grant usage on schema jittask_inner to public; -- each function in it is its owner's alone
grant select on jittask.records, jittask.tasks, jittask.workers, jittask.progress, jittask.task_stats, jittask.accounts to public;

select pg_catalog.pg_extension_config_dump('jittask.task', '');
select pg_catalog.pg_extension_config_dump('jittask.task_id_seq', '');
select pg_catalog.pg_extension_config_dump('jittask.series', '');
select pg_catalog.pg_extension_config_dump('jittask.occurrence_id', '');
select pg_catalog.pg_extension_config_dump('jittask.agenda', '');
select pg_catalog.pg_extension_config_dump('jittask.record', '');
select pg_catalog.pg_extension_config_dump('jittask.capture', '');
select pg_catalog.pg_extension_config_dump('jittask.tally', '');
select pg_catalog.pg_extension_config_dump('jittask.home', '');
select pg_catalog.pg_extension_config_dump('jittask.calendar', $$where name <> 'default'$$);

insert into jittask.calendar values ('default', current_user::regrole, 'weekends only; fill it with add_holiday and add_workday');
insert into jittask.home select c.system_identifier, d.oid
from pg_control_system() c, pg_database d where d.datname = current_database();

select jittask.announce_install();
