//! The rungs of the failure ladder ([`super::ladder`]): ways to run an entry. No state, in no process.

/// How an entry's rows are kept apart in a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rung {
    /// Not at all, the fast way: the first try. Other entries may share the transaction.
    Together,
    /// The first try of an entry of one row.
    Single,
    /// The first try where the task's last entry had rows that failed: each under a savepoint.
    Apart,
    /// A row that was put aside, under a savepoint of the caller's, who takes its entry out of the agenda.
    Aside,
    /// The same, after others in the transaction: it hardly waits for somebody's lock.
    AsideSharing,
    /// After a rollback: each under a savepoint. The row at this position, which somebody has locked, is put aside without
    /// waiting again.
    Again(Option<usize>),
}

impl Rung {
    /// Does each row run under a savepoint of its own, and is put aside if it fails?
    pub fn is_apart(self) -> bool {
        matches!(self, Rung::Apart | Rung::Again(_))
    }

    /// One row?
    pub fn is_single(self) -> bool {
        matches!(self, Rung::Single | Rung::Aside | Rung::AsideSharing)
    }

    /// Does the caller take the entry out of the agenda?
    pub fn is_aside(self) -> bool {
        matches!(self, Rung::Aside | Rung::AsideSharing)
    }

    /// Has no other transaction tried the entry's rows?
    pub fn is_first(self) -> bool {
        matches!(self, Rung::Together | Rung::Single | Rung::Apart)
    }

    /// Does it wait for as long as it takes for a row that somebody has locked? Else that runs by itself, later.
    pub fn waits_for_locks(self) -> bool {
        matches!(self, Rung::Single | Rung::Aside)
    }
}
