//! When is an occurrence due: the rules of jittask, without PostgreSQL, without a clock, without I/O.
//!
//! `now` and the time zone are parameters, so every rule can be tested in milliseconds.
//!
//! The model, in the order of its steps:
//!
//! 1. A [`Base`] (a row's date or time, or a scheduled task's start) and a [`Cycle`] make a *series* of members.
//!    Member k is counted from the base, never from member k − 1: 31 January, 28 February, 31 March. A [`Rule`] gives
//!    [`Cycle::Custom`] its series: steps of one length, a recurrence of RFC 5545, or a cron expression.
//! 2. Each member moves by the *offset*, a [`Span`] as PostgreSQL's `interval`: months (clamped to the month's end)
//!    and days on the local time; then `at` replaces the time of day.
//! 3. The local time is resolved in the [`Zone`], once: a time that does not exist moves forward by the gap, one that
//!    exists twice is the first. Then the offset's micros pass as elapsed time. This is the occurrence's name,
//!    `nominal_at`.
//! 4. With [`Holidays`], a member whose local date is not a working day moves to one that is, or is dropped; the moved
//!    local time is resolved as in 3 and is `due_at`. Members that land together become one.
//! 5. What comes out is an [`Occurrence`]. Occurrences of one series ascend strictly by due time: equal ones become one.
//!
//! Cycles of elapsed time, `none` and cron expressions differ: there steps 2 and 3 move the base once, and the rest
//! counts from there. An instant that nothing moves stays exactly what it is, also in the second pass of a repeated hour.
//!
//! Steps of one length are monotone in k and in the base. Two things rest on it: the search for a member is a guess and a
//! few probes, for whatever distance ([`Schedule::occurrences`]); and the steps can be undone backwards, so that a window
//! of due time becomes ranges of column values ([`Schedule::bases`], [`Schedule::upper_limit`], [`Schedule::is_indexed`]).
//! Recurrences are expanded one period at a time from wherever the search starts (with COUNT they are counted through
//! from the base), cron expressions one day at a time; both end after the 400 years in which the calendar repeats, and
//! long searches call what [`set_interrupt_check`] was given. Where holidays meet a rule that comes every few seconds, a window of
//! the clock is looked at on all days that move there, instead of all members of a long weekend in a row. Both directions are tied by property tests. A value that
//! leaves the range [`Instant::MIN`] to [`Instant::MAX`] is no occurrence, never an error.
//!
//! Beside the series: the end of a row's series ([`row_end`]), what becomes of late occurrences ([`late`]) and when a
//! failed one is tried again ([`next_retry_at`]).

#![forbid(unsafe_code)]

mod calendar;
mod civil;
mod forward;
mod instant;
mod interrupt;
mod inverse;
mod policy;
mod rule;
mod schedule;
mod shift;
mod span;
mod zone;

pub use calendar::{Calendar, Holidays, Shift};
pub use instant::Instant;
pub use interrupt::set_interrupt_check;
pub use inverse::{BaseRange, ColumnKind};
pub use policy::{CatchUp, Late, late, next_retry_at, row_end};
pub use rule::{Rule, RuleError};
pub use schedule::{Base, Cycle, Occurrence, Schedule};
pub use shift::shift;
pub use span::{Span, span_micros};
pub use zone::{Zone, resolve, to_local};
