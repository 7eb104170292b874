//! The failure ladder: what follows after a run's transaction was rolled back. In the executor, in transactions of its own.
//!
//! ```text
//! several entries together ─ fails → half as many at a time ─ … → one entry
//! one entry ─ fails → its rows apart, each under a savepoint ─ COMMIT fails → each row in a transaction of its own
//! one row ─ fails → an attempt of that row
//! ```
//!
//! Only a row's own failure counts as an attempt; who is at fault otherwise is found out on the next rung.

use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::{Writer, owed, record};
use crate::pg::boundary::Failure;
use crate::pg::part::Part;
use crate::pg::shmem::Interruption;
use crate::pg::xact;
use crate::worker::executor::run::batch;
use crate::worker::executor::run::rung::Rung;
use crate::worker::executor::run::unnoted::Attempt;
use crate::worker::executor::session::Me;
use crate::worker::{attempt, events};
use std::ops::Range;

/// Who is at fault.
enum Fault {
    /// Nobody can say: the next rung.
    Unclear,
    /// A record was refused of something that did not run: its entry waits until one can be written.
    Unrun,
    /// The only row.
    Only(Interruption),
    /// These rows of several: the others run by themselves.
    Rows(Range<usize>, Interruption),
}

impl Fault {
    /// Why the row was interrupted, if it was.
    fn interruption(&self) -> Interruption {
        match self {
            Fault::Only(why) | Fault::Rows(_, why) => *why,
            Fault::Unclear | Fault::Unrun => Interruption::None,
        }
    }
}

/// The run's transaction was rolled back.
pub fn climb(me: &Me, entry: Entry, failure: Failure) {
    let together = me.execution.entries();
    me.execution.begin_transaction();
    if together > 1 && !failure.is_cancel() && !me.slot.is_meant(entry.id) {
        me.most.set(together / 2);
        me.execution.take_interruption(entry.id, Part::All);
        return;
    }
    let locked = me.execution.part().row().filter(|_| failure.is_lock());
    let started_at = me.execution.started_at();
    let mut fault = at_fault(me, &entry, &failure);
    let done = match fault {
        Fault::Unclear => run_apart(me, &entry, locked).or_else(|failure| {
            events::forget();
            // The COMMIT failed although each row went well under its savepoint.
            fault = at_fault(me, &entry, &failure);
            note_fault(me, &entry, &failure, &fault)
        }),
        _ => note_fault(me, &entry, &failure, &fault),
    };
    me.execution.end_row();
    // A retry may be due while this executor is busy with something else.
    me.wake_scheduler();
    if let Err(why) = done {
        let attempt = Attempt::new(entry, failure, fault.interruption(), started_at);
        me.unnoted.remember(&me.blocked, attempt, &why);
    }
}

fn run_apart(me: &Me, entry: &Entry, locked: Option<usize>) -> Result<(), Failure> {
    xact::run(|| {
        if let Some(entry) = entries::hold(entry.id) {
            batch::run(me, &entry, Rung::Again(locked));
        }
    })
}

/// Whose failure it is: of one that ran alone, or the one that was interrupted.
fn at_fault(me: &Me, entry: &Entry, failure: &Failure) -> Fault {
    let part = me.execution.part();
    if part == Part::All && failure.is_cancel() && entry.keys.len() > 1 && !entry.is_isolated() {
        return at_fault_in_call(me, entry);
    }
    let interruption = me.execution.take_interruption(entry.id, part);
    if is_refused_unrun(me, failure) {
        return Fault::Unrun;
    }
    if entry.is_isolated() || entry.keys.len() == 1 {
        return Fault::Only(interruption);
    }
    match part.row().filter(|_| failure.is_cancel() || interruption == Interruption::Cancelled) {
        Some(row) => Fault::Rows(row..row + 1, interruption),
        None => Fault::Unclear,
    }
}

/// The same of a call with all rows of an entry that was interrupted. By cancel_record for the sake of one. By
/// pg_cancel_backend: it was an attempt of each. Because it took too long: the rows are tried one by one, as after an error.
fn at_fault_in_call(me: &Me, entry: &Entry) -> Fault {
    let cancelled = me.slot.take_cancelled(entry.id);
    let interruption = me.execution.take_interruption(entry.id, Part::All);
    match (cancelled, interruption) {
        (Some(row), _) => Fault::Rows(row..row + 1, Interruption::Cancelled),
        (None, Interruption::None) => Fault::Rows(0..entry.keys.len(), Interruption::None),
        _ => Fault::Unclear,
    }
}

/// Notes it in a transaction of its own, which nobody cancels. Where it is unclear still, all rows run by themselves.
fn note_fault(me: &Me, entry: &Entry, failure: &Failure, fault: &Fault) -> Result<(), Failure> {
    xact::undisturbed(|| match fault {
        Fault::Unrun => owed::wait(entry.id, entry.occurrence.due_at, &failure.message),
        Fault::Only(why) => note(me, entry.id, failure, *why),
        Fault::Unclear => entries::put_all_aside(entry.id),
        Fault::Rows(rows, why) => {
            entries::put_all_aside(entry.id);
            rows.clone().for_each(|row| note(me, entry.id + row as i64, failure, *why));
        }
    })
}

/// Was it a record that could not be written, of something that did not run: skipped, or cancelled?
fn is_refused_unrun(me: &Me, failure: &Failure) -> bool {
    record::was_refused() && !me.execution.has_run() && !failure.is_cancel()
}

/// The failure of a row that ran alone is an attempt, also if it was its record that failed.
pub fn note(me: &Me, entry: i64, failure: &Failure, interruption: Interruption) {
    let Some(entry) = entries::hold(entry) else { return };
    let (writer, started_at) = (Writer::Executor(me.index), me.execution.started_at());
    if is_refused_unrun(me, failure) {
        return owed::wait(entry.id, entry.occurrence.due_at, &failure.message);
    }
    if record::was_refused() && !failure.is_cancel() && interruption != Interruption::Cancelled {
        let message = format!("its record cannot be written: {}", failure.message);
        attempt::failed(&entry, &Failure { message, ..failure.clone() }, started_at, writer);
        return owed::note(entry.id, &failure.message);
    }
    attempt::ended(&entry, failure, interruption, started_at, writer);
}
