//! Reading the rows of an entry as they are at the moment of running: many in one statement, since one by one costs more
//! than many a function; but what was read ahead counts only while the row version is the newest.

use crate::catalog::table::filter::ROW_ALIAS;
use crate::catalog::table::key;
use crate::catalog::task::query::Resolved;
use crate::pg::tid::{self, Tid};
use crate::pg::version::{Place, Versions};
use crate::pg::{sql, tuple};

/// Rows that may have large values are read ahead in portions of about this many bytes.
const PORTION_BYTES: usize = 1 << 20;
/// The first portion of a table with large values.
const FIRST_PORTION: usize = 16;

/// What the statements return: the row, its date, its end, the filter's verdict; and of those read ahead, where it lies.
pub const ROW: usize = 1;
/// The date column.
pub const BASE: usize = 2;
/// The filter's verdict.
pub const FILTER: usize = 4;
const TABLE: usize = 5;
const PLACE: usize = 6;
/// Of rows read by their keys the position of the key, of those read by their places the key's columns from here on.
const POSITION: usize = 7;
const KEY: usize = 7;

/// How one task's rows are read.
pub struct Statements {
    one: String,
    /// None: only one by one (views, policies, filters that read more than the row).
    many: Option<String>,
    /// By the places where the rows lay when they were found, of a table with a heap of its own.
    by_place: Option<String>,
    has_large_values: bool,
}

/// The rows of one transaction.
pub struct Reader {
    reads_ahead: bool,
    portion: usize,
    versions: Versions,
    ahead: Option<Ahead>,
}

/// Rows read ahead.
struct Ahead {
    /// Those read by their places, and the others.
    rows: Vec<sql::Rows>,
    /// The first key's position, and for each key its row.
    first: usize,
    found: Vec<Option<Found>>,
}

/// A row read ahead.
#[derive(Clone, Copy)]
struct Found {
    /// In which of the results, and where.
    result: usize,
    row: usize,
    place: Place,
}

/// What is to be read ahead.
pub struct Wanted<'a> {
    /// The entry's keys.
    pub keys: &'a [String],
    /// Where their rows may lie.
    pub places: &'a [Option<Tid>],
}

impl Statements {
    /// Every function and operator in them is qualified: they run under the owner's search_path.
    pub fn new(resolved: &Resolved) -> Statements {
        let columns = columns(resolved);
        let table = &resolved.target.sql_name;
        let equal = |value: fn(usize) -> String| -> String {
            let columns = resolved.key.iter().enumerate();
            let terms = columns.map(|(i, column)| {
                format!("{} operator(pg_catalog.=) {}", resolved.qualified(&column.name), value(i + 1))
            });
            terms.collect::<Vec<_>>().join(" and ")
        };
        let list = |part: fn(usize) -> String| (1..=resolved.key.len()).map(part).collect::<Vec<_>>().join(", ");
        let is_plain = resolved.target.takes_triggers() && !resolved.target.has_policies;
        let is_settled = resolved.task.filter.as_ref().is_none_or(|filter| !filter.runs_late);
        let many = is_plain && is_settled;
        Statements {
            one: format!("select {columns} from {table} as {ROW_ALIAS} where {}", equal(|i| format!("${i}"))),
            by_place: (many && resolved.has_places()).then(|| {
                let key: Vec<String> = resolved.key.iter().map(|column| resolved.qualified(&column.name)).collect();
                format!(
                    "select {columns}, {ROW_ALIAS}.tableoid, {ROW_ALIAS}.ctid, {}
                     from {table} as {ROW_ALIAS} where {ROW_ALIAS}.ctid operator(pg_catalog.=) any ($1) and {}",
                    key.join(", "),
                    resolved.lies_in_table()
                )
            }),
            many: many.then(|| {
                format!(
                    "select {columns}, {ROW_ALIAS}.tableoid, {ROW_ALIAS}.ctid, jittask_key.position
                     from (select {}, pg_catalog.unnest(${}) as position) jittask_key
                     join {table} as {ROW_ALIAS} on {}",
                    list(|i| format!("pg_catalog.unnest(${i}) as k{i}")),
                    resolved.key.len() + 1,
                    equal(|i| format!("jittask_key.k{i}"))
                )
            }),
            has_large_values: resolved.target.has_large_values,
        }
    }

    /// Reads one row by its key, now.
    pub fn one(&self, resolved: &Resolved, key: &str) -> sql::Rows {
        let values = key::values_of(key, &resolved.key);
        resolved.meaning().during(|| sql::run(&self.one, &values))
    }
}

impl Reader {
    /// For the rows of a task with a table.
    pub fn new(statements: &Statements) -> Reader {
        Reader {
            reads_ahead: statements.many.is_some(),
            portion: if statements.has_large_values { FIRST_PORTION } else { usize::MAX },
            versions: Versions::default(),
            ahead: None,
        }
    }

    /// Is it time to read ahead before this position?
    pub fn is_at_end(&self, position: usize) -> bool {
        self.reads_ahead && self.ahead.as_ref().is_none_or(|ahead| position >= ahead.first + ahead.found.len())
    }

    /// Portions do not help where all rows are held at once.
    pub fn read_everything(&mut self) {
        self.portion = usize::MAX;
    }

    /// Reads the rows from `position` on, as many as there is room for.
    pub fn read_ahead(&mut self, statements: &Statements, resolved: &Resolved, wanted: &Wanted, position: usize) {
        self.ahead = None;
        let Some(many) = statements.many.as_ref().filter(|_| self.reads_ahead) else { return };
        self.versions.begin();
        let range = position..position + self.portion.min(wanted.keys.len() - position);
        let (keys, places) = (&wanted.keys[range.clone()], &wanted.places[range]);
        let mut ahead = Ahead { rows: Vec::new(), first: position, found: vec![None; keys.len()] };
        if let Some(by_place) = statements.by_place.as_ref().filter(|_| places.iter().any(Option::is_some)) {
            ahead.read_by_place(by_place, resolved, keys, places);
        }
        ahead.read_by_key(many, resolved, keys);
        if self.portion != usize::MAX {
            self.portion = (PORTION_BYTES / (ahead.average_size() + 1)).clamp(1, 4 * self.portion);
        }
        self.ahead = Some(ahead);
    }

    /// Takes note of where the rows read ahead lie; outside of any savepoint, which would take the notes along.
    pub fn note_places(&mut self) {
        let found = self.ahead.iter().flat_map(|ahead| ahead.found.iter().flatten());
        found.for_each(|found| self.versions.note(found.place));
    }

    /// Nothing is read ahead any more: the next rows are read one by one.
    pub fn forget(&mut self) {
        self.ahead = None;
        self.reads_ahead = false;
    }

    /// The row read ahead, if it is still what the active snapshot sees: the rows of a statement and its number.
    pub fn ahead(&self, position: usize) -> Option<(&sql::Rows, usize)> {
        let (rows, found) = self.find(position)?;
        self.versions.is_current(found.place).then_some((rows, found.row))
    }

    /// The same where nothing can have happened since.
    pub fn just_read(&self, position: usize) -> Option<(&sql::Rows, usize)> {
        self.find(position).map(|(rows, found)| (rows, found.row))
    }

    fn find(&self, position: usize) -> Option<(&sql::Rows, Found)> {
        let ahead = self.ahead.as_ref()?;
        let found = (*ahead.found.get(position.checked_sub(ahead.first)?)?)?;
        Some((&ahead.rows[found.result], found))
    }

    /// At the end of the transaction.
    pub fn close(self) {
        drop(self.ahead);
        self.versions.close();
    }
}

impl Ahead {
    /// Those that lie where they lay: a visible row with the key is the key's row.
    fn read_by_place(&mut self, statement: &str, resolved: &Resolved, keys: &[String], places: &[Option<Tid>]) {
        let placed = places.iter().enumerate().filter_map(|(position, place)| Some(((*place)?, position)));
        let mut placed: Vec<(Tid, usize)> = placed.collect();
        placed.sort_unstable();
        let places = [tid::tids(placed.iter().map(|(place, _)| *place))];
        let rows = resolved.meaning().during(|| sql::run_by_keys(statement, &places));
        for row in 0..rows.len() {
            let at = Tid::of(&rows, row, PLACE).and_then(|place| placed.binary_search_by_key(&place, |at| at.0).ok());
            let Some((_, position)) = at.map(|at| placed[at]) else { continue };
            if key::is_of_row(&keys[position], &rows, row, KEY, &resolved.key) {
                self.note(&rows, row, position);
            }
        }
        self.rows.push(rows);
    }

    /// The others.
    fn read_by_key(&mut self, statement: &str, resolved: &Resolved, keys: &[String]) {
        let missing: Vec<usize> = (0..keys.len()).filter(|position| self.found[*position].is_none()).collect();
        if missing.is_empty() {
            return;
        }
        let portion: Vec<&str> = missing.iter().map(|position| keys[*position].as_str()).collect();
        let mut arguments = key::columns_of(&portion, &resolved.key);
        arguments.push(sql::arg(missing.iter().map(|position| *position as i32).collect::<Vec<i32>>()));
        let rows = resolved.meaning().during(|| sql::run_by_keys(statement, &arguments));
        for row in 0..rows.len() {
            let position = rows.get::<i32>(row, POSITION).and_then(|at| usize::try_from(at).ok());
            if let Some(position) = position.filter(|position| *position < keys.len()) {
                self.note(&rows, row, position);
            }
        }
        self.rows.push(rows);
    }

    fn note(&mut self, rows: &sql::Rows, row: usize, position: usize) {
        let result = self.rows.len();
        self.found[position] = Place::of(rows, row, TABLE, PLACE).map(|place| Found { result, row, place });
    }

    /// In bytes.
    fn average_size(&self) -> usize {
        let sizes =
            self.rows.iter().flat_map(|rows| (0..rows.len()).filter_map(|row| rows.datum(row, ROW)).map(tuple::size));
        let (count, sum) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        sum / count.max(1)
    }
}

fn columns(resolved: &Resolved) -> String {
    let end =
        resolved.end.as_ref().map_or_else(|| "null::pg_catalog.date".to_string(), |(name, _)| resolved.qualified(name));
    let filter = resolved.filter_condition().unwrap_or_else(|| "true".to_string());
    format!("{ROW_ALIAS}.*::{}, {}, {end}, {filter}", tuple::type_name(resolved.target.row_type), resolved.column_sql())
}
