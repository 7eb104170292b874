//! Which errors of a row that shares its transaction with others are its own. The others are tried once more in a
//! transaction of their own before they count: a temporary table to be dropped at the commit, a cursor, a value of `now()`
//! may be there already because of another row.

use crate::pg::boundary::Failure;

/// Would the row have failed by itself as well? So for what a function raises, what is wrong with a value, and what a row
/// violates by itself (SQLSTATE classes P0, 22 and 23, but for unique and exclusion violations, which need another row).
pub fn is_own(failure: &Failure) -> bool {
    match failure.sqlstate.as_str() {
        "23505" | "23P01" => false,
        code => ["P0", "22", "23"].iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, is_own};

    #[test]
    fn what_another_row_may_have_caused_is_not_a_rows_own() {
        let is_own = |code: &str| is_own(&Failure { sqlstate: code.to_string(), ..Default::default() });
        for code in ["P0001", "P0100", "22012", "23502", "23503", "23514"] {
            assert!(is_own(code), "{code}");
        }
        for code in ["23505", "23P01", "25001", "34000", "40001", "42P03", "42P07", "42501", "53200", "55P03", "57014"]
        {
            assert!(!is_own(code), "{code}");
        }
    }
}
