//! Renaming columns and their table in the text of a filter, so that it reads, exports and imports under the new names.
//! What runs is the filter's function, which PostgreSQL keeps; this is only about the text.

use pgrx::spi::quote_identifier;
use std::collections::HashMap;

/// The text with the columns renamed where they stand bare or after the table's name, and that name where it stands
/// before a column. `table` is the old name and the new one.
pub fn within(text: &str, table: (&str, &str), names: &HashMap<String, String>) -> String {
    let tokens = tokens(text);
    let visible: Vec<usize> = (0..tokens.len()).filter(|i| !tokens[*i].1.trim().is_empty()).collect();
    let near = |i: usize, step: isize| -> &str {
        let place = visible.iter().position(|at| *at == i).and_then(|at| at.checked_add_signed(step));
        place.and_then(|at| visible.get(at)).map_or("", |at| tokens[*at].1)
    };
    let is_column = |i: usize| {
        let qualifier_fits = near(i, -1) != "." || name(near(i, -2)).as_deref() == Some(table.0);
        qualifier_fits && near(i, -1) != "::" && !["(", "."].contains(&near(i, 1))
    };
    let is_table = |i: usize| near(i, 1) == "." && near(i, -1) != "." && name(tokens[i].1).as_deref() == Some(table.0);
    let renamed = tokens.iter().enumerate().map(|(i, (kind, token))| match kind {
        Token::Name if is_table(i) && table.0 != table.1 => quote_identifier(table.1),
        Token::Name if is_column(i) => {
            name(token).and_then(|old| names.get(&old)).map_or_else(|| (*token).to_string(), quote_identifier)
        }
        _ => (*token).to_string(),
    });
    renamed.collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Name,
    Other,
}

/// A name as PostgreSQL reads it.
fn name(token: &str) -> Option<String> {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => token.starts_with(|c: char| c.is_alphabetic() || c == '_').then(|| token.to_lowercase()),
    }
}

/// Cuts the text into names, and all else: strings, comments, numbers, operators, white space. Nothing gets lost.
fn tokens(text: &str) -> Vec<(Token, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if is_name_start(first) {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            let is_escape_string = length == 1 && "eE".contains(first) && rest[1..].starts_with('\'');
            if is_escape_string { (Token::Other, 1 + quoted(&rest[1..], '\'', true)) } else { (Token::Name, length) }
        } else if first == '"' {
            (Token::Name, quoted(rest, '"', false))
        } else if first == '\'' {
            (Token::Other, quoted(rest, '\'', false))
        } else if let Some(length) = dollar_quoted(rest).or_else(|| comment(rest)) {
            (Token::Other, length)
        } else if first.is_ascii_digit() {
            (Token::Other, rest.find(|c: char| !(c.is_alphanumeric() || c == '.')).unwrap_or(rest.len()))
        } else if rest.starts_with("::") {
            (Token::Other, 2)
        } else {
            (Token::Other, first.len_utf8())
        };
        let (token, after) = rest.split_at(length);
        found.push((kind, token));
        rest = after;
    }
    found
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// How long a quoted piece is, its quotes included; a doubled quote is part of it.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
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
    let tag_end = text.strip_prefix('$')?.find('$')? + 2;
    let tag = &text[..tag_end];
    let is_tag = tag[1..tag_end - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    let end = text[tag_end..].find(tag).map(|at| tag_end + at + tag.len());
    is_tag.then(|| end.unwrap_or(text.len()))
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |at| at + 2))
}
