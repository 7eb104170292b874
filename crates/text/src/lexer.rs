//! SQL cut into pieces, by the rules of the server's scanner (parser/scan.l) with `standard_conforming_strings` on.

/// What a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// A name or keyword, quoted or not.
    Name,
    /// White space or a comment.
    Blank,
    /// All else: a constant, a number, a character of an operator.
    Other,
}

/// The pieces of a text, one after the other. Nothing gets lost: together they are the text.
///
/// ```
/// use text::lexer::{Token, tokens};
///
/// let names: Vec<&str> =
///     tokens("a /* b */ = 'c' and \"D\"").filter(|(kind, _)| *kind == Token::Name).map(|(_, piece)| piece).collect();
/// assert_eq!(names, ["a", "and", "\"D\""]);
/// ```
pub fn tokens(text: &str) -> impl Iterator<Item = (Token, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (kind, length) = first(rest)?;
        let (token, after) = rest.split_at(length);
        rest = after;
        Some((kind, token))
    })
}

/// The kind of the first piece, and its length in bytes.
fn first(text: &str) -> Option<(Token, usize)> {
    let first = text.chars().next()?;
    Some(if let Some(length) = string_with_prefix(text) {
        (Token::Other, length)
    } else if is_name_start(first) {
        let is_in_name = |c: char| is_name_start(c) || c.is_ascii_digit() || c == '$';
        (Token::Name, text.find(|c: char| !is_in_name(c)).unwrap_or(text.len()))
    } else if first == '"' {
        (Token::Name, quoted(text, '"', false))
    } else if first == '\'' {
        (Token::Other, quoted(text, '\'', false))
    } else if let Some(length) = comment(text) {
        (Token::Blank, length)
    } else if let Some(length) = dollar_quoted(text) {
        (Token::Other, length)
    } else if first.is_ascii_digit() {
        (Token::Other, text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')).unwrap_or(text.len()))
    } else if text.starts_with("::") {
        (Token::Other, 2)
    } else {
        (if is_space(first) { Token::Blank } else { Token::Other }, first.len_utf8())
    })
}

/// A name as PostgreSQL reads it, where a piece is one: in UTF-8 only ASCII is folded.
///
/// ```
/// use text::lexer::name;
///
/// assert_eq!(name("Due_On").as_deref(), Some("due_on"));
/// assert_eq!(name("\"a\"\"b\"").as_deref(), Some("a\"b"));
/// assert_eq!(name("'a'"), None);
/// ```
pub fn name(token: &str) -> Option<String> {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => token.starts_with(is_name_start).then(|| token.to_ascii_lowercase()),
    }
}

/// Is a piece a constant in quotes? What stands before one is a type.
pub fn is_string(token: &str) -> bool {
    token.starts_with('\'') || dollar_quoted(token).is_some() || string_with_prefix(token).is_some()
}

/// White space to the server: no other character is.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
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
        let blank = blank_with_comments(rest);
        if !rest[..blank].contains(['\n', '\r']) || !rest[blank..].starts_with('\'') {
            return Some(length);
        }
        length += blank + quoted(&rest[blank..], quote, true);
    }
}

/// How long the white space at the start of a text is, with comments to a line's end.
fn blank_with_comments(text: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        length += match comment(rest).filter(|_| rest.starts_with("--")) {
            Some(comment) => comment,
            None => rest.find(|c: char| !is_space(c)).unwrap_or(rest.len()),
        };
        if !text[length..].starts_with(|c: char| is_space(c)) && !text[length..].starts_with("--") {
            return length;
        }
    }
}

/// How long a quoted piece at the start of a text is, in bytes and with its quotes; a doubled quote is part of it.
///
/// ```
/// assert_eq!(text::lexer::quoted("\"a\"\"b\" = 1", '"', false), 6);
/// ```
pub fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
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
