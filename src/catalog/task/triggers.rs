//! The capture triggers on the user's table of a task.

use crate::catalog::definition::Definition;
use crate::catalog::table::filter::Filter;
use crate::catalog::table::target::Target;
use crate::catalog::task::{self, Task};
use crate::pg::boundary::Failure;
use crate::pg::{clock, lock, name, object, sql, user};
use pgrx::pg_sys::{AccessExclusiveLock, Oid, REGROLEOID};
use pgrx::spi::quote_literal;
use schedule::Instant;

/// So long it waits for those who use a table from which left triggers are dropped: meanwhile all others wait for it.
/// Microseconds.
const LEFT_TIME: i64 = 10_000;
const LEAST_WAIT: i64 = 1000;

/// What they watch.
pub struct Watched<'a> {
    /// The task's.
    pub definition: &'a Definition,
    /// Names of the key's columns.
    pub key: &'a [String],
    /// The filter.
    pub filter: Option<&'a Filter>,
}

/// Sets them up, as the current role: PostgreSQL checks the TRIGGER privilege.
pub fn create_triggers(target: &Target, watched: &Watched, token: i64) {
    let table = &target.sql_name;
    let Watched { definition, key, .. } = watched;
    if definition.capture.as_deref() == Some("scan") {
        return;
    }
    let column = name::quoted(definition.date_column.as_deref().unwrap_or_default());
    let head = [token.to_string(), definition.date_column.clone().unwrap_or_default()];
    let arguments = head.into_iter().chain(key.iter().cloned()).chain(watched.read_with_filter());
    let arguments: Vec<String> = arguments.map(quote_literal).collect();
    let call = format!("execute function jittask.capture_row({})", arguments.join(", "));
    let due = format!("jittask.due_soon({token}, new.{column})");
    let changed = watched.changed();
    for (kind, event, when) in
        [("insert", "insert", due.clone()), ("update", "update", format!("({changed}) and {due}"))]
    {
        let trigger = name::quoted(format!("jittask_{}_{kind}", token as u64));
        sql::once(&format!("create trigger {trigger} after {event} on {table} for each row when ({when}) {call}"), &[]);
    }
    // The table was named.
    if triggers(target.relation, token).len() != 2 {
        Failure::changed("the table was replaced by another one of its name while it was looked up").raise();
    }
}

/// The triggers of a task on a table, by OID.
fn triggers(relation: Oid, token: i64) -> Vec<Oid> {
    let rows = user::as_extension_owner(|| {
        sql::once(
            "select oid from pg_trigger
             where tgrelid = $1 and tgparentid = 0 and tgname in ('jittask_' || $2 || '_insert', 'jittask_' || $2 || '_update')
               and tgfoid = 'jittask.capture_row()'::regprocedure",
            &[sql::arg(relation), sql::arg((token as u64).to_string())],
        )
    });
    (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect()
}

impl Watched<'_> {
    fn dates(&self) -> impl Iterator<Item = &String> {
        [&self.definition.date_column, &self.definition.end_column].into_iter().flatten()
    }

    /// Did anything change that bears on when the row is due, or on whether it meets the filter? With one the condition is
    /// about the whole row, since nobody could drop or alter a column that it names.
    fn changed(&self) -> String {
        if self.filter.is_some() {
            return "pg_catalog.record_image_ne(old.*, new.*)".to_string();
        }
        let columns: Vec<String> = self.dates().chain(self.key).map(name::quoted).collect();
        let row = |side: &str| {
            let values: Vec<String> = columns.iter().map(|column| format!("{side}.{column}")).collect();
            values.join(", ")
        };
        // By the function of the operator *<>: a dump writes the operator between rows such that it compares their columns.
        format!("pg_catalog.record_image_ne(row({}), row({}))", row("old"), row("new"))
    }

    /// For the trigger's function, after an empty argument: the columns of which one must have changed. None where the
    /// condition says it, or any may count.
    fn read_with_filter(&self) -> Vec<String> {
        let Some(filter) = self.filter.filter(|filter| !filter.takes_row()) else { return Vec::new() };
        let mut columns: Vec<String> = self.dates().chain(self.key).chain(&filter.columns).cloned().collect();
        columns.sort();
        columns.dedup();
        columns.insert(0, String::new());
        columns
    }
}

/// They go at once if the current role may have triggers on the table. For them to go, the server locks the table from
/// everybody until the transaction ends: where the role may not do that to others any more, they stay, doing nothing, for
/// [`drop_left`].
pub fn drop_triggers(task: &Task) {
    let Some(relation) = task.relation else { return };
    let found = triggers(relation, task.token);
    if found.is_empty() {
        return;
    }
    let allows = "select has_table_privilege($1, 'TRIGGER')";
    let may = user::with_pinned_path(|| sql::run(allows, &[sql::arg(relation)])).get(0, 1);
    if may == Some(true) {
        found.into_iter().for_each(object::drop_trigger);
    } else {
        set_go_at(task.id, Some(clock::transaction_start()));
    }
}

/// None: the task has left none.
fn set_go_at(id: i32, at: Option<Instant>) {
    let statement = "update jittask.task set triggers_go_at = $2 where id = $1";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(id), sql::maybe_at(at)]));
}

/// The owner's task whose left triggers are to go first, and when.
pub fn first_left(owner: Oid) -> Option<(i32, Instant)> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select id, triggers_go_at from jittask.task where owner = $1 and triggers_go_at is not null
             order by triggers_go_at limit 1",
            &[sql::datum(REGROLEOID, Some(owner.into()))],
        )
    });
    Some((rows.get(0, 1)?, rows.at(0, 2)?))
}

/// Somebody uses the table: tried again then. Waits for whoever has the task no longer than [`drop_left`] does for the table.
pub fn put_off(id: i32, until: Instant) {
    let settings = user::Settings::begin();
    settings.wait_at_most(10_000);
    set_go_at(id, Some(until));
    settings.end();
}

/// Whom dropping left triggers came upon.
pub enum InUse {
    /// Somebody has the task.
    Task,
    /// Somebody uses the table, or a part of it.
    Table,
}

/// Drops the triggers that a task has left. In a transaction of its own, which waits for a moment for whoever uses the table, and
/// then raises 55P03: once for all of its parts, since those it has are locked from everybody meanwhile.
pub fn drop_left(id: i32) -> Result<(), InUse> {
    if !task::try_lock(id) {
        return Err(InUse::Task);
    }
    // Altered once more meanwhile, perhaps: then they are its own.
    let is_wanted = |task: &Task| !task.is_dropped && task.definition.capture.as_deref() != Some("scan");
    let task = task::by_id(id).filter(|task| !is_wanted(task));
    if let Some((relation, token)) = task.and_then(|task| Some((task.relation?, task.token))) {
        let settings = user::Settings::begin();
        let locked = lock_all(relation, &settings);
        if locked.is_ok() {
            triggers(relation, token).into_iter().for_each(object::drop_trigger);
        }
        settings.end();
        locked?;
    }
    set_go_at(id, None);
    Ok(())
}

/// Locks a table and its parts from everybody.
fn lock_all(relation: Oid, settings: &user::Settings) -> Result<(), InUse> {
    let parts = "with recursive part (relid) as (
             select $1::oid union select i.inhrelid from part p join pg_inherits i on i.inhparent = p.relid)
         select relid from part order by relid";
    let parts = user::as_extension_owner(|| sql::run(parts, &[sql::arg(relation)]));
    let until = clock::monotonic() + LEFT_TIME;
    for part in (0..parts.len()).filter_map(|row| parts.get::<Oid>(row, 1)) {
        if lock::try_now(part, AccessExclusiveLock) {
            continue;
        }
        let left = until - clock::monotonic();
        if left < LEAST_WAIT {
            return Err(InUse::Table);
        }
        settings.wait_at_most(left);
        lock::take(part, AccessExclusiveLock);
    }
    settings.wait_at_most(LEAST_WAIT);
    Ok(())
}
