//! Finding captured rows of which shared memory does not say where they lie: after a start or a crash, after a prepared
//! transaction, and where a task's limit was forgotten. In the scheduler, in its pass's transaction, a portion a pass: there
//! may be very many of one owner, and others' work waits.

use crate::catalog::agenda::candidates;
use crate::pg::shmem::Shared;
use std::cell::Cell;
use std::sync::atomic::Ordering::*;

thread_local! {
    /// The next block; None: no survey is under way.
    static NEXT: Cell<Option<u32>> = const { Cell::new(Some(0)) };
}

/// Looks through the next portion, if there is one to look through. True if it is to go on.
pub fn go_on(shared: &Shared, database: u32) -> bool {
    let Some(home) = shared.database(database) else { return false };
    let begins = NEXT.get().is_none_or(|next| next == 0);
    if begins && home.has_unknown_captures.swap(false, AcqRel) {
        NEXT.set(Some(0));
    }
    let Some(from) = NEXT.get() else { return false };
    let surveyed = candidates::survey(from);
    let is_found = !surveyed.waiting.is_empty();
    for (token, owner, blocks) in surveyed.waiting {
        // Its first rows may have come with the task itself, just now, when nobody has made a limit for it yet. A task for which
        // there is no room reads what was captured without being told where.
        if shared.limit_or_new(token, owner.to_u32()).is_some() {
            shared.note_captured(token, blocks);
        }
    }
    // Dropped by a prepared transaction, perhaps: nobody else gives the room back.
    surveyed.gone.into_iter().for_each(|token| shared.forget_limit(token));
    NEXT.set(surveyed.next);
    is_found || surveyed.next.is_some() || home.has_unknown_captures.load(Acquire)
}
