//! Filters: parsed and analysed once, as the caller, never evaluated here; written back with every name qualified.

use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString};

/// A filter as it is kept.
pub struct Condition {
    /// SQL with qualified names, columns prefixed by the table's alias.
    pub text: String,
    /// It reads other tables, the clock or settings: judged only when the row runs.
    pub is_volatile: bool,
}

/// Analyses `filter` as the condition of a query over `table`, known in it by its `name`; the result says `alias`. Raises what the parser raises (42601,
/// 42703, 42804 …); None when the text is more than one expression.
pub fn analyse(filter: &str, relation: Oid, table: &str, name: &str, alias: &str) -> Option<Condition> {
    // The newline ends a comment that the filter may end with.
    let quoted = pgrx::spi::quote_identifier(name);
    let sql = CString::new(format!("select from {table} as {quoted} where ({filter}\n)")).ok()?;
    let alias = CString::new(alias).ok()?;
    let (source, mode) = (sql.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
    unsafe {
        // Not under `boundary::catch`: the bridge's functions panic on an ERROR, which no setjmp frame lets through.
        let parsed = pg_sys::raw_parser(source, mode);
        let statements = pgrx::PgList::<pg_sys::RawStmt>::from_pg(parsed);
        let statement = statements.get_ptr(0)?;
        if statements.len() != 1 || !is_plain_select((*statement).stmt) {
            return None;
        }
        #[cfg(feature = "pg14")]
        use pg_sys::parse_analyze as parse_analyze_fixedparams;
        #[cfg(not(feature = "pg14"))]
        use pg_sys::parse_analyze_fixedparams;
        let query = parse_analyze_fixedparams(statement, source, std::ptr::null_mut(), 0, std::ptr::null_mut());
        let condition = (*(*query).jointree).quals;
        let is_volatile = (*query).hasSubLinks || pg_sys::contain_mutable_functions(condition);
        // With only pg_catalog in the path every other name is written qualified.
        let settings = super::user::Settings::begin();
        settings.pin();
        let text =
            pg_sys::deparse_expression(condition, pg_sys::deparse_context_for(alias.as_ptr(), relation), true, false);
        settings.end();
        Some(Condition { text: CStr::from_ptr(text).to_string_lossy().into_owned(), is_volatile })
    }
}

/// One table, one condition, nothing else: a filter cannot close the parenthesis and add clauses of its own.
unsafe fn is_plain_select(node: *mut pg_sys::Node) -> bool {
    unsafe {
        if (*node).type_ != pg_sys::NodeTag::T_SelectStmt {
            return false;
        }
        let select = &*node.cast::<pg_sys::SelectStmt>();
        let others = [
            select.targetList,
            select.distinctClause,
            select.groupClause,
            select.windowClause,
            select.valuesLists,
            select.sortClause,
            select.lockingClause,
        ];
        let single = [select.havingClause, select.limitCount, select.limitOffset];
        select.op == pg_sys::SetOperation::SETOP_NONE
            && others.iter().all(|list| list.is_null())
            && single.iter().all(|clause| clause.is_null())
            && select.withClause.is_null()
            && select.intoClause.is_null()
            && pgrx::PgList::<pg_sys::Node>::from_pg(select.fromClause).len() == 1
            && !select.whereClause.is_null()
    }
}
