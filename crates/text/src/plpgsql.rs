//! The body of a task's function, as it is written: statements, or a whole block of PL/pgSQL.

use crate::lexer::{Token, tokens};

/// Has it no statement, nothing but comments?
pub fn is_empty(body: &str) -> bool {
    tokens(body).all(|(kind, _)| kind == Token::Blank)
}

/// Statements become a block; what is one stays as it is.
///
/// ```
/// use text::plpgsql::block;
///
/// assert_eq!(block("perform remind()"), "begin perform remind()\n;end");
/// assert_eq!(block("declare n int; begin end"), "declare n int; begin end");
/// ```
pub fn block(body: &str) -> String {
    let mut visible = tokens(body).filter(|(kind, _)| *kind != Token::Blank).map(|(_, piece)| piece);
    let (first, second) = (visible.next().unwrap_or_default(), visible.next().unwrap_or_default());
    let is_labelled = (first, second) == ("<", "<");
    if is_labelled || first == "#" || ["begin", "declare"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return body.to_string();
    }
    // On the first line, so that errors give the line numbers of the body.
    format!("begin {body}\n{}end", if ends_statement(body) { "" } else { ";" })
}

/// Is the last thing that is not a comment a semicolon?
fn ends_statement(body: &str) -> bool {
    tokens(body).filter(|(kind, _)| *kind != Token::Blank).last().is_some_and(|(_, piece)| piece == ";")
}
