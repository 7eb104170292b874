//! Service functions: looked up once by the caller's search_path, kept by OID, owner and signature.

use crate::catalog::table::target::Target;
use crate::error::{Error, Kind, Result, invalid};
use crate::pg::{name, sql, user};
use pgrx::pg_sys::Oid;

/// What a function is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: a scheduled task's.
    Nothing,
    /// The row.
    Row,
    /// An array of rows: a batch.
    Rows,
}

impl Takes {
    /// As stored.
    pub fn label(self) -> &'static str {
        match self {
            Takes::Nothing => "nothing",
            Takes::Row => "row",
            Takes::Rows => "rows",
        }
    }

    /// From the stored form.
    pub fn from_label(label: &str) -> Takes {
        match label {
            "row" => Takes::Row,
            "rows" => Takes::Rows,
            _ => Takes::Nothing,
        }
    }
}

/// A function as a task keeps it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its OID.
    pub oid: Oid,
    /// `schema.name(type)`, quoted and qualified.
    pub signature: String,
    /// Who owns it.
    pub owner: Oid,
    /// Its argument.
    pub takes: Takes,
}

const COLUMNS: &str =
    "select p.oid, p.prokind::text, p.proretset, p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype),
        p.proargtypes::oid[], p.proowner, n.nspname::text, p.proname::text, has_function_privilege(p.oid, 'EXECUTE'),
        has_schema_privilege(n.oid, 'USAGE'), p.provariadic <> 0
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace";

/// Finds `remind`, `billing.remind` or `billing.remind(contracts)` for the caller.
pub fn find(written: &str, target: Option<&Target>) -> Result<Function> {
    // Under the caller's own search_path, which is what the lookup is about.
    let path: Vec<String> =
        sql::once("select pg_catalog.current_schemas(true)::pg_catalog.text[]", &[]).get(0, 1).unwrap_or_default();
    let exact: Option<Oid> = match parenthesis(written).map(|at| (&written[..at], &written[at + 1..])) {
        // The rest is left to regprocedure, which speaks of these two only as invalid input syntax.
        Some((name, rest)) if name.trim().is_empty() || !rest.trim_end().ends_with(')') => {
            return Err(invalid("service_function", written).hint("Write name, schema.name or schema.name(type)."));
        }
        Some(_) => sql::once("select $1::pg_catalog.regprocedure::pg_catalog.oid", &[sql::arg(written)]).get(0, 1),
        None => None,
    };
    user::with_pinned_path(|| {
        let rows = match exact {
            Some(oid) => sql::once(&format!("{COLUMNS} where p.oid = $1"), &[sql::arg(oid)]),
            None => candidates(written, &path)?,
        };
        choose(written, &rows, target)
    })
}

/// Where the arguments begin, if any are written: a parenthesis in quotes is part of a name.
fn parenthesis(written: &str) -> Option<usize> {
    let mut is_quoted = false;
    written.char_indices().find_map(|(at, c)| {
        is_quoted ^= c == '"';
        (c == '(' && !is_quoted).then_some(at)
    })
}

fn candidates(written: &str, path: &[String]) -> Result<sql::Rows> {
    let parts: Vec<String> = sql::once("select parse_ident($1)", &[sql::arg(written)]).get(0, 1).unwrap_or_default();
    let schemas = match parts.as_slice() {
        [_] => path.to_vec(),
        [schema, _] => vec![schema.clone()],
        _ => {
            return Err(invalid("service_function", written).hint("Write name, schema.name or schema.name(type)."));
        }
    };
    let name = parts.last().cloned().unwrap_or_default();
    let statement = format!(
        "{COLUMNS} where p.proname = $1::text::name and n.nspname::text = any($2) order by array_position($2, n.nspname::text), p.oid"
    );
    Ok(sql::once(&statement, &[sql::arg(name), sql::arg(schemas)]))
}

fn choose(written: &str, rows: &sql::Rows, target: Option<&Target>) -> Result<Function> {
    let fits = |row: usize| -> Option<Takes> {
        let arguments: Vec<Oid> = rows.get(row, 5).unwrap_or_default();
        match (target, arguments.as_slice()) {
            (None, []) => Some(Takes::Nothing),
            (Some(target), [one]) if *one == target.row_type => Some(Takes::Row),
            (Some(target), [one]) if *one == target.row_array => Some(Takes::Rows),
            _ => None,
        }
    };
    let Some((mut row, mut takes)) = (0..rows.len()).find_map(|row| fits(row).map(|takes| (row, takes))) else {
        return Err(not_found(written, rows, target));
    };
    // In one schema the function of a row goes before that of an array, whichever was made first.
    let schema: Option<String> = rows.get(row, 7);
    if let Some(better) =
        (0..rows.len()).find(|other| fits(*other) == Some(Takes::Row) && rows.get(*other, 7) == schema)
    {
        (row, takes) = (better, Takes::Row);
    }
    if let Some(kind) = wrong_kind(rows, row) {
        return Err(Error::new(Kind::WrongObject, format!("{written} is {kind}"))
            .hint("A task calls an ordinary function that returns one value or void."));
    }
    if !rows.get(row, 10).unwrap_or(false) {
        return Err(Error::new(Kind::Denied, format!("permission denied for schema {}", schema.unwrap_or_default()))
            .hint(format!("Its owner can GRANT USAGE on it to you; {written} is in it.")));
    }
    if !rows.get(row, 9).unwrap_or(false) {
        return Err(Error::new(Kind::Denied, format!("permission denied for function {written}"))
            .hint("Its owner can GRANT EXECUTE on it to you."));
    }
    let (schema, name) =
        (rows.get::<String>(row, 7).unwrap_or_default(), rows.get::<String>(row, 8).unwrap_or_default());
    Ok(Function {
        oid: rows.get(row, 1).unwrap_or(Oid::INVALID),
        signature: signature(&name::qualified(schema, name), takes, target),
        owner: rows.get(row, 6).unwrap_or(Oid::INVALID),
        takes,
    })
}

fn wrong_kind(rows: &sql::Rows, row: usize) -> Option<&'static str> {
    match rows.get::<String>(row, 2).as_deref() {
        Some("p") => Some("a procedure"),
        Some("a") => Some("an aggregate function"),
        Some("w") => Some("a window function"),
        _ if rows.get(row, 4).unwrap_or(false) => Some("a trigger function"),
        _ if rows.get(row, 3).unwrap_or(false) => Some("a set-returning function"),
        _ if rows.get(row, 11).unwrap_or(false) => Some("a variadic function"),
        _ => None,
    }
}

fn not_found(written: &str, rows: &sql::Rows, target: Option<&Target>) -> Error {
    // All there is of that name are procedures, aggregates …: say that rather than "not found".
    let all_wrong = (0..rows.len()).all(|row| wrong_kind(rows, row).is_some());
    if all_wrong && let Some(kind) = wrong_kind(rows, 0) {
        return Error::new(Kind::WrongObject, format!("{written} is {kind}"))
            .hint("A task calls an ordinary function that returns one value or void.");
    }
    let wanted = match target {
        None => "no argument".to_string(),
        Some(target) => format!("one argument of type {0} or {0}[]", target.sql_name),
    };
    let found = match (rows.is_empty(), written.contains('.')) {
        (true, false) => "No function of that name is found by the search_path.",
        (true, true) => "There is no function of that name in that schema.",
        (false, _) => "Functions of that name take other arguments.",
    };
    Error::new(Kind::NoFunction, format!("function {written} with {wanted} does not exist")).hint(found)
}

/// `schema.name(type)`; the name qualified and quoted.
fn signature(name: &str, takes: Takes, target: Option<&Target>) -> String {
    match (takes, target) {
        (Takes::Row, Some(target)) => format!("{name}({})", target.sql_name),
        (Takes::Rows, Some(target)) => format!("{name}({}[])", target.sql_name),
        _ => format!("{name}()"),
    }
}

/// A function as it is to be called now.
#[derive(Clone)]
pub struct Callable {
    /// Its OID: another one than the task's after a restore.
    pub oid: Oid,
    /// Qualified and quoted; it may have been renamed.
    pub name: String,
    /// May the current role execute it?
    pub is_allowed: bool,
    /// Types of its arguments.
    arguments: Vec<Oid>,
}

impl Callable {
    /// Does it take what it will be given? Its OID may be another function's by now.
    pub fn fits(&self, takes: Takes, target: Option<&Target>) -> bool {
        let wanted = match (takes, target) {
            (Takes::Nothing, _) => Vec::new(),
            (Takes::Row, Some(target)) => vec![target.row_type],
            (Takes::Rows, Some(target)) => vec![target.row_array],
            (_, None) => return false,
        };
        self.arguments == wanted
    }

    /// `schema.name(type)`, as it is now.
    pub fn signature(&self, takes: Takes, target: Option<&Target>) -> String {
        signature(&self.name, takes, target)
    }
}

impl Function {
    /// As it is now, or why it must not be called.
    pub fn callable(&self) -> std::result::Result<Callable, String> {
        callable(self.oid, &self.signature, self.owner)
    }
}

fn callable(oid: Oid, signature: &str, owner: Oid) -> std::result::Result<Callable, String> {
    let rows = user::with_pinned_path(|| {
        sql::run(
            "select p.oid, p.proowner, n.nspname::text, p.proname::text, has_function_privilege(p.oid, 'EXECUTE'),
                 p.proargtypes::oid[]
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where p.oid = coalesce(
                 (select q.oid from pg_proc q where q.oid = $1),
                 -- Not to_regprocedure, which raises where the argument's type is gone.
                 (select q.oid from pg_proc q join pg_namespace m on m.oid = q.pronamespace
                  where format('%I.%I(%s)', m.nspname, q.proname, (select string_agg(format_type(a, null), ', ') from unnest(q.proargtypes) a)) = $2))",
            &[sql::arg(oid), sql::arg(signature)],
        )
    });
    match (rows.get::<Oid>(0, 1), rows.get::<Oid>(0, 2)) {
        (Some(_), Some(now)) if now != owner => Err(format!(
            "function {signature} is no longer owned by the role that owned it when the task was created (service_changed)"
        )),
        (Some(oid), Some(_)) => Ok(Callable {
            oid,
            name: name::qualified(
                rows.get::<String>(0, 3).unwrap_or_default(),
                rows.get::<String>(0, 4).unwrap_or_default(),
            ),
            is_allowed: rows.get(0, 5).unwrap_or(false),
            arguments: rows.get(0, 6).unwrap_or_default(),
        }),
        _ => Err(format!("function {signature} does not exist any more")),
    }
}
