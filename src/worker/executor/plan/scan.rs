//! Reading the user's table for what falls due in a window, and for single rows that were captured; what is neither in
//! the agenda nor recorded enters the agenda. Inside the planning transaction of one task. Its statements run under the
//! owner's search_path, for the sake of functions in views and filters, so every name in them is qualified.

use crate::catalog::ledger::{Ledger, New, Writer, entries};
use crate::catalog::table::filter::ROW_ALIAS;
use crate::catalog::table::key;
use crate::catalog::task::query::Resolved;
use crate::pg::{clock, memory, sql, value};
use crate::worker::executor::plan::candidate::Found;
use schedule::{BaseRange, ColumnKind, Instant};
use std::collections::HashSet;

/// Rows read, and occurrences looked up, at a time.
const PORTION: usize = 1000;

/// How a row came to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// By looking through the table.
    Scanned,
    /// Its trigger told that it is new, or that its date is.
    Dated,
    /// Its trigger told that it was changed otherwise.
    Changed,
    /// Its trigger told so some time ago: what of its past was left is entered now.
    InArrears,
}

/// One planning pass over one task.
pub struct Scan<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) now: Instant,
    pub(super) until: Instant,
    floor: Instant,
    /// Oldest due time that a captured row may still have.
    captured_floor: Instant,
    /// What is in the agenda with a nominal instant in this range.
    pub(super) known: HashSet<key::Occurrence>,
    known_range: Option<(Instant, Instant)>,
    pub(super) found: Vec<Found>,
    pub(super) ready: Vec<New>,
    /// Bytes of the keys in both, about.
    pub(super) key_bytes: usize,
    /// The length of the longest key that was too long.
    pub(super) too_long: usize,
    pub(super) ledger: Ledger,
    /// The past is looked through only so far: see [`Scan::bound`].
    pub(super) bound: Option<Bound>,
    /// Captured rows with very much of the past.
    pub(super) in_arrears: Vec<String>,
}

/// How much of the past one transaction enters, and how long it looks through it.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// So many occurrences have been entered, skipped ones included.
    entered: i64,
    /// By the monotonic clock.
    until: i64,
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
    pub fn begin(resolved: &'a Resolved, now: Instant, until: i64, writer: Writer) -> Scan<'a> {
        let window = schedule::span_micros(resolved.timing.catch_up_window);
        let (floor, captured_floor) = (resolved.task.floor(now, window), Instant(now.0 - window));
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
            key_bytes: 0,
            too_long: 0,
            ledger: Ledger::open(resolved.task.id, writer),
            bound: None,
            in_arrears: Vec::new(),
        }
    }

    /// From here on the past is looked through as of `now`, so many occurrences at most are entered, and it takes about
    /// `micros` at most.
    pub fn bound(&mut self, now: Instant, most: i64, micros: i64) {
        let window = schedule::span_micros(self.resolved.timing.catch_up_window);
        (self.now, self.floor) = (now, self.resolved.task.floor(now, window));
        self.bound = Some(Bound { entered: self.entered() + most, until: clock::monotonic() + micros });
    }

    /// So many have been found that come in.
    fn entered(&self) -> i64 {
        self.ledger.entered() + self.ready.len() as i64
    }

    /// No more than what was begun: see [`Scan::bound`].
    pub fn is_spent(&self) -> bool {
        self.bound.is_some_and(|bound| self.entered() >= bound.entered || clock::monotonic() >= bound.until)
    }

    /// The oldest due time that a scan may make due.
    pub fn floor(&self) -> Instant {
        self.floor
    }

    /// The same of what was captured.
    pub fn captured_floor(&self) -> Instant {
        self.captured_floor
    }

    /// The end of the window.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Looks up, in the user's index, the rows that have something due in `[from, until)`, and enters what is new of that. False
    /// if the bound came before its end.
    pub fn window(&mut self, from: Instant, until: Instant) -> bool {
        let schedule = &self.resolved.timing.schedule;
        let lowest = if schedule.cycle == schedule::Cycle::None { None } else { self.lowest() };
        let ranges = schedule.bases(self.resolved.column_kind, &self.resolved.timing.zone, from, until, lowest);
        if ranges.is_empty() {
            return true;
        }
        self.know_all();
        let (statement, arguments) = self.window_statement(&ranges);
        let mut cursor = self.resolved.meaning().during(|| sql::cursor(&statement, &arguments));
        let mut is_whole = true;
        while memory::scratch(|| {
            let rows = cursor.fetch(PORTION as i64);
            for row in 0..rows.len() {
                is_whole = is_whole && self.consider(&rows, row, (from, until), Seen::Scanned).is_none();
            }
            let found = !rows.is_empty();
            drop(rows);
            self.settle();
            found && is_whole
        }) {}
        cursor.close();
        is_whole
    }

    /// Reads what the agenda has of the task, for a scan that may meet all of it.
    fn know_all(&mut self) {
        // Holidays move occurrences away from their nominal instants, which are what they are known by.
        let moved = entries::moved(&self.resolved.task);
        let earliest = Instant(self.floor.0.min(self.captured_floor.0) - moved);
        self.know(earliest, Instant(self.until.0 + moved));
    }

    /// Reads what the agenda has at the instants of what was found: there may be millions at others.
    pub(super) fn know_found(&mut self) {
        let nominal = || self.found.iter().map(|found| found.occurrence.nominal_at);
        if let (Some(first), Some(last)) = (nominal().min(), nominal().max()) {
            self.know(first, last);
        }
    }

    pub(super) fn know(&mut self, first: Instant, last: Instant) {
        let (from, to) = self.known_range.map_or((first, last), |(from, to)| (from.min(first), to.max(last)));
        if self.known_range != Some((from, to)) {
            self.known.extend(entries::pending(self.resolved.task.id, from, to));
            self.known_range = Some((from, to));
        }
    }

    fn lowest(&self) -> Option<chrono::NaiveDateTime> {
        let statement = format!(
            "select pg_catalog.min({}) from {} as {ROW_ALIAS} where {0} operator(pg_catalog.>) $1",
            self.resolved.column_sql(),
            self.resolved.target.sql_name
        );
        // Not as a literal, which would be read as of whatever type the column is: somebody's code, perhaps.
        let infinity = value::minus_infinity(self.resolved.column_kind);
        let infinity = sql::datum(value::type_of(self.resolved.column_kind), Some(infinity));
        let rows = self.resolved.meaning().during(|| sql::once(&statement, &[infinity]));
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
    pub fn rows(&mut self, keys: &[String], seen: Seen) {
        self.rows_from(keys, self.captured_floor, self.until, seen);
    }

    /// What rows have due in `[from, until)`. Of those for which the bound came too soon: from where on that is left.
    pub(super) fn rows_from(
        &mut self,
        keys: &[String],
        from: Instant,
        until: Instant,
        seen: Seen,
    ) -> Vec<(String, Instant)> {
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
        let mut left = Vec::new();
        for portion in key::portions(keys, PORTION, key::STATEMENT_BYTES, String::as_str) {
            let portion: Vec<&str> = portion.iter().map(String::as_str).collect();
            memory::scratch(|| {
                let columns = key::columns_of(&portion, &resolved.key);
                let rows = resolved.meaning().during(|| sql::run_by_keys(&statement, &columns));
                for row in 0..rows.len() {
                    left.extend(self.consider(&rows, row, (from, until), seen));
                }
                drop(rows);
                self.settle();
            });
        }
        left
    }

    /// Writes the rest; what the pass found.
    pub fn finish(mut self) -> Ledger {
        self.write();
        self.ledger
    }
}
