//! Renaming columns and their table in the text of a filter, so that it reads, exports and imports under the new names.
//! What runs is the filter's function, which PostgreSQL keeps; this is only about the text.

use crate::pg::worker;
use pgrx::spi::quote_identifier;
use std::collections::HashMap;

/// Tokens between two looks at what the session was asked: to stop, mostly.
const LOOK_EVERY: usize = 1024;

/// The text with the columns renamed where they stand bare or after the table's name, and that name where it stands
/// before a column. `table` is the old name and the new one. One pass: a text may have hundreds of kilobytes, and whoever
/// renames holds his table's lock.
pub fn within(text: &str, table: (&str, &str), names: &HashMap<String, String>) -> String {
    let tokens = tokens(text);
    let visible: Vec<usize> = (0..tokens.len()).filter(|i| tokens[*i].0 != Token::Blank).collect();
    let token = |place: Option<usize>| place.and_then(|at| visible.get(at)).map_or("", |at| tokens[*at].1);
    let mut renamed = String::with_capacity(text.len());
    // How many visible tokens come before this one: its place among them, if it is one.
    let mut place = 0_usize;
    for (i, (kind, text)) in tokens.iter().enumerate() {
        if i % LOOK_EVERY == 0 {
            worker::check_interrupts();
        }
        if *kind == Token::Name {
            let near = Near {
                before: (token(place.checked_sub(2)), token(place.checked_sub(1))),
                after: token(place.checked_add(1)),
            };
            renamed.push_str(&near.renamed(text, table, names).unwrap_or_else(|| (*text).to_string()));
        } else {
            renamed.push_str(text);
        }
        place += usize::from(*kind != Token::Blank);
    }
    renamed
}

/// What stands about a name, white space and comments left out.
struct Near<'a> {
    before: (&'a str, &'a str),
    after: &'a str,
}

impl Near<'_> {
    /// The name's new form, if it is the table's or that of a column that was renamed.
    fn renamed(&self, token: &str, table: (&str, &str), names: &HashMap<String, String>) -> Option<String> {
        let (second, first) = self.before;
        let is_called = |token: &str| name(token).as_deref() == Some(table.0);
        if self.after == "." && first != "." && table.0 != table.1 && is_called(token) {
            return Some(quote_identifier(table.1));
        }
        let is_type = first == "::" || first.eq_ignore_ascii_case("as") || is_string(self.after);
        let is_column = (first != "." || is_called(second)) && !is_type && !["(", "."].contains(&self.after);
        let new = name(token).filter(|_| is_column).and_then(|old| names.get(&old))?;
        Some(quote_identifier(new))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Name,
    Blank,
    Other,
}

/// A name as PostgreSQL reads it: in UTF-8 only ASCII is folded.
fn name(token: &str) -> Option<String> {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => token.starts_with(is_name_start).then(|| token.to_ascii_lowercase()),
    }
}

/// A constant in quotes. What stands before one is a type.
fn is_string(token: &str) -> bool {
    token.starts_with('\'') || dollar_quoted(token).is_some() || string_with_prefix(token).is_some()
}

/// Cuts the text into names, and all else: strings, comments, numbers, operators, white space. Nothing gets lost. By the rules
/// of the server's scanner (parser/scan.l).
fn tokens(text: &str) -> Vec<(Token, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if found.len() % LOOK_EVERY == 0 {
            worker::check_interrupts();
        }
        let (kind, length) = if let Some(length) = string_with_prefix(rest) {
            (Token::Other, length)
        } else if is_name_start(first) {
            let is_in_name = |c: char| is_name_start(c) || c.is_ascii_digit() || c == '$';
            (Token::Name, rest.find(|c: char| !is_in_name(c)).unwrap_or(rest.len()))
        } else if first == '"' {
            (Token::Name, quoted(rest, '"', false))
        } else if first == '\'' {
            (Token::Other, quoted(rest, '\'', false))
        } else if let Some(length) = comment(rest) {
            (Token::Blank, length)
        } else if let Some(length) = dollar_quoted(rest) {
            (Token::Other, length)
        } else if first.is_ascii_digit() {
            (Token::Other, rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len()))
        } else if rest.starts_with("::") {
            (Token::Other, 2)
        } else {
            (if first.is_ascii_whitespace() { Token::Blank } else { Token::Other }, first.len_utf8())
        };
        let (token, after) = rest.split_at(length);
        found.push((kind, token));
        rest = after;
    }
    found
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// How long a constant like `E'…'`, `B'…'` or `U&'…'` is, or a name like `U&"…"`, which is left as it is.
fn string_with_prefix(text: &str) -> Option<usize> {
    let prefixes = ["e'", "b'", "x'", "n'", "u&'", "u&\""];
    let prefix = prefixes.iter().find(|prefix| {
        text.as_bytes().get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    })?;
    let (before, quote) = (prefix.len() - 1, if prefix.ends_with('"') { '"' } else { '\'' });
    if *prefix != "e'" {
        return Some(before + quoted(&text[before..], quote, false));
    }
    // It goes on after white space with a line's end in it, and its escapes with it.
    let mut length = before + quoted(&text[before..], quote, true);
    loop {
        let rest = &text[length..];
        let blank = rest.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(rest.len());
        if !rest[..blank].contains(['\n', '\r']) || !rest[blank..].starts_with('\'') {
            return Some(length);
        }
        length += blank + quoted(&rest[blank..], quote, true);
    }
}

/// How long a quoted piece is, its quotes included; a doubled quote is part of it.
pub(super) fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if has_escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

fn dollar_quoted(text: &str) -> Option<usize> {
    // Only what can be a tag is looked for in the rest: else a text full of `$` would be read once for each.
    let tag_end = text.strip_prefix('$')?.find(|c: char| !(is_name_start(c) || c.is_ascii_digit()))? + 1;
    let tag = text[tag_end..].starts_with('$').then(|| &text[..=tag_end])?;
    let end = text[tag.len()..].find(tag).map(|at| at + 2 * tag.len());
    Some(end.unwrap_or(text.len()))
}

/// A comment's length; one within slashes and stars may have others in it.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find(['\n', '\r']).unwrap_or(text.len()));
    }
    let (mut at, mut depth) = (text.starts_with("/*").then_some(2)?, 1_u32);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        let step = if text[at..].starts_with("/*") {
            depth += 1;
            2
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}
