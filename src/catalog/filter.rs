//! Filters as functions of the owner's, parsed when the task is made: what their names mean is settled, whatever
//! search_path they run under later, and PostgreSQL follows renames. The planner puts them inline.
//!
//! They are created as the caller, never as the extension's owner: reading a literal can run a domain's check, which is
//! somebody's code. So everybody may create in schema jittask_filter, and the names there cannot be guessed.

use super::target::{Column, Target};
use super::task::ROW_ALIAS;
use crate::error::{Error, Kind, Result};
use crate::pg::{expression, sql, user};
use pgrx::pg_sys::{self, Oid};

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

/// Is the function still there, and the owner's, the only one of its name, and does it get what it was made for? Else the
/// call could mean another's function, or run another's cast, as him.
pub fn check(filter: &Filter, owner: Oid, target: &Target) -> Result<()> {
    let rows = user::with_pinned_path(|| {
        sql::run(
            "select proowner, proargtypes::oid[] from pg_proc
             where pronamespace = 'jittask_filter'::regnamespace and proname = $1::text::name",
            &[sql::arg(name_of(&filter.call))],
        )
    });
    let hint = "Alter the task's filter, to have it made anew.";
    if rows.len() != 1 || rows.get(0, 1) != Some(owner) {
        let message = format!("the filter's function {} is gone or is another role's", name_of(&filter.call));
        return Err(Error::new(Kind::NoFunction, message).hint(hint));
    }
    let taken: Vec<Oid> = rows.get(0, 2).unwrap_or_default();
    let given = given(filter, target)?;
    // Between built-in types there are only built-in casts, so a column may become a longer text or integer.
    let fits = |(taken, given): (&Oid, &Oid)| taken == given || given.to_u32() < pg_sys::FirstNormalObjectId;
    if taken.len() != given.len() || !taken.iter().zip(&given).all(fits) {
        return Err(Error::new(Kind::WrongType, "a column has another type than when the filter was made").hint(hint));
    }
    Ok(())
}

/// Types of what the call hands over now; 42703 where a column is gone.
fn given(filter: &Filter, target: &Target) -> Result<Vec<Oid>> {
    if filter.takes_row() {
        return Ok(vec![target.row_type]);
    }
    let list = filter.call.split_once('(').and_then(|(_, list)| list.strip_suffix(')')).unwrap_or_default();
    let Some(list) = list.strip_prefix(&format!("{ROW_ALIAS}.")) else { return Ok(Vec::new()) };
    let columns = target.columns();
    // Quoted or not as quote_all_identifiers was when the filter was made.
    let bare = |name: &str| match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => name.replace("\"\"", "\""),
        None => name.to_string(),
    };
    let kind = |name: &str| {
        let found = columns.iter().find(|column| column.name == bare(name));
        found.map(|column| column.kind).ok_or_else(|| {
            Error::new(Kind::NoColumn, format!("column {name}, which the filter reads, does not exist any more"))
        })
    };
    list.split(&format!(", {ROW_ALIAS}.")).map(kind).collect()
}

/// In an event trigger at the end of a command: nobody makes a function that a filter's call could mean as well.
pub fn refuse_second() -> Result<()> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select p.proname::text from pg_event_trigger_ddl_commands() d join pg_proc p on p.oid = d.objid
             where d.classid = 'pg_proc'::regclass and p.pronamespace = 'jittask_filter'::regnamespace and exists (
                 select 1 from pg_proc q where q.proname = p.proname and q.pronamespace = p.pronamespace and q.oid <> p.oid)",
            &[],
        )
    });
    match rows.get::<String>(0, 1) {
        None => Ok(()),
        Some(name) => {
            Err(Error::new(Kind::Exists, format!("there is a function {name} in schema jittask_filter already"))
                .hint("The functions in that schema are jittask's: one a filter."))
        }
    }
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
