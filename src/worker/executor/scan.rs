//! Reading the user's table for what falls due in a window, and for single rows that were captured; what is neither in
//! the agenda nor recorded enters the agenda. Inside the planning transaction of one task. Its statements run under the
//! owner's search_path, for the sake of functions in views and filters, so every name in them is qualified.

use crate::catalog::agenda;
use crate::catalog::enter::{self, New};
use crate::catalog::key;
use crate::catalog::record::{self, Outcome, Record};
use crate::catalog::resolved::Resolved;
use crate::catalog::tally::Counts;
use crate::catalog::task::ROW_ALIAS;
use crate::pg::tid::Tid;
use crate::pg::{clock, memory, sql, value};
use schedule::{BaseRange, ColumnKind, Instant, Late, Occurrence};
use std::collections::HashSet;

/// How far a holiday may move an occurrence: 400 days, in microseconds.
const LONGEST_MOVE: i64 = 400 * 86_400_000_000;
/// Rows read, and occurrences looked up, at a time.
const PORTION: usize = 1000;
/// A row whose occurrences in the window are more than this is cut: the rest comes with a later pass.
const PER_ROW: usize = 10_000;

/// One planning pass over one task.
pub struct Scan<'a> {
    resolved: &'a Resolved,
    now: Instant,
    until: Instant,
    floor: Instant,
    /// Oldest due time that a captured row may still have.
    captured_floor: Instant,
    /// What is in the agenda with a nominal instant in this range.
    known: HashSet<u128>,
    known_range: Option<(Instant, Instant)>,
    found: Vec<Found>,
    ready: Vec<New>,
    counts: Counts,
}

/// A row with something due.
#[derive(Clone)]
struct Candidate {
    key: String,
    hash: u128,
    place: Option<Tid>,
}

struct Found {
    occurrence: Occurrence,
    row: Candidate,
    /// What becomes of it unless it is known.
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Enter,
    SkipLate,
    /// Older than the window: only counted, and only if it is not recorded.
    PassOver,
}

/// The trigger's limit for the date column as its raw datum value.
pub fn raw_limit(resolved: &Resolved, until: Instant) -> i64 {
    match resolved.timing.schedule.upper_limit(resolved.column_kind, &resolved.timing.zone, until) {
        None => i64::MAX,
        Some(micros) => match resolved.column_kind {
            ColumnKind::Date => clock::to_pg(Instant(micros)).div_euclid(86_400_000_000),
            ColumnKind::Local | ColumnKind::Instant => clock::to_pg(Instant(micros)),
        },
    }
}

impl<'a> Scan<'a> {
    /// Begins a pass for what is due before `until`.
    pub fn begin(resolved: &'a Resolved, now: Instant, until: i64) -> Scan<'a> {
        let window = schedule::span_micros(resolved.timing.catch_up_window);
        let captured_floor = Instant(now.0 - window);
        let existing = schedule::span_micros(resolved.timing.existing_rows);
        let counted = Instant(resolved.task.counts_from.0 - existing);
        let floor = if existing > window { counted } else { captured_floor.max(counted) };
        Scan {
            resolved,
            now,
            until: Instant(until),
            floor,
            captured_floor,
            known: HashSet::new(),
            known_range: None,
            found: Vec::new(),
            ready: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The oldest due time that a scan may make due.
    pub fn floor(&self) -> Instant {
        self.floor
    }

    /// The end of the window.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Looks up, in the user's index, the rows that have something due in `[from, until)`, and enters what is new of all that
    /// they have due from `since` on.
    pub fn window(&mut self, from: Instant, until: Instant, since: Instant) {
        let schedule = &self.resolved.timing.schedule;
        let lowest = if schedule.cycle == schedule::Cycle::None { None } else { self.lowest() };
        let ranges = schedule.bases(self.resolved.column_kind, &self.resolved.timing.zone, from, until, lowest);
        if ranges.is_empty() {
            return;
        }
        self.know_all();
        let (statement, arguments) = self.window_statement(&ranges);
        let mut cursor = sql::cursor(&statement, &arguments);
        while memory::scratch(|| {
            let rows = cursor.fetch(PORTION as i64);
            for row in 0..rows.len() {
                self.consider(&rows, row, since, false);
            }
            let found = !rows.is_empty();
            drop(rows);
            self.settle();
            found
        }) {}
        cursor.close();
    }

    /// Reads what the agenda has of the task, for a scan that may meet all of it.
    fn know_all(&mut self) {
        // Holidays move occurrences away from their nominal instants, which are what they are known by.
        let moved = if self.resolved.timing.schedule.holidays.is_some() { LONGEST_MOVE } else { 0 };
        let earliest = Instant(self.floor.0.min(self.captured_floor.0) - moved);
        self.know(earliest, Instant(self.until.0 + moved));
    }

    /// Reads what the agenda has at the instants of what was found: there may be millions at others.
    fn know_found(&mut self) {
        let nominal = || self.found.iter().map(|found| found.occurrence.nominal_at);
        if let (Some(first), Some(last)) = (nominal().min(), nominal().max()) {
            self.know(first, last);
        }
    }

    fn know(&mut self, first: Instant, last: Instant) {
        let (from, to) = self.known_range.map_or((first, last), |(from, to)| (from.min(first), to.max(last)));
        if self.known_range != Some((from, to)) {
            self.known.extend(agenda::pending(self.resolved.task.id, from, to));
            self.known_range = Some((from, to));
        }
    }

    fn lowest(&self) -> Option<chrono::NaiveDateTime> {
        let statement = format!(
            "select pg_catalog.min({}) from {} as {ROW_ALIAS} where {0} operator(pg_catalog.>) '-infinity'",
            self.resolved.column_sql(),
            self.resolved.target.sql_name
        );
        let rows = sql::once(&statement, &[]);
        match value::base(self.resolved.column_kind, rows.datum(0, 1)?)? {
            schedule::Base::Date(date) => date.and_hms_opt(0, 0, 0),
            schedule::Base::Local(local) => Some(local),
            schedule::Base::Instant(at) => chrono::DateTime::from_timestamp_micros(at.0).map(|at| at.naive_utc()),
        }
    }

    fn window_statement(&self, ranges: &[BaseRange]) -> (String, Vec<sql::Arg>) {
        let resolved = self.resolved;
        let (column, columns, table) =
            (resolved.column_sql(), resolved.planned_columns_sql(), &resolved.target.sql_name);
        let filter = match resolved.filter_condition() {
            Some(filter) if !resolved.task.filter.as_ref().is_some_and(|filter| filter.runs_late) => {
                format!(" and {filter}")
            }
            _ => String::new(),
        };
        let (first, last) = (&ranges[0], &ranges[ranges.len() - 1]);
        if let [range] = ranges {
            let mut arguments = vec![resolved.bound(range.high)];
            let mut condition = format!("{column} operator(pg_catalog.<=) $1");
            if let Some(low) = range.low {
                arguments.push(resolved.bound(low));
                condition += &format!(" and {column} operator(pg_catalog.>=) $2");
            }
            return (format!("select {columns} from {table} as {ROW_ALIAS} where {condition}{filter}"), arguments);
        }
        if resolved.column_kind == ColumnKind::Date && ranges.iter().all(|range| range.low == Some(range.high)) {
            let days = sql::dates(ranges.iter().map(|range| value::raw(ColumnKind::Date, range.high) as i32));
            return (
                format!(
                    "select {columns} from {table} as {ROW_ALIAS} where {column} operator(pg_catalog.=) any($1){filter}"
                ),
                vec![days],
            );
        }
        // Disjoint ranges: each row is joined at most once.
        let kind = resolved.column_kind;
        let low = |range: &BaseRange| range.low.or(first.low).unwrap_or(chrono::NaiveDateTime::MIN);
        let arguments = vec![
            sql::raw_array(kind, ranges.iter().map(|range| value::raw(kind, low(range)))),
            sql::raw_array(kind, ranges.iter().map(|range| value::raw(kind, range.high))),
            resolved.bound(last.high),
        ];
        let statement = format!(
            "select {columns} from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) jittask_range (low, high)
             join {table} as {ROW_ALIAS} on {column} operator(pg_catalog.>=) jittask_range.low
             and {column} operator(pg_catalog.<=) jittask_range.high where {column} operator(pg_catalog.<=) $3{filter}"
        );
        (statement, arguments)
    }

    /// Looks captured rows up by their keys.
    pub fn rows(&mut self, keys: &[String]) {
        let resolved = self.resolved;
        let columns = resolved.key.len();
        let unnested: Vec<String> = (1..=columns).map(|i| format!("pg_catalog.unnest(${i})")).collect();
        let names: Vec<String> = (1..=columns).map(|i| format!("k{i}")).collect();
        let equal: Vec<String> = resolved
            .key
            .iter()
            .zip(&names)
            .map(|(column, name)| {
                format!("{} operator(pg_catalog.=) jittask_key.{name}", resolved.qualified(&column.name))
            })
            .collect();
        let filter = match resolved.filter_condition() {
            Some(filter) if !resolved.task.filter.as_ref().is_some_and(|filter| filter.runs_late) => {
                format!(" where {filter}")
            }
            _ => String::new(),
        };
        let statement = format!(
            "select {} from rows from ({}) jittask_key ({}) join {} as {ROW_ALIAS} on {}{filter}",
            resolved.planned_columns_sql(),
            unnested.join(", "),
            names.join(", "),
            resolved.target.sql_name,
            equal.join(" and ")
        );
        for portion in keys.chunks(PORTION) {
            let portion: Vec<&str> = portion.iter().map(String::as_str).collect();
            memory::scratch(|| {
                let rows = sql::run_by_keys(&statement, &key::columns_of(&portion, &resolved.key));
                for row in 0..rows.len() {
                    self.consider(&rows, row, self.captured_floor, true);
                }
                drop(rows);
                self.know_found();
                self.settle();
            });
        }
    }

    /// One row's occurrences from `from` up to the horizon.
    fn consider(&mut self, rows: &sql::Rows, row: usize, from: Instant, is_captured: bool) {
        let resolved = self.resolved;
        let columns = resolved.key.len();
        let Some((base, end)) = resolved.base_and_end(rows, row, columns + 1) else { return };
        let Some(key) = key::from_row(rows, row, 1, &resolved.key) else { return };
        let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
        let hash = key::hash(resolved.task.id, &key);
        let row = Candidate { key, hash, place: Tid::of(rows, row, columns + 3) };
        let due: Vec<Occurrence> = schedule
            .occurrences(base, zone, end, from)
            .take_while(|next| next.due_at < self.until)
            .take(PER_ROW)
            .collect();
        let first_future = due.partition_point(|next| next.due_at < self.now);
        let (past, future) = due.split_at(first_future);
        if is_captured && past.is_empty() {
            let not_before = Instant(resolved.task.counts_from.0.min(from.0));
            if let Some(last) = schedule.last_before(base, zone, end, from, not_before) {
                self.note(last, &row, Verdict::PassOver);
            }
        }
        // All of the past is judged, so that the last one is the last also where another look has found it before.
        for late in schedule::late(resolved.timing.catch_up, past) {
            let (Late::Run(occurrence) | Late::Skip(occurrence)) = late;
            if !self.known.contains(&key::identity(hash, occurrence.nominal_at)) {
                let verdict = if matches!(late, Late::Run(_)) { Verdict::Enter } else { Verdict::SkipLate };
                self.note(occurrence, &row, verdict);
            }
        }
        for occurrence in future {
            if !self.known.contains(&key::identity(hash, occurrence.nominal_at)) {
                self.note(*occurrence, &row, Verdict::Enter);
            }
        }
    }

    fn note(&mut self, occurrence: Occurrence, row: &Candidate, verdict: Verdict) {
        self.found.push(Found { occurrence, row: row.clone(), verdict });
    }

    /// Leaves out what is recorded, and gathers the rest for the agenda.
    fn settle(&mut self) {
        let task = &self.resolved.task;
        let found = std::mem::take(&mut self.found);
        let wanted: Vec<(u128, Instant)> =
            found.iter().map(|found| (found.row.hash, found.occurrence.nominal_at)).collect();
        let known = record::known(task.id, &wanted);
        for (index, found) in found.into_iter().enumerate() {
            let identity = key::identity(found.row.hash, found.occurrence.nominal_at);
            if self.known.contains(&identity) {
                continue;
            }
            match (known.get(&index), found.verdict) {
                (None, Verdict::Enter) => {
                    self.counts.entered += 1;
                    self.known.insert(identity);
                    let Candidate { key, place, .. } = found.row;
                    self.ready.push(New { occurrence: found.occurrence, key, place });
                }
                (Some(record), Verdict::Enter) if record.may_return => self.revive(record.id, found),
                (None, Verdict::SkipLate) => self.skip_late(found),
                (None, Verdict::PassOver) => self.counts.passed_over += 1,
                _ => {}
            }
        }
        if self.ready.len() >= 20 * agenda::ENTRY_KEYS {
            self.write();
        }
    }

    /// Skipped when its row did not fit; now it does: pending again, under its id.
    fn revive(&mut self, id: i64, found: Found) {
        let task = &self.resolved.task;
        if record::take_back(id) {
            self.counts.skipped -= 1;
            self.known.insert(key::identity(found.row.hash, found.occurrence.nominal_at));
            enter::insert_revived(task.owner, task.id, id, found.occurrence, &found.row.key);
        }
    }

    fn skip_late(&mut self, found: Found) {
        let id = enter::next_id();
        let record = Record {
            id,
            occurrence: found.occurrence,
            forced: false,
            keys: [found.row.key].into(),
            position: 0,
            started_at: None,
            finished_at: clock::now(),
            attempt: 0,
            outcome: Outcome::Skipped("catch_up"),
        };
        record::insert(self.resolved.task.id, std::slice::from_ref(&record));
        self.known.insert(key::identity(found.row.hash, found.occurrence.nominal_at));
        self.counts.entered += 1;
        self.counts.skipped += 1;
    }

    fn write(&mut self) {
        let task = &self.resolved.task;
        enter::insert(task.owner, task.id, &std::mem::take(&mut self.ready));
    }

    /// Writes the rest; what the pass found.
    pub fn finish(mut self) -> Counts {
        self.write();
        self.counts
    }
}
