//! Old records go, in small transactions, so that nothing blocks and nothing bloats. In the scheduler.

use crate::catalog::ledger::forget::{self, After, Old};
use crate::pg::{clock, shmem, worker, xact};
use crate::settings;
use schedule::Instant;
use std::collections::BTreeSet;

/// Records that are looked at in one transaction, or dropped tasks.
const PORTION: i64 = 2000;
/// And so long they take, about: microseconds of the processor's time.
const TIME: i64 = 20_000;
/// Pause between two portions. Microseconds.
const NEXT_PORTION: i64 = 200_000;

/// When it is time for the next portion. Microseconds since 1970.
pub struct Retention {
    next: i64,
    /// The setting at the last look.
    seconds: i64,
    /// Where the look is: at records from there on, or at dropped tasks; None: it has come to its end.
    place: Option<Place>,
    /// Where the records lay that have gone since the indexes were summed up.
    ranges: BTreeSet<i64>,
}

/// How far a look has come.
enum Place {
    /// Records after this one come next.
    Records(After),
    /// Dropped tasks with ids greater than this come next.
    Tasks(i32),
}

impl Place {
    fn front() -> Place {
        Place::Records(After::default())
    }
}

impl Retention {
    /// The first look comes a minute after the start, or earlier.
    pub fn new() -> Self {
        let next = clock::now().0 + next_look(seconds()).min(60_000_000);
        Retention { next, seconds: seconds(), place: Some(Place::front()), ranges: BTreeSet::new() }
    }

    /// Is nothing left to remove for the time being?
    pub fn is_done(&self) -> bool {
        self.place.is_none() && self.ranges.is_empty()
    }

    /// Removes a portion if it is time, or if the process would like to end; when to come again.
    pub fn work(&mut self, is_ending: bool) -> i64 {
        let (now, seconds) = (clock::now().0, seconds());
        if seconds != self.seconds {
            // Whoever has changed it wants to see what it does.
            (self.seconds, self.next, self.place) = (seconds, now, Some(Place::front()));
        }
        if is_ending && !self.is_done() {
            self.next = self.next.min(now + NEXT_PORTION);
        }
        if seconds == 0 {
            self.place = None;
            self.ranges.clear();
            return i64::MAX;
        }
        if now >= self.next {
            // After the last portion. By now hardly a snapshot sees it; what one sees is summed up as well.
            let is_summed_up = self.sum_up();
            if is_summed_up {
                self.portion(Instant(now - seconds * 1_000_000));
            }
            let is_done = is_summed_up && self.place.is_none();
            self.next = now + if is_done { next_look(seconds) } else { NEXT_PORTION };
        }
        self.next
    }

    /// Goes on by a portion, or begins a look.
    fn portion(&mut self, cutoff: Instant) {
        let gone = match self.place.take().unwrap_or_else(Place::front) {
            Place::Records(after) => {
                let now = clock::now();
                let looking_back = shmem::shared().map(|shared| shared.looking_back(worker::database().to_u32()));
                let looking_back = looking_back.unwrap_or_default();
                let old = Old { now, cutoff, looking_back: &looking_back };
                xact::run(|| forget::records_for(&old, after, PORTION, TIME)).map(|gone| {
                    self.ranges.extend(gone.ranges);
                    Some(gone.rest.map_or(Place::Tasks(0), Place::Records))
                })
            }
            Place::Tasks(after) => {
                xact::run(|| forget::tasks_before(cutoff, after, PORTION)).map(|last| last.map(Place::Tasks))
            }
        };
        self.place = gone.unwrap_or_else(|failure| {
            failure.log("remove old records");
            None
        });
    }

    /// False if more is left of it, and can be done.
    fn sum_up(&mut self) -> bool {
        if self.ranges.is_empty() {
            return true;
        }
        let mut left = self.ranges.clone();
        match xact::run(|| forget::sum_up(&mut left, TIME)) {
            // Somebody else works on the table: with all of them, later.
            Ok(false) => true,
            Ok(true) => {
                self.ranges = left;
                self.ranges.is_empty()
            }
            Err(failure) => {
                failure.log("summarize the BRIN indexes of jittask.record");
                self.ranges.clear();
                true
            }
        }
    }
}

/// Pause between two looks when nothing is left to remove: what is kept for a short time only is not kept for much longer.
/// Microseconds.
fn next_look(seconds: i64) -> i64 {
    (seconds * 500_000).clamp(1_000_000, 600_000_000)
}

fn seconds() -> i64 {
    i64::from(settings::RECORD_RETENTION.get())
}
