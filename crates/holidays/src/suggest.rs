//! Which of the known words may have been meant.

use std::collections::BTreeSet;

const AT_MOST: usize = 3;

/// (code, name) of at most three, those nearest: the same word, else words that begin alike, else those with the fewest
/// letters off. `known` are words with the code and the name they stand for.
pub(crate) fn closest<'a>(
    asked: &str,
    known: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> Vec<(String, String)> {
    let asked = asked.to_lowercase();
    let mut ranked: Vec<(usize, &str, &str)> = known
        .filter_map(|(word, code, name)| rank(&asked, &word.to_lowercase()).map(|rank| (rank, code, name)))
        .collect();
    ranked.sort();
    let best = ranked.first().map_or(0, |(rank, ..)| *rank);
    let mut seen = BTreeSet::new();
    ranked
        .into_iter()
        .filter(|(rank, code, _)| *rank == best && seen.insert(*code))
        .take(AT_MOST)
        .map(|(_, code, name)| (code.to_string(), name.to_string()))
        .collect()
}

/// How far a word is from what was asked, None: too far.
fn rank(asked: &str, word: &str) -> Option<usize> {
    if asked.is_empty() {
        return None;
    }
    if asked == word {
        return Some(0);
    }
    // Short words are codes, of which every other one is near.
    let (a, w): (Vec<char>, Vec<char>) = (asked.chars().collect(), word.chars().collect());
    if a.len() >= 4 && w.len() >= 4 && (word.starts_with(asked) || asked.starts_with(word)) {
        return Some(1);
    }
    let allowed = a.len().min(w.len()) / 3;
    if a.len().abs_diff(w.len()) > allowed {
        return None;
    }
    let far = distance(&a, &w);
    (far <= allowed).then_some(far + 1)
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
