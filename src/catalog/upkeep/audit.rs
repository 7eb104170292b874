//! The audit of a task: each live row that meets its filter and was due has a record or an entry in the agenda, and none has two.
//! It believes nothing of what planning believes: it reads every row of the table and asks the forward rule, without the inverse,
//! the index on the date column, change counters, candidates or shared memory. In any process of the owner's, in the caller's
//! transaction; it writes nothing.

use crate::catalog::definition::TaskKind;
use crate::catalog::ledger::{entries, record};
use crate::catalog::table::filter::ROW_ALIAS;
use crate::catalog::table::key;
use crate::catalog::task::Task;
use crate::catalog::task::query::Resolved;
use crate::error::Result;
use crate::pg::{clock, memory, sql, user};
use schedule::{Base, Instant, Occurrence};
use std::collections::HashSet;
use std::rc::Rc;

/// What was due so short a time ago may be on its way. Microseconds.
const GRACE: i64 = 60_000_000;
/// What is missing is looked for again for so long, and so often: a row may have been written a moment ago. Microseconds.
const PATIENCE: i64 = 2_000_000;
const LOOK_AGAIN: f64 = 0.1;
/// Rows read, and occurrences compared, at a time.
const PORTION: usize = 1000;
/// Most findings of one task, and bytes of their keys.
const MOST: usize = 100_000;
const MOST_BYTES: usize = 16 << 20;

/// What is wrong with an occurrence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It has neither a record nor an entry in the agenda.
    Missing,
    /// It ran, though its row was not due then.
    Unexpected,
    /// It has two.
    Duplicate,
}

impl Wrong {
    /// In SQL.
    pub fn label(self) -> &'static str {
        match self {
            Wrong::Missing => "missing",
            Wrong::Unexpected => "unexpected",
            Wrong::Duplicate => "duplicate",
        }
    }
}

/// An occurrence that is not as it should be.
pub struct Finding {
    /// The row's key in the stored form; empty for a scheduled task.
    pub key: Rc<str>,
    /// Which.
    pub occurrence: Occurrence,
    /// What is wrong.
    pub wrong: Wrong,
    /// For a person.
    pub detail: String,
}

/// What is to be audited of a task: what was due in `[from, until)`, as far as it counts then. None asks for the usual.
#[derive(Clone, Copy)]
pub struct Span {
    /// The first instant.
    pub from: Option<Instant>,
    /// The one after the last.
    pub until: Option<Instant>,
}

impl Span {
    /// Nothing counts that was due before the task's floor, nor what is not due yet.
    pub fn of(self, task: &Task, now: Instant) -> Result<(Instant, Instant)> {
        let window = schedule::span_micros(task.timing()?.catch_up_window);
        let floor = task.counts_from.max(Instant(now.0 - window));
        let until = self.until.unwrap_or(Instant(now.0 - GRACE)).min(now);
        Ok((self.from.map_or(floor, |from| from.max(floor)), until))
    }
}

/// All that is wrong with a task, in the order of the due times. A paused one owes nothing.
pub fn of(task: Task, span: Span) -> Result<(Option<Resolved>, Vec<Finding>)> {
    let (from, until) = span.of(&task, clock::now())?;
    if !task.enabled || from >= until {
        return Ok((None, Vec::new()));
    }
    let mut audit = Audit::begin(&task, (from, until));
    let nominal = audit.nominal;
    let resolved = match task.kind {
        TaskKind::Scheduled => {
            audit.series(&task)?;
            None
        }
        TaskKind::DateField => {
            let resolved = task.resolve()?;
            audit.rows(&resolved, None);
            audit.ran_unasked(&resolved, nominal);
            Some(resolved)
        }
    };
    audit.entered_twice(nominal);
    audit.settle_missing(PATIENCE);
    audit.tell_missing();
    audit.found.sort_by(|a, b| (a.occurrence.due_at, &a.key).cmp(&(b.occurrence.due_at, &b.key)));
    Ok((resolved, audit.found))
}

/// What is missing of the rows in these blocks, or of all, whose dates say that they were due in the span; as it is now.
pub fn missing_of_rows(resolved: &Resolved, span: (Instant, Instant), blocks: Option<(i64, i64)>) -> Vec<Missing> {
    let mut audit = Audit::begin(&resolved.task, span);
    audit.rows(resolved, blocks);
    audit.settle_missing(0);
    audit.missing
}

/// What is missing of a scheduled task.
pub fn missing_of_series(task: &Task, span: (Instant, Instant)) -> Result<Vec<Missing>> {
    let mut audit = Audit::begin(task, span);
    audit.series(task)?;
    audit.settle_missing(0);
    Ok(audit.missing)
}

/// The key in the stored form, and when it was due.
pub type Missing = (Rc<str>, Occurrence);

struct Audit {
    task: i32,
    from: Instant,
    until: Instant,
    /// The catch_up_window: records of what was due before may be gone. Microseconds.
    window: i64,
    /// In which nominal instants what is due in that lies.
    nominal: (Instant, Instant),
    /// What was in the agenda before anything else was read: what leaves it meanwhile has a record by then.
    entered: HashSet<key::Occurrence>,
    /// Neither entered nor recorded, as it seems.
    missing: Vec<Missing>,
    found: Vec<Finding>,
    /// Bytes of the keys in both.
    bytes: usize,
}

impl Audit {
    fn begin(task: &Task, (from, until): (Instant, Instant)) -> Audit {
        let moved = entries::moved(task);
        let nominal = (Instant(from.0.saturating_sub(moved)), Instant(until.0.saturating_add(moved)));
        let entered = entries::pending(task.id, nominal.0, nominal.1);
        let window = task.timing().map_or(0, |timing| schedule::span_micros(timing.catch_up_window));
        Audit { task: task.id, from, until, window, nominal, entered, missing: Vec::new(), found: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.missing.len() + self.found.len() >= MOST || self.bytes >= MOST_BYTES
    }

    fn find(&mut self, key: Rc<str>, occurrence: Occurrence, wrong: Wrong, detail: String) {
        self.bytes += key.len();
        self.found.push(Finding { key, occurrence, wrong, detail });
    }

    /// A scheduled task's occurrences.
    fn series(&mut self, task: &Task) -> Result<()> {
        let timing = task.timing()?;
        let base = Base::Instant(timing.start_at.unwrap_or(self.from));
        let mut due = timing.schedule.occurrences(base, &timing.zone, timing.end_at, self.from);
        self.compare_all(&"".into(), || due.next());
        Ok(())
    }

    /// Every row there is, or those in some blocks of the table and of each of its parts.
    fn rows(&mut self, resolved: &Resolved, blocks: Option<(i64, i64)>) {
        let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
        let is_late = resolved.task.filter.as_ref().is_some_and(|filter| filter.runs_late);
        // A filter that is judged only when the row runs: then there is a record that says so.
        let filter = resolved.filter_condition().filter(|_| !is_late).unwrap_or_else(|| "true".to_string());
        let place = |sign: &str, block: i64| {
            let block = block.min(i64::from(u32::MAX - 1));
            format!(" and {ROW_ALIAS}.ctid operator(pg_catalog.{sign}) '({block},0)'::pg_catalog.tid")
        };
        let blocks = blocks.map_or_else(String::new, |(from, to)| place(">=", from) + &place("<", to));
        let statement = format!(
            "select {} where {} is not null{blocks} and {filter}",
            resolved.select_list(),
            resolved.column_sql()
        );
        let mut cursor = user::restricted(|| resolved.meaning().during(|| sql::cursor(&statement, &[])));
        let mut portion = Vec::new();
        while memory::scratch(|| {
            let rows = user::restricted(|| cursor.fetch(PORTION as i64));
            for row in 0..rows.len() {
                let Some(key) = key::from_row(&rows, row, 1, &resolved.key) else { continue };
                let Some((base, end)) = resolved.base_and_end(&rows, row, resolved.key.len() + 1) else { continue };
                let key: Rc<str> = key.into();
                let mut due = schedule.occurrences(base, zone, end, self.from);
                while let Some(next) = due.next().filter(|next| next.due_at < self.until && !self.is_full()) {
                    portion.push((key.clone(), next));
                    if portion.len() >= PORTION {
                        self.compare(&std::mem::take(&mut portion));
                    }
                }
            }
            !rows.is_empty() && !self.is_full()
        }) {}
        cursor.close();
        self.compare(&portion);
    }

    /// One key's occurrences, in portions.
    fn compare_all(&mut self, key: &Rc<str>, mut next: impl FnMut() -> Option<Occurrence>) {
        while !self.is_full() {
            let some = std::iter::from_fn(&mut next).take_while(|next| next.due_at < self.until).take(PORTION);
            let some: Vec<_> = some.map(|occurrence| (key.clone(), occurrence)).collect();
            self.compare(&some);
            if some.len() < PORTION {
                return;
            }
        }
    }

    /// What was due against what is entered and recorded.
    fn compare(&mut self, due: &[(Rc<str>, Occurrence)]) {
        let wanted: Vec<(&str, Instant)> = due.iter().map(|(key, next)| (&**key, next.nominal_at)).collect();
        let recorded = record::known(self.task, &wanted);
        for (index, (key, occurrence)) in due.iter().enumerate() {
            let is_entered = self.entered.contains(&key::occurrence(key::mark(key), occurrence.nominal_at));
            match recorded.get(&index) {
                None if !is_entered => {
                    self.bytes += key.len();
                    self.missing.push((key.clone(), *occurrence));
                }
                Some(record) if is_entered && self.is_entered_still(key, *occurrence) => {
                    let detail = format!("it has record {} and waits in the agenda too", record.id);
                    self.find(key.clone(), *occurrence, Wrong::Duplicate, detail);
                }
                _ => {}
            }
        }
    }

    /// It was, before its record was seen: it may have ended in between.
    fn is_entered_still(&self, key: &str, occurrence: Occurrence) -> bool {
        let at = occurrence.nominal_at;
        entries::pending(self.task, at, at).contains(&key::occurrence(key::mark(key), at))
    }

    /// Looks again for what is missing, once or for so long.
    fn settle_missing(&mut self, patience: i64) {
        let until = clock::monotonic() + patience;
        loop {
            let missing = std::mem::take(&mut self.missing);
            let nominal = || missing.iter().map(|(_, next)| next.nominal_at);
            let (Some(first), Some(last)) = (nominal().min(), nominal().max()) else { return };
            self.entered = entries::pending(self.task, first, last);
            missing.chunks(PORTION).for_each(|some| self.compare(some));
            // By now its record may be gone, since it is too old.
            let oldest = clock::now().0 - self.window;
            self.missing.retain(|(_, due)| due.due_at.0 >= oldest);
            if self.missing.is_empty() || clock::monotonic() >= until {
                return;
            }
            user::with_pinned_path(|| sql::run("select pg_sleep($1)", &[sql::arg(LOOK_AGAIN)]));
        }
    }

    fn tell_missing(&mut self) {
        for (key, occurrence) in std::mem::take(&mut self.missing) {
            let detail = "it was due, and has neither a record nor an entry in the agenda";
            self.find(key, occurrence, Wrong::Missing, detail.to_string());
        }
    }

    /// Entries of the same occurrence.
    fn entered_twice(&mut self, (first, last): (Instant, Instant)) {
        let rows = user::as_extension_owner(|| {
            sql::run(
                "select k.key, a.nominal_at, min(a.due_at), count(*) from jittask.agenda a cross join unnest(a.keys) k (key)
                 where a.task_id = $1 and a.nominal_at between $2 and $3 and a.origin <> 'm'
                 group by 1, 2 having count(*) > 1 limit $4",
                &[sql::arg(self.task), sql::at(first), sql::at(last), sql::arg(MOST as i64)],
            )
        });
        for row in 0..rows.len() {
            let found = (rows.get::<String>(row, 1), rows.at(row, 2), rows.at(row, 3), rows.get::<i64>(row, 4));
            if let (Some(key), Some(nominal_at), Some(due_at), Some(count)) = found {
                let detail = format!("it waits in the agenda {count} times");
                self.find(key.into(), Occurrence { nominal_at, due_at }, Wrong::Duplicate, detail);
            }
        }
    }

    /// Rows that ran though they were not due then, and have not been changed since. Rows of views have no age.
    fn ran_unasked(&mut self, resolved: &Resolved, nominal: (Instant, Instant)) {
        if !resolved.target.takes_triggers() {
            return;
        }
        let mut ran = user::as_extension_owner(|| {
            sql::cursor(
                "select key, nominal_at, coalesce(due_at, nominal_at), age(xmin), id from jittask.record
                 where task_id = $1 and nominal_at between $2 and $3 and coalesce(status, 'completed') in ('completed', 'failed')
                     and forced is not true and coalesce(due_at, nominal_at) >= $4 and coalesce(due_at, nominal_at) < $5",
                &[sql::arg(self.task), sql::at(nominal.0), sql::at(nominal.1), sql::at(self.from), sql::at(self.until)],
            )
        });
        while memory::scratch(|| {
            let rows = user::as_extension_owner(|| ran.fetch(PORTION as i64));
            let ran: Vec<Ran> = (0..rows.len()).filter_map(|row| Ran::of(&rows, row)).collect();
            for portion in key::portions(&ran, PORTION, key::STATEMENT_BYTES, |ran| &ran.key) {
                self.compare_ran(resolved, portion);
            }
            !rows.is_empty() && !self.is_full()
        }) {}
        ran.close();
    }

    fn compare_ran(&mut self, resolved: &Resolved, ran: &[Ran]) {
        let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
        let count = resolved.key.len();
        let unnested: Vec<String> = (1..=count + 1).map(|i| format!("pg_catalog.unnest(${i})")).collect();
        let names: Vec<String> = (1..=count).map(|i| format!("k{i}")).collect();
        let equal = |(column, name): (&key::KeyColumn, &String)| {
            format!("{} operator(pg_catalog.=) jittask_key.{name}", resolved.qualified(&column.name))
        };
        let equal: Vec<String> = resolved.key.iter().zip(&names).map(equal).collect();
        let statement = format!(
            "select {}, pg_catalog.age({ROW_ALIAS}.xmin), jittask_key.i from rows from ({}) jittask_key ({}, i) join {} as {ROW_ALIAS} on {}",
            resolved.columns_sql(),
            unnested.join(", "),
            names.join(", "),
            resolved.target.sql_name,
            equal.join(" and ")
        );
        let keys: Vec<&str> = ran.iter().map(|ran| &*ran.key).collect();
        let mut arguments = key::columns_of(&keys, &resolved.key);
        arguments.push(sql::arg((0..ran.len() as i64).collect::<Vec<_>>()));
        let rows = user::restricted(|| resolved.meaning().during(|| sql::run_by_keys(&statement, &arguments)));
        for row in 0..rows.len() {
            let place = rows.get::<i64>(row, count + 4).and_then(|i| ran.get(i as usize));
            let (Some(ran), Some(age)) = (place, rows.get::<i32>(row, count + 3)) else { continue };
            let dates = resolved.base_and_end(&rows, row, count + 1);
            let is_due = dates.is_some_and(|(base, end)| {
                let mut due = schedule.occurrences(base, zone, end, ran.occurrence.due_at);
                due.next().is_some_and(|next| next == ran.occurrence)
            });
            if !is_due && age > ran.age {
                let detail =
                    format!("record {} says that it ran, and its row, which is older, is not due then", ran.id);
                self.find(ran.key.clone(), ran.occurrence, Wrong::Unexpected, detail);
            }
        }
    }
}

/// What has run.
struct Ran {
    key: Rc<str>,
    occurrence: Occurrence,
    /// Transactions since its record was written.
    age: i32,
    id: i64,
}

impl Ran {
    fn of(rows: &sql::Rows, row: usize) -> Option<Ran> {
        Some(Ran {
            key: rows.get::<String>(row, 1)?.into(),
            occurrence: Occurrence { nominal_at: rows.at(row, 2)?, due_at: rows.at(row, 3)? },
            age: rows.get(row, 4)?,
            id: rows.get(row, 5)?,
        })
    }
}
