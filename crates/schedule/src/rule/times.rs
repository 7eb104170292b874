//! Times of day as the product of hours, minutes and seconds, ascending, without a list of them all.

use chrono::NaiveTime;

/// A set of times of day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    hours: Vec<u32>,
    minutes: Vec<u32>,
    seconds: Vec<u32>,
    nanos: u32,
}

impl Times {
    /// Every hour with every minute and second; `nanos` is the part of a second that all of them have.
    pub(crate) fn new(hours: Vec<u32>, minutes: Vec<u32>, seconds: Vec<u32>, nanos: u32) -> Times {
        let ascending = |mut part: Vec<u32>| {
            part.sort_unstable();
            part.dedup();
            part
        };
        Times { hours: ascending(hours), minutes: ascending(minutes), seconds: ascending(seconds), nanos }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hours.len() * self.minutes.len() * self.seconds.len()
    }

    /// A time by its number.
    pub(crate) fn get(&self, index: usize) -> Option<NaiveTime> {
        let (minutes, seconds) = (self.minutes.len().max(1), self.seconds.len().max(1));
        let hour = self.hours.get(index / (minutes * seconds))?;
        let minute = self.minutes.get(index / seconds % minutes)?;
        NaiveTime::from_hms_nano_opt(*hour, *minute, *self.seconds.get(index % seconds)?, self.nanos)
    }

    /// The number of the first time at `low` or later.
    pub(crate) fn first_from(&self, low: NaiveTime) -> usize {
        let (mut before, mut found) = (0, self.len());
        while before < found {
            let middle = before + (found - before) / 2;
            if self.get(middle).is_some_and(|time| time < low) {
                before = middle + 1;
            } else {
                found = middle;
            }
        }
        found
    }
}
