//! Rules and intervals that take long to reckon with, or break what reckons: nobody else's rows wait for them, nor what is done
//! for all.

mod attack;
mod fair;

use attack::{number, session};
use cluster::SOON;
use fair::{assert_in_time, fair, latest};

/// A year of holidays before today, and rules of seconds or with COUNT since the year 1, with the longest lists there are.
#[test]
fn rules_that_take_long_stop_nobody() {
    let (cluster, mut bob) = fair(&[]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "set lock_timeout = '60s';
             create function mallory.numbers(int, int) returns text language sql as
                 $$ select string_agg(i::text, ',') from generate_series($1, $2) i $$;
             select jittask.create_calendar('hers', weekend => '{}');
             do $$ begin
                 perform jittask.add_holiday('hers', current_date - i, 'h') from generate_series(1, 390) i;
             end $$",
        )
        .unwrap();
    let lists =
        "format('BYHOUR=%s;BYYEARDAY=%s;BYMONTHDAY=%s;BYWEEKNO=%s', mallory.numbers(0, 23), mallory.numbers(-366, -1),
        mallory.numbers(-31, -1), mallory.numbers(-53, -1))";
    let minutes = "BYMINUTE=0,5,10,15,20,25,30,35,40,45,50,55";
    for (start, rule) in [
        ("0001-01-02 00:00+00", format!("'FREQ=DAILY;COUNT=1999999999;{minutes};BYHOUR=' || mallory.numbers(0, 23)")),
        ("0001-01-02 00:00+00", format!("'FREQ=YEARLY;COUNT=1999999999;{minutes};' || {lists}")),
        (
            "2026-01-01 00:00+00",
            format!("format('FREQ=YEARLY;BYSECOND=%1$s;BYMINUTE=%1$s;', mallory.numbers(0, 59)) || {lists}"),
        ),
    ] {
        for _ in 0..3 {
            mallory
                .batch_execute(&format!(
                    "select jittask.create_scheduled_task('dense', '{start}', body => 'null', rule => {rule},
                         skip_holidays => true, calendar => 'hers', time_zone => 'UTC')"
                ))
                .unwrap();
            assert_in_time(&cluster, &mut bob, control, "a rule that takes long");
        }
    }
    for day in 1..4 {
        mallory.batch_execute(&format!("select jittask.add_holiday('hers', '2100-01-0{day}', 'h')")).unwrap();
        assert_in_time(&cluster, &mut bob, control, "its calendar is changed");
    }
}

/// An interval whose months and days are of different signs is nothing by their sum, and out of range when they are reckoned
/// with one after the other. It is refused; and one that is there all the same, since an older version took it, keeps nobody's
/// records from being removed.
#[test]
fn an_interval_out_of_range_stops_no_retention() {
    let (cluster, _bob) = fair(&[("jittask.record_retention", "0")]);
    let mut mallory = session(&cluster, "mallory");
    let wild = "5000000 years -1800000000 days";
    for parameter in ["catch_up_window", "existing_rows", "retry_backoff", "timeout"] {
        let create = format!(
            "create table if not exists mallory.t (id int primary key, due timestamptz);
             select jittask.create_date_task('wild', 'mallory.t', 'due', body => 'null', {parameter} => '{wild}')"
        );
        assert_eq!(attack::code(mallory.batch_execute(&create)), "22023", "{parameter}");
    }
    mallory
        .batch_execute("select jittask.create_scheduled_task('wild', now() + interval '1 year', body => 'null')")
        .unwrap();
    cluster.sql(
        "postgres",
        &format!(
            "update jittask.task set definition = jsonb_set(definition, '{{catch_up_window}}', '\"{wild}\"') where name = 'wild';
             update jittask.task set definition = jsonb_set(definition, '{{catch_up_window}}', '\"1 day\"') where name = 'victim';
             insert into jittask.record (id, task_id, nominal_at, started_at, finished_at, key)
             select -g, t.id, now() - interval '10 days', now() - interval '10 days', now() - interval '10 days', g::text
             from jittask.task t, generate_series(1, 20) g"
        ),
    );
    let mut admin = cluster.connect("postgres");
    let of = |task: &str| {
        format!(
            "(select count(*) from jittask.record where id < 0 and task_id = (select id from jittask.task where name = '{task}'))"
        )
    };
    assert_eq!(number(&mut admin, &format!("select {}", of("victim"))), 20);
    cluster.turn("jittask.record_retention", "1s");
    cluster.wait_for(SOON, &format!("select {} = 0", of("victim")));
    // Not older than a year.
    assert_eq!(number(&mut admin, &format!("select {}", of("wild"))), 20);
}
