//! The compiled-in text: its tables of names and series, and the blocks of its countries.

use chrono::{Days, NaiveDate};

const TEXT: &str = include_str!("../../../holidays/holidays.txt");

/// Version of the Python package that the data was made from.
pub fn version() -> &'static str {
    head(1)
}

/// The first year of the data.
pub fn first_year() -> i32 {
    head(2).parse().unwrap_or(i32::MAX)
}

/// The last year of the data; of some places less is known.
pub fn last_year() -> i32 {
    head(3).parse().unwrap_or(i32::MIN)
}

fn head(field: usize) -> &'static str {
    let line = TEXT.lines().find(|line| line.starts_with("V\t")).unwrap_or_default();
    line.split('\t').nth(field).unwrap_or_default()
}

/// The blocks that begin with a line of that mark: the rest of the first line, and what follows up to the next one.
pub(crate) fn blocks(text: &'static str, mark: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let starts = |at: usize| text[at..].starts_with(mark) && (at == 0 || text[..at].ends_with('\n'));
    let mut position = text.match_indices(mark).map(|(at, _)| at).find(|&at| starts(at));
    std::iter::from_fn(move || {
        let begin = position? + mark.len();
        let block = &text[begin..];
        let next = format!("\n{mark}");
        let end = block.find(&next).map(|at| at + 1);
        position = end.map(|end| begin + end);
        let block = &block[..end.unwrap_or(block.len())];
        Some(block.split_once('\n').unwrap_or((block, "")))
    })
}

/// The blocks of the countries.
pub(crate) fn country_blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    blocks(TEXT, "C\t")
}

/// Names and series, by number.
pub(crate) struct Tables {
    names: Vec<&'static str>,
    series: Vec<&'static str>,
    first: Option<NaiveDate>,
}

impl Tables {
    /// Scans the text for them.
    pub(crate) fn read() -> Self {
        let (mut names, mut series) = (Vec::new(), Vec::new());
        for line in TEXT.lines() {
            match line.split_once('\t') {
                Some(("N", name)) => names.push(name),
                Some(("S", days)) => series.push(days),
                Some(("C", _)) => break,
                _ => {}
            }
        }
        Tables { names, series, first: NaiveDate::from_ymd_opt(first_year(), 1, 1) }
    }

    /// `name.series`: each day with its name.
    pub(crate) fn named(&self, entry: &str, mut each: impl FnMut(NaiveDate, &'static str)) {
        if let Some((name, series)) = entry.split_once('.')
            && let Some(name) = number(name).and_then(|number| self.names.get(number))
        {
            self.series(series, |on| each(on, name));
        }
    }

    /// Each day of a series.
    pub(crate) fn series(&self, number_of: &str, mut each: impl FnMut(NaiveDate)) {
        let steps = number(number_of).and_then(|number| self.series.get(number)).copied().unwrap_or_default();
        let mut last = self.first;
        for step in steps.split(' ').map_while(number) {
            last = last.and_then(|last| last.checked_add_days(Days::new(step as u64)));
            last.into_iter().for_each(&mut each);
        }
    }
}

fn number(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 36).ok()
}
