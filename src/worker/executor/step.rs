//! What an executor reads outside of a run has its deadline too: users' tables, views and filters may take for ever, and
//! others wait for the slot. The scheduler interrupts it like a run whose time is up (`worker::watch`), and ends an executor
//! that plans when others find no slot (`worker::dispatch`).

use crate::catalog::definition::Timing;
use crate::catalog::task::at_work::Watched;
use crate::pg::boundary::Failure;
use crate::pg::shmem::Limit;
use crate::pg::{clock, planning, worker, xact};
use crate::settings;
use crate::worker::executor::session::Me;
use crate::worker::need;
use crate::worker::overrun;
use std::sync::atomic::Ordering::*;

/// The longest timeout that anybody's attempt may have; microseconds.
fn most() -> i64 {
    i64::from(settings::MAX_TIMEOUT.get()) * 1_000_000
}

impl Me {
    /// Begins to plan a task by this limit of its. Its timeout is not known yet.
    pub fn begin_planning(&self, token: i64, limit: Option<u64>) {
        self.slot.step.begin(token, limit);
        self.give(planning::first(i64::MAX, most()));
    }

    /// What the planning under way may take, once its task is known.
    pub fn give_planning(&self, limit: Option<&Limit>, timing: &Timing) {
        let (timeout, most) = (schedule::span_micros(timing.timeout), most());
        self.give(limit.map_or_else(|| planning::first(timeout, most), |limit| limit.pace.allowed(timeout, most)));
    }

    fn give(&self, micros: i64) {
        self.wake_scheduler_for(self.slot.give(micros));
    }

    /// The planning under way has ended, and was rolled back if it failed. Its problem is told if its time was up: then true.
    pub fn end_planning(&self, task: &Watched, limit: Option<u64>, failure: Option<&Failure>) -> bool {
        let is_up = self.slot.take_time_up();
        let given = self.slot.step.given();
        let took = self.slot.step.took().unwrap_or_default();
        self.slot.rest();
        let is_ended = self.heed_late_interrupt(is_up, failure);
        if is_ended {
            self.note_overrun(task, limit, given, took);
        }
        is_ended
    }

    fn note_overrun(&self, task: &Watched, limit: Option<u64>, given: i64, took: i64) {
        // One that was made anew since is planned at once: somebody may have mended what took so long.
        let limit = limit.filter(|serial| {
            self.shared.change_limit(task.token, *serial, |limit| {
                limit.pace.ran_over(given);
                limit.put_off(took.max(need::scan_interval()));
            })
        });
        let limit = limit.and_then(|_| self.shared.limit(task.token));
        if self.shared.is_slot_wanted() {
            self.shared.let_rest(self.database, self.owner.to_u32(), took);
        }
        if let Err(failure) = xact::run(|| overrun::tell(task, limit.map(|limit| &limit.pace), given, false)) {
            failure.log("note why a task was not planned");
        }
    }

    /// Does the owner plan nothing for a while, because others waited for it?
    pub fn rests(&self) -> bool {
        self.shared.rests_until(self.database, self.owner.to_u32()).is_some()
    }

    /// A task for which there may be no room in shared memory was planned just now, or tried to be.
    pub fn note_unlimited(&self, token: i64) {
        self.unlimited.borrow_mut().insert(token, clock::now().0);
    }

    /// Begins to audit, which may take so long; microseconds.
    pub fn begin_audit(&self, given: i64) {
        self.slot.step.begin(0, None);
        self.give(given);
    }

    /// It has ended; true if because its time was up.
    pub fn end_audit(&self, failure: Option<&Failure>) -> bool {
        let is_up = self.slot.take_time_up();
        self.slot.rest();
        self.heed_late_interrupt(is_up, failure)
    }

    /// Was it ended because its time was up? If it came to its end in the same moment, what follows is not to be interrupted for it.
    fn heed_late_interrupt(&self, is_up: bool, failure: Option<&Failure>) -> bool {
        let is_ended = is_up && failure.is_some_and(Failure::is_cancel);
        if is_up && !is_ended {
            let _ = xact::run(worker::check_interrupts);
        }
        is_ended
    }

    /// Reads rows ahead of the one that is next, which may take as long as a row, but a minute at most. If it takes longer, no
    /// row is at fault: they are read one by one.
    pub fn read_ahead(&self, timeout: i64, read: impl FnOnce()) {
        self.slot.step.begin(0, None);
        self.give(planning::first(timeout, most()));
        read();
        self.slot.step.end();
        self.slot.deadline.store(0, Release);
    }
}
