//! Date-field tasks at work, as far as one has to know them to see whether there is something to plan; and who has tasks.

use crate::catalog::task::replacement::REPLACEMENT;
use crate::pg::{sql, user};
use pgrx::pg_sys::{Oid, REGROLEOID};

/// A date-field task that is at work, as far as one has to know it to see whether there is something to plan.
pub struct Watched {
    /// Serial.
    pub id: i32,
    /// Random.
    pub token: i64,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: Oid,
    /// Its table.
    pub relation: Option<Oid>,
    /// Its table is gone, and there is another one in its place.
    pub has_new_table: bool,
}

/// All date-field tasks that are at work.
pub fn all() -> Vec<Watched> {
    watched("true", &[])
}

/// Who has tasks.
pub fn owners() -> Vec<Oid> {
    owners_with("dropped_at is null")
}

/// Who has or had tasks, whose entries may be in the agenda still.
pub fn owners_ever() -> Vec<Oid> {
    owners_with("true")
}

/// Who has left triggers on a table; see [`super::triggers`].
pub fn owners_of_left_triggers() -> Vec<Oid> {
    owners_with("triggers_go_at is not null")
}

/// Who has such tasks. From owner to owner through an index: there may be many tasks, but few owners.
fn owners_with(condition: &str) -> Vec<Oid> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!(
                "with recursive o (owner) as (
                     (select owner::oid from jittask.task where {condition} order by task.owner limit 1)
                     union all
                     select (select t.owner::oid from jittask.task t where t.owner > o.owner and {condition} order by t.owner limit 1)
                     from o where o.owner is not null)
                 select owner from o where owner is not null"
            ),
            &[],
        )
    });
    (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect()
}

/// Those of an owner who is still the role that made them.
pub fn of(owner: Oid) -> Vec<Watched> {
    let condition = "t.owner = $1 and t.owner_name = (select r.rolname from pg_roles r where r.oid = $2)";
    watched(condition, &[sql::datum(REGROLEOID, Some(owner.into())), sql::arg(owner)])
}

fn watched(condition: &str, arguments: &[sql::Arg]) -> Vec<Watched> {
    let rows = user::as_extension_owner(|| {
        let statement = format!(
            "select t.id, t.token, t.name, t.owner::oid, t.relation::oid, t.problem is not null and exists ({REPLACEMENT})
             from jittask.task t where {condition} and t.kind = 'date_field' and t.enabled and t.dropped_at is null"
        );
        sql::run(&statement, arguments)
    });
    let watched = |row: usize| {
        Some(Watched {
            id: rows.get(row, 1)?,
            token: rows.get(row, 2)?,
            name: rows.get(row, 3)?,
            owner: rows.get(row, 4)?,
            relation: rows.get(row, 5),
            has_new_table: rows.get(row, 6)?,
        })
    };
    (0..rows.len()).filter_map(watched).collect()
}
