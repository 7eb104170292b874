-- Reading. Every view shows the caller's own tasks, to superusers and pg_read_all_data all.

-- The barrier must be around the union: PostgreSQL takes a union apart, and conditions with it, before the barriers in it.
-- An entry of the agenda is its task's owner's: others' entries are not even read. Of "between" the planner expects few rows
-- (in a subquery of its own, hence offset 0) and goes by the index; of "equal", where nearly all are one owner's, nearly all.
-- What a reader asks of status or task is judged above it, after row_key was made for each row: so its usual forms are
-- made here, without calling a function.
create view jittask.records with (security_barrier) as
select r.id, t.name as task, t.title, t.kind,
       case when r.key = '' then null
            when cardinality(t.key_columns) = 1 then jsonb_build_object(t.key_columns[1], r.key::jsonb)
            else jittask.make_row_key(t.key_columns, r.key) end as row_key,
       r.nominal_at, r.due_at, r.status, r.attempt, r.started_at, r.finished_at,
       r.finished_at - r.started_at as duration, r.started_at - r.due_at as delay, r.result,
       r.error_code, r.error, r.error_context, r.reason, pg_get_userbyid(t.owner) as owner, r.pid
from (
    select e.id, e.task_id, e.key, e.nominal_at, e.nominal_at as due_at, coalesce(e.status, 'completed') as status,
           coalesce(e.attempt, 1)::int as attempt, e.started_at, e.finished_at, e.result, e.error_code, e.error, e.error_context,
           e.reason, e.pid
    from jittask.record e where e.due_at is null
    union all
    select e.id, e.task_id, e.key, e.nominal_at, e.due_at, coalesce(e.status, 'completed'),
           coalesce(e.attempt, 1)::int, e.started_at, e.finished_at, e.result, e.error_code, e.error, e.error_context,
           e.reason, e.pid
    from jittask.record e where e.due_at is not null
    union all
    select a.id + k.pos - 1, a.task_id, k.key, a.nominal_at, a.due_at,
           case when x.entry is not null then 'executing'::jittask.record_status
                -- retry_record lets it be due anew, at run_at, by itself; what is held back has none.
                when a.attempt = 0 and case when a.origin <> 'p' and a.run_at < 'infinity' then a.run_at else a.due_at end
                     < clock_timestamp() - coalesce(current_setting('jittask.overdue_after', true), '1min')::interval
                then 'overdue' else 'pending' end,
           a.attempt + (x.entry is not null)::int, coalesce(x.started_at, a.started_at), null,
           null, a.error_code, a.error, a.error_context, null, x.pid
    from (select distinct m.owner from jittask.task m where jittask.may_read(m.owner)) o
    cross join lateral (select * from jittask.agenda where owner between o.owner and o.owner offset 0) a
    cross join lateral unnest(a.keys) with ordinality k (key, pos)
    left join jittask.running() x on x.entry = a.id and (x.pos = 0 or x.pos = k.pos)
) r join jittask.task t on t.id = r.task_id
where jittask.may_read(t.owner) and t.keeps_records;

create view jittask.tasks with (security_barrier) as
select t.name, t.title, t.description, t.kind, pg_get_userbyid(t.owner) as owner, t.enabled,
       case when not t.enabled then 'paused'
            when coalesce(t.problem, t.plan_problem) is not null then 'broken'
            when t.kind = 'scheduled' and s.due_at is null and n.count = 0 then 'finished'
            when t.kind = 'date_field' and (t.definition ->> 'end_at')::timestamptz < now() and n.count = 0 then 'finished'
            else 'active' end as state,
       coalesce(nullif(concat_ws('; ', t.problem, t.plan_problem), ''), case when not t.enabled then t.note end,
           case when t.definition ->> 'skip_holidays' = 'true' and l.covered_until <= current_date + 60
                and coalesce((t.definition ->> 'end_at')::timestamptz > l.covered_until + 1, true)
                and (t.kind = 'date_field' or t.definition ->> 'repeat' is distinct from 'none' or s.due_at > l.covered_until)
                then format('the holidays of calendar "%s" are known only until %s: load_holidays brings more', l.calendar, l.covered_until)
                end) as problem,
       t.relation as table_name, (t.definition ->> 'date_column')::name as date_column,
       t.schedule, t.definition ->> 'time_zone' as time_zone, n.due_at as next_due_at,
       greatest(c.last_started_at, n.started_at) as last_started_at, c.last_status, coalesce(c.completed, 0) as completed, coalesce(c.failed, 0) as failed,
       coalesce(c.skipped, 0) as skipped, coalesce(c.cancelled, 0) as cancelled,
       coalesce(c.passed_over, 0) as passed_over, coalesce(i.repaired, 0) as repaired, t.definition
from jittask.task t
left join jittask.series s on s.task_id = t.id
left join jittask.audited i on i.task_id = t.id
left join jittask.calendar_load l on l.calendar = coalesce(t.definition ->> 'calendar', 'default')
left join lateral (
    -- But for what executes now: of a batch there may be more to come.
    select min(a.due_at) filter (where x.entry is null or x.pos > 0 and x.total > 1) as due_at, count(*) as count,
           max(coalesce(x.started_at, a.started_at)) as started_at
    from jittask.agenda a left join jittask.running() x on x.entry = a.id where a.task_id between t.id and t.id) n on true
left join lateral (
    select sum(y.completed)::bigint as completed, sum(y.failed)::bigint as failed, sum(y.skipped)::bigint as skipped,
           sum(y.cancelled)::bigint as cancelled, sum(y.passed_over)::bigint as passed_over,
           max(y.last_started_at) as last_started_at,
           (array_agg(y.last_status order by y.last_started_at desc nulls last))[1] as last_status
    from jittask.tally y where y.task_id = t.id) c on true
where t.dropped_at is null and jittask.may_read(t.owner);

create view jittask.workers with (security_barrier) as
select w.pid, w.kind, d.datname as database, pg_get_userbyid(w.role) as role, w.state, w.since, w.heartbeat_at
from jittask.worker_slots() w left join pg_database d on d.oid = w.database
where w.kind <> 'executor' or jittask.may_read(w.role) or pg_has_role('pg_monitor', 'USAGE');

create view jittask.progress with (security_barrier) as
select x.pid, t.name as task, a.due_at,
       case when x.pos > 0 then jittask.make_row_key(t.key_columns, a.keys[x.pos]) end as row_key,
       greatest(x.pos - 1, 0) as rows_done, x.total as rows_total, x.started_at
from jittask.running() x join jittask.agenda a on a.id = x.entry join jittask.task t on t.id = a.task_id
where jittask.may_read(t.owner);

create view jittask.task_stats with (security_barrier) as
select r.task, count(*) filter (where r.status = 'pending') as pending, count(*) filter (where r.status = 'overdue') as overdue,
       count(*) filter (where r.status = 'executing') as executing, count(*) filter (where r.status = 'completed') as completed,
       count(*) filter (where r.status = 'failed') as failed, count(*) filter (where r.status = 'skipped') as skipped,
       count(*) filter (where r.status = 'cancelled') as cancelled,
       percentile_disc(0.5) within group (order by r.duration) as duration_p50,
       percentile_disc(0.95) within group (order by r.duration) as duration_p95, max(r.duration) as duration_max,
       percentile_disc(0.5) within group (order by r.delay) as delay_p50,
       percentile_disc(0.95) within group (order by r.delay) as delay_p95, max(r.delay) as delay_max
from jittask.records r group by r.task;

-- The product's own check that nothing is lost: unaccounted is 0 for every task, always (entered = ended + waiting).
create view jittask.accounts with (security_barrier) as
select t.name as task, y.entered, y.ended, coalesce(a.waiting, 0) as waiting,
       y.entered - y.ended - coalesce(a.waiting, 0) as unaccounted
from jittask.task t
join lateral (
    select coalesce(sum(entered), 0)::bigint as entered,
           coalesce(sum(completed + failed + skipped + cancelled), 0)::bigint as ended
    from jittask.tally where task_id = t.id) y on true
left join lateral (select sum(key_count)::bigint as waiting from jittask.agenda where task_id between t.id and t.id) a on true
where jittask.may_read(t.owner);

comment on view jittask.records is 'every occurrence: what ran, runs, waits to run, failed or was skipped, and why';
comment on view jittask.tasks is 'the tasks, their state, next due time and counts';
comment on view jittask.workers is 'jittask''s background processes';
comment on view jittask.progress is 'what is executing now, rows done of total';
comment on view jittask.task_stats is 'counts, durations and delays of each task over the records that are kept';
comment on view jittask.accounts is 'entered = ended + waiting for each task; unaccounted is what is missing';
