//! What a pass of the scheduler has found: who has work, and when to look again.

use pgrx::pg_sys::Oid;

/// It.
pub(super) struct Pass {
    /// The extension is not here.
    pub(super) is_absent: bool,
    /// Nothing may run here, or nothing has to.
    pub(super) is_asleep: bool,
    /// When to look again.
    pub(super) next: i64,
    /// Who has work now, and whether there may be something to plan.
    pub(super) owners: Vec<(Oid, bool)>,
    /// There are date-field tasks, whose tables are watched.
    pub(super) watches: bool,
    /// Who has tasks at all.
    pub(super) task_owners: Vec<Oid>,
}

impl Pass {
    /// Nothing is to be done before `next`.
    pub(super) fn asleep(next: i64) -> Pass {
        Pass { is_absent: false, is_asleep: true, next, owners: Vec::new(), watches: false, task_owners: Vec::new() }
    }
}
