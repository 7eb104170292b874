//! Public holidays and make-up workdays of the world's countries: the data of `holidays/holidays.txt`, compiled in and
//! decoded on demand. Pure: no PostgreSQL, no clock, no I/O. How the data is made, what is in it and its format:
//! `holidays/README.md`.

#![forbid(unsafe_code)]

mod data;
mod place;
mod suggest;

use std::collections::{BTreeMap, BTreeSet};

pub use chrono::NaiveDate;
pub use data::{first_year, last_year, version};
pub use place::{Country, Place, Subdivision, Unknown, countries, find};

/// What a day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A public holiday, on whatever day of the week.
    Holiday,
    /// A day of the weekend on which people work.
    Workday,
}

/// A day that is not what its weekday says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// When.
    pub on: NaiveDate,
    /// What it is.
    pub kind: Kind,
    /// Names of holidays joined by `; `, `(estimated)` where the moon decides.
    pub name: String,
}

/// The name of every make-up workday.
pub const WORKDAY_NAME: &str = "Make-up workday";

/// The days of a place from one year to another, both included, in order. Nothing outside what is known.
pub fn days(place: &Place, from_year: i32, until_year: i32) -> Vec<Day> {
    let tables = data::Tables::read();
    let mut holidays: BTreeMap<NaiveDate, BTreeSet<&str>> = BTreeMap::new();
    let mut workdays: BTreeSet<NaiveDate> = BTreeSet::new();
    for block in [Some(place.country_block), place.subdivision_block].into_iter().flatten() {
        for line in block.lines() {
            let Some((mark, entries)) = line.split_once('\t') else { continue };
            for entry in entries.split(' ') {
                match mark {
                    "+" | "-" => tables.named(entry, |on, name| {
                        let names = holidays.entry(on).or_default();
                        if mark == "+" {
                            names.insert(name)
                        } else {
                            names.remove(name)
                        };
                    }),
                    "w" => tables.series(entry, |on| {
                        workdays.insert(on);
                    }),
                    "x" => tables.series(entry, |on| {
                        workdays.remove(&on);
                    }),
                    _ => {}
                }
            }
        }
    }
    let known = from_year..=until_year.min(place.known_until);
    let mut found: BTreeMap<NaiveDate, (Kind, String)> = BTreeMap::new();
    for (on, names) in holidays.into_iter().filter(|(_, names)| !names.is_empty()) {
        let names: Vec<&str> = names.into_iter().collect();
        found.insert(on, (Kind::Holiday, names.join("; ")));
    }
    found.extend(workdays.into_iter().map(|on| (on, (Kind::Workday, WORKDAY_NAME.to_string()))));
    found
        .into_iter()
        .filter(|(on, _)| known.contains(&chrono::Datelike::year(on)))
        .map(|(on, (kind, name))| Day { on, kind, name })
        .collect()
}
