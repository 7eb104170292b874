//! Reading the rows of an entry as they are at the moment of running: many in one statement, since one by one costs more
//! than many a function; but what was read ahead counts only while the row version is the newest.

use crate::catalog::key;
use crate::catalog::resolved::Resolved;
use crate::catalog::task::ROW_ALIAS;
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
const POSITION: usize = 5;
const TABLE: usize = 6;
const PLACE: usize = 7;

/// How one task's rows are read.
pub struct Statements {
    one: String,
    /// None: only one by one (views, policies, filters that read more than the row).
    many: Option<String>,
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
    rows: sql::Rows,
    /// The first key's position, and for each key its row.
    first: usize,
    found: Vec<Option<(usize, Place)>>,
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
        Statements {
            one: format!("select {columns} from {table} as {ROW_ALIAS} where {}", equal(|i| format!("${i}"))),
            many: (is_plain && is_settled).then(|| {
                format!(
                    "select {columns}, jittask_key.position, {ROW_ALIAS}.tableoid, {ROW_ALIAS}.ctid
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
        sql::run(&self.one, &key::values_of(key, &resolved.key))
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
    pub fn read_ahead(&mut self, statements: &Statements, resolved: &Resolved, keys: &[String], position: usize) {
        self.ahead = None;
        let Some(many) = statements.many.as_ref().filter(|_| self.reads_ahead) else { return };
        let count = self.portion.min(keys.len() - position);
        let portion: Vec<&str> = keys[position..position + count].iter().map(String::as_str).collect();
        let mut arguments = key::columns_of(&portion, &resolved.key);
        arguments.push(sql::arg((0..count as i32).collect::<Vec<i32>>()));
        let rows = sql::run(many, &arguments);
        let mut found = vec![None; count];
        for row in 0..rows.len() {
            let at = rows.get::<i32>(row, POSITION).and_then(|at| usize::try_from(at).ok());
            if let Some(slot) = at.and_then(|at| found.get_mut(at)) {
                *slot = Place::of(&rows, row, TABLE, PLACE).map(|place| (row, place));
            }
        }
        if self.portion != usize::MAX {
            let bytes: usize = (0..rows.len()).filter_map(|row| rows.datum(row, ROW)).map(tuple::size).sum();
            let average = bytes / rows.len().max(1) + 1;
            self.portion = (PORTION_BYTES / average).clamp(1, 4 * self.portion);
        }
        self.ahead = Some(Ahead { rows, first: position, found });
    }

    /// Takes note of where the rows read ahead lie; outside of any savepoint, which would take the notes along.
    pub fn note_places(&mut self) {
        let places = self.ahead.iter().flat_map(|ahead| ahead.found.iter().flatten());
        places.for_each(|(_, place)| self.versions.note(*place));
    }

    /// Nothing is read ahead any more: the next rows are read one by one.
    pub fn forget(&mut self) {
        self.ahead = None;
        self.reads_ahead = false;
    }

    /// The row read ahead, if it is still what the active snapshot sees: the rows of a statement and its number.
    pub fn ahead(&self, position: usize) -> Option<(&sql::Rows, usize)> {
        let (rows, row, place) = self.find(position)?;
        self.versions.is_current(place).then_some((rows, row))
    }

    /// The same where nothing can have happened since.
    pub fn just_read(&self, position: usize) -> Option<(&sql::Rows, usize)> {
        self.find(position).map(|(rows, row, _)| (rows, row))
    }

    fn find(&self, position: usize) -> Option<(&sql::Rows, usize, Place)> {
        let ahead = self.ahead.as_ref()?;
        let (row, place) = (*ahead.found.get(position.checked_sub(ahead.first)?)?)?;
        Some((&ahead.rows, row, place))
    }

    /// At the end of the transaction.
    pub fn close(self) {
        drop(self.ahead);
        self.versions.close();
    }
}

fn columns(resolved: &Resolved) -> String {
    let end =
        resolved.end.as_ref().map_or_else(|| "null::pg_catalog.date".to_string(), |(name, _)| resolved.qualified(name));
    let filter = resolved.filter_condition().unwrap_or_else(|| "true".to_string());
    format!("{ROW_ALIAS}.*::{}, {}, {end}, {filter}", tuple::type_name(resolved.target.row_type), resolved.column_sql())
}
