//! What planning a task found: noted in shared memory once it is committed, else others would take it for done. In the
//! executor that planned it.

use crate::catalog::agenda::backlog;
use crate::pg::shmem::Limit;
use crate::pg::{captures, clock};
use crate::worker::executor::plan::past::{self, Swept};
use crate::worker::executor::session::Me;
use crate::worker::need;
use schedule::Instant;
use std::sync::atomic::Ordering::*;

/// What was looked through.
#[derive(Default)]
pub struct Done {
    /// So many occurrences came into the agenda.
    pub entered: i64,
    /// What was captured and taken, and where the rest of it begins.
    pub captured: Option<(captures::Waiting, Option<u32>)>,
    /// The limit was another definition's: all of it is planned anew.
    pub is_anew: bool,
    /// By which limit it was planned: it may have been forgotten meanwhile, and made anew for another definition or for rows
    /// that were not seen. None: there was no room for one, or nothing to plan.
    pub limit: Option<u64>,
    /// The window was, up to there: whom the scan's snapshot saw as running, and when it began.
    pub scan: Option<(u64, Instant)>,
    /// With it the table counts as looked through: more than the window was, or it was time for that and nothing had changed.
    pub is_scan: bool,
    /// How far the window goes.
    pub until: i64,
    /// The change counters that all of it was looked through with.
    pub signature: Option<i64>,
    /// A sweep begins there.
    pub sweep_from: Option<i64>,
    /// How far one came.
    pub swept: Option<Swept>,
    /// How long it took, if all of it was looked through. Microseconds.
    pub took: Option<i64>,
}

impl Done {
    /// After the commit.
    pub fn note(self, me: &Me, token: i64) {
        let Some(serial) = self.limit else { return };
        let is_same = me.shared.change_limit(token, serial, |limit| self.write(limit));
        if is_same && self.is_anew {
            me.shared.renew_limit(token, me.owner.to_u32());
            me.slot.look.store(true, Release);
        }
    }

    /// After a scan: its window is closed if the scan saw every writer under an older limit as ended.
    fn note_window(&self, limit: &Limit, xmin: u64, now: Instant) {
        if xmin >= limit.closing_xid.load(Acquire) {
            limit.closed_to.fetch_max(self.until, AcqRel);
        }
        if let Some(signature) = self.signature {
            limit.signature.store(signature, Release);
        }
        if self.is_scan {
            // To a tenth of the interval: tasks that were looked through together are so the next time, in one go.
            limit.scanned_at.store(now.0 - now.0 % (need::scan_interval() / 10).max(1), Release);
        }
        limit.retry_at.store(0, Release);
    }

    fn write(&self, limit: &Limit) {
        if let Some((captured, rest)) = self.captured {
            limit.captures.taken(captured, rest);
        }
        if let Some(from) = self.sweep_from {
            limit.swept_since.store(from + need::span_of_recent(), Release);
            limit.behind_to.store(from, Release);
        }
        if let Some(swept) = &self.swept {
            limit.step.store(swept.step, Release);
            limit.is_swept.fetch_or(swept.is_whole, AcqRel);
            limit.behind_to.store(swept.to, Release);
            limit.is_full.store(swept.is_full, Release);
            if swept.has_no_arrears {
                limit.has_no_arrears.store(true, Release);
            }
            let now = clock::now().0;
            let resume_at = match limit.is_swept.load(Acquire) && limit.has_no_arrears.load(Acquire) {
                _ if swept.is_full => now + backlog::PAUSE,
                true => now + past::REST * (now - swept.began),
                false => now,
            };
            limit.resume_at.store(resume_at, Release);
        }
        limit.pace.set_failures(0);
        if let Some(took) = self.took {
            limit.pace.succeeded(took);
        }
        if let Some((xmin, now)) = self.scan {
            self.note_window(limit, xmin, now);
        }
    }
}
