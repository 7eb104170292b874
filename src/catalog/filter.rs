//! Filters as functions of the owner's, parsed when the task is made: what their names mean is settled, whatever
//! search_path they run under later, and PostgreSQL follows renames. The planner puts them inline.
//!
//! They are created as the caller, never as the extension's owner: reading a literal can run a domain's check, which is
//! somebody's code. So everybody may create in schema jittask_filter, and the names there cannot be guessed.

use super::target::{Column, Target};
use super::task::ROW_ALIAS;
use crate::error::{Error, Kind, Result};
use crate::pg::{expression, sql, user};
use pgrx::pg_sys::Oid;

/// A filter as a task keeps it.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The call of its function, for a statement with [`ROW_ALIAS`].
    pub call: String,
    /// It reads other tables or the clock: judged only when the row runs.
    pub runs_late: bool,
    /// Columns that it is given; of a stored task all that the task speaks of.
    pub columns: Vec<String>,
}

impl Filter {
    /// Is it given the row, and not the columns that it reads?
    pub fn takes_row(&self) -> bool {
        // A column of this name is quoted.
        self.call.ends_with(".*)")
    }
}

/// Makes the function.
///
/// It is given the columns that the filter reads and not the row, since PostgreSQL lets nobody ALTER a table whose row
/// type such a function takes (ADD COLUMN with a default, ALTER TYPE). Only a filter that speaks of the row itself, or
/// of a column with a collation of its own, which a parameter does not have, takes the row.
pub fn create(written: &str, target: &Target) -> Result<Filter> {
    // Also the row's name in the text, where it can meet no name of the user's.
    let alias = random_name();
    let filter = expression::analyse(written, target.relation, &target.sql_name, &alias).ok_or_else(|| {
        Error::new(Kind::Syntax, format!("filter is not a single condition: \"{written}\""))
            .hint("Write what would follow WHERE, without WHERE and without a semicolon.")
    })?;
    let name = format!("jittask_filter.{alias}");
    let volatility = if filter.is_volatile { "volatile" } else { "immutable" };
    let reads = |column: &str| filter.text.contains(&format!("{alias}.{column}"));
    let columns: Vec<Column> = target.columns().into_iter().filter(|column| reads(&column.sql_name)).collect();
    let takes_row = reads("*") || columns.len() > 100 || columns.iter().any(|column| column.has_own_collation);
    let list = |part: fn(&Column) -> String| columns.iter().map(part).collect::<Vec<_>>().join(", ");
    let (parameters, arguments) = match takes_row {
        true => (format!("{alias} {}", target.sql_name), format!("{ROW_ALIAS}.*")),
        false => (
            list(|column| format!("{} {}", column.sql_name, column.sql_type)),
            list(|column| format!("{ROW_ALIAS}.{}", column.sql_name)),
        ),
    };
    let condition = &filter.text;
    user::with_pinned_path(|| {
        sql::once(
            &format!(
                "create function {name}({parameters}) returns boolean language sql {volatility} return ({condition})"
            ),
            &[],
        );
        // Without its arguments: there is no other of this name yet.
        sql::once(&format!("revoke all on function {name} from public"), &[]);
    });
    Ok(Filter {
        call: format!("{name}({arguments})"),
        runs_late: filter.is_volatile,
        columns: if takes_row { Vec::new() } else { columns.into_iter().map(|column| column.name).collect() },
    })
}

fn random_name() -> String {
    let rows = sql::once("select pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', '')", &[]);
    format!("f_{}", rows.get::<String>(0, 1).unwrap_or_default())
}

/// The function's name in its call.
fn name_of(call: &str) -> &str {
    let bare = call.strip_prefix("jittask_filter.").unwrap_or(call);
    bare.split('(').next().unwrap_or_default()
}

/// Is the function still there, and the owner's? Another's of the same name must not run as him.
pub fn is_own(call: &str, owner: Oid) -> bool {
    let rows = user::with_pinned_path(|| {
        sql::run(
            "select 1 from pg_proc where pronamespace = 'jittask_filter'::regnamespace and proname = $1::text::name and proowner = $2",
            &[sql::arg(name_of(call)), sql::arg(owner)],
        )
    });
    !rows.is_empty()
}

/// Drops a task's filter function, if it is there.
pub fn drop(call: &str, owner: Oid) {
    user::as_extension_owner(|| {
        let rows = sql::once(
            "select oid::regprocedure::text from pg_proc
             where pronamespace = 'jittask_filter'::regnamespace and proname = $1::text::name and proowner = $2",
            &[sql::arg(name_of(call)), sql::arg(owner)],
        );
        for signature in (0..rows.len()).filter_map(|row| rows.get::<String>(row, 1)) {
            sql::once(&format!("drop function {signature}"), &[]);
        }
    });
}
