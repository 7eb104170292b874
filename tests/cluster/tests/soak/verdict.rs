//! What has to be true in the end: the rows and the calendar say what was due, records and effects what became of it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cluster::postgres::Client;
use cluster::{Cluster, all, one};

use super::load::{self, DATE_TASKS, TICKS, table_of};

/// After the last write, everything that is due has to be done within this.
const WORKED_OFF: Duration = Duration::from_secs(120);

/// What was counted.
pub struct Verdict {
    pub rows: i64,
    pub occurrences: i64,
    /// Completed at a later attempt than the first.
    pub retried: i64,
    /// From due to effect, all time without a server included: half, 95 % and all were faster; seconds.
    pub delays: [f64; 3],
    /// The equation of the accounts, over all tasks, those that were dropped included.
    pub entered: i64,
    pub ended: i64,
    pub waiting: i64,
}

/// Waits until all that was due is done, then compares.
///
/// # Panics
/// When an occurrence is missing, or was done twice, or is not accounted for.
pub fn judge(cluster: &Cluster, ddl: bool) -> Verdict {
    let mut session = cluster.connect("postgres");
    let last: DateTime<Utc> = (1..=load::TABLES)
        .filter_map(|k| one::<Option<DateTime<Utc>>>(&mut session, &format!("select max(due) from t{k}")))
        .max()
        .unwrap();
    work_off(cluster, &mut session, last);
    session
        .batch_execute(&format!(
            "create temporary table was_due as {};
             create temporary table done as select task, key, due_at, count(*) as times from outbox group by 1, 2, 3;
             create temporary table told as
             select task, coalesce((row_key ->> 'id')::bigint, 0) as key, due_at, count(*) as times, min(status) as status, max(attempt) as attempt,
                    min(concat_ws(' ', reason, started_at, finished_at, error_code, error)) as more
             from jittask.records where status not in ('pending', 'executing', 'overdue') and task ~ '^(d|tick)\\d+$' group by 1, 2, 3;
             analyze was_due; analyze done; analyze told;",
            was_due(last)
        ))
        .unwrap();
    each_once(&mut session, last);
    accounted(&mut session, ddl);
    count(&mut session)
}

fn work_off(cluster: &Cluster, session: &mut Client, last: DateTime<Utc>) {
    let left = "select t.name, a.id, a.run_at, a.due_at, a.attempt, a.origin, cardinality(a.keys) as keys, t.enabled, t.problem, t.plan_problem
         from jittask.agenda a left join jittask.task t on t.id = a.task_id where a.due_at <= $1
         union all select t.name, null, null, null, null, null, cardinality(c.keys), t.enabled, t.problem, t.plan_problem
         from jittask.capture c left join jittask.task t on t.token = c.token";
    let until = Instant::now() + WORKED_OFF;
    loop {
        let is_later = load::now(session) > last + chrono::Duration::seconds(5);
        let rows = session.query(&format!("select l::text from ({left}) l"), &[&last]).unwrap();
        if is_later && rows.is_empty() {
            return;
        }
        let told = || {
            let left: Vec<String> = rows.iter().take(30).map(|row| row.get(0)).collect();
            let workers: Vec<String> = all(&mut cluster.connect("postgres"), "select w::text from jittask.workers w");
            format!("{} are left: {left:#?}\n{workers:#?}", rows.len())
        };
        assert!(Instant::now() < until, "not all that was due is done. {}\n{}", told(), cluster.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Each row of a table is due once for each of its tasks, each scheduled task at each of its steps.
fn was_due(last: DateTime<Utc>) -> String {
    let rows =
        (1..=DATE_TASKS).map(|k| format!("select 'd{k}' as task, id as key, due as due_at from t{}", table_of(k)));
    let ticks = (1..=TICKS).map(|k| {
        format!(
            "select 'tick{k}', 0, at from jittask.tasks,
                 generate_series((definition ->> 'start_at')::timestamptz, '{last}', substr(definition ->> 'rule', 7)::interval) at
             where name = 'tick{k}'"
        )
    });
    rows.chain(ticks).collect::<Vec<_>>().join(" union all ")
}

fn each_once(session: &mut Client, last: DateTime<Utc>) {
    let wrong = session
        .query(
            "select format('%s %s %s: %s effects, %s records %s %s', task, key, due_at, coalesce(done.times, 0), coalesce(told.times, 0), told.status, told.more)
             from was_due full join done using (task, key, due_at) full join told using (task, key, due_at)
             where (done.times, told.times, told.status) is distinct from (1, 1, 'completed'::jittask.record_status) and due_at <= $1
             order by due_at limit 20",
            &[&last],
        )
        .unwrap();
    let wrong: Vec<&str> = wrong.iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "not exactly once: {wrong:#?}\n{}", told_of_problems(session));
}

fn told_of_problems(session: &mut Client) -> String {
    let tasks: Vec<String> =
        all(session, "select format('%s %s %s', name, state, problem) from jittask.tasks where state <> 'active'");
    let problems: Vec<String> = all(session, "select unnest(problems) from jittask.status()");
    format!("tasks: {tasks:#?}\nproblems: {problems:#?}")
}

fn accounted(session: &mut Client, ddl: bool) {
    assert_eq!(one::<i64>(session, "select unaccounted from jittask.status()"), 0);
    let odd: Vec<String> =
        all(session, "select format('%s: %s', task, unaccounted) from jittask.accounts where unaccounted <> 0");
    assert!(odd.is_empty(), "unaccounted: {odd:?}");
    let odd: Vec<String> = all(
        session,
        "select format('%s: %s counted, %s records', t.name, t.completed, r.completed) from jittask.tasks t
         join (select task, count(*) as completed from jittask.records where status = 'completed' group by 1) r on r.task = t.name
         where t.completed <> r.completed and t.name !~ '^tick'",
    );
    assert!(odd.is_empty(), "counts and records differ: {odd:?}");
    let broken: Vec<String> = all(
        session,
        "select format('%s %s %s', name, state, problem) from jittask.tasks where state <> 'active' or passed_over > 0",
    );
    assert!(broken.is_empty() || ddl && broken.iter().all(|task| task.starts_with("side")), "{broken:?}");
}

/// What took longest, for whoever reads the output.
fn tell_slowest(session: &mut Client) {
    let slowest: Vec<String> = all(
        session,
        "select concat_ws(' ', o.task, o.key, 'due', o.due_at::timestamp(1), 'done', o.at::timestamp(1), 'attempt', t.attempt, 'delay', o.at - o.due_at)
         from outbox o join told t on (t.task, t.key, t.due_at) = (o.task, o.key, o.due_at) order by o.at - o.due_at desc limit 12",
    );
    println!("slowest: {slowest:#?}");
}

fn count(session: &mut Client) -> Verdict {
    tell_slowest(session);
    let delays = session
        .query_one(
            "select percentile_disc(array[0.5, 0.95, 1]) within group (order by extract(epoch from at - due_at)::float8) from outbox",
            &[],
        )
        .unwrap()
        .get::<_, Vec<f64>>(0);
    let accounts = session
        .query_one("select sum(entered)::bigint, sum(ended)::bigint, sum(waiting)::bigint from jittask.accounts", &[])
        .unwrap();
    Verdict {
        rows: one(
            session,
            "select count(*) from was_due where task in (select 'd' || n from generate_series(1, 36) n)",
        ),
        occurrences: one(session, "select count(*) from was_due"),
        retried: one(session, "select count(*) from told where attempt > 1"),
        delays: [delays[0], delays[1], delays[2]],
        entered: accounts.get(0),
        ended: accounts.get(1),
        waiting: accounts.get(2),
    }
}
