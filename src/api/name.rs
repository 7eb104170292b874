//! A task's name out of its title.

use crate::error::{Error, Kind, Result};

const LONGEST: usize = 48;

/// Transliterated to ASCII, lower case, words joined by `_`, at most 48 bytes, `_2`, `_3` … when `taken`.
pub fn generate(title: &str, taken: impl Fn(&str) -> bool) -> String {
    let stem = stem(title);
    if !taken(&stem) {
        return stem;
    }
    (2u32..)
        .map(|number| {
            let suffix = format!("_{number}");
            format!("{}{suffix}", shorten(&stem, LONGEST - suffix.len()))
        })
        .find(|name| !taken(name))
        .unwrap_or(stem)
}

fn stem(title: &str) -> String {
    let ascii = deunicode::deunicode(title).to_ascii_lowercase();
    let words: Vec<&str> = ascii.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let joined = words.join("_");
    match joined.chars().next() {
        None => "task".to_string(),
        // A name starts with a letter.
        Some(first) if first.is_ascii_digit() => shorten(&format!("task_{joined}"), LONGEST),
        Some(_) => shorten(&joined, LONGEST),
    }
}

fn shorten(name: &str, longest: usize) -> String {
    name[..name.len().min(longest)].trim_end_matches('_').to_string()
}

/// 22023 unless the name matches `[a-z][a-z0-9_]{0,47}`.
pub fn check(name: &str) -> Result<()> {
    let good = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    good.then_some(()).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("invalid task name \"{name}\""))
            .hint("A name is a lower-case letter and up to 47 lower-case letters, digits and underscores.")
    })
}
