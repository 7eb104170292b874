//! RESULTS.md: a section for each measure. A run of some measures leaves the sections of the others as they are.

use crate::measures;
use crate::report::{Outcome, table};

const HEAD: &str = "# Results of `make bench`\n\nAll sides of a measure by turns in one run; each section says when, and on what. [NOTES.md](NOTES.md) says what each line
means.\n";

/// The file with these results in the place of what it said of the same measures.
pub fn file(before: &str, about: &str, results: &[(&str, Outcome)]) -> String {
    let old = |name: &str| before.split("\n## ").skip(1).find(|section| section.lines().next() == Some(name));
    let section = |name: &str| match results.iter().find(|(measured, _)| *measured == name) {
        Some(result) => Some(format!("{name}\n\n{about}\n\n{}", table(std::slice::from_ref(result)))),
        None => old(name).map(|section| format!("{}\n", section.trim_end())),
    };
    let sections = measures::all().into_iter().filter_map(|measure| section(measure.name));
    sections.fold(HEAD.to_owned(), |text, section| format!("{text}\n## {section}"))
}

#[cfg(test)]
mod tests {
    use super::file;
    use crate::report::Line;

    #[test]
    fn only_what_was_measured_is_replaced() {
        let lines = |value: f64| Ok(vec![Line::info("it", value, "rows/s")]);
        let both = file("", "Then.", &[("rows", lines(1.0)), ("copy", lines(2.0))]);
        let one = file(&both, "Now.", &[("copy", lines(3.0))]);
        assert!(both.contains("## rows\n\nThen.") && both.contains("## copy\n\nThen."));
        assert!(one.contains("## rows\n\nThen.") && one.contains("| 1 rows/s |"), "{one}");
        assert!(
            one.contains("## copy\n\nNow.") && one.contains("| 3 rows/s |") && !one.contains("| 2 rows/s |"),
            "{one}"
        );
        assert_eq!(file(&one, "Now.", &[]), one);
    }
}
