//! Each cycle and each end, with an occurrence that really falls due: the base lies 28 years before it. After 28 years
//! the calendar is the same, days of the week and leap days too, so one base serves all cycles.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cluster::postgres::Client;
use cluster::{Cluster, all, one};

const CYCLES: [&str; 6] = ["none", "hourly", "daily", "weekly", "monthly", "yearly"];

/// An instant that comes soon, as an SQL literal.
fn soon(session: &mut Client) -> String {
    one::<String>(session, "select format('timestamptz %L', date_trunc('second', now()) + interval '4 seconds')")
}

fn wait_past(cluster: &Cluster, due: &str) {
    cluster.wait_for(
        Duration::from_secs(60),
        &format!(
            "select clock_timestamp() > {due} + interval '1 second' and not exists
             (select from jittask.records where due_at <= {due} and status in ('pending', 'executing', 'overdue'))"
        ),
    );
}

#[test]
fn each_cycle_of_a_scheduled_task_runs() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    let due = soon(&mut session);
    session.batch_execute("create table outbox (task text, due_at timestamptz, at timestamptz default clock_timestamp());
        create function run() returns void language sql as $$ insert into outbox select task, due_at from jittask.current_run() $$").unwrap();
    for cycle in CYCLES {
        let years = if cycle == "none" { 0 } else { 28 };
        let text = format!(
            "select jittask.create_scheduled_task('{cycle}', {due} - interval '{years} years', 'run', repeat => '{cycle}')"
        );
        session.batch_execute(&text).unwrap();
    }
    wait_past(&cluster, &due);
    let ran: Vec<String> = all(&mut session, "select task from outbox order by task");
    assert_eq!(ran, ["daily", "hourly", "monthly", "none", "weekly", "yearly"]);
    let late: f64 = one(&mut session, "select extract(epoch from max(at - due_at))::float8 from outbox");
    println!("six scheduled tasks at one instant: {late:.3} s late at most");
    let wrong: Vec<String> = all(
        &mut session,
        &format!(
            "select format('%s %s %s %s', task, status, nominal_at, due_at) from jittask.records
             where status not in ('pending', 'completed')
                or status = 'completed' and (due_at, nominal_at) is distinct from ({due}, {due})
                or row_key is not null"
        ),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And the next of each.
    let wrong: Vec<String> = all(
        &mut session,
        &format!(
            "select format('%s %s %s', name, state, next_due_at) from jittask.tasks
             left join (values ('hourly', {due} + interval '1 hour'), ('daily', {due} + interval '1 day'),
                               ('weekly', {due} + interval '7 days'), ('monthly', {due} + interval '1 month'),
                               ('yearly', {due} + interval '1 year')) wanted (name, at) using (name)
             where next_due_at is distinct from wanted.at
                or state <> case name when 'none' then 'finished' else 'active' end"
        ),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Tables whose one row has the base in each kind of column.
const BASES: &str = "
create table once (id int primary key, instant timestamptz, local timestamp, day date);
create table again (like once including all);
insert into once values (1, :due, :due, (:due)::date);
insert into again values (1, :due - interval '28 years', :due - interval '28 years', (:due - interval '28 years')::date);
create table outbox (task text, due_at timestamptz);
create function run(once) returns void language sql as $$ insert into outbox select task, due_at from jittask.current_run() $$;
create function run(again) returns void language sql as $$ insert into outbox select task, due_at from jittask.current_run() $$;";

#[test]
fn each_cycle_of_a_date_field_task_runs() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    let due = soon(&mut session);
    session.batch_execute(&BASES.replace(":due", &due)).unwrap();
    let mut wanted = Vec::new();
    for cycle in CYCLES {
        let table = if cycle == "none" { "once" } else { "again" };
        for column in ["instant", "local", "day"] {
            let at = match (column, cycle) {
                ("day", "hourly") => continue,
                ("day", _) => format!(", at => ({due})::time"),
                _ => String::new(),
            };
            let name = format!("{cycle}_{column}");
            session
                .batch_execute(&format!(
                    "select jittask.create_date_task('{name}', '{table}', '{column}', 'run', repeat => '{cycle}'{at})"
                ))
                .unwrap();
            wanted.push(name);
        }
    }
    wait_past(&cluster, &due);
    wanted.sort();
    let ran: Vec<String> = all(&mut session, "select task from outbox order by task collate \"C\"");
    assert_eq!(ran, wanted);
    let wrong: Vec<String> = all(
        &mut session,
        &format!(
            "select format('%s %s %s %s %s', task, status, reason, nominal_at, due_at) from jittask.records
             where status not in ('pending', 'completed') or row_key <> '{{\"id\": 1}}'
                or status = 'completed' and (due_at, nominal_at) is distinct from ({due}, {due})"
        ),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn offsets_move_each_member_of_the_series() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    let due = soon(&mut session);
    session.batch_execute(&BASES.replace(":due", &due)).unwrap();
    let moved = "update once set instant = :due + interval '3 days', local = :due - interval '90 minutes', day = (:due + interval '2 days')::date;
        update again set instant = instant - interval '1 hour', day = day + 3;
        select jittask.create_date_task('instant_before', 'once', 'instant', 'run', before => '3 days');
        select jittask.create_date_task('local_after', 'once', 'local', 'run', after => '90 minutes');
        select jittask.create_date_task('day_before', 'once', 'day', 'run', before => '2 days', at => (:due)::time);
        select jittask.create_date_task('instant_after', 'again', 'instant', 'run', after => '1 hour', repeat => 'yearly');
        select jittask.create_date_task('yearly_before', 'again', 'day', 'run', before => '3 days', at => (:due)::time, repeat => 'yearly');";
    session.batch_execute(&moved.replace(":due", &due)).unwrap();
    wait_past(&cluster, &due);
    let ran: Vec<String> = all(&mut session, "select task from outbox order by task");
    assert_eq!(ran, ["day_before", "instant_after", "instant_before", "local_after", "yearly_before"]);
    let due_at: DateTime<Utc> = one(&mut session, &format!("select {due}"));
    assert_eq!(all::<DateTime<Utc>>(&mut session, "select distinct due_at from outbox"), [due_at]);
}

/// Rows whose end is just late enough are `in`, those whose end is a little too early are `out`.
const ENDS: &str = "
create table thing (id text primary key, base timestamptz default :due - interval '28 years',
                    end_at timestamptz, end_local timestamp, end_on date);
create table outbox (task text, id text);
create function run(thing) returns void language sql as $$ insert into outbox select task, $1.id from jittask.current_run() $$;
insert into thing (id, end_at) values
    ('column in', :due), ('column out', :due - interval '1 microsecond'), ('column never', null),
    ('before in', :due + interval '2 days'), ('before out', :due + interval '2 days' - interval '1 second'),
    ('after in', :due - interval '36 hours'), ('after out', :due - interval '36 hours' - interval '1 second');
insert into thing (id, end_local) values ('local in', :due), ('local out', (:due)::timestamp - interval '1 second');
insert into thing (id, end_on) values ('day in', (:due)::date), ('day out', (:due)::date - 1),
    ('time in', (:due)::date), ('time out', (:due)::date - 1), ('early in', (:due)::date + 1), ('early out', (:due)::date),
    ('day before in', (:due)::date + 5), ('day before out', (:due)::date + 4);
insert into thing (id) values ('fixed in'), ('too early out');
select jittask.create_date_task(name, 'thing', 'base', 'run', repeat => 'daily', filter => format('id ~ %L', '^' || name || ' [^ ]*$'),
    end_at => fixed, end_column => col, end_before => before, end_after => after, end_time => at)
from (values ('column', null::timestamptz, 'end_at', null::interval, null::interval, null::time),
             ('before', null, 'end_at', '2 days', null, null), ('after', null, 'end_at', null, '36 hours', null),
             ('local', null, 'end_local', null, null, null), ('day', null, 'end_on', null, null, null),
             ('time', null, 'end_on', null, null, (:due)::time), ('early', null, 'end_on', null, null, (:due - interval '1 second')::time),
             ('day before', null, 'end_on', '5 days', null, null),
             ('fixed', :due, null, null, null, null), ('too early', :due - interval '1 second', null, null, null, null))
     t (name, fixed, col, before, after, at);";

#[test]
fn each_end_is_the_last_instant_that_runs() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    let due = soon(&mut session);
    session.batch_execute(&ENDS.replace(":due", &due)).unwrap();
    let end = format!(
        "select jittask.create_scheduled_task('scheduled', {due} - interval '1 day', body => $$insert into outbox values ('scheduled', 'scheduled in')$$, repeat => 'daily', end_at => {due})"
    );
    session.batch_execute(&end).unwrap();
    wait_past(&cluster, &due);
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s: %s effects', id, (select count(*) from outbox where outbox.id = thing.id)) from thing
         where (select count(*) from outbox where outbox.id = thing.id) <> case when id like '% out' then 0 else 1 end",
    );
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox where id = 'scheduled in'"), 1);
    assert_eq!(one::<String>(&mut session, "select state from jittask.tasks where name = 'scheduled'"), "finished");
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where row_key ->> 'id' like '% out'"), 0);
    assert_eq!(
        one::<i64>(&mut session, "select count(*) from jittask.records where status not in ('completed', 'pending')"),
        0
    );
}

/// An end that lies beyond all that is ever due is no end; one before all of it is past.
#[test]
fn an_end_beyond_all_time() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    session
        .batch_execute(
            "create table thing (id int primary key, due timestamptz, ends timestamptz);
             create index on thing (due);
             create table outbox (id int);
             create function run(thing) returns void language sql as $$ insert into outbox values ($1.id) $$;
             select jittask.create_date_task('t', 'thing', 'due', 'run', end_column => 'ends'),
                 jittask.create_date_task('u', 'thing', 'due', 'run', end_column => 'ends', end_after => '40000 years');
             insert into thing values (1, now(), '294276-12-31'), (2, now(), 'infinity'), (3, now(), null), (4, now(), '200000-01-01'),
                 (5, now(), '4713-01-01 BC'), (6, now(), '-infinity')",
        )
        .unwrap();
    cluster.ended(8 + 1);
    let ran: Vec<String> = all(
        &mut session,
        "select task || ' ' || string_agg(row_key ->> 'id', ' ' order by row_key) from jittask.records group by task order by task",
    );
    assert_eq!(ran, ["t 1 2 3 4", "u 1 2 3 4 5"]);
}
