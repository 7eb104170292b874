//! What a planning pass makes of the rows it has read: which of their occurrences run, which are too late, which are known
//! already. Inside the planning transaction of one task, after `scan` has read them.

use crate::catalog::ledger::origin::Origin;
use crate::catalog::ledger::record::{self, Outcome, Record};
use crate::catalog::ledger::{self, New, entries};
use crate::catalog::table::key;
use crate::pg::tid::Tid;
use crate::pg::{clock, sql};
use crate::worker::events;
use crate::worker::executor::plan::candidate::{Candidate, Found, Verdict};
use crate::worker::executor::plan::scan::{Scan, Seen};
use crate::worker::need;
use schedule::{Base, CatchUp, Cycle, Instant, Late, Occurrence};

/// Occurrences of one row that are held at a time: with a rule of seconds there may be very many in a window.
const PER_ROW: usize = 1000;
/// Keys that are held at a time have about so many bytes: one may be of a megabyte.
const KEY_BYTES: usize = 16 << 20;
/// Of a captured row so many past ones are entered at once.
const FEW: usize = 10;

impl Scan<'_> {
    /// One row's occurrences in `[from, until)`. If the bound came before the last of them: which row it is, and from where on
    /// they are left.
    pub fn consider(
        &mut self,
        rows: &sql::Rows,
        row: usize,
        (mut from, until): (Instant, Instant),
        seen: Seen,
    ) -> Option<(String, Instant)> {
        let resolved = self.resolved;
        let columns = resolved.key.len();
        let (base, end) = resolved.base_and_end(rows, row, columns + 1)?;
        let key = key::from_row(rows, row, 1, &resolved.key)?;
        if key.len() > key::MOST_BYTES {
            self.too_long = self.too_long.max(key.len());
            return None;
        }
        if self.is_spent() {
            return Some((key, from));
        }
        let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
        let mark = key::mark(&key);
        self.key_bytes += key.len();
        let row = Candidate { key: key.into(), mark, place: Tid::of(rows, row, columns + 3) };
        let is_new = matches!(seen, Seen::Dated | Seen::Changed);
        let recent = need::recent(self.now);
        let is_much = |next: Occurrence| next.due_at < recent;
        let is_in_arrears = is_new && schedule.occurrences(base, zone, end, from).nth(FEW).is_some_and(is_much);
        if is_in_arrears {
            self.in_arrears.push(row.key.to_string());
            from = recent;
        }
        // What is due later is only looked at: whether it is before now.
        let mut due = schedule.occurrences(base, zone, end, from).peekable();
        if is_new && !is_in_arrears && due.peek().is_none_or(|next| next.due_at >= self.now) {
            let too_old = self.too_old(base, end, from, seen);
            if let Some(last) = too_old {
                self.note(last, &row, Verdict::PassOver);
            }
        }
        while let Some(next) = due.peek().filter(|next| next.due_at < until).map(|next| next.due_at) {
            if self.is_spent() {
                return Some((row.key.to_string(), next));
            }
            let is_asked = |next: &Occurrence| seen != Seen::Scanned || !resolved.task.was_due_in_pause(next.due_at);
            let some = std::iter::from_fn(|| due.next_if(|next| next.due_at < until));
            let some: Vec<Occurrence> = some.take(PER_ROW).filter(is_asked).collect();
            let has_last = due.peek().is_none_or(|next| next.due_at >= self.now);
            self.note_all(&some, &row, has_last);
            if self.found.len() >= PER_ROW {
                self.settle();
            }
        }
        if self.key_bytes >= KEY_BYTES {
            self.settle();
        }
        None
    }

    /// Notes some of a row's occurrences, with the last one before now among them or not.
    fn note_all(&mut self, some: &[Occurrence], row: &Candidate, has_last: bool) {
        let (past, future) = some.split_at(some.partition_point(|next| next.due_at < self.now));
        // All of the past is judged, so that the last one is the last also where another look has found it before.
        for late in self.judge(past, has_last) {
            let (occurrence, verdict) = match late {
                Late::Run(occurrence) => (occurrence, Verdict::Enter),
                Late::Skip(occurrence) => (occurrence, Verdict::SkipLate),
            };
            self.note(occurrence, row, verdict);
        }
        future.iter().for_each(|occurrence| self.note(*occurrence, row, Verdict::Enter));
    }

    /// What a captured row had due that is older than its window. A single date that is written into the past is too late,
    /// whenever that was. Of a series nobody misses what was before the task, nor of a date that was there already when
    /// something else about its row changed.
    fn too_old(&self, base: Base, end: Option<Instant>, from: Instant, seen: Seen) -> Option<Occurrence> {
        let resolved = self.resolved;
        let (schedule, zone) = (&resolved.timing.schedule, &resolved.timing.zone);
        if seen == Seen::Dated && schedule.cycle == Cycle::None {
            schedule.occurrences(base, zone, end, Instant::MIN).next().filter(|only| only.due_at < from)
        } else {
            schedule.last_before(base, zone, end, from, resolved.task.counts_from.min(from))
        }
    }

    /// What becomes of a row's past occurrences, or some of them, by catch_up. What existing_rows and make_up ask for nobody
    /// has missed: the last of existing rows runs in any case, and all that is made up for.
    fn judge(&self, past: &[Occurrence], has_last: bool) -> Vec<Late> {
        let task = &self.resolved.task;
        let asked = |due_at: Instant| task.looks_from.is_some_and(|asked| due_at >= asked);
        let is_asked = past.last().is_some_and(|last| asked(last.due_at));
        let catch_up = match self.resolved.timing.catch_up {
            CatchUp::All => CatchUp::All,
            CatchUp::None if !is_asked => CatchUp::None,
            _ if !has_last => CatchUp::None,
            _ => CatchUp::Last,
        };
        let made_up = |late| match late {
            Late::Skip(occurrence) if asked(occurrence.due_at) && occurrence.due_at >= task.counts_from => {
                Late::Run(occurrence)
            }
            late => late,
        };
        schedule::late(catch_up, past).into_iter().map(made_up).collect()
    }

    fn note(&mut self, occurrence: Occurrence, row: &Candidate, verdict: Verdict) {
        if !self.known.contains(&key::occurrence(row.mark, occurrence.nominal_at)) {
            self.found.push(Found { occurrence, row: row.clone(), verdict });
        }
    }

    /// Leaves out what is in the agenda or recorded, in this order, and gathers the rest for the agenda.
    pub fn settle(&mut self) {
        self.know_found();
        let task = &self.resolved.task;
        let mut late = Vec::new();
        let found = std::mem::take(&mut self.found);
        let wanted: Vec<(&str, Instant)> =
            found.iter().map(|found| (&*found.row.key, found.occurrence.nominal_at)).collect();
        let known = record::known(task.id, &wanted);
        for (index, found) in found.into_iter().enumerate() {
            let mark = key::occurrence(found.row.mark, found.occurrence.nominal_at);
            if self.known.contains(&mark) {
                continue;
            }
            match (known.get(&index), found.verdict) {
                (None, Verdict::Enter) => {
                    self.known.insert(mark);
                    let Candidate { key, place, .. } = found.row;
                    self.ready.push(New { occurrence: found.occurrence, key, place, origin: Origin::Planned });
                }
                (Some(record), Verdict::Enter) if record.may_return => self.revive(record.id, found),
                (None, Verdict::SkipLate) => {
                    self.known.insert(mark);
                    late.push(found);
                }
                (None, Verdict::PassOver) => self.ledger.pass_over_unplanned(1),
                _ => {}
            }
        }
        key::portions(&late, usize::MAX, key::STATEMENT_BYTES, |found| &found.row.key)
            .into_iter()
            .for_each(|late| self.skip_late(late));
        if self.ready.len() >= 20 * entries::ENTRY_KEYS || self.key_bytes >= KEY_BYTES {
            self.write();
        }
    }

    /// Skipped when its row did not fit; now it does: pending again, under its id.
    fn revive(&mut self, id: i64, found: Found) {
        let task = &self.resolved.task;
        if self.ledger.revive(task, id, found.occurrence, &found.row.key) {
            self.known.insert(key::occurrence(found.row.mark, found.occurrence.nominal_at));
        }
    }

    fn skip_late(&mut self, late: &[Found]) {
        let (count, now) = (late.len(), clock::now());
        let record = |(found, id): (&Found, i64)| Record {
            id,
            occurrence: found.occurrence,
            forced: false,
            keys: [found.row.key.to_string()].into(),
            position: 0,
            started_at: None,
            finished_at: now,
            attempt: 0,
            outcome: Outcome::Skipped("catch_up"),
        };
        let records: Vec<Record> = late.iter().zip(ledger::next_ids(count)).map(record).collect();
        self.ledger.skip_unplanned(&records);
        events::remember(&records);
    }

    /// Puts what was gathered into the agenda.
    pub fn write(&mut self) {
        self.ledger.enter(self.resolved.task.owner, &std::mem::take(&mut self.ready));
        self.key_bytes = 0;
    }
}
