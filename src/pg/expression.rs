//! Filters: parsed and analysed once, as the caller, never evaluated here; written back with every name qualified.

use super::boundary::{self, Failure};
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString, c_char, c_int};

/// A filter as it is kept.
pub struct Condition {
    /// SQL with qualified names, columns prefixed by the table's alias.
    pub text: String,
    /// It reads other tables, the clock or settings: judged only when the row runs.
    pub is_volatile: bool,
}

// Not the bridge's wrappers of the same name: they catch what [`boundary::catch`] is there to catch.
unsafe extern "C-unwind" {
    #[link_name = "raw_parser"]
    fn raw_parse(source: *const c_char, mode: pg_sys::RawParseMode::Type) -> *mut pg_sys::List;
    #[cfg_attr(feature = "pg14", link_name = "parse_analyze")]
    #[cfg_attr(not(feature = "pg14"), link_name = "parse_analyze_fixedparams")]
    fn raw_analyse(
        statement: *mut pg_sys::RawStmt,
        source: *const c_char,
        types: *const Oid,
        count: c_int,
        environment: *mut pg_sys::QueryEnvironment,
    ) -> *mut pg_sys::Query;
}

/// Analyses `filter` as the condition of a query over `table`; the result says `alias`. Raises what the parser raises
/// (42601, 42703, 42804 …) with the filter in its message; None when the text is more, or less, than one expression.
pub fn analyse(filter: &str, relation: Oid, table: &str, alias: &str) -> Option<Condition> {
    let alone = CString::new(filter).ok()?;
    // The newline ends a comment that the filter may end with.
    let source = CString::new(format!("select from {table} where ({filter}\n)")).ok()?;
    let alias = CString::new(alias).ok()?;
    let or_raise = |failure: Failure| -> *mut pg_sys::List { in_filter(failure, filter).raise() };
    unsafe {
        // By itself first: what is an expression of its own cannot close the parenthesis.
        let (text, mode) = (alone.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_PLPGSQL_EXPR);
        let parsed = boundary::catch(|| raw_parse(text, mode)).unwrap_or_else(or_raise);
        if !is_one_expression(parsed) {
            return None;
        }
        let (text, mode) = (source.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let parsed = boundary::catch(|| raw_parse(text, mode)).unwrap_or_else(or_raise);
        let statement = pgrx::PgList::<pg_sys::RawStmt>::from_pg(parsed).get_ptr(0)?;
        let none = (std::ptr::null(), std::ptr::null_mut());
        let query = boundary::catch(|| raw_analyse(statement, text, none.0, 0, none.1))
            .unwrap_or_else(|failure| in_filter(failure, filter).raise());
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

fn in_filter(failure: Failure, filter: &str) -> Failure {
    Failure { message: format!("{} in filter \"{filter}\"", failure.message), ..failure }
}

/// What PL/pgSQL takes for an expression is the rest of a SELECT: one value without a name, and nothing after it.
unsafe fn is_one_expression(parsed: *mut pg_sys::List) -> bool {
    unsafe {
        let statements = pgrx::PgList::<pg_sys::RawStmt>::from_pg(parsed);
        let Some(statement) = statements.get_ptr(0).filter(|_| statements.len() == 1) else { return false };
        if (*(*statement).stmt).type_ != pg_sys::NodeTag::T_SelectStmt {
            return false;
        }
        let select = &*(*statement).stmt.cast::<pg_sys::SelectStmt>();
        let lists = [
            select.distinctClause,
            select.fromClause,
            select.groupClause,
            select.windowClause,
            select.valuesLists,
            select.sortClause,
            select.lockingClause,
        ];
        let single = [select.whereClause, select.havingClause, select.limitCount, select.limitOffset];
        let values = pgrx::PgList::<pg_sys::ResTarget>::from_pg(select.targetList);
        values.len() == 1
            && values.get_ptr(0).is_some_and(|value| (*value).name.is_null())
            && lists.iter().all(|list| list.is_null())
            && single.iter().all(|clause| clause.is_null())
    }
}
