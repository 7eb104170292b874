//! Rules made to take long: each is evaluated, or refused, at once; and what takes long because much was asked for can be
//! interrupted.

use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::postgres::error::SqlState;
use cluster::{Cluster, Load};

/// The bound for one evaluation in a release build, beside what a session adds. Seconds.
const BOUND: f64 = 0.05;
/// The best of so many counts: the bound is for the evaluation, not for the machine's other work.
const TRIES: usize = 5;

/// Start, rule, and the rest of the arguments of `preview_schedule`.
const NASTY: &[(&str, &str, &str)] = &[
    // Sparse.
    ("2026-01-01", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", ""),
    ("2026-01-01", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", ""),
    ("2026-01-01", "FREQ=MONTHLY;INTERVAL=25;BYMONTH=2;BYMONTHDAY=29", ""),
    ("2026-01-01", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR;BYMONTH=1;BYSETPOS=1", ""),
    ("2026-01-01", "FREQ=YEARLY;INTERVAL=4;BYYEARDAY=366", ""),
    ("2026-01-01", "cron: 0 0 29 2 1", ""),
    ("2026-01-01", "cron: 59 23 29 2 *", ""),
    // Never, which creation refuses.
    ("2026-01-01", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", ""),
    ("2026-01-01", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", ""),
    ("2026-01-01", "FREQ=WEEKLY;INTERVAL=52;BYMONTH=2;BYDAY=MO", ""),
    ("2026-01-01", "FREQ=MONTHLY;BYDAY=FR;BYSETPOS=6", ""),
    ("2026-01-01", "cron: 0 0 31 2,4,6,9,11 *", ""),
    ("2026-01-01", "cron: * * 30 2 *", ""),
    // COUNT, INTERVAL and UNTIL as large as they get, and a base in the year 1 asked about the year 9998.
    ("0001-01-01", "FREQ=DAILY;BYHOUR=9,17;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "FREQ=DAILY;BYDAY=MO,TU;INTERVAL=2;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "FREQ=WEEKLY;BYDAY=MO,FR;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "FREQ=YEARLY;BYDAY=20MO,-1FR;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "FREQ=YEARLY;BYWEEKNO=-1;BYDAY=FR;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "every 1 second", "from_at => '294000-01-01'"),
    ("0001-01-01", "FREQ=SECONDLY;COUNT=4294967295", "from_at => '9998-01-01'"),
    ("0001-01-01", "cron: 0 0 29 2 *", "from_at => '294000-01-01'"),
    ("2026-01-01", "FREQ=YEARLY;INTERVAL=4294967295", ""),
    ("2026-01-01", "FREQ=DAILY;INTERVAL=4294967295;BYDAY=TH", ""),
    ("2026-01-01", "FREQ=WEEKLY;UNTIL=99991231T235959Z;BYDAY=TH", "from_at => '9999-12-01'"),
    // Holidays, under what comes every second: Golden Week, a year without a working day, and all of it dropped.
    (
        "2026-09-30 23:59:59",
        "every 1 second",
        "skip_holidays => true, calendar => 'china', time_zone => 'Asia/Shanghai'",
    ),
    (
        "2026-09-30 23:59:59",
        "cron: * * * * * *",
        "skip_holidays => true, calendar => 'china', holiday_shift => 'preceding'",
    ),
    ("2026-09-30 23:59:59", "cron: * * 0-23 * * *", "skip_holidays => true, calendar => 'china'"),
    ("2026-01-03", "every 1 second", "skip_holidays => true, calendar => 'closed'"),
    ("2026-01-03", "every 1 second", "skip_holidays => true, calendar => 'closed', holiday_shift => 'drop'"),
    ("2026-01-03", "cron: * * * * * 6,0", "skip_holidays => true, calendar => 'china', holiday_shift => 'drop'"),
    ("2026-01-03", "FREQ=WEEKLY;BYDAY=SA,SU", "skip_holidays => true, holiday_shift => 'drop'"),
    ("0001-01-01", "every 1 second", "skip_holidays => true, calendar => 'china', from_at => '9998-01-01'"),
    // A change of the clocks on the way.
    (
        "2026-03-27 23:59:59",
        "every 1 second",
        "skip_holidays => true, calendar => 'china', time_zone => 'Europe/Berlin'",
    ),
    (
        "2026-10-24 23:59:59",
        "cron: * * * * * *",
        "skip_holidays => true, calendar => 'china', time_zone => 'Europe/Berlin'",
    ),
];

fn timed(session: &mut Client, query: &str) -> (Duration, Result<usize, SqlState>) {
    let began = Instant::now();
    let found = session.query(query, &[]);
    let taken = began.elapsed();
    (taken, found.map(|rows| rows.len()).map_err(|error| error.code().cloned().expect("an error of the server's")))
}

#[test]
fn every_evaluation_is_bounded() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    session
        .batch_execute(
            "select jittask.create_calendar('china', 'CN'), jittask.create_calendar('closed');
             do $$ begin perform jittask.add_holiday('closed', date '2026-01-03' + day, 'Closed') from generate_series(0, 390) day; end $$",
        )
        .unwrap();
    let (load, mut slow) = (Load::watch(), Vec::new());
    for (start, rule, rest) in NASTY {
        let comma = if rest.is_empty() { "" } else { ", " };
        let query =
            format!("select * from jittask.preview_schedule('{start}', 'custom', '{rule}', count => 1{comma}{rest})");
        let tries = (0..TRIES).map(|_| timed(&mut session, &query));
        let (best, found) = tries.min_by_key(|(taken, _)| *taken).expect("a try");
        let shown = match &found {
            Ok(rows) => format!("{rows} found"),
            Err(code) => code.code().to_owned(),
        };
        println!("{best:>9.1?} {shown:>8}: {start} {rule} {rest}");
        assert!(found.is_ok() || found == Err(SqlState::INVALID_PARAMETER_VALUE), "{query}: {shown}");
        slow.extend((best.as_secs_f64() > load.allows(BOUND)).then(|| format!("{best:.1?}: {query}")));
    }
    assert!(slow.is_empty(), "slower than {BOUND} s: {slow:#?}");
}

/// A million members, each worked out: the statement ends soon after it is told to, in whatever the search is.
#[test]
fn long_previews_are_interrupted() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    session.batch_execute("select jittask.create_calendar('china', 'CN')").unwrap();
    for (rule, rest) in [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", ""),
        ("cron: 0 0 29 2 *", ""),
        ("cron: * * * * * *", ""),
        ("every 1 second", ", skip_holidays => true, calendar => 'china'"),
        (
            "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
            ", skip_holidays => true, calendar => 'china', holiday_shift => 'preceding'",
        ),
    ] {
        let many = "select count(*) from generate_series(1, 10000) g, lateral (select * from jittask.preview_schedule(
            '2026-01-01'::timestamptz + g * interval '1 day', 'custom'";
        let query = format!("{many}, '{rule}', count => 100000{rest}) offset 0) p");
        session.batch_execute("set statement_timeout = '300ms'").unwrap();
        let load = Load::watch();
        let (taken, found) = timed(&mut session, &query);
        assert_eq!(found, Err(SqlState::QUERY_CANCELED), "{rule}");
        load.assert_within(3.0, taken.as_secs_f64(), rule);
        // The session goes on as if nothing had been.
        session.batch_execute("reset statement_timeout").unwrap();
        let (_, found) = timed(
            &mut session,
            &format!("select * from jittask.preview_schedule('2026-01-01', 'custom', '{rule}', count => 2{rest})"),
        );
        assert_eq!(found, Ok(2), "{rule}");
    }
}
