//! What an SQLSTATE says.

/// Would a row that shares its transaction with others have failed by itself as well? So for what a function raises, what is wrong
/// with a value, and what a row violates by itself: classes P0, 22 and 23, but for unique and exclusion violations, which need
/// another row. Others are tried once more in a transaction of their own before they count: a temporary table to be dropped at
/// the commit, a cursor, a value of `now()` may be there already because of another row.
///
/// ```
/// assert!(text::sqlstate::is_own("22012"));
/// assert!(!text::sqlstate::is_own("23505"));
/// ```
pub fn is_own(sqlstate: &str) -> bool {
    match sqlstate {
        "23505" | "23P01" => false,
        code => ["P0", "22", "23"].iter().any(|class| code.starts_with(class)),
    }
}
