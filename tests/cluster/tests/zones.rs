//! From local time to instant in every zone of the server, by the server's own rules through the scheduler's own code:
//! around each change of the clocks from 2024 to 2030 it says what Python's `zoneinfo` says with fold 0
//! (tools/oracles/zones.py).
//!
//! Servers carry different versions of the tz database, the table has several. Which of them a zone of this server
//! follows is read from the other direction, instant to local time, which is the server's alone. A zone that follows none
//! is named, and there may not be many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster::postgres::Client;
use cluster::{Cluster, all};

const TABLE: &str = include_str!("data/zones.txt");
/// Zones of the server that may follow rules of yet another version, or be unknown to the table.
const FOREIGN: usize = 30;
/// Seconds from one look at the server's offsets to the next: twelve days.
const SAMPLE: i64 = 12 * 86_400;
const FIRST: i64 = 1_704_067_200; // 2024-01-01
const LAST: i64 = 1_924_992_000; // 2031-01-01

/// What some zones do in some version of the tz database.
struct Rules {
    first: i64,
    /// The first instant of the new offset, the offset before, the offset from then on.
    changes: Vec<(i64, i64, i64)>,
    /// `2024-03-31T02:30:00` and its instant.
    resolved: Vec<(String, i64)>,
}

impl Rules {
    fn offset_at(&self, at: i64) -> i64 {
        self.changes.iter().rev().find(|change| change.0 <= at).map_or(self.first, |change| change.2)
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn rules(fields: &[&str]) -> Rules {
    let list = |field: usize| fields[field].split(',').filter(|item| !item.is_empty());
    let change = |item: &str| {
        let parts: Vec<i64> = item.split(':').map(number).collect();
        (parts[0], parts[1], parts[2])
    };
    let resolved = |item: &str| {
        let (local, at) = item.split_once('>').expect("local>instant");
        (local.to_owned(), number(at))
    };
    Rules {
        first: number(fields[1]),
        changes: list(2).map(change).collect(),
        resolved: list(3).map(resolved).collect(),
    }
}

/// Each zone's name with what it does, one for each version that differs.
fn table() -> BTreeMap<&'static str, Vec<Rules>> {
    let mut found: BTreeMap<&str, Vec<Rules>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').collect();
        for name in fields[0].split(',') {
            found.entry(name).or_default().push(rules(&fields));
        }
    }
    found
}

/// The rules that agree with what the server's clocks show, before and after each change and every twelve days.
fn followed<'a>(session: &mut Client, name: &str, known: &'a [Rules]) -> Option<&'a Rules> {
    let changes = known.iter().flat_map(|rules| &rules.changes).flat_map(|change| [change.0 - 1, change.0]);
    let looks: BTreeSet<i64> = changes.chain((FIRST..LAST).step_by(SAMPLE as usize)).collect();
    let looks: Vec<i64> = looks.into_iter().collect();
    // The session's zone, since `timezone('CET', …)` takes the abbreviation.
    session.execute("select set_config('TimeZone', $1, false)", &[&name]).unwrap();
    let query = "select extract(timezone from to_timestamp(at))::bigint
                 from unnest($1::bigint[]) with ordinality look (at, place) order by place";
    let shown: Vec<i64> = session.query(query, &[&looks]).unwrap().iter().map(|row| row.get(0)).collect();
    known.iter().find(|rules| looks.iter().zip(&shown).all(|(at, offset)| rules.offset_at(*at) == *offset))
}

/// The local times at which a daily task, whose base is the day before, is due at another instant than expected. In a
/// session of that zone.
fn differing(session: &mut Client, name: &str, rules: &Rules) -> Vec<String> {
    let (locals, instants): (Vec<&str>, Vec<i64>) = rules.resolved.iter().map(|(local, at)| (&local[..], *at)).unzip();
    let query = "select format('%s %s: %s, not %s', $1, local, found.due_at, to_timestamp(at))
        from unnest($2::text[], $3::bigint[]) look (local, at), lateral (
            select due_at from jittask.preview_schedule(
                (local::timestamp - interval '1 day')::timestamptz, 'daily', time_zone => $1, count => 2)
            order by due_at desc limit 1) found
        where found.due_at <> to_timestamp(at)";
    session.query(query, &[&name, &locals, &instants]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn every_zone_resolves_local_times_as_zoneinfo_does() {
    let cluster = Cluster::ready(&[]);
    let mut session = cluster.app();
    let table = table();
    // As the server lists them, without its second copies, and without what stands for the machine's own zone.
    let names: Vec<String> = all(
        &mut session,
        "select name from pg_timezone_names where name !~ '^(posix|right)/' and name not in ('localtime', 'posixrules') order by name",
    );
    assert!(names.len() > 400, "{} zones", names.len());
    let (mut compared, mut foreign, mut wrong) = (0, Vec::new(), Vec::new());
    let began = Instant::now();
    for name in &names {
        let known = table.get(&name[..]).map_or(&[][..], |known| known);
        match followed(&mut session, name, known) {
            Some(rules) => {
                wrong.extend(differing(&mut session, name, rules));
                compared += rules.resolved.len();
            }
            None => foreign.push(name),
        }
    }
    println!(
        "{} zones, {compared} local times in {:.1?}; of another tz version: {foreign:?}",
        names.len(),
        began.elapsed()
    );
    assert!(wrong.is_empty(), "{} differ: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(foreign.len() <= FOREIGN, "{} zones follow no version in the table: {foreign:?}", foreign.len());
    assert!(compared > 20_000, "only {compared} local times were compared");
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
}
