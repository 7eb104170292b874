//! The lines of the table: what was measured, what it must and should reach, and whether it does.

use std::fmt::Write as _;

/// What a value must reach, and what it should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The greater the better.
    AtLeast { must: f64, aim: f64 },
    /// The smaller the better.
    AtMost { must: f64, aim: f64 },
    /// Nothing: it explains another line.
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// Under this name CI compares it with the committed one; empty: it does not.
    pub id: &'static str,
    /// In words.
    pub what: String,
    /// The median.
    pub value: f64,
    /// `×` for ratios, else what the number counts.
    pub unit: &'static str,
    pub goal: Goal,
}

/// A measure's lines, or why there are none.
pub type Outcome = Result<Vec<Line>, String>;

impl Line {
    /// One side by the other; the greater the better.
    pub fn ratio(id: &'static str, what: &str, value: f64, must: f64, aim: f64) -> Line {
        Line { id, what: what.into(), value, unit: "×", goal: Goal::AtLeast { must, aim } }
    }

    /// A number that should be small.
    pub fn at_most(id: &'static str, what: &str, value: f64, unit: &'static str, must: f64, aim: f64) -> Line {
        Line { id, what: what.into(), value, unit, goal: Goal::AtMost { must, aim } }
    }

    /// A number that explains another.
    pub fn info(what: &str, value: f64, unit: &'static str) -> Line {
        Line { id: "", what: format!("– {what}"), value, unit, goal: Goal::None }
    }

    /// The same for a ratio that CI judges; the greater the better.
    pub fn judged(id: &'static str, what: &str, value: f64) -> Line {
        Line { id, ..Line::info(what, value, "×") }
    }

    /// What CI may judge: ratios. A time says as much about the machine.
    pub fn is_judged(&self) -> bool {
        self.unit == "×" && !self.id.is_empty()
    }

    fn verdict(&self) -> &'static str {
        let (must, aim) = match self.goal {
            Goal::AtLeast { must, aim } => (self.value >= must, self.value >= aim),
            Goal::AtMost { must, aim } => (self.value <= must, self.value <= aim),
            Goal::None => return "",
        };
        match (must, aim) {
            (_, true) => "pass, aim reached",
            (true, false) => "pass",
            (false, false) => "MISS",
        }
    }

    fn goals(&self) -> (String, String) {
        match self.goal {
            Goal::AtLeast { must, aim } => (format!("≥ {}", short(must)), format!("≥ {}", short(aim))),
            Goal::AtMost { must, aim } => (format!("≤ {}", short(must)), format!("≤ {}", short(aim))),
            Goal::None => (String::new(), String::new()),
        }
    }
}

/// A number with as many digits as tell something.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1e6 {
        format!("{value:.0}")
    } else if size >= 1000.0 {
        group(value)
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// 195000 → 195,000
fn group(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// All lines as a Markdown table.
pub fn table(results: &[(&str, Outcome)]) -> String {
    let mut text = String::from("| measure | value | must | aim | |\n|---|---:|---:|---:|---|\n");
    for (name, outcome) in results {
        match outcome {
            Ok(lines) => {
                for line in lines {
                    let (must, aim) = line.goals();
                    let space = if line.unit == "×" { "" } else { " " };
                    let (value, verdict) = (short(line.value), line.verdict());
                    let _ =
                        writeln!(text, "| {} | {value}{space}{} | {must} | {aim} | {verdict} |", line.what, line.unit);
                }
            }
            Err(why) => {
                let _ = writeln!(text, "| {name} | – | | | NOT MEASURED: {} |", why.replace(['\n', '|'], " "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Line, short, table};

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(194_999.6), "195,000");
        assert_eq!(short(1.234), "1.23");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(12.34), "12.3");
    }

    #[test]
    fn the_table_tells_pass_from_miss() {
        let lines = vec![
            Line::ratio("a", "against (b)", 1.4, 1.5, 2.0),
            Line::at_most("b", "lateness", 0.9, "ms", 2.0, 1.0),
            Line::at_most("c", "size", 5.0, "MB", 10.0, 1.0),
        ];
        let text = table(&[("rows", Ok(lines)), ("cron", Err("no node".into()))]);
        assert!(text.contains("| against (b) | 1.40× | ≥ 1.50 | ≥ 2 | MISS |"), "{text}");
        assert!(text.contains("| lateness | 0.90 ms | ≤ 2 | ≤ 1 | pass, aim reached |"), "{text}");
        assert!(text.contains("| size | 5 MB | ≤ 10 | ≤ 1 | pass |"), "{text}");
        assert!(text.contains("NOT MEASURED: no node"), "{text}");
    }
}
