//! Renaming columns and their table in the text of a filter, so that it reads, exports and imports under the new names.
//! What runs is the filter's function, which PostgreSQL keeps; this is only about the text.

use crate::lexer::{self, Token, is_string, name};
use std::collections::HashMap;

/// Pieces between two calls of [`Renaming::check`].
const LOOK_EVERY: usize = 1024;

/// What is called otherwise from now on.
pub struct Renaming<'a> {
    /// The table's old name and the new one.
    pub table: (&'a str, &'a str),
    /// The columns' new names by the old ones.
    pub columns: &'a HashMap<String, String>,
    /// Puts a name into quotes where it needs them: the server knows its keywords.
    pub quote: fn(&str) -> String,
    /// Is this, in lower case, a keyword that no column can be called by without quotes?
    pub is_reserved: fn(&str) -> bool,
    /// Called now and then: may unwind, if nobody wants the text any more.
    pub check: fn(),
}

impl Renaming<'_> {
    /// The text with the columns renamed where they stand bare or after the table's name, and that name where it stands
    /// before a column. One pass: a text may have hundreds of kilobytes, and whoever renames holds the table's lock.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use text::renaming::Renaming;
    ///
    /// let columns = HashMap::from([("state".to_string(), "status".to_string())]);
    /// let renaming = Renaming { table: ("t", "t"), columns: &columns, quote: str::to_string, is_reserved: |word| word == "and", check: || {} };
    /// assert_eq!(renaming.within("state = 'state' and t.state <> ''"), "status = 'state' and t.status <> ''");
    /// ```
    pub fn within(&self, text: &str) -> String {
        let tokens: Vec<(Token, &str)> = lexer::tokens(text)
            .enumerate()
            .map(|(i, token)| {
                if i % LOOK_EVERY == 0 {
                    (self.check)();
                }
                token
            })
            .collect();
        let visible: Vec<usize> = (0..tokens.len()).filter(|i| tokens[*i].0 != Token::Blank).collect();
        let token = |place: Option<usize>| place.and_then(|at| visible.get(at)).map_or("", |at| tokens[*at].1);
        let has_from = tokens.iter().any(|(_, token)| token.eq_ignore_ascii_case("from"));
        let mut renamed = String::with_capacity(text.len());
        // How many visible tokens come before this one: its place among them, if it is one.
        let mut place = 0_usize;
        for (i, (kind, text)) in tokens.iter().enumerate() {
            if i % LOOK_EVERY == 0 {
                (self.check)();
            }
            if *kind == Token::Name {
                let near = Near {
                    before: [4, 3, 2, 1].map(|steps| token(place.checked_sub(steps))),
                    after: [1, 2, 3].map(|steps| token(place.checked_add(steps))),
                    has_from,
                };
                renamed.push_str(&self.renamed(text, &near).unwrap_or_else(|| (*text).to_string()));
            } else {
                renamed.push_str(text);
            }
            place += usize::from(*kind != Token::Blank);
        }
        renamed
    }

    /// A name's new form, if it is the table's or that of a column that was renamed; in doubt it stays. What is called like the
    /// table may be a schema: that of a function, a type, an operator or a collation, or of another table.
    fn renamed(&self, token: &str, near: &Near) -> Option<String> {
        let [fourth, third, second, first] = near.before;
        let [next, name_after, then] = near.after;
        let (old, new) = self.table;
        let is_called = |token: &str| name(token).as_deref() == Some(old);
        if self.is_keyword(token) || is_string(next) {
            return None;
        }
        if next == "." && first != "." && old != new && is_called(token) {
            let is_schema = ["(", "."].contains(&then)
                || is_string(then)
                || self.is_no_expression(second, first)
                || is(first, "from")
                // In a list of tables, perhaps.
                || first == "," && near.has_from
                || first == "(" && is(second, "operator")
                || name_after != "*" && name(name_after).is_none();
            return (!is_schema).then(|| (self.quote)(new));
        }
        let is_qualified = first == ".";
        let is_of_other = is_qualified && (!is_called(second) || self.is_no_expression(fourth, third));
        let is_column = !is_of_other && (is_qualified || !self.is_no_expression(second, first));
        let new = name(token).filter(|_| is_column && !["(", "."].contains(&next));
        Some((self.quote)(self.columns.get(&new?)?))
    }

    /// Is what follows after these two pieces a table, a type, an alias or a collation?
    fn is_no_expression(&self, second: &str, first: &str) -> bool {
        const TABLES: [&str; 4] = ["from", "join", "only", "table"];
        let is_after = |words: &[&str], piece: &str| words.iter().any(|word| is(piece, word));
        // After any other name comes another one's: in an expression two stand side by side only where one is a keyword.
        let is_name = name(first).is_some() && !self.is_keyword(first) && !is_after(&BETWEEN_OPERANDS, first);
        first == "::"
            || is_after(&["as", "collate", "join", "only", "table", "returning"], first)
            || first == "(" && is_after(&TABLES, second)
            || is_name
    }

    fn is_keyword(&self, token: &str) -> bool {
        !token.starts_with('"') && (self.is_reserved)(&token.to_ascii_lowercase())
    }
}

/// Keywords that a column can be called by, and that an expression follows.
const BETWEEN_OPERANDS: [&str; 5] = ["between", "by", "escape", "operator", "zone"];

fn is(token: &str, word: &str) -> bool {
    token.eq_ignore_ascii_case(word)
}

/// What stands about a name, white space and comments left out.
struct Near<'a> {
    before: [&'a str; 4],
    after: [&'a str; 3],
    /// There is a FROM somewhere.
    has_from: bool,
}
