//! Working days, and the move of an occurrence that falls on another: step 4 of the model.

use std::collections::HashMap;
use std::rc::Rc;

use chrono::{Datelike, NaiveDate};

/// How far a working day is looked for. A calendar without one for longer has none.
const MAX_MOVE_DAYS: usize = 400;

/// After so many days with members, all of them dropped, there is no further occurrence.
pub(crate) const MAX_DROPPED_DAYS: u32 = 400;

/// Which days are working days.
///
/// ```
/// use chrono::NaiveDate;
/// use schedule::Calendar;
///
/// let day = |day| NaiveDate::from_ymd_opt(2027, 5, day).unwrap();
/// let weekend = [false, false, false, false, false, true, true];
/// let calendar = Calendar::new(weekend, [(day(6), false), (day(8), true)]);
/// assert!(!calendar.is_working(day(6))); // a Thursday, Ascension Day
/// assert!(calendar.is_working(day(8))); // a Saturday that is worked
/// assert_eq!(calendar.next_working(day(9)), Some(day(10)));
/// assert_eq!(calendar.previous_working(day(6)), Some(day(5)));
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Calendar {
    /// Monday first.
    weekend: [bool; 7],
    /// Days that differ from their weekday: `true` works, `false` is a holiday.
    days: HashMap<NaiveDate, bool>,
}

impl Calendar {
    /// A calendar of weekend days, Monday first, and of single days that override them: `true` is a working day,
    /// `false` a holiday. The later of two entries for a day wins.
    pub fn new(weekend: [bool; 7], days: impl IntoIterator<Item = (NaiveDate, bool)>) -> Calendar {
        Calendar { weekend, days: days.into_iter().collect() }
    }

    /// Is it a working day?
    pub fn is_working(&self, date: NaiveDate) -> bool {
        let by_weekday = || {
            let weekday = usize::try_from(date.weekday().num_days_from_monday()).unwrap_or_default();
            !self.weekend.get(weekday).copied().unwrap_or_default()
        };
        self.days.get(&date).copied().unwrap_or_else(by_weekday)
    }

    /// The first working day on or after `date`; `None` if there is none within 400 days.
    pub fn next_working(&self, date: NaiveDate) -> Option<NaiveDate> {
        date.iter_days().take(MAX_MOVE_DAYS).find(|day| self.is_working(*day))
    }

    /// The last working day on or before `date`; `None` if there is none within 400 days.
    pub fn previous_working(&self, date: NaiveDate) -> Option<NaiveDate> {
        let back = std::iter::successors(Some(date), NaiveDate::pred_opt);
        back.take(MAX_MOVE_DAYS).find(|day| self.is_working(*day))
    }
}

/// Where an occurrence goes that does not fall on a working day.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shift {
    /// To the next working day.
    Following,
    /// To the previous working day, which may be before the start.
    Preceding,
    /// To the next working day, unless that is in another month, then to the previous.
    ModifiedFollowing,
    /// Nowhere: there is no such occurrence.
    Drop,
}

/// A calendar and what it does to occurrences.
///
/// ```
/// use chrono::NaiveDate;
/// use schedule::{Calendar, Holidays, Shift};
/// use std::rc::Rc;
///
/// let weekend = [false, false, false, false, false, true, true];
/// let calendar = Rc::new(Calendar::new(weekend, []));
/// let saturday = NaiveDate::from_ymd_opt(2027, 7, 31).unwrap();
/// let moved = |shift| Holidays { shift, calendar: calendar.clone() }.moved(saturday);
/// assert_eq!(moved(Shift::Following), NaiveDate::from_ymd_opt(2027, 8, 2));
/// assert_eq!(moved(Shift::ModifiedFollowing), NaiveDate::from_ymd_opt(2027, 7, 30));
/// assert_eq!(moved(Shift::Drop), None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holidays {
    /// Where occurrences go.
    pub shift: Shift,
    /// The working days.
    pub calendar: Rc<Calendar>,
}

impl Holidays {
    /// The working day to which `date` moves: itself if it is one. `None`: dropped, or no working day within 400 days.
    /// Later dates never move to earlier days than earlier ones.
    pub fn moved(&self, date: NaiveDate) -> Option<NaiveDate> {
        let calendar = &self.calendar;
        if calendar.is_working(date) {
            return Some(date);
        }
        match self.shift {
            Shift::Drop => None,
            Shift::Following => calendar.next_working(date),
            Shift::Preceding => calendar.previous_working(date),
            Shift::ModifiedFollowing => {
                let next = calendar.next_working(date);
                let same_month = |next: &NaiveDate| (next.year(), next.month()) == (date.year(), date.month());
                next.filter(same_month).or_else(|| calendar.previous_working(date)).or(next)
            }
        }
    }

    /// Does no later date move to an earlier day than this? The least such day, or `date` itself where that is unknown.
    pub(crate) fn floor(&self, date: NaiveDate) -> NaiveDate {
        match self.shift {
            Shift::Drop | Shift::Following => date,
            Shift::Preceding | Shift::ModifiedFollowing => self.calendar.previous_working(date).unwrap_or(date),
        }
    }

    /// The first and the last date that move to `date` or may; `None`: nothing does.
    pub(crate) fn sources(&self, date: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
        let calendar = &self.calendar;
        if !calendar.is_working(date) {
            return None;
        }
        let forward = matches!(self.shift, Shift::Following | Shift::ModifiedFollowing);
        let backward = matches!(self.shift, Shift::Preceding | Shift::ModifiedFollowing);
        let moves_here = |day: &NaiveDate| !calendar.is_working(*day) && self.moved(*day) == Some(date);
        let earlier = std::iter::successors(date.pred_opt(), NaiveDate::pred_opt).take(MAX_MOVE_DAYS);
        let first = if forward { earlier.take_while(moves_here).last() } else { None };
        let later = date.iter_days().skip(1).take(MAX_MOVE_DAYS);
        let last = if backward { later.take_while(moves_here).last() } else { None };
        Some((first.unwrap_or(date), last.unwrap_or(date)))
    }
}
