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
    /// let renaming = Renaming { table: ("t", "t"), columns: &columns, quote: str::to_string, check: || {} };
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
                    before: (token(place.checked_sub(2)), token(place.checked_sub(1))),
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

    /// A name's new form, if it is the table's or that of a column that was renamed. What is called like the table may be a
    /// schema: that of a function, a type, an operator or a collation, or of another table.
    fn renamed(&self, token: &str, near: &Near) -> Option<String> {
        let (second, first) = near.before;
        let [next, name_after, then] = near.after;
        let (old, new) = self.table;
        let is_called = |token: &str| name(token).as_deref() == Some(old);
        let is = |token: &str, word: &str| token.eq_ignore_ascii_case(word);
        let is_type = first == "::" || is(first, "as") || is_string(next);
        if next == "." && first != "." && old != new && is_called(token) {
            let is_schema = ["(", "."].contains(&then)
                || is_string(then)
                || is_type
                || ["collate", "from", "join", "only", "table"].iter().any(|word| is(first, word))
                // In a list of tables, perhaps.
                || first == "," && near.has_from
                || first == "(" && is(second, "operator")
                || name_after != "*" && name(name_after).is_none();
            return (!is_schema).then(|| (self.quote)(new));
        }
        let is_column = (first != "." || is_called(second)) && !is_type && !["(", "."].contains(&next);
        let new = name(token).filter(|_| is_column).and_then(|old| self.columns.get(&old))?;
        Some((self.quote)(new))
    }
}

/// What stands about a name, white space and comments left out.
struct Near<'a> {
    before: (&'a str, &'a str),
    after: [&'a str; 3],
    /// There is a FROM somewhere.
    has_from: bool,
}
