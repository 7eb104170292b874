//! Pausing and resuming scheduled tasks, with and without make_up; a retry that waits; a filter that comes true late.

use cluster::postgres::Client;
use cluster::{Cluster, SOON, all, nothing_unaccounted, now, one};

fn ends(session: &mut Client, task: &str) -> String {
    let ends = "select string_agg(concat_ws(' ', status, reason), ', ' order by due_at) from jittask.records where status <> 'pending' and task = ";
    one::<Option<String>>(session, &format!("{ends}'{task}'")).unwrap_or_default()
}

/// Five occurrences a second apart; the third and fourth fall due in the pause.
#[test]
fn a_paused_series_goes_on_and_makes_up_for_what_is_asked() {
    let cluster = Cluster::ready(&[]);
    let start = now() + 2.0;
    cluster.app_sql(&format!(
        "create function tick() returns void language sql as '';
         select jittask.create_scheduled_task(t, to_timestamp({start}), 'tick', rule => 'FREQ=SECONDLY;COUNT=5') from unnest('{{none,some,all}}'::text[]) t"
    ));
    cluster.wait_for(SOON, "select count(*) = 15 from jittask.records");
    cluster.wait_past(start + 1.3);
    cluster.app_sql("select jittask.pause_task(name, 'for a while') from jittask.tasks");
    assert!(now() < start + 2.0, "too slow to pause between two occurrences");
    cluster.wait_past(start + 3.3);
    let mut session = cluster.app();
    let states: Vec<String> =
        all(&mut session, "select distinct concat_ws(' ', state, problem, enabled) from jittask.tasks");
    assert_eq!(states, ["paused for a while f"]);
    let since_third = now() - (start + 2.0);
    session
        .batch_execute(&format!(
            "select jittask.resume_task('none'), jittask.resume_task('all', make_up => '1 hour'),
                 jittask.resume_task('some', make_up => make_interval(secs => {}))",
            since_third - 0.5
        ))
        .unwrap();
    assert!(now() < start + 4.0, "too slow to resume before the last occurrence");
    cluster.ended(15);
    cluster.wait_for(SOON, "select count(*) = 12 from jittask.records where status = 'completed'");
    assert_eq!(ends(&mut session, "none"), "completed, completed, skipped paused, skipped paused, completed");
    assert_eq!(ends(&mut session, "some"), "completed, completed, skipped paused, completed, completed");
    assert_eq!(ends(&mut session, "all"), "completed, completed, completed, completed, completed");
    nothing_unaccounted(&mut session);
}

#[test]
fn a_retry_waits_for_the_end_of_the_pause() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create function fail() returns void language plpgsql as $$
         begin
             if (select attempt from jittask.current_run()) = 1 then raise 'once' using errcode = 'P0042'; end if;
         end $$;
         select jittask.create_scheduled_task('fails', now(), 'fail', retry_backoff => '500 ms')",
    );
    let waits = "select exists (select from jittask.records where status = 'pending' and attempt = 1)";
    cluster.wait_for(SOON, waits);
    cluster.app_sql("select jittask.pause_task('fails')");
    cluster.wait_past(now() + 1.5);
    let mut session = cluster.app();
    assert!(one::<bool>(&mut session, waits), "{}", ends(&mut session, "fails"));
    session.batch_execute("select jittask.resume_task('fails')").unwrap();
    cluster.ended(1);
    assert_eq!(
        one::<String>(&mut session, "select concat_ws(' ', status, attempt) from jittask.records"),
        "completed 2"
    );
    nothing_unaccounted(&mut session);
}

/// It left no record when it was judged first; then its condition comes true after the due time, and it is late.
#[test]
fn a_filter_that_comes_true_late() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz, live boolean);
         create index on contract (due);
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task('late ' || c, 'contract', 'due', 'run', filter => 'live', catch_up => c) from unnest(enum_range(null::jittask.catch_up)) c;
         insert into contract values (1, now() + interval '500 ms', false), (2, now() + interval '500 ms', true), (3, now() - interval '25 hours', false)",
    );
    cluster.ended(3);
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records"), 3, "row 2, by three tasks");
    session.batch_execute("update contract set live = true").unwrap();
    cluster.ended(6);
    for (task, end) in [("all", "completed"), ("last", "completed"), ("none", "skipped catch_up")] {
        let told: String = one(
            &mut session,
            &format!(
                "select string_agg(concat_ws(' ', row_key ->> 'id', status, reason), ', ' order by row_key) from jittask.records where task = 'late_{task}'"
            ),
        );
        assert_eq!(told, format!("1 {end}, 2 completed"));
    }
    nothing_unaccounted(&mut session);
}
