//! What `jittask.status()` counts, for a role or for all.

use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;
use schedule::Instant;

/// Counts over the tasks that the asking role may see.
#[derive(Default)]
pub struct Counts {
    /// Microseconds since the oldest due occurrence that has not started was due.
    pub behind: i64,
    /// Waiting and not overdue.
    pub pending: i64,
    /// Waiting for longer than jittask.overdue_after.
    pub overdue: i64,
    /// Executing now.
    pub executing: i64,
    /// Failed within the last hour.
    pub failed_last_hour: i64,
    /// Entered, and neither ended nor waiting: 0, or something is wrong.
    pub unaccounted: i64,
    /// One sentence each.
    pub problems: Vec<String>,
}

const MINE: &str = "with mine as (select t.* from jittask.task t where $2 or pg_has_role($1, t.owner::oid, 'USAGE'))";

/// Reads them in one snapshot.
pub fn read(role: Oid, all: bool) -> Counts {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "{MINE}, waiting as (
                     select a.attempt = 0 as is_new, case when a.origin <> 'p' and a.run_at < 'infinity' then a.run_at else a.due_at end as since,
                         clock_timestamp() - coalesce(current_setting('jittask.overdue_after', true), '1min')::interval as overdue_since, a.key_count - coalesce(x.running, 0) as count, coalesce(x.running, 0) as running
                     from jittask.agenda a join mine on mine.id = a.task_id
                     left join (select entry, case when pos = 0 then total else 1 end as running from jittask.running()) x on x.entry = a.id),
                 ends as (
                     select coalesce(sum(y.entered - y.completed - y.failed - y.skipped - y.cancelled), 0) as open
                     from jittask.tally y join mine on mine.id = y.task_id)
                 select
                     coalesce((select extract(epoch from max(clock_timestamp() - since) filter (where is_new and count > 0)) * 1000000 from waiting), 0)::bigint,
                     coalesce((select sum(count) filter (where not (is_new and since < overdue_since)) from waiting), 0)::bigint,
                     coalesce((select sum(count) filter (where is_new and since < overdue_since) from waiting), 0)::bigint,
                     coalesce((select sum(running) from waiting), 0)::bigint,
                     (select count(*) from jittask.record r join mine on mine.id = r.task_id where r.status = 'failed' and r.finished_at > clock_timestamp() - interval '1 hour'),
                     ((select open from ends) - coalesce((select sum(count + running) from waiting), 0))::bigint,
                     array(select format('task \"%s\" is broken: %s', name, concat_ws('; ', problem, plan_problem)) from mine where coalesce(problem, plan_problem) is not null and dropped_at is null order by name)
                         || array(select format('task \"%s\": %s occurrences were seen too late and passed over', m.name, sum(y.passed_over))
                                  from mine m join jittask.tally y on y.task_id = m.id where y.passed_over_at > clock_timestamp() - interval '1 day'
                                  group by m.name order by m.name)
                         || array(select format('task \"%s\": the audit found occurrences that had neither run nor waited, %s in all, the last at %s; they have been put to run',
                                      m.name, i.repaired, date_trunc('second', i.repaired_at))
                                  from mine m join jittask.audited i on i.task_id = m.id
                                  where m.dropped_at is null and i.repaired_at > clock_timestamp() - interval '1 day' order by m.name)
                         || array(select format('task \"%s\": the record of %s cannot be written: %s', m.name,
                                      case sum(a.key_count) when 1 then 'an occurrence' else format('%s occurrences', sum(a.key_count)) end, max(a.record_error))
                                  from mine m join jittask.agenda a on a.task_id = m.id where a.record_error is not null group by m.id, m.name order by m.name)
                         || array(select format('task \"%s\": %s', m.name, v.problem) from mine m join jittask.tasks v on v.name = m.name
                                  where m.dropped_at is null and m.definition ->> 'skip_holidays' = 'true' and v.problem is not null
                                    and v.state in ('active', 'finished') order by m.name)
                         || array(select 'jittask.record has no valid unique index \"record_occurrence\": REINDEX it, or nothing but a look keeps an occurrence from running twice'
                                  where $2 and not exists (select from pg_index i where i.indexrelid = to_regclass('jittask.record_occurrence')
                                      and i.indrelid = 'jittask.record'::regclass and i.indisunique and i.indisvalid and i.indisready))"
            ),
            &[sql::arg(role), sql::arg(all)],
        )
    });
    Counts {
        behind: rows.get(0, 1).unwrap_or_default(),
        pending: rows.get(0, 2).unwrap_or_default(),
        overdue: rows.get(0, 3).unwrap_or_default(),
        executing: rows.get(0, 4).unwrap_or_default(),
        failed_last_hour: rows.get(0, 5).unwrap_or_default(),
        unaccounted: rows.get(0, 6).unwrap_or_default(),
        problems: rows.get(0, 7).unwrap_or_default(),
    }
}

/// An instant in words, in the session's zone.
pub fn in_words(at: Instant) -> String {
    let statement = "select date_trunc('second', $1::timestamptz)::text";
    user::as_extension_owner(|| sql::run(statement, &[sql::at(at)])).get(0, 1).unwrap_or_default()
}

/// A run in words: its task's name only where the role may know it.
pub fn run_name(pid: i32, task: i32, started_at: Instant, role: Oid, all: bool) -> String {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "{MINE} select format('process %s%s since %s', $3, (select format(' with task \"%s\"', name) from mine where id = $4),
                     date_trunc('second', $5::timestamptz))"
            ),
            &[sql::arg(role), sql::arg(all), sql::arg(pid), sql::arg(task), sql::at(started_at)],
        )
    });
    rows.get(0, 1).unwrap_or_default()
}
