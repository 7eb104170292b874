//! Why an occurrence is in the agenda: one letter in `jittask.agenda.origin`, set where its entry is written, and read by these
//! questions alone.

/// Why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Origin {
    /// By its schedule, or its row's date.
    Planned = b'p',
    /// It was past, and existing_rows or make_up asked for it: nobody has missed it.
    Requested = b'q',
    /// Its row was put aside, after it failed or others beside it did: it runs by itself.
    PutAside = b'a',
    /// It had ended, and a person tries it again.
    Retried = b'r',
    /// Its row did not fit, and does again.
    Revived = b'v',
    /// By run_task: whatever schedule, filter and pause say. It stays so when it is tried again.
    Manual = b'm',
}

impl Origin {
    /// As it is stored.
    pub fn letter(self) -> i8 {
        self as i8
    }

    /// From what is stored.
    pub fn of(letter: i8) -> Option<Origin> {
        use Origin::*;
        [Planned, Requested, PutAside, Retried, Revived, Manual].into_iter().find(|origin| origin.letter() == letter)
    }

    /// Does schedule, filter or pause not matter?
    pub fn is_manual(self) -> bool {
        self == Origin::Manual
    }

    /// What a failed attempt, or being put aside, makes of it.
    pub fn put_aside(self) -> Origin {
        if self == Origin::Planned { Origin::PutAside } else { self }
    }

    /// Does its row run by itself, under a savepoint?
    pub fn is_isolated(self) -> bool {
        !matches!(self, Origin::Planned | Origin::Manual)
    }
}

/// [`Origin::put_aside`], in SQL.
pub(super) const PUT_ASIDE: &str = "origin = case when origin = 'p' then 'a' else origin end";
