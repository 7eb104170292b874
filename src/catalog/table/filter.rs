//! Filters as functions of the owner's, analysed when the task is made: what their names mean is settled, whatever
//! search_path they run under later, and PostgreSQL follows renames. The planner puts them inline.
//!
//! They are analysed as the caller, since reading a literal can run a domain's check, which is somebody's code, and stored
//! in the form in which they were analysed, in a schema where nobody may create anything (`pg::expression`).

use crate::catalog::table::target::{Column, Target};
use crate::error::{Error, Kind, Result};
use crate::pg::expression::{self, Parameter};
use crate::pg::{object, sql, tuple, user, value};
use pgrx::pg_sys::{self, Oid};
use text::lexer;

/// The alias of the task's table in every statement of ours.
pub const ROW_ALIAS: &str = "jittask_row";

/// A filter as a task keeps it.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The call of its function, for a statement with [`ROW_ALIAS`]; [`look_up`] makes of it what can be run.
    pub call: String,
    /// It reads other tables or the clock: judged only when the row runs.
    pub runs_late: bool,
    /// Columns that it is given; of a stored task all that the task speaks of.
    pub columns: Vec<String>,
}

/// A filter as it is to be called now.
pub struct Condition {
    /// For a statement with [`ROW_ALIAS`].
    pub sql: String,
    /// The function that the call must mean.
    pub function: Oid,
}

impl Filter {
    /// Is it given the row, and not the columns that it reads?
    pub fn takes_row(&self) -> bool {
        // A column of this name is quoted.
        self.call.ends_with(".*)")
    }
}

/// Makes the function. The table must be locked.
///
/// It is given the columns that the filter reads and not the row, since PostgreSQL lets nobody ALTER a table whose row
/// type such a function takes (ADD COLUMN with a default, ALTER TYPE). Only a filter that speaks of the row itself, or
/// of a column with a collation of its own, which a parameter does not have, takes the row.
pub fn create(written: &str, target: &Target) -> Result<Filter> {
    let name = random_name();
    let condition = user::restricted(|| expression::analyse(written, target.relation)).ok_or_else(|| {
        Error::new(Kind::Syntax, format!("filter is not a single condition: \"{written}\""))
            .hint("Write what would follow WHERE, without WHERE and without a semicolon.")
    })?;
    if let Some(column) = condition.columns.iter().find(|column| **column < 0) {
        let column = expression::system_column(*column);
        return Err(Error::new(Kind::Unsupported, format!("filter reads the system column \"{column}\""))
            .hint("A filter can use the table's own columns only."));
    }
    let columns: Vec<Column> =
        target.columns().into_iter().filter(|column| condition.columns.contains(&column.number)).collect();
    let takes_row = condition.columns.contains(&0)
        || columns.len() > pg_sys::FUNC_MAX_ARGS as usize
        || columns.iter().any(|column| column.has_own_collation);
    let parameters: Vec<Parameter> = match takes_row {
        true => vec![Parameter { name: name.clone(), kind: target.row_type, column: 0 }],
        false => columns.iter().map(parameter).collect(),
    };
    let arguments = match takes_row {
        true => format!("{ROW_ALIAS}.*"),
        false => columns.iter().map(|column| format!("{ROW_ALIAS}.{}", column.sql_name)).collect::<Vec<_>>().join(", "),
    };
    let schema = object::schema(c"jittask_filter");
    condition.create_function(schema, &name, &parameters);
    user::with_pinned_path(|| sql::once(&format!("revoke all on function jittask_filter.{name} from public"), &[]));
    Ok(Filter {
        call: format!("jittask_filter.{name}({arguments})"),
        runs_late: condition.is_volatile,
        columns: if takes_row { Vec::new() } else { columns.into_iter().map(|column| column.name).collect() },
    })
}

fn parameter(column: &Column) -> Parameter {
    Parameter { name: column.name.clone(), kind: column.kind, column: column.number }
}

/// Nothing of the task's shows in it: everybody can read the names of functions.
fn random_name() -> String {
    let rows = sql::once("select pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', '')", &[]);
    format!("f_{}", rows.get::<String>(0, 1).unwrap_or_default())
}

/// The function's name in its call.
fn name_of(call: &str) -> &str {
    let bare = call.strip_prefix("jittask_filter.").unwrap_or(call);
    bare.split('(').next().unwrap_or_default()
}

const REMAKE: &str = "Alter the task's filter, to have it made anew.";

/// The filter as it is to be called now. An error where its function is not there any more, or not the owner's, or where a
/// column has become something that is not what the filter was made for.
pub fn look_up(filter: &Filter, owner: Oid, target: &Target) -> Result<Condition> {
    let name = name_of(&filter.call);
    let rows = user::with_pinned_path(|| {
        sql::run(
            "select oid, proowner, proargtypes::oid[] from pg_proc
             where pronamespace = 'jittask_filter'::regnamespace and proname = $1::text::name",
            &[sql::arg(name)],
        )
    });
    let function = rows.get::<Oid>(0, 1).filter(|_| rows.len() == 1 && rows.get(0, 2) == Some(owner));
    let function = function.ok_or_else(|| {
        let message = format!("the filter's function {name} is gone or is another role's");
        Error::new(Kind::NoFunction, message).hint(REMAKE)
    })?;
    let taken: Vec<Oid> = rows.get(0, 3).unwrap_or_default();
    let given = given(filter, target)?;
    if taken.len() != given.len() {
        return Err(Error::new(Kind::WrongType, "the filter's function has other arguments now").hint(REMAKE));
    }
    let arguments: Result<Vec<String>> =
        taken.iter().zip(&given).map(|(taken, given)| argument(*taken, given)).collect();
    Ok(Condition { sql: format!("jittask_filter.{name}({})", arguments?.join(", ")), function })
}

/// What the call hands over, and its type.
struct Given {
    /// For a person.
    name: String,
    sql: String,
    kind: Oid,
}

/// Cast where the column has become something that its old type can hold all of: no choice is left to the server.
fn argument(taken: Oid, given: &Given) -> Result<String> {
    if taken == given.kind {
        return Ok(given.sql.clone());
    }
    let is_builtin = |kind: Oid| kind.to_u32() < pg_sys::FirstNormalObjectId;
    if is_builtin(taken) && is_builtin(given.kind) && value::widens(given.kind, taken) {
        return Ok(format!("{}::{}", given.sql, tuple::type_name(taken)));
    }
    let (is, was) = (tuple::shown_type(given.kind), tuple::shown_type(taken));
    let message = format!("{} is of type {is}, and was {was} when the filter was made", given.name);
    Err(Error::new(Kind::WrongType, message).hint(REMAKE))
}

/// What the call hands over now; 42703 where a column is gone.
fn given(filter: &Filter, target: &Target) -> Result<Vec<Given>> {
    if filter.takes_row() {
        return Ok(vec![Given { name: "the row".to_string(), sql: format!("{ROW_ALIAS}.*"), kind: target.row_type }]);
    }
    let list = filter.call.split_once('(').and_then(|(_, list)| list.strip_suffix(')')).unwrap_or_default();
    let columns = target.columns();
    let one = |name: String| {
        let found = columns.iter().find(|column| column.name == name).ok_or_else(|| {
            Error::new(Kind::NoColumn, format!("column \"{name}\", which the filter reads, does not exist any more"))
        })?;
        let sql = format!("{ROW_ALIAS}.{}", found.sql_name);
        Ok(Given { name: format!("column \"{name}\""), sql, kind: found.kind })
    };
    bare_names(list).into_iter().map(one).collect()
}

/// The names in `jittask_row.a, jittask_row."b"`, quoted or not as quote_all_identifiers was when the filter was made.
fn bare_names(list: &str) -> Vec<String> {
    let (mut rest, mut found) = (list, Vec::new());
    while let Some(name) = rest.strip_prefix(ROW_ALIAS).and_then(|rest| rest.strip_prefix('.')) {
        let is_quoted = name.starts_with('"');
        let length = if is_quoted { lexer::quoted(name, '"', false) } else { name.find(", ").unwrap_or(name.len()) };
        let (name, after) = name.split_at(length);
        let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        found.push(inner.map_or_else(|| name.to_string(), |inner| inner.replace("\"\"", "\"")));
        rest = after.strip_prefix(", ").unwrap_or_default();
    }
    found
}

/// Drops a task's filter function, if it is there.
pub fn drop(call: &str, owner: Oid) {
    user::as_extension_owner(|| {
        let rows = sql::once(
            "select oid from pg_proc
             where pronamespace = 'jittask_filter'::regnamespace and proname = $1::text::name and proowner = $2",
            &[sql::arg(name_of(call)), sql::arg(owner)],
        );
        (0..rows.len()).filter_map(|row| rows.get::<Oid>(row, 1)).for_each(object::drop_function);
    });
}
