//! The members of a series in order, each moved by the offset and resolved: steps 1 to 3 of the model, for every kind of
//! rule. What holidays do to them comes after ([`crate::forward::occurrences`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use chrono::NaiveDateTime;

use crate::civil::{OutOfRange, add_days, add_days_at, civil_micros, midnight, nearest_civil};
use crate::forward::cron_passes::Walk;
use crate::forward::member::Member;
use crate::forward::steps::{Series, Start};
use crate::interrupt::tick;
use crate::inverse::member_low;
use crate::rule::cron::Cron;
use crate::rule::recur::{Based, Period, Recur};
use crate::rule::until::{Limits, Until};
use crate::rule::{Kind, Rule};
use crate::shift::Move;
use crate::zone::{Zone, offsets_near, resolve_micros};
use crate::{Base, Instant, Schedule};

/// A stream of members.
pub(crate) enum Members<'a> {
    /// Steps of one length, from number `k` on.
    Steps { series: Series<'a>, k: i64 },
    /// A recurrence on the local clock.
    Recur(Box<RecurMembers<'a>>),
    /// A cron expression whose hours are fixed: each matching local time once.
    Cron(CronMembers<'a>),
    /// A cron expression for each instant whose local time matches.
    Passes(Walk<'a>),
    /// There are none.
    Empty,
}

impl<'a> Members<'a> {
    /// The members that may be due at `from` or later; some before it may come first.
    pub(crate) fn new(schedule: &'a Schedule, base: Base, zone: &'a dyn Zone, from: Instant) -> Members<'a> {
        if schedule.step().is_some() {
            let Some(series) = Series::new(schedule, base, zone) else { return Members::Empty };
            let k = series.first_from(from);
            return Members::Steps { series, k };
        }
        let kind = schedule.rule.as_ref().map(|rule| &rule.kind);
        let Some(start) = Start::new(schedule.moves(), base, zone) else { return Members::Empty };
        match kind {
            Some(Kind::Recur(recur)) => {
                let Some(low) = member_low(schedule, zone, from.max(Instant::MIN)) else { return Members::Empty };
                let periods = Periods::once(recur, &start);
                Members::Recur(Box::new(RecurMembers::new(periods, schedule.moves(), zone, start, low)))
            }
            Some(Kind::Cron(cron)) => {
                let Ok(first) = start.at else { return Members::Empty };
                let first = first.max(from.0).max(Instant::MIN.0);
                if cron.every_pass {
                    return Members::Passes(Walk::new(cron, zone, first));
                }
                Members::Cron(CronMembers::new(cron, zone, start, first))
            }
            _ => Members::Empty,
        }
    }

    /// The same of a rule whose periods are kept from search to search.
    pub(crate) fn among(
        periods: &Periods,
        schedule: &'a Schedule,
        base: Base,
        zone: &'a dyn Zone,
        from: Instant,
    ) -> Members<'a> {
        let start = Start::new(schedule.moves(), base, zone);
        let Some((start, low)) = start.zip(member_low(schedule, zone, from.max(Instant::MIN))) else {
            return Members::Empty;
        };
        Members::Recur(Box::new(RecurMembers::new(periods.clone(), schedule.moves(), zone, start, low)))
    }

    /// The next member, in the order of the rule; due times may descend near a change of the clocks by up to its size.
    pub(crate) fn next(&mut self) -> Option<Member> {
        match self {
            Members::Steps { series, k } => {
                // The search has passed what lies before the range, so an error here is its end.
                let member = series.member(*k).ok()?;
                *k += 1;
                Some(member)
            }
            Members::Recur(recur) => recur.next(),
            Members::Cron(cron) => cron.next(),
            Members::Passes(walk) => walk.next().map(|at| Member { at, local: None }),
            Members::Empty => None,
        }
    }

    /// Do due times ascend in the order of the rule, also where clocks change?
    pub(crate) fn is_sorted(&self) -> bool {
        !matches!(self, Members::Recur(_) | Members::Cron(_))
    }
}

impl Schedule {
    /// The same with UNTIL instead of COUNT, for many searches on one base: nothing has to be counted any more. `None`:
    /// there is no COUNT.
    pub(crate) fn with_count_as_until(&self, base: Base, zone: &dyn Zone) -> Option<Schedule> {
        let Some(Kind::Recur(recur)) = self.rule.as_ref().map(|rule| &rule.kind) else { return None };
        let count = recur.limits.count?;
        let start = Start::new(self.moves(), base, zone)?;
        let low = start.local;
        let periods = Periods::once(recur, &start);
        let mut members = RecurMembers::new(periods, self.moves(), zone, start, low);
        let until = members.nth_local(i64::from(count) - 1).map(Until::Local);
        let kind = Kind::Recur(Box::new(Recur { limits: Limits { count: None, until }, ..(**recur).clone() }));
        Some(Schedule { rule: Some(Rule { kind }), ..self.clone() })
    }
}

/// A rule on its base, and for many searches the last of its periods that were asked for: a year is worked out day by day.
#[derive(Clone)]
pub(crate) struct Periods {
    based: Rc<Based>,
    kept: Option<Rc<RefCell<Kept>>>,
}

/// The last first, with their numbers.
type Kept = VecDeque<(i64, Rc<Period>)>;

/// So many are kept: more than a year of months.
const MOST_KEPT: usize = 16;

impl Periods {
    /// For one search, which asks for each of them once.
    fn once(recur: &Recur, start: &Start) -> Periods {
        Periods { based: Rc::new(recur.based_on(start.local)), kept: None }
    }

    /// Those of a schedule's rule on this base, kept; `None`: it has none of that kind.
    pub(crate) fn kept(schedule: &Schedule, base: Base, zone: &dyn Zone) -> Option<Periods> {
        let Some(Kind::Recur(recur)) = schedule.rule.as_ref().map(|rule| &rule.kind) else { return None };
        let start = Start::new(schedule.moves(), base, zone)?;
        Some(Periods { kept: Some(Rc::default()), ..Periods::once(recur, &start) })
    }

    fn get(&self, number: i64) -> Option<Rc<Period>> {
        let new = || self.based.period(number).map(Rc::new);
        let Some(kept) = &self.kept else { return new() };
        let mut kept = kept.borrow_mut();
        if let Some((_, period)) = kept.iter().find(|(known, _)| *known == number) {
            return Some(period.clone());
        }
        let period = new()?;
        kept.truncate(MOST_KEPT - 1);
        kept.push_front((number, period.clone()));
        Some(period)
    }
}

/// The members of a recurrence.
pub(crate) struct RecurMembers<'a> {
    based: Rc<Based>,
    periods: Periods,
    moves: Move,
    zone: &'a dyn Zone,
    start: Start,
    /// The period under way, its number and the next member in it.
    period: Rc<Period>,
    number: i64,
    index: usize,
    /// Members before the next one, from the base on.
    counted: i64,
    /// Periods in a row that held nothing.
    empty: u32,
}

impl<'a> RecurMembers<'a> {
    fn new(periods: Periods, moves: Move, zone: &'a dyn Zone, start: Start, low: NaiveDateTime) -> RecurMembers<'a> {
        let based = periods.based.clone();
        let low = low.max(start.local);
        let target = based.period_from(low.date());
        let number = if based.rule.limits.count.is_some() { 0 } else { target };
        let mut members = RecurMembers {
            based,
            periods,
            moves,
            zone,
            start,
            period: Rc::default(),
            number,
            index: 0,
            counted: 0,
            empty: 0,
        };
        members.load();
        members.count_to(target, i64::MAX);
        if members.is_going_on() && members.number == target {
            let skipped = members.period.first_from(&members.based.times, low);
            members.counted += i64::try_from(skipped.saturating_sub(members.index)).unwrap_or(i64::MAX);
            members.index = members.index.max(skipped);
        }
        members
    }

    /// Goes on to the period `target`, or to one before that holds member `nth`. COUNT needs the number of each member, so
    /// the periods on the way are counted: one by one, but of the cycles after which the calendar repeats only the first.
    fn count_to(&mut self, target: i64, nth: i64) {
        let cycle = i64::from(self.based.rule.freq.periods_in_cycle());
        let mut cycle_began: Option<(i64, i64)> = None;
        while self.number < target && self.counted.saturating_add(self.left()) <= nth && self.is_going_on() {
            self.counted += self.left();
            self.number += 1;
            // The base's own period may be cut short, so cycles begin with the next.
            let (first, counted) = *cycle_began.get_or_insert((self.number, self.counted));
            if self.number == first + cycle {
                let each = self.counted - counted;
                let cycles =
                    ((nth - self.counted).checked_div(each).unwrap_or(i64::MAX)).min((target - self.number) / cycle);
                self.counted = self.counted.saturating_add(each.saturating_mul(cycles));
                self.number += cycles * cycle;
            }
            self.load();
        }
    }

    /// The local time of member `nth` (from 0); `None` if it leaves the range.
    fn nth_local(&mut self, nth: i64) -> Option<NaiveDateTime> {
        self.count_to(i64::MAX, nth);
        let ahead = usize::try_from(nth - self.counted).ok()?;
        self.period.get(&self.based.times, self.index + ahead)
    }

    /// Loads the period and stands on its first member that is not before the base.
    fn load(&mut self) {
        tick();
        match self.periods.get(self.number) {
            Some(period) => {
                self.index = if self.number == 0 { period.first_from(&self.based.times, self.start.local) } else { 0 };
                self.period = period;
            }
            None => {
                self.number = i64::MAX;
                self.period = Rc::default();
                self.index = 0;
            }
        }
    }

    fn left(&self) -> i64 {
        i64::try_from(self.period.len(&self.based.times).saturating_sub(self.index)).unwrap_or(i64::MAX)
    }

    fn is_going_on(&self) -> bool {
        self.number < i64::MAX && self.based.rule.limits.allows_number(self.counted)
    }

    fn next(&mut self) -> Option<Member> {
        loop {
            let local = self.next_local()?;
            if !self.based.rule.limits.allows_local(local, self.zone) {
                self.number = i64::MAX;
                return None;
            }
            match self.member(local) {
                Ok(Some(member)) => return Some(member),
                Ok(None) | Err(OutOfRange::Below) => {}
                Err(OutOfRange::Above) => return None,
            }
        }
    }

    fn next_local(&mut self) -> Option<NaiveDateTime> {
        while self.is_going_on() {
            if let Some(local) = self.period.get(&self.based.times, self.index) {
                self.index += 1;
                self.counted += 1;
                self.empty = 0;
                return Some(local);
            }
            self.empty += 1;
            if self.empty > self.based.rule.freq.periods_in_cycle() {
                return None;
            }
            self.number += 1;
            self.load();
        }
        None
    }

    fn member(&self, local: NaiveDateTime) -> Result<Option<Member>, OutOfRange> {
        if local == self.based.base {
            let local = if self.start.is_exact { None } else { self.own_local(local)? };
            return Ok(Some(Member { at: Instant::within(self.start.at?)?, local }));
        }
        let micros = self.moves.local(local, self.zone)?;
        if self.start.is_after(micros) {
            return Ok(None);
        }
        Ok(Some(Member { at: Instant::within(micros)?, local: self.own_local(local)? }))
    }

    fn own_local(&self, local: NaiveDateTime) -> Result<Option<NaiveDateTime>, OutOfRange> {
        if self.moves.offset.micros != 0 { Ok(None) } else { self.moves.civil(local).map(Some) }
    }
}

/// The members of a cron expression with fixed hours.
pub(crate) struct CronMembers<'a> {
    cron: &'a Cron,
    zone: &'a dyn Zone,
    start: Start,
    day: Option<chrono::NaiveDate>,
    index: usize,
}

impl<'a> CronMembers<'a> {
    fn new(cron: &'a Cron, zone: &'a dyn Zone, start: Start, first: i64) -> CronMembers<'a> {
        let (least, greatest) = offsets_near(zone, first);
        let low = nearest_civil(first.saturating_add(least));
        // Near a change a local time may be due after one that follows it; what is too early is passed over.
        let low = if least == greatest { low } else { add_days_at(low, -1).unwrap_or(NaiveDateTime::MIN) };
        let day = cron.next_day(low.date());
        let index = if day == Some(low.date()) { cron.times.first_from(low.time()) } else { 0 };
        CronMembers { cron, zone, start, day, index }
    }

    fn next(&mut self) -> Option<Member> {
        loop {
            let day = self.day?;
            let Some(time) = self.cron.times.get(self.index) else {
                self.index = 0;
                self.day = add_days(day, 1).ok().and_then(|next| self.cron.next_day(next));
                continue;
            };
            tick();
            self.index += 1;
            let local = day.and_time(time);
            let micros = resolve_micros(self.zone, local);
            match Instant::within(micros) {
                Ok(_) if self.start.is_after(micros) => {}
                Ok(at) => return Some(Member { at, local: Some(local) }),
                Err(OutOfRange::Below) => {}
                Err(OutOfRange::Above) => return None,
            }
        }
    }
}

/// The least due time of whatever follows a member in its stream, as far as changes of the clocks go.
pub(crate) fn floor_after(member: Member, zone: &dyn Zone, is_sorted: bool) -> i64 {
    if is_sorted {
        return member.at.0;
    }
    let (least, greatest) = offsets_near(zone, member.at.0);
    member.at.0 - (greatest - least)
}

/// Local midnight of a date as the earliest instant that anything on it can be due.
pub(crate) fn earliest_on(date: chrono::NaiveDate, zone: &dyn Zone) -> i64 {
    let midnight = civil_micros(midnight(date));
    midnight.saturating_sub(offsets_near(zone, midnight).1)
}
