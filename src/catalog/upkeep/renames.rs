//! Tasks follow their table and its columns when these are renamed: in the session that renames, which holds the table's
//! lock already; and once more in the scheduler, for whatever escaped the event trigger.

use crate::catalog::definition::Definition;
use crate::catalog::table::filter::{Filter, ROW_ALIAS};
use crate::catalog::table::target::Target;
use crate::catalog::task::triggers::{self, Watched};
use crate::catalog::task::{self, Task, home};
use crate::pg::{clock, keyword, name, sql, user, worker};
use pgrx::JsonB;
use pgrx::prelude::*;
use std::collections::HashMap;
use text::renaming::Renaming;

/// A session follows no further task after this long, for it holds the table: the scheduler does, a few at a time. Microseconds.
const SESSION_TIME: i64 = 1_000_000;
/// Nor does the scheduler, which works for all, in one portion. Microseconds.
const SCHEDULER_TIME: i64 = 20_000;
/// A text grows by no rename beyond what may be stored. Bytes.
const LONGEST_TEXT: usize = 256 * 1024;

/// Tasks whose table or columns have other names now, or whose table is in another schema or another's: task, old and new name of the table, old and new names of columns.
/// Tasks that somebody is changing are left out, for nobody's DDL shall wait; the next look finds them. So are those that a
/// dump has just brought here: their columns may have other numbers in it.
const RENAMED: &str = "select t.id, t.table_name::text, c.relname::text, r.old, r.new
     from jittask.task t join pg_class c on c.oid = t.relation::oid join pg_namespace s on s.oid = c.relnamespace cross join lateral (
         select coalesce(array_agg(n.name::text), '{}') as old, coalesce(array_agg(a.attname::text), '{}') as new
         from unnest(t.columns, t.column_numbers) n (name, number)
         join pg_attribute a on a.attrelid = t.relation::oid and a.attnum = n.number
         where a.attname <> n.name and not a.attisdropped) r
     where t.dropped_at is null and t.home = $1 and (r.old <> '{}' or (t.table_name, t.table_schema, t.table_owner::oid)
         is distinct from (c.relname, s.nspname, c.relowner))";
/// Only of the tables that the command changed, and of those that inherit from them.
const CHANGED: &str = "with recursive changed (relation) as (
         select objid from pg_event_trigger_ddl_commands() where classid = 'pg_class'::regclass
         union select i.inhrelid from changed c join pg_inherits i on i.inhparent = c.relation)";

/// Can a command bear on a task? Not if all that it made, altered or dropped is temporary: else each session that makes a
/// temporary table would have the scheduler look at all tasks. In an event trigger.
pub fn concerns_tasks(is_drop: bool) -> bool {
    let statement = if is_drop {
        "select exists (select 1 from pg_event_trigger_dropped_objects() where not is_temporary)"
    } else {
        "select exists (select 1 from pg_event_trigger_ddl_commands() where schema_name is distinct from 'pg_temp')"
    };
    user::as_extension_owner(|| sql::once(statement, &[])).get(0, 1).unwrap_or(true)
}

/// In an event trigger at the end of a command, in the session that renames, as the extension's owner.
pub fn command_end() {
    user::as_extension_owner(|| {
        let statement = format!(
            "{CHANGED} {RENAMED} and t.relation::oid in (select relation from changed) for update of t skip locked"
        );
        follow(&sql::run(&statement, &[sql::arg(home::here())]), true);
    });
}

/// In the scheduler, the tasks with these ids: no user's table is opened, so a trigger keeps the old name of a key column,
/// does not find it, and lets the executors look through the table. Up to which task that is done.
pub fn some(ids: &[i32]) -> Option<i32> {
    let statement = format!("{RENAMED} and t.id = any($2) order by t.id for update of t skip locked");
    let arguments = [sql::arg(home::here()), sql::arg(ids.to_vec())];
    let left = user::as_extension_owner(|| follow(&sql::run(&statement, &arguments), false));
    left.map_or(ids.last().copied(), |left| Some(left - 1))
}

/// The first that it did not come to: the next look finds it.
fn follow(found: &sql::Rows, with_triggers: bool) -> Option<i32> {
    let until = clock::monotonic() + if with_triggers { SESSION_TIME } else { SCHEDULER_TIME };
    for row in 0..found.len() {
        if row > 0 && clock::monotonic() > until {
            return found.get(row, 1);
        }
        let (Some(task), Some(was), Some(is)) =
            (found.get(row, 1).and_then(task::by_id), found.get::<String>(row, 2), found.get::<String>(row, 3))
        else {
            continue;
        };
        let (old, new): (Vec<String>, Vec<String>) =
            (found.get(row, 4).unwrap_or_default(), found.get(row, 5).unwrap_or_default());
        let names: HashMap<String, String> = old.into_iter().zip(new).collect();
        let renamed = renamed(&task, (&was, &is), &names);
        store(&task, &renamed, &names);
        let read = task.filter.iter().flat_map(|filter| &filter.columns);
        let date = &task.definition.date_column;
        let is_in_triggers = task.key_columns.iter().chain(read).chain(date).any(|column| names.contains_key(column));
        if with_triggers
            && is_in_triggers
            && let Some(Ok(table)) = task.relation.map(Target::open)
        {
            triggers::drop_triggers(&task);
            let key: Vec<String> = task.key_columns.iter().map(|column| now(column, &names)).collect();
            let filter = task.filter.as_ref().map(|filter| Filter {
                columns: filter.columns.iter().map(|column| now(column, &names)).collect(),
                ..filter.clone()
            });
            let watched = Watched { definition: &renamed, key: &key, filter: filter.as_ref() };
            triggers::create_triggers(&table, &watched, task.token);
        }
    }
    None
}

fn renaming<'a>(table: (&'a str, &'a str), columns: &'a HashMap<String, String>) -> Renaming<'a> {
    Renaming {
        table,
        columns,
        quote: |called| name::quoted(called),
        is_reserved: keyword::is_reserved,
        check: worker::check_interrupts,
    }
}

fn now(column: &str, names: &HashMap<String, String>) -> String {
    names.get(column).map_or(column, String::as_str).to_string()
}

fn renamed(task: &Task, table: (&str, &str), names: &HashMap<String, String>) -> Definition {
    let mut definition = task.definition.clone();
    let columns = [&mut definition.date_column, &mut definition.end_column].into_iter().flatten();
    for column in columns.chain(definition.key_columns.iter_mut().flatten()) {
        *column = now(column, names);
    }
    if let Some(filter) = &definition.filter {
        let text = renaming(table, names).within(filter);
        // The function that runs follows by itself; who reads the text, reads the old names.
        if text.len() <= LONGEST_TEXT.max(filter.len()) {
            definition.filter = Some(text);
        } else {
            log!("jittask could not apply a renamed column to the filter of task \"{}\": it is too long", task.name);
        }
    }
    definition
}

fn store(task: &Task, definition: &Definition, names: &HashMap<String, String>) {
    // The call of the filter's function names the columns that it is given.
    let alias = (ROW_ALIAS, ROW_ALIAS);
    let call = task.filter.as_ref().map(|filter| renaming(alias, names).within(&filter.call));
    let Ok(json) = serde_json::to_value(definition) else { return };
    let (old, new): (Vec<String>, Vec<String>) = names.iter().map(|(old, new)| (old.clone(), new.clone())).unzip();
    sql::run(
        "update jittask.task set definition = $2, filter_sql = $3, schedule = $4,
             (table_name, table_schema, table_owner) = (select c.relname, s.nspname, c.relowner::regrole
                 from pg_class c join pg_namespace s on s.oid = c.relnamespace where c.oid = relation::oid),
             key_columns = array(select coalesce(r.new, n.name::text)::name from unnest(key_columns) with ordinality n (name, i)
                                 left join unnest($5, $6) r (old, new) on r.old = n.name::text order by n.i),
             columns = array(select coalesce(r.new, n.name::text)::name from unnest(columns) with ordinality n (name, i)
                             left join unnest($5, $6) r (old, new) on r.old = n.name::text order by n.i)
         where id = $1",
        &[sql::arg(task.id), sql::arg(JsonB(json)), sql::arg(call), sql::arg(definition.line()), sql::arg(old), sql::arg(new)],
    );
}
