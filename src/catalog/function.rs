//! Service functions: looked up once by the caller's search_path, kept by OID, owner and signature; and the internal
//! functions in schema jittask_inner.

use super::target::{Column, Target};
use super::task::ROW_ALIAS;
use crate::error::{Error, Kind, Result};
use crate::pg::{sql, user};
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
    let exact: Option<Oid> = match written.split_once('(') {
        // The rest is left to regprocedure, which speaks of these two only as invalid input syntax.
        Some((name, rest)) if name.trim().is_empty() || !rest.trim_end().ends_with(')') => {
            return Err(super::definition::invalid("service_function", written)
                .hint("Write name, schema.name or schema.name(type)."));
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

fn candidates(written: &str, path: &[String]) -> Result<sql::Rows> {
    let parts: Vec<String> = sql::once("select parse_ident($1)", &[sql::arg(written)]).get(0, 1).unwrap_or_default();
    let schemas = match parts.as_slice() {
        [_] => path.to_vec(),
        [schema, _] => vec![schema.clone()],
        _ => {
            return Err(super::definition::invalid("service_function", written)
                .hint("Write name, schema.name or schema.name(type)."));
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
        signature: signature(&schema, &name, takes, target),
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

fn signature(schema: &str, name: &str, takes: Takes, target: Option<&Target>) -> String {
    let argument = match (takes, target) {
        (Takes::Row, Some(target)) => target.sql_name.clone(),
        (Takes::Rows, Some(target)) => format!("{}[]", target.sql_name),
        _ => String::new(),
    };
    format!("{}({argument})", pgrx::spi::quote_qualified_identifier(schema, name))
}

/// The name to call it by now (it may have been renamed), or why it must not be called.
pub fn callable(oid: Oid, signature: &str, owner: Oid) -> std::result::Result<String, String> {
    let rows = user::with_pinned_path(|| {
        sql::run(
            "select p.oid, p.proowner, n.nspname::text, p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where p.oid = coalesce(
                 (select q.oid from pg_proc q where q.oid = $1),
                 -- Not to_regprocedure, which raises where the argument's type is gone.
                 (select q.oid from pg_proc q join pg_namespace m on m.oid = q.pronamespace
                  where format('%I.%I(%s)', m.nspname, q.proname, (select string_agg(format_type(a, null), ', ') from unnest(q.proargtypes) a)) = $2))",
            &[sql::arg(oid), sql::arg(signature)],
        )
    });
    match rows.get::<Oid>(0, 2) {
        None => Err(format!("function {signature} does not exist any more")),
        Some(now) if now != owner => {
            Err(format!("function {signature} has another owner than when the task was created (service_changed)"))
        }
        Some(_) => Ok(pgrx::spi::quote_qualified_identifier(
            rows.get::<String>(0, 3).unwrap_or_default(),
            rows.get::<String>(0, 4).unwrap_or_default(),
        )),
    }
}

/// Creates the internal function of a task, owned by the caller, and checks its body with the caller's rights.
pub fn create_internal(task: &str, body: &str, language: &str, target: Option<&Target>) -> Result<Function> {
    let caller = user::current();
    check_language(language)?;
    if body.trim().is_empty() || (language == "plpgsql" && skip_comments(body).is_empty()) {
        return Err(Error::new(Kind::Syntax, "the body is empty")
            .hint("Write at least one statement, such as perform remind(row_data)."));
    }
    let argument = target.map_or_else(String::new, |target| format!("row_data {}", target.sql_name));
    let name = pgrx::spi::quote_qualified_identifier("jittask_inner", task);
    let kind = target.map_or_else(String::new, |target| target.sql_name.clone());
    let source = if language == "plpgsql" { block(body) } else { body.to_string() };
    user::as_extension_owner(|| {
        let settings = user::Settings::begin();
        // Not even parsed here: the body is somebody else's, and this is the extension owner.
        settings.set(c"check_function_bodies", c"off");
        let language = pgrx::spi::quote_identifier(language);
        sql::once(
            &format!(
                "create function {name}({argument}) returns void language {language} as {}",
                pgrx::spi::quote_literal(&source)
            ),
            &[],
        );
        let role = pgrx::spi::quote_identifier(user::name_of(caller).unwrap_or_default());
        sql::once(&format!("alter function {name}({kind}) owner to {role}"), &[]);
        sql::once(&format!("revoke all on function {name}({kind}) from public"), &[]);
        settings.end();
    });
    let signature = format!("{name}({kind})");
    let rows = user::with_pinned_path(|| {
        sql::once(
            "select p.oid, l.lanvalidator::regproc::text from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = to_regprocedure($1)",
            &[sql::arg(signature.as_str())],
        )
    });
    let oid: Oid = rows.get(0, 1).unwrap_or(Oid::INVALID);
    let settings = user::Settings::begin();
    settings.set(c"check_function_bodies", c"on");
    if let Some(validator) = rows.get::<String>(0, 2).filter(|validator| validator != "-") {
        sql::once(&format!("select {validator}($1)"), &[sql::arg(oid)]);
    }
    settings.end();
    let takes = if target.is_some() { Takes::Row } else { Takes::Nothing };
    Ok(Function { oid, signature, owner: caller, takes })
}

/// Makes a filter a function of the owner's, parsed here and now: what its names mean is settled, whatever search_path
/// it runs under later, and PostgreSQL follows renames. Its text must have been analysed under [`filter_name`] as alias.
/// Returns the call. The planner puts it inline.
///
/// It is given the columns that the filter reads and not the row, since PostgreSQL lets nobody ALTER a table whose row
/// type such a function takes (ADD COLUMN with a default, ALTER TYPE). Only a filter that speaks of the row itself, or
/// of a column with a collation of its own, which a parameter does not have, takes the row.
pub fn create_filter(task: &str, filter: &crate::pg::expression::Condition, target: &Target) -> String {
    let caller = user::current();
    let alias = pgrx::spi::quote_identifier(filter_name(task));
    let name = format!("jittask_inner.{alias}");
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
    user::as_extension_owner(|| {
        let role = pgrx::spi::quote_identifier(user::name_of(caller).unwrap_or_default());
        sql::once(
            &format!(
                "create function {name}({parameters}) returns boolean language sql {volatility} return ({condition})"
            ),
            &[],
        );
        // Without its arguments: there is no other of this name.
        sql::once(&format!("alter function {name} owner to {role}"), &[]);
        sql::once(&format!("revoke all on function {name} from public"), &[]);
    });
    format!("{name}({arguments})")
}

/// The name of a task's filter function, which its text uses for the row.
pub fn filter_name(task: &str) -> String {
    format!("{task} filter")
}

/// Drops a task's internal function and its filter, where it has them.
pub fn drop_internal(task: &str) {
    user::as_extension_owner(|| {
        let rows = sql::once(
            "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'jittask_inner'::regnamespace and p.proname = any(array[$1, $2]::name[])",
            &[sql::arg(task), sql::arg(filter_name(task))],
        );
        for row in 0..rows.len() {
            if let Some(signature) = rows.get::<String>(row, 1) {
                sql::once(&format!("drop function {signature}"), &[]);
            }
        }
    });
}

fn check_language(language: &str) -> Result<()> {
    let rows = user::with_pinned_path(|| {
        sql::once(
            "select lanpltrusted, has_language_privilege(oid, 'USAGE') from pg_language where lanname = $1::text::name",
            &[sql::arg(language)],
        )
    });
    match (rows.get::<bool>(0, 1), rows.get::<bool>(0, 2)) {
        (None, _) => Err(Error::new(Kind::NoObject, format!("language \"{language}\" does not exist"))
            .hint("CREATE EXTENSION brings most languages; plpgsql is always there.")),
        (Some(false), _) => Err(Error::new(Kind::Denied, format!("language \"{language}\" is not trusted"))
            .hint("Use a trusted language, or a service function that a superuser made.")),
        (_, Some(true)) => Ok(()),
        _ => Err(Error::new(Kind::Denied, format!("permission denied for language \"{language}\""))),
    }
}

/// Statements become a block; what is one stays as it is.
fn block(body: &str) -> String {
    let start = skip_comments(body);
    let word = start.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_ascii_lowercase();
    if start.starts_with("<<") || start.starts_with('#') || word == "begin" || word == "declare" {
        return body.to_string();
    }
    // On the first line, so that errors give the line numbers of the body.
    format!("begin {body}\n{}end", if ends_statement(body) { "" } else { ";" })
}

fn skip_comments(text: &str) -> &str {
    let text = text.trim_start();
    match comment_length(text) {
        0 => text,
        length => skip_comments(&text[length..]),
    }
}

/// The length of the comment that `text` begins with; block comments nest.
fn comment_length(text: &str) -> usize {
    if text.starts_with("--") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Is the last thing that is not a comment a semicolon? Knows strings, names and dollar quotes, so that a comment's
/// start inside them is none.
fn ends_statement(body: &str) -> bool {
    let (mut rest, mut last) = (body, ' ');
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '-' | '/' if comment_length(rest) > 0 => {
                rest = &rest[comment_length(rest)..];
                continue;
            }
            '\'' | '"' => quoted_length(rest, &rest[..1], 1),
            '$' => dollar_tag(rest).map_or(1, |tag| quoted_length(rest, tag, tag.len())),
            c => c.len_utf8(),
        };
        if !c.is_whitespace() {
            last = c;
        }
        rest = &rest[length..];
    }
    last == ';'
}

fn quoted_length(text: &str, mark: &str, from: usize) -> usize {
    text[from..].find(mark).map_or(text.len(), |end| from + end + mark.len())
}

/// `$$` or `$word$` at the start.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let word = &text[1..end];
    (word.chars().all(|c| c.is_alphanumeric() || c == '_') && !word.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| &text[..=end])
}
