//! Calendars: which days are working days. Days that were loaded and days that a person set are kept apart; where both
//! say something of a day, the person is right.

use crate::pg::{sql, user, xact};
use chrono::{NaiveDate, TimeDelta};
use pgrx::datum::Date;
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::{Calendar, Instant};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The calendar that is there from the start.
pub const DEFAULT: &str = "default";

/// Days that a person may set in one calendar: each process that plans with it reads all of them.
pub const MOST_DAYS: i64 = 10_000;
/// So many calendars are kept in a process.
const MOST_KEPT: usize = 100;

/// A calendar as the planner needs it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Days off in every week, Monday first.
    pub weekend: [bool; 7],
    /// Days that are not what their weekday says: is it a working day?
    pub days: HashMap<NaiveDate, bool>,
    /// The last day of which the loaded holidays are known; None: nothing was loaded.
    pub covered_until: Option<NaiveDate>,
    /// Is any day a holiday?
    pub has_holidays: bool,
    /// Differs after every change of the calendar; for what was computed with it.
    pub changed_at: Instant,
}

/// The days that count: an override hides what was loaded.
const DAYS: &str =
    "select distinct on (day) day - '2000-01-01'::date, kind from jittask.calendar_day where calendar = $1
     order by day, source <> 'override'";

/// A calendar with all its days; None: there is no such calendar.
pub fn load(name: &str) -> Option<Loaded> {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "select c.weekend, l.covered_until - '2000-01-01'::date, c.changed_at
             from jittask.calendar c left join jittask.calendar_load l on l.calendar = c.name where c.name = $1",
            &[sql::arg(name)],
        );
        let off: Vec<i32> = rows.get(0, 1)?;
        let mut calendar = Loaded {
            weekend: std::array::from_fn(|index| off.contains(&(index as i32 + 1))),
            days: HashMap::new(),
            covered_until: rows.get(0, 2).and_then(date),
            has_holidays: false,
            changed_at: rows.at(0, 3)?,
        };
        let rows = sql::run(DAYS, &[sql::arg(name)]);
        for row in 0..rows.len() {
            let kind: String = rows.get(row, 2).unwrap_or_default();
            if let Some(day) = rows.get(row, 1).and_then(date)
                && kind != "ordinary"
            {
                calendar.has_holidays |= kind == "holiday";
                calendar.days.insert(day, kind == "workday");
            }
        }
        Some(calendar)
    })
}

thread_local! {
    static SHARED: RefCell<HashMap<String, (Instant, Rc<Calendar>)>> = RefCell::new(HashMap::new());
}

/// A calendar for the rules of when, kept in this process until it changes; None: there is no such calendar.
pub fn shared(name: &str) -> Option<Rc<Calendar>> {
    let changed_at = changed_at(name)?;
    let known = SHARED.with_borrow(|shared| {
        shared.get(name).filter(|(of, _)| *of == changed_at).map(|(_, calendar)| calendar.clone())
    });
    if known.is_some() {
        return known;
    }
    let loaded = load(name)?;
    let calendar = Rc::new(Calendar::new(loaded.weekend, loaded.days));
    SHARED.with_borrow_mut(|shared| {
        if shared.len() >= MOST_KEPT {
            shared.clear();
        }
        shared.insert(name.to_string(), (loaded.changed_at, calendar.clone()));
    });
    Some(calendar)
}

/// From days since 2000; None: chrono has no such date.
fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2000, 1, 1)?.checked_add_signed(TimeDelta::try_days(days.into())?)
}

/// When a calendar was last changed: a cached [`Loaded`] with another `changed_at` is stale. None: it is gone.
pub fn changed_at(name: &str) -> Option<Instant> {
    user::as_extension_owner(|| {
        sql::run("select changed_at from jittask.calendar where name = $1", &[sql::arg(name)]).at(0, 1)
    })
}

/// How many calendars a role has.
pub fn count_of(owner: Oid) -> i64 {
    let owner = sql::datum(REGROLEOID, Some(owner.into()));
    let statement = "select count(*) from jittask.calendar where owner = $1";
    user::as_extension_owner(|| sql::look(statement, &[owner])).get(0, 1).unwrap_or_default()
}

/// May one more day be set in it?
pub fn has_room(name: &str) -> bool {
    let statement = "select count(*) < $2 from jittask.calendar_day where calendar = $1 and source = 'override'";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(name), sql::arg(MOST_DAYS)])).get(0, 1).unwrap_or(false)
}

/// Keeps a calendar from being dropped until the transaction ends; for whoever is about to refer to it. A read-only
/// transaction, as all are on a standby, will not, and may not lock rows. False: no such calendar.
pub fn hold(name: &str) -> bool {
    let lock = if xact::is_read_only() { "" } else { "for key share" };
    let statement = format!("select 1 from jittask.calendar where name = $1 {lock}");
    !user::as_extension_owner(|| sql::run(&statement, &[sql::arg(name)])).is_empty()
}

/// The name of a holiday, as it counts.
pub fn name_of_day(calendar: &str, day: NaiveDate) -> Option<String> {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "select name from jittask.calendar_days where calendar = $1 and day = $2::date and kind = 'holiday'",
            &[sql::arg(calendar), sql::arg(day.to_string())],
        );
        rows.get(0, 1)
    })
}

/// Is the day `plus` days after `day` a working day? With that day. None: there is no such calendar.
pub fn is_working(name: &str, day: Date, plus: i32) -> Option<(bool, Date)> {
    user::as_extension_owner(|| {
        let rows = sql::run(
            "select case d.kind when 'holiday' then false when 'workday' then true
                    else extract(isodow from s.day)::int <> all (c.weekend) end, s.day
             from jittask.calendar c cross join (select $2 + $3) s (day) left join lateral (
                 select kind from jittask.calendar_day where calendar = c.name and calendar_day.day = s.day
                 order by source <> 'override' limit 1) d on true
             where c.name = $1",
            &[sql::arg(name), sql::arg(day), sql::arg(plus)],
        );
        Some((rows.get(0, 1)?, rows.get(0, 2)?))
    })
}

/// Adds a calendar. False: there is one of that name.
pub fn insert(name: &str, owner: Oid, weekend: Vec<i32>, description: Option<&str>) -> bool {
    !user::as_extension_owner(|| {
        sql::run(
            "insert into jittask.calendar (name, owner, weekend, description) values ($1, $2::regrole, $3, $4)
             on conflict (name) do nothing returning 1",
            &[sql::arg(name), sql::arg(owner), sql::arg(weekend), sql::arg(description)],
        )
    })
    .is_empty()
}

/// Locks a calendar against other changes, and with `to_drop` against new references; its owner and days off.
/// None: there is no such calendar.
pub fn lock(name: &str, to_drop: bool) -> Option<(Oid, Vec<i32>)> {
    let strength = if to_drop { "update" } else { "no key update" };
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!("select owner::oid, weekend from jittask.calendar where name = $1 for {strength}"),
            &[sql::arg(name)],
        )
    });
    Some((rows.get(0, 1)?, rows.get(0, 2)?))
}

/// How many tasks skip this calendar's holidays, or name it for when they do.
pub fn uses(name: &str) -> i64 {
    user::as_extension_owner(|| {
        sql::look(
            "select count(*) from jittask.task where dropped_at is null and (definition ->> 'calendar' = $1
                 or definition ->> 'skip_holidays' = 'true' and coalesce(definition ->> 'calendar', 'default') = $1)",
            &[sql::arg(name)],
        )
        .get(0, 1)
        .unwrap_or(0)
    })
}

/// Drops a calendar with its days.
pub fn delete(name: &str) {
    user::as_extension_owner(|| sql::run("delete from jittask.calendar where name = $1", &[sql::arg(name)]));
}

/// What a person says of a day.
#[derive(Clone, Copy, Debug)]
pub enum Override<'a> {
    /// A holiday of that name.
    Holiday(&'a str),
    /// A working day of that name.
    Workday(&'a str),
    /// As its weekday says.
    Ordinary,
}

/// Says it, in place of what was said before.
pub fn set_day(calendar: &str, day: Date, said: Override) {
    let (kind, name) = match said {
        Override::Holiday(name) => ("holiday", Some(name)),
        Override::Workday(name) => ("workday", Some(name)),
        Override::Ordinary => ("ordinary", None),
    };
    user::as_extension_owner(|| {
        sql::run(
            "insert into jittask.calendar_day (calendar, day, source, kind, name) values ($1, $2, 'override', $3, $4)
             on conflict (calendar, day, source) do update set kind = excluded.kind, name = excluded.name",
            &[sql::arg(calendar), sql::arg(day), sql::arg(kind), sql::arg(name)],
        )
    });
    touch(calendar);
}

/// Puts these days in place of all that were loaded; a person's days stay.
pub fn replace_loaded(calendar: &str, place: &holidays::Place, covered_until: NaiveDate, days: &[holidays::Day]) {
    let kinds = days.iter().map(|day| match day.kind {
        holidays::Kind::Holiday => "holiday".to_string(),
        holidays::Kind::Workday => "workday".to_string(),
    });
    let names = days.iter().map(|day| day.name.clone());
    user::as_extension_owner(|| {
        sql::run("delete from jittask.calendar_day where calendar = $1 and source = 'loaded'", &[sql::arg(calendar)]);
        sql::run(
            "insert into jittask.calendar_day (calendar, day, source, kind, name)
             select $1, d.day, 'loaded', d.kind, d.name from unnest($2, $3, $4) d (day, kind, name)",
            &[
                sql::arg(calendar),
                sql::dates(days.iter().map(|day| since_2000(day.on))),
                sql::arg(kinds.collect::<Vec<_>>()),
                sql::arg(names.collect::<Vec<_>>()),
            ],
        );
        sql::run(
            "insert into jittask.calendar_load (calendar, country, subdivision, covered_until, data_version)
             values ($1, $2, $3, '2000-01-01'::date + $4, $5)
             on conflict (calendar) do update set country = excluded.country, subdivision = excluded.subdivision,
                 covered_until = excluded.covered_until, data_version = excluded.data_version",
            &[
                sql::arg(calendar),
                sql::arg(place.country),
                sql::arg(place.subdivision),
                sql::arg(since_2000(covered_until)),
                sql::arg(holidays::version()),
            ],
        );
    });
    touch(calendar);
}

fn since_2000(day: NaiveDate) -> i32 {
    date(0).map_or(0, |epoch| day.signed_duration_since(epoch).num_days()) as i32
}

fn touch(name: &str) {
    user::as_extension_owner(|| {
        sql::run("update jittask.calendar set changed_at = clock_timestamp() where name = $1", &[sql::arg(name)])
    });
}
