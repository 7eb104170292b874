//! Failed attempts that could not even be noted, for the agenda cannot be written: a full disk, a broken index. Until one is
//! noted its function is not called again. Known to this process, which stays for them unless its slot is wanted, and shown to
//! others in its slot.

use crate::catalog::ledger::Writer;
use crate::catalog::ledger::entries::{self, Entry};
use crate::pg::boundary::Failure;
use crate::pg::shmem::{Executor, Interruption};
use crate::pg::{clock, xact};
use crate::settings;
use crate::worker::attempt;
use crate::worker::executor::blocked::Blocked;
use schedule::Instant;
use std::cell::RefCell;
use std::sync::atomic::Ordering::Release;

/// Between two tries: at first, and at most. Microseconds.
const FIRST: i64 = 1_000_000;
const LONGEST: i64 = 60_000_000;

/// One of them.
pub struct Attempt {
    entry: Entry,
    failure: Failure,
    interruption: Interruption,
    started_at: Instant,
    pause: i64,
    next_at: Instant,
}

impl Attempt {
    /// Of this entry, which began then and ended so.
    pub fn new(entry: Entry, failure: Failure, interruption: Interruption, started_at: Instant) -> Attempt {
        Attempt { entry, failure, interruption, started_at, pause: FIRST, next_at: clock::now() }
    }
}

/// The attempts, each of an entry whose task is left alone meanwhile.
pub struct Unnoted {
    attempts: RefCell<Vec<Attempt>>,
    slot: &'static Executor,
    /// The slot's number.
    index: usize,
}

impl Unnoted {
    /// None of this executor's.
    pub fn new(slot: &'static Executor, index: usize) -> Unnoted {
        Unnoted { attempts: Default::default(), slot, index }
    }

    /// It could not be noted that an entry failed, or that its rows are to run alone, because of `why`.
    pub fn remember(&self, blocked: &Blocked, mut attempt: Attempt, why: &Failure) {
        let (id, pause) = (attempt.entry.id, attempt.pause);
        why.log(&format!("note a failed attempt of record {id}, whose task waits until it can"));
        attempt.next_at = Instant(clock::now().0 + pause);
        // Idle for longer it would end, and nobody would know.
        let most = LONGEST.min(i64::from(settings::EXECUTOR_IDLE.get()) * 500).max(FIRST);
        attempt.pause = (2 * pause).min(most);
        blocked.leave(attempt.entry.task, attempt.next_at);
        self.attempts.borrow_mut().push(attempt);
        self.show();
    }

    /// So that other executors of the owner leave the entries alone too, as many as there is room for.
    fn show(&self) {
        let attempts = self.attempts.borrow();
        for (i, place) in self.slot.unnoted.iter().enumerate() {
            place.store(attempts.get(i).map_or(0, |attempt| attempt.entry.id), Release);
        }
    }

    /// Tries again to note those whose time it is. In transactions of its own.
    pub fn note(&self, blocked: &Blocked) {
        let now = clock::now();
        let due: Vec<Attempt> = self.attempts.borrow_mut().extract_if(.., |attempt| attempt.next_at <= now).collect();
        for attempt in due {
            let noted = xact::undisturbed(|| match attempt.entry.keys.len() {
                1 => {
                    if let Some(entry) = entries::hold(attempt.entry.id) {
                        let Attempt { failure, interruption, started_at, .. } = &attempt;
                        attempt::ended(&entry, failure, *interruption, *started_at, Writer::Executor(self.index));
                    }
                }
                _ => entries::put_all_aside(attempt.entry.id),
            });
            match noted {
                Ok(()) => self.show(),
                Err(why) => self.remember(blocked, attempt, &why),
            }
        }
    }
}
