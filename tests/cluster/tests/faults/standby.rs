//! A physical standby: nothing runs there, everything can be read there, and once it is promoted it goes on where the
//! primary was, with nothing lost and nothing done twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cluster::postgres::Client;
use cluster::{Cluster, Load, all, fall_due, one};

const SOON: Duration = Duration::from_secs(30);

/// What a person reads, and may read on a standby too.
const READ: [&str; 14] = [
    "select count(*) from jittask.records where status = 'completed'",
    "select count(*) from jittask.tasks",
    "select count(*) from jittask.task_stats",
    "select count(*) from jittask.progress",
    "select count(*) from jittask.workers",
    "select count(*) from jittask.accounts",
    "select count(*) from jittask.calendars",
    "select count(*) from jittask.calendar_days",
    "select count(*) from jittask.preview('rows')",
    "select count(*) from jittask.preview_schedule(now(), 'daily', skip_holidays => true)",
    "select count(*) from jittask.explain_row('rows', '{\"id\": 1}')",
    "select count(*) from jittask.simulate('rows', now() - interval '1 day', now() + interval '1 day')",
    "select count(*) from jittask.export_task('rows')",
    "select count(*) from jittask.next_working_day(current_date)",
];

/// A primary that waits at each commit until its standby has it.
fn pair() -> (Cluster, Cluster) {
    let primary = Cluster::ready(&[]);
    primary.contracts("");
    primary.app_sql(
        "create function tick() returns void language sql as
             $$ insert into outbox (id, attempt, due_at) select null, attempt, due_at from jittask.current_run() $$;
         select jittask.create_scheduled_task('tick', now(), 'tick', rule => 'every 1 second', catch_up => 'all',
             overlap => 'queue', name => 'tick');",
    );
    let standby = primary.standby("standby");
    primary.sql("postgres", "alter system set synchronous_standby_names = 'standby'");
    primary.sql("postgres", "select pg_reload_conf()");
    primary.wait_for(SOON, "select exists (select from pg_stat_replication where sync_state = 'sync')");
    (primary, standby)
}

fn everything_is_read_and_nothing_runs(standby: &Cluster) {
    let mut session = standby.app();
    for query in READ {
        println!("{query}: {}", one::<i64>(&mut session, query));
    }
    assert!(!one::<bool>(&mut session, "select running from jittask.status()"));
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    assert!(problems.iter().any(|problem| problem.contains("standby")), "{problems:?}");
    let ours: Vec<String> = standby.processes().into_iter().map(|process| process.title).collect();
    assert!(ours.iter().all(|title| !title.contains("jittask ")), "{ours:?}");
}

/// Writes contracts for a while; the ids whose commit was confirmed.
fn write(primary: &Cluster, first: i64, portions: i64) -> BTreeSet<i64> {
    let mut session = primary.app();
    let mut confirmed = BTreeSet::new();
    for portion in 0..portions {
        let from = first + portion * 10;
        fall_due(&mut session, from, from + 9, 100 + portion * 37 % 400);
        confirmed.extend(from..from + 10);
    }
    confirmed
}

fn effects(session: &mut Client, since: DateTime<Utc>) -> i64 {
    session.query_one("select count(*) from outbox where due_at >= $1", &[&since]).unwrap().get(0)
}

#[test]
fn a_promoted_standby_goes_on_where_the_primary_was() {
    let (mut primary, standby) = pair();
    let mut confirmed = write(&primary, 1, 20);
    primary.wait_for(
        SOON,
        "select count(*) >= 200 from jittask.records where status = 'completed' and row_key is not null",
    );
    standby.wait_for(
        SOON,
        "select count(*) >= 200 from jittask.records where status = 'completed' and row_key is not null",
    );
    everything_is_read_and_nothing_runs(&standby);
    // Killed with rows in every state: done, due, not yet due.
    confirmed.extend(write(&primary, 1001, 40));
    primary.kill_postmaster();
    everything_is_read_and_nothing_runs(&standby);

    let begun = Instant::now();
    let mut session = standby.connect("postgres");
    assert!(one::<bool>(&mut session, "select pg_promote()"));
    let promoted_at: DateTime<Utc> = one(&mut session, "select clock_timestamp()");
    println!("promoted after {:?}", begun.elapsed());
    let load = Load::watch();
    standby.wait_until("a run of what fell due after the promotion", SOON, || {
        (effects(&mut session, promoted_at) > 0).then_some(())
    });
    load.assert_over_within(5.0, "a run of what fell due after the promotion");
    println!("the first run came {:?} after the promotion was asked for", begun.elapsed());
    confirmed.extend(write(&standby, 2001, 10));
    let all_done =
        "select not exists (select from jittask.agenda where due_at < clock_timestamp() - interval '1 second')
                       and (select max(due) from contract) < clock_timestamp() - interval '1 second'";
    standby.wait_for(SOON, all_done);
    standby.assert_each_once();
    let ids: BTreeSet<i64> = all::<i64>(&mut session, "select id from contract").into_iter().collect();
    let lost: Vec<_> = confirmed.difference(&ids).collect();
    assert!(lost.is_empty(), "confirmed to the writer, and not there: {lost:?}");
    // Each second of the schedule once, those of the time without a server too.
    let odd: Vec<String> = all(
        &mut session,
        "select format('%s: %s', step, count(o.due_at)) from
             generate_series((select min(due_at) from outbox where id is null),
                             (select max(due_at) from outbox where id is null), '1 second') step
         left join outbox o on o.due_at = step and o.id is null group by step having count(o.due_at) <> 1",
    );
    assert!(odd.is_empty(), "ticks missing or twice: {odd:?}");
}
