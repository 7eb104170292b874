//! Internal functions: those written inside a task, in schema jittask_inner under its name, owned by its owner.

use crate::catalog::table::function::{Function, Takes};
use crate::catalog::table::target::Target;
use crate::error::{Error, Kind, Result};
use crate::pg::boundary::Failure;
use crate::pg::meaning::Meaning;
use crate::pg::{name, object, sql, user};
use pgrx::pg_sys::Oid;
use text::plpgsql;

/// Creates the internal function of a task, owned by the caller, and checks its body with the caller's rights.
pub fn create(task: &str, body: &str, language: &str, target: Option<&Target>) -> Result<Function> {
    let caller = user::current();
    check_language(language)?;
    if body.trim().is_empty() || (language == "plpgsql" && plpgsql::is_empty(body)) {
        return Err(Error::new(Kind::Syntax, "the body is empty")
            .hint("Write at least one statement, such as perform remind(row_data)."));
    }
    let argument = target.map_or_else(String::new, |target| format!("row_data {}", target.sql_name));
    let name = name::qualified("jittask_inner", task);
    let kind = target.map_or_else(String::new, |target| target.sql_name.clone());
    let source = if language == "plpgsql" { plpgsql::block(body) } else { body.to_string() };
    user::as_extension_owner(|| {
        let settings = user::Settings::begin();
        // Not even parsed here: the body is somebody else's, and this is the extension owner.
        settings.set(c"check_function_bodies", c"off");
        let language = name::quoted(language);
        sql::once(
            &format!(
                "create function {name}({argument}) returns void language {language} as {}",
                pgrx::spi::quote_literal(&source)
            ),
            &[],
        );
        let role = name::quoted(user::name_of(caller).unwrap_or_default());
        // Without its argument's type, whose name may be another's by now: there is but one of the name.
        sql::once(&format!("alter function {name} owner to {role}"), &[]);
        sql::once(&format!("revoke all on function {name} from public"), &[]);
        settings.end();
    });
    let oid = made(task, target)?;
    validate(oid);
    let takes = if target.is_some() { Takes::Row } else { Takes::Nothing };
    Ok(Function { oid, signature: format!("{name}({kind})"), owner: caller, takes })
}

/// The function that was just made. It was given its argument's type by name.
fn made(task: &str, target: Option<&Target>) -> Result<Oid> {
    let rows = user::with_pinned_path(|| {
        let statement = "select oid, proargtypes::oid[] from pg_proc
             where pronamespace = 'jittask_inner'::regnamespace and proname = $1::text::name";
        sql::once(statement, &[sql::arg(task)])
    });
    let taken: Vec<Oid> = rows.get(0, 2).unwrap_or_default();
    match rows.get(0, 1) {
        Some(oid) if taken.first().copied() == target.map(|target| target.row_type) => Ok(oid),
        _ => Failure::changed("the table was replaced by another one of its name while it was looked up").raise(),
    }
}

/// Has the language look at the body, as the caller.
fn validate(function: Oid) {
    let rows = user::with_pinned_path(|| {
        let statement = "select v.oid, format('%I.%I', n.nspname, v.proname)
             from pg_proc p join pg_language l on l.oid = p.prolang join pg_proc v on v.oid = l.lanvalidator
             join pg_namespace n on n.oid = v.pronamespace where p.oid = $1";
        sql::once(statement, &[sql::arg(function)])
    });
    let (Some(validator), Some(name)) = (rows.get::<Oid>(0, 1), rows.get::<String>(0, 2)) else { return };
    let settings = user::Settings::begin();
    settings.set(c"check_function_bodies", c"on");
    let meaning = Meaning { relation: Oid::INVALID, function: validator };
    // A language reads literals, and so runs checks of domains: somebody's code.
    user::restricted(|| meaning.during(|| sql::once(&format!("select {name}($1)"), &[sql::arg(function)])));
    settings.end();
}

/// The signature of a task's internal function.
pub fn signature_of(task: &str, target: Option<&Target>) -> String {
    let kind = target.map_or_else(String::new, |target| target.sql_name.clone());
    format!("{}({kind})", name::qualified("jittask_inner", task))
}

/// Drops a task's internal function, if it has one.
pub fn drop(task: &str, owner: Oid) {
    user::as_extension_owner(|| {
        let statement = "select oid from pg_proc
             where pronamespace = 'jittask_inner'::regnamespace and proname = $1::text::name and proowner = $2";
        let rows = sql::once(statement, &[sql::arg(task), sql::arg(owner)]);
        (0..rows.len()).filter_map(|row| rows.get::<Oid>(row, 1)).for_each(object::drop_function);
    });
}

/// An internal function follows its task's name.
pub fn rename(from: &str, to: &str, owner: Oid) {
    user::as_extension_owner(|| {
        let statement = "select 1 from pg_proc
             where pronamespace = 'jittask_inner'::regnamespace and proname = $1::text::name and proowner = $2";
        if !sql::once(statement, &[sql::arg(from), sql::arg(owner)]).is_empty() {
            let (from, to) = (name::quoted(from), name::quoted(to));
            sql::once(&format!("alter function jittask_inner.{from} rename to {to}"), &[]);
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
