//! A task's table was dropped and made again: under its name, in its schema, by its owner. The task takes it for its own,
//! with triggers and with what of its functions went with the old one. In an executor, as the task's owner, whose code a
//! function's validator or a table's event trigger may run; in the caller's transaction.

use crate::catalog::agenda::candidates;
use crate::catalog::ledger::held;
use crate::catalog::table::function::Function;
use crate::catalog::table::target::Target;
use crate::catalog::table::{body, filter, trust};
use crate::catalog::task::replacement::REPLACEMENT;
use crate::catalog::task::store::{self, NewTask};
use crate::catalog::task::triggers::{self, Watched};
use crate::catalog::task::{self, Task};
use crate::catalog::upkeep::health;
use crate::error::Result;
use crate::pg::{sql, user};
use pgrx::pg_sys::Oid;

/// Gives the task its table back, if the old one is gone and the new one is there. True if it did, or somebody has since
/// the task was read with the table `known`: it is not what it was, to be read again.
pub fn table(id: i32, known: Option<Oid>) -> Result<bool> {
    let statement = format!(
        "select n.oid from jittask.task t cross join lateral ({REPLACEMENT}) n where t.id = $1 for update of t skip locked"
    );
    let found = user::as_extension_owner(|| sql::run(&statement, &[sql::arg(id)])).get::<Oid>(0, 1);
    match (found, task::by_id(id)) {
        (Some(relation), Some(task)) => take(&task, relation).map(|()| true),
        (None, Some(task)) => Ok(task.relation != known),
        _ => Ok(false),
    }
}

fn take(task: &Task, relation: Oid) -> Result<()> {
    let target = Target::open(relation)?;
    task.check_superuser(Some(&target), None)?;
    let key = target.key(Some(&task.key_columns))?;
    let definition = &task.definition;
    let names: Vec<String> = key.iter().map(|column| column.name.clone()).collect();
    // A filter of columns has survived; one that takes the row went with the table.
    let filter = match (&task.filter, &definition.filter) {
        (Some(kept), Some(written)) if filter::look_up(kept, task.owner, &target).is_err() => {
            // Not by this process's search_path: what its names meant was settled when the task was made. What only that path
            // would find keeps the task broken; and so does a type that somebody has put into the new table, whose checks the
            // filter's literals would run.
            trust::check_types(&target, task.owner)?;
            Some(user::with_pinned_path(|| filter::create(written, &target))?)
        }
        (kept, _) => kept.clone(),
    };
    let called = filter.as_ref().map(|filter| filter::look_up(filter, task.owner, &target)).transpose()?;
    task.check_superuser(Some(&target), called.map(|called| called.function))?;
    let settings = user::Settings::begin();
    settings.wait_at_most(1_000_000);
    let watched = Watched { definition, key: &names, filter: filter.as_ref() };
    triggers::create_triggers(&target, &watched, task.token);
    settings.end();
    let function = function(task, &target)?;
    let new = NewTask {
        kind: task.kind,
        definition,
        relation: Some(relation),
        key: &key,
        filter,
        function: &function,
        counts_from: task.counts_from,
        looks_from: task.looks_from,
        looks_until: task.looks_until,
        is_unplanned: task.is_unplanned,
    };
    store::update(task.id, &new)?;
    match function.callable() {
        Ok(_) => held::let_all_go(task.id),
        Err(problem) => {
            health::mark(task.id, &problem);
        }
    }
    // What is in the table by now came without a trigger.
    candidates::plan_anew_at_commit(task.token);
    Ok(())
}

/// An internal function is made again; a service function is its owner's to make.
fn function(task: &Task, target: &Target) -> Result<Function> {
    match (task.function.callable(), &task.definition.body) {
        (Err(_), Some(body)) => {
            let language = task.definition.language.as_deref().unwrap_or("plpgsql");
            if language == "sql" {
                // Its literals are read now.
                trust::check_types(target, task.owner)?;
            }
            body::create(&task.name, body, language, Some(target))
        }
        (Ok(callable), _) => Ok(Function { oid: callable.oid, ..task.function.clone() }),
        _ => Ok(task.function.clone()),
    }
}
