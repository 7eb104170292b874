//! Occurrences from members: holidays move them, those that land together become one, and they come in order of due
//! time. Step 4 of the model (holidays), and the end.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::calendar::{Holidays, MAX_DROPPED_DAYS};
use crate::civil::{add_days, civil_micros, midnight};
use crate::forward::frequent::Windows;
use crate::forward::member::Member;
use crate::forward::members::{Members, earliest_on, floor_after};
use crate::interrupt::tick;
use crate::zone::{Zone, offsets_near, resolve, to_local};
use crate::{Base, Instant, Occurrence, Schedule};

/// Days by which the local date may descend from one member to the next where clocks change.
const SLACK_DAYS: i64 = 2;

/// A local date and what holidays do to it.
#[derive(Clone, Copy)]
struct Day {
    date: NaiveDate,
    moved: Option<NaiveDate>,
    /// Nothing of this date or a later one is due before this.
    floor: i64,
}

/// The occurrences of one base, strictly ascending by due time.
pub(crate) struct Occurrences<'a> {
    members: Members<'a>,
    /// Instead of the members, where holidays meet a rule that comes every few seconds.
    windows: Option<Windows<'a>>,
    is_sorted: bool,
    holidays: Option<&'a Holidays>,
    zone: &'a dyn Zone,
    end: Option<Instant>,
    from: Instant,
    /// Due, not given out yet: due time and name. Later members may still come before these, or land on them.
    waiting: BTreeMap<Instant, Instant>,
    /// Nothing that follows is due before this.
    settled: i64,
    is_done: bool,
    last: Option<Instant>,
    day: Option<Day>,
    /// Days in a row of which nothing was left.
    dropped: u32,
}

impl<'a> Occurrences<'a> {
    pub(crate) fn new(
        schedule: &'a Schedule,
        base: Base,
        zone: &'a dyn Zone,
        end: Option<Instant>,
        from: Instant,
    ) -> Occurrences<'a> {
        let windows = Windows::new(schedule, base, zone, from);
        let members = match windows {
            Some(_) => Members::Empty,
            None => Members::new(schedule, base, zone, schedule.earliest_nominal(zone, from)),
        };
        let is_sorted = members.is_sorted();
        let holidays = schedule.holidays.as_ref();
        Occurrences {
            members,
            windows,
            is_sorted,
            holidays,
            zone,
            end,
            from,
            waiting: BTreeMap::new(),
            settled: i64::MIN,
            is_done: false,
            last: None,
            day: None,
            dropped: 0,
        }
    }

    /// Takes in one more member, or one more window.
    fn pull(&mut self) {
        tick();
        if let Some(windows) = &mut self.windows {
            let Some(found) = windows.next() else {
                self.is_done = true;
                return;
            };
            found.due.into_iter().for_each(|(due, name)| self.await_turn(due, name));
            return self.settle(found.settled);
        }
        let Some(member) = self.members.next() else {
            self.is_done = true;
            return;
        };
        let (due, floor) = match self.holidays {
            None => (Some(member.at), floor_after(member, self.zone, self.is_sorted)),
            Some(holidays) => self.moved(holidays, member),
        };
        if let Some(due) = due {
            self.await_turn(due, member.at);
        }
        self.settle(floor);
    }

    /// Nothing that follows is due before `floor`.
    fn settle(&mut self, floor: i64) {
        self.settled = self.settled.max(floor);
        if self.end.is_some_and(|end| floor > end.0) {
            self.is_done = true;
        }
    }

    /// Keeps what is due in time until nothing can come before it any more.
    fn await_turn(&mut self, due: Instant, member: Instant) {
        if due < self.from || self.end.is_some_and(|end| due > end || member > end) {
            return;
        }
        let name = self.waiting.entry(due).or_insert(member);
        // The one that did not move names them all, else the earliest.
        if member == due || (*name != due && member < *name) {
            *name = member;
        }
    }

    /// When a member is due after holidays, and the least due time of what follows it.
    fn moved(&mut self, holidays: &Holidays, member: Member) -> (Option<Instant>, i64) {
        let Some(local) = member.local.or_else(|| to_local(self.zone, member.at)) else {
            return (None, i64::MIN);
        };
        let date = local.date();
        let day = match self.day {
            Some(day) if day.date == date => day,
            _ => self.enter(holidays, date),
        };
        let due = match day.moved {
            Some(moved) if moved == date => Some(member.at),
            Some(moved) => resolve(self.zone, moved.and_time(local.time())),
            None => None,
        };
        (due, day.floor)
    }

    /// Works out a date's move once for all its members, and gives up on a calendar that lets nothing through.
    fn enter(&mut self, holidays: &Holidays, date: NaiveDate) -> Day {
        let is_calm = |date: NaiveDate| {
            let (least, greatest) = offsets_near(self.zone, civil_micros(midnight(date)));
            least == greatest
        };
        let slack = if is_calm(date) && add_days(date, 1).is_ok_and(is_calm) { 0 } else { SLACK_DAYS };
        let first = add_days(date, -slack).unwrap_or(NaiveDate::MIN);
        let floor = earliest_on(holidays.floor(first), self.zone);
        let day = Day { date, moved: holidays.moved(date), floor };
        self.dropped = if day.moved.is_some() { 0 } else { self.dropped + 1 };
        if self.dropped > MAX_DROPPED_DAYS || day.moved.is_none() && holidays.calendar.next_working(date).is_none() {
            self.is_done = true;
        }
        self.day = Some(day);
        day
    }
}

impl Iterator for Occurrences<'_> {
    type Item = Occurrence;

    fn next(&mut self) -> Option<Occurrence> {
        loop {
            while let Some((due_at, nominal_at)) = self.waiting.first_key_value().map(|(due, name)| (*due, *name)) {
                if !self.is_done && due_at.0 >= self.settled {
                    break;
                }
                self.waiting.pop_first();
                if self.last.is_none_or(|last| last < due_at) {
                    self.last = Some(due_at);
                    return Some(Occurrence { nominal_at, due_at });
                }
            }
            if self.is_done {
                return None;
            }
            self.pull();
        }
    }
}

impl Schedule {
    /// The latest occurrence due before `limit`, but not before `not_before`, by asking for the next one from nearer and
    /// nearer.
    pub(crate) fn search_back(
        &self,
        base: Base,
        zone: &dyn Zone,
        end: Option<Instant>,
        limit: Instant,
        not_before: Instant,
    ) -> Option<Occurrence> {
        let uncounted = self.with_count_as_until(base, zone);
        let schedule = uncounted.as_ref().unwrap_or(self);
        let next = |from: i64| {
            let found = Occurrences::new(schedule, base, zone, end, Instant(from)).next();
            found.filter(|found| found.due_at < limit)
        };
        let not_before = not_before.max(Instant::MIN);
        let mut high = limit.0;
        let mut back: i64 = 1_000_000;
        let mut found = loop {
            let from = limit.0.saturating_sub(back).max(not_before.0);
            if let Some(found) = next(from) {
                break found;
            }
            if from == not_before.0 {
                return None;
            }
            high = from;
            back = back.saturating_mul(8);
        };
        // Everything from `high` on holds nothing, and `found` is before it.
        while let Some(later) = next(found.due_at.0.saturating_add(1)) {
            found = later;
            while high - found.due_at.0 > 1 {
                let middle = found.due_at.0 + (high - found.due_at.0) / 2;
                match next(middle) {
                    Some(later) => found = later,
                    None => {
                        high = middle;
                        break;
                    }
                }
            }
        }
        Some(found)
    }
}
