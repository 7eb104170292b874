//! Calendars on the server: loaded holidays against tables made independently (tools/oracles/working_days.py), and what a
//! change of a calendar does to what is planned and to what has run.

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, all, nothing_unaccounted, one};

const TABLE: &str = include_str!("../../../crates/schedule/tests/data/working_days.txt");
const SOON: Duration = Duration::from_secs(30);

fn rows(kind: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = TABLE.lines().map(|line| line.split('|').collect::<Vec<_>>());
    rows.filter(move |row| row[0] == kind)
}

fn with_calendars(countries: &[&str]) -> (Cluster, Client) {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    for country in countries {
        session.batch_execute(&format!("select jittask.create_calendar('{country}', '{country}')")).unwrap();
    }
    (cluster, session)
}

#[test]
fn monthly_on_the_31st_with_each_shift() {
    let (_cluster, mut session) = with_calendars(&["DE", "US", "CN"]);
    let mut seen = 0;
    for row in rows("on_31") {
        let [_, country, form, shift, expected] = row[..] else { panic!("{row:?}") };
        let schedule = if form == "clamped" { "'monthly'" } else { "'custom', 'FREQ=MONTHLY;BYMONTHDAY=31'" };
        let first = if country == "CN" { 2024 } else { 2026 };
        // What is moved out of the last month is looked at as well, what comes into it from later is not.
        let found: String = one(
            &mut session,
            &format!(
                "select string_agg(to_char(nominal_at, 'YYYYMMDD') || '>' || to_char(due_at, 'YYYYMMDD'), ',' order by due_at)
                 from jittask.preview_schedule('{first}-01-31 09:00+00', {schedule}, skip_holidays => true, calendar => '{country}',
                     holiday_shift => '{shift}', time_zone => 'UTC', count => 40)
                 where nominal_at < '{}-01-01' and due_at::time = '09:00'",
                first + 3
            ),
        );
        assert_eq!(found, expected, "{country} {form} {shift}");
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn china_works_on_its_working_days_of_2026() {
    let (_cluster, mut session) = with_calendars(&["CN"]);
    let works = rows("works").next().expect("a table")[2];
    let asked: String = one(
        &mut session,
        "select string_agg(to_char(day, 'YYYYMMDD'), ',' order by day) from generate_series(date '2026-01-01', '2026-12-31', '1 day') day
         where jittask.is_working_day(day::date, 'CN')",
    );
    assert_eq!(asked, works);
    for shift in ["following", "preceding", "modified_following", "drop"] {
        let found: String = one(
            &mut session,
            &format!(
                "select string_agg(to_char(due_at at time zone 'Asia/Shanghai', 'YYYYMMDD'), ',' order by due_at)
                 from jittask.preview_schedule('2025-12-01 08:00+08', 'daily', skip_holidays => true, calendar => 'CN',
                     holiday_shift => '{shift}', time_zone => 'Asia/Shanghai', count => 300, from_at => '2026-01-01 00:00+08')
                 where due_at < '2027-01-01 00:00+08' and nominal_at = due_at"
            ),
        );
        assert_eq!(found, works, "{shift}");
    }
    assert!(works.contains("20260214"), "a working Saturday");
    assert!((20260216..=20260220).all(|day| !works.contains(&day.to_string())), "Spring Festival");
}

/// A calendar without days off, in a zone in which it is about noon, so that today is today for some hours.
const NOON: &str = "
select set_config('TimeZone', format('Etc/GMT%s%s', case when hour < 12 then '' else '+' end, hour - 12), false)
from cast(extract(hour from now() at time zone 'UTC') as int) hour;
select jittask.create_calendar('c', weekend => '{}');
create table outbox (task text, id int, due_at timestamptz);
create table bill (id int primary key, due_at timestamptz);
create index on bill (due_at);
create function run(bill) returns void language sql as $$ insert into outbox select task, $1.id, due_at from jittask.current_run() $$;
create function tick() returns void language sql as $$ insert into outbox select task, null, due_at from jittask.current_run() $$;";

/// `task id nominal due status` of the next three days, which are counted from today.
const RECORDS: &str = "select concat_ws(' ', task, row_key ->> 'id', nominal_at::date - current_date, due_at::date - current_date, status)
    from jittask.records where due_at < current_date + 3 order by task, row_key ->> 'id', nominal_at";

#[test]
fn what_ran_does_not_run_again_when_its_calendar_changes() {
    let cluster = Cluster::ready(&[("jittask.planning_horizon", "4 d"), ("jittask.scan_interval", "500ms")]);
    let mut session = cluster.app();
    session.batch_execute(NOON).unwrap();
    session
        .batch_execute(
            "insert into bill select id, date_trunc('second', now()) + interval '2 seconds' + (id - 1) * interval '1 day' from generate_series(1, 2) id;
             select jittask.create_date_task('bills', 'bill', 'due_at', 'run', skip_holidays => true, calendar => 'c');
             select jittask.create_scheduled_task('ticks', (select min(due_at) from bill), 'tick', repeat => 'daily', skip_holidays => true, calendar => 'c');",
        )
        .unwrap();
    wait_for_records(
        &cluster,
        &mut session,
        &[
            "bills 1 0 0 completed",
            "bills 2 1 1 pending",
            "ticks 0 0 completed",
            "ticks 1 1 pending",
            "ticks 2 2 pending",
        ],
    );
    // Today and tomorrow become holidays: today's is over, tomorrow's moves.
    session.batch_execute("select jittask.add_holiday('c', current_date, 'Today'), jittask.add_holiday('c', current_date + 1, 'Tomorrow')").unwrap();
    wait_for_records(
        &cluster,
        &mut session,
        &["bills 1 0 0 completed", "bills 2 1 2 pending", "ticks 0 0 completed", "ticks 2 2 pending"],
    );
    let steps: Vec<String> = all(
        &mut session,
        "select replace(concat_ws(': ', step, detail), (select id::text from jittask.records where row_key ->> 'id' = '1'), 'ID')
         from jittask.explain_row('bills', '{\"id\": 1}') where step in ('holiday', 'verdict')",
    );
    let wanted: Vec<String> = all(
        &mut session,
        "select format('%s%s %s', what, to_char(due_at + days * interval '1 day', 'YYYY-MM-DD HH24:MI:SS'), rest) from bill, (values
             ('holiday: ' || current_date || ' (Today) and ' || current_date + 1 || ' (Tomorrow) are not working days; moved to ', 2, ''),
             ('verdict: ran for ', 2, 'and never runs again for it (record ID)')) step (what, days, rest) where id = 1",
    );
    let wanted: Vec<&str> = wanted.iter().map(|line| line.trim_end()).collect();
    assert_eq!(steps, wanted);
    // And back: tomorrow is an ordinary day again.
    session
        .batch_execute("select jittask.remove_day('c', current_date + 1), jittask.remove_day('c', current_date)")
        .unwrap();
    wait_for_records(
        &cluster,
        &mut session,
        &[
            "bills 1 0 0 completed",
            "bills 2 1 1 pending",
            "ticks 0 0 completed",
            "ticks 1 1 pending",
            "ticks 2 2 pending",
        ],
    );
    assert_eq!(all::<Option<i32>>(&mut session, "select id from outbox order by task"), [Some(1), None]);
    assert_eq!(one::<i64>(&mut session, "select sum(abs(unaccounted))::bigint from jittask.accounts"), 0);
}

/// What was pulled forward by a calendar and ran does not run on its own day when the calendar is changed back.
#[test]
fn what_ran_early_does_not_run_on_its_own_day() {
    let cluster = Cluster::ready(&[("jittask.planning_horizon", "4 d"), ("jittask.scan_interval", "500ms")]);
    let mut session = cluster.app();
    session.batch_execute(NOON).unwrap();
    session
        .batch_execute(
            "insert into bill select id, date_trunc('second', now()) + interval '4 seconds' + id * interval '1 day' from generate_series(1, 2) id;
             select jittask.create_date_task('bills', 'bill', 'due_at', 'run', skip_holidays => true, calendar => 'c', holiday_shift => 'preceding');
             select jittask.add_holiday('c', current_date + 1, 'Tomorrow');",
        )
        .unwrap();
    wait_for_records(&cluster, &mut session, &["bills 1 1 0 completed", "bills 2 2 2 pending"]);
    session
        .batch_execute(
            "select jittask.remove_day('c', current_date + 1), jittask.add_holiday('c', current_date + 2, 'Later')",
        )
        .unwrap();
    // The other row has moved, so the task has been planned anew.
    wait_for_records(&cluster, &mut session, &["bills 1 1 0 completed", "bills 2 2 1 pending"]);
    assert_eq!(all::<i32>(&mut session, "select id from outbox"), [1]);
}

fn wait_for_records(cluster: &Cluster, session: &mut Client, wanted: &[&str]) {
    cluster.wait_until(&format!("{wanted:?}"), SOON, || (all::<String>(session, RECORDS) == wanted).then_some(()));
}

/// A changed calendar has much taken back, portion by portion, while the next rows fall due: none of them is lost. Holidays put
/// the order of dates and that of due times apart.
#[test]
fn what_falls_due_while_much_is_taken_back_runs() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    // A zone in which it is about noon: all of this is on one day there.
    let hour: i32 = one(&mut session, "select extract(hour from now() at time zone 'UTC')::int - 12");
    let zone = format!("Etc/GMT{}{}", if hour < 0 { '-' } else { '+' }, hour.abs());
    session
        .batch_execute(&format!(
            "select jittask.create_calendar('mine', weekend => '{{}}');
             select jittask.add_holiday('mine', (now() at time zone '{zone}')::date - 1, 'yesterday');
             create table moved (id serial primary key, due timestamptz); create index on moved (due);
             create function run(moved) returns void language sql as '';
             select jittask.create_date_task('moved', 'moved', 'due', 'run', skip_holidays => true, calendar => 'mine',
                 time_zone => '{zone}', catch_up => 'all', existing_rows => '3 days');
             insert into moved (due) select now() - interval '1 day' + interval '25 min' + i * interval '1 ms' from generate_series(1, 20000) i"
        ))
        .unwrap();
    cluster.wait_for(SOON, "select count(*) >= 20000 from jittask.agenda");
    session
        .batch_execute(
            "insert into moved (due) select clock_timestamp() + interval '3 s' + i * interval '25 ms' from generate_series(1, 200) i",
        )
        .unwrap();
    cluster.wait_for(SOON, "select count(*) >= 20200 from jittask.agenda");
    cluster.wait_for(SOON, "select exists (select from jittask.records where status = 'completed')");
    session.batch_execute("select jittask.add_holiday('mine', '2034-01-01', 'far away')").unwrap();
    cluster.wait_for(SOON, "select count(*) = 200 from jittask.records where status = 'completed'");
    cluster.wait_for(SOON, "select count(*) = 20000 from jittask.agenda");
    nothing_unaccounted(&mut session);
}

/// What one change has taken back, and nobody has planned again, is not lost for the next one.
#[test]
fn what_falls_due_between_two_changes_runs() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    session
        .batch_execute(
            "select jittask.create_calendar('mine', weekend => '{}');
             create table moved (id serial primary key, due timestamptz); create index on moved (due);
             create function run(moved) returns void language sql as '';
             select jittask.create_date_task('moved', 'moved', 'due', 'run', skip_holidays => true, calendar => 'mine')",
        )
        .unwrap();
    cluster.wait_for(SOON, "select not is_unplanned from jittask.task");
    session
        .batch_execute(
            "insert into moved (due) select clock_timestamp() + interval '3 s' + i * interval '100 ms' from generate_series(1, 20) i",
        )
        .unwrap();
    cluster.wait_for(SOON, "select coalesce(sum(key_count), 0) = 20 from jittask.agenda");
    // Nobody plans meanwhile.
    let mut locker = cluster.app();
    locker.batch_execute("begin; lock table moved in access exclusive mode").unwrap();
    let is_taken_back = "select t.calendar_at = c.changed_at and not exists (select from jittask.agenda)
                         from jittask.task t join jittask.calendar c on c.name = 'mine'";
    session.batch_execute("select jittask.add_holiday('mine', '2034-01-01', 'far away')").unwrap();
    cluster.wait_for(SOON, is_taken_back);
    // All of them are due by then.
    cluster.wait_past(cluster::now() + 5.5);
    session.batch_execute("select jittask.add_holiday('mine', '2034-01-02', 'far away too')").unwrap();
    cluster.wait_for(SOON, is_taken_back);
    locker.batch_execute("commit").unwrap();
    cluster.wait_for(SOON, "select count(*) = 20 from jittask.records where status = 'completed'");
    cluster.wait_for(SOON, "select not is_unplanned from jittask.task");
    nothing_unaccounted(&mut session);
}
