//! Tasks: stored, found, and turned into what the workers need.

pub mod at_work;
pub mod home;
pub mod names;
pub mod pause;
pub mod query;
pub mod replacement;
pub mod store;
pub mod triggers;

use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::table::filter::Filter;
use crate::catalog::table::function::{Function, Takes};
use crate::error::{Error, Kind, Result, cut};
use crate::pg::{clock, lock, memory, sql, user};
use pgrx::JsonB;
use pgrx::pg_sys::{Oid, REGROLEOID};
use schedule::Instant;

/// A task as stored.
#[derive(Clone)]
pub struct Task {
    /// Serial.
    pub id: i32,
    /// Random.
    pub token: i64,
    /// Unique among those not dropped.
    pub name: String,
    /// Kind.
    pub kind: TaskKind,
    /// The role it runs as.
    pub owner: Oid,
    /// What that role is called, if it is still the one that made the task.
    pub owner_name: String,
    /// The table, of a date-field task.
    pub relation: Option<Oid>,
    /// The definition, canonical.
    pub definition: Definition,
    /// Names of the key columns.
    pub key_columns: Vec<String>,
    /// The filter.
    pub filter: Option<Filter>,
    /// What it calls.
    pub function: Function,
    /// Runs may start.
    pub enabled: bool,
    /// Nothing due before this instant is made due by a scan,
    pub counts_from: Instant,
    /// but for what existing_rows or make_up ask for, until all of it has been looked through.
    pub looks_from: Option<Instant>,
    /// What existing_rows ask for was due before this.
    pub looks_until: Option<Instant>,
    /// Nobody has planned it since it counts.
    pub is_unplanned: bool,
    /// Dropped; only its records remain.
    pub is_dropped: bool,
    /// What it needs and is gone: it does not run.
    pub problem: Option<String>,
    /// Why its table could not be read at the last try.
    pub plan_problem: Option<String>,
}

impl Task {
    /// Nothing due before this is made due by looking for it: the catch_up_window (microseconds) and the task's counting
    /// bound it, unless more is asked for. That is looked for once: when it is done, its records may be forgotten.
    pub fn floor(&self, now: Instant, window: i64) -> Instant {
        let usual = self.counts_from.max(Instant(now.0 - window));
        self.looks_from.map_or(usual, |asked| asked.min(usual))
    }

    /// Was it due after what existing_rows ask for, and before the task counts: while it was paused?
    pub fn was_due_in_pause(&self, due_at: Instant) -> bool {
        self.looks_until.is_some_and(|until| (until..self.counts_from).contains(&due_at))
    }
}

const COLUMNS: &str = "t.id, t.token, t.name, t.kind::text, t.owner::oid, t.relation::oid, t.definition, t.key_columns::text[],
    t.filter_sql, t.filter_runs_late, t.function_oid, t.function_name, t.function_owner::oid, t.function_takes, t.enabled,
    t.counts_from, t.dropped_at is not null, t.problem, t.plan_problem, t.columns::text[], t.owner_name::text,
    t.looks_from, t.looks_until, t.is_unplanned";

fn from_row(rows: &sql::Rows, row: usize) -> Result<Task> {
    let JsonB(definition) = rows.get::<JsonB>(row, 7).unwrap_or(JsonB(serde_json::Value::Null));
    let kind = if rows.get::<String>(row, 4).as_deref() == Some("date_field") {
        TaskKind::DateField
    } else {
        TaskKind::Scheduled
    };
    Ok(Task {
        id: rows.get(row, 1).unwrap_or_default(),
        token: rows.get(row, 2).unwrap_or_default(),
        name: rows.get(row, 3).unwrap_or_default(),
        kind,
        owner: rows.get(row, 5).unwrap_or(Oid::INVALID),
        owner_name: rows.get(row, 21).unwrap_or_default(),
        relation: rows.get(row, 6),
        definition: Definition::parse(definition)?,
        key_columns: rows.get(row, 8).unwrap_or_default(),
        filter: rows.get(row, 9).map(|call| Filter {
            call,
            runs_late: rows.get(row, 10).unwrap_or(false),
            columns: rows.get(row, 20).unwrap_or_default(),
        }),
        function: Function {
            oid: rows.get(row, 11).unwrap_or(Oid::INVALID),
            signature: rows.get(row, 12).unwrap_or_default(),
            owner: rows.get(row, 13).unwrap_or(Oid::INVALID),
            takes: Takes::from_label(&rows.get::<String>(row, 14).unwrap_or_default()),
        },
        enabled: rows.get(row, 15).unwrap_or(false),
        counts_from: rows.at(row, 16).unwrap_or(Instant(0)),
        looks_from: rows.at(row, 22),
        looks_until: rows.at(row, 23),
        is_unplanned: rows.get(row, 24).unwrap_or(false),
        is_dropped: rows.get(row, 17).unwrap_or(true),
        problem: rows.get(row, 18),
        plan_problem: rows.get(row, 19),
    })
}

/// The task of this name, for its owner and superusers: 42704 or 42501 otherwise.
pub fn find_for_caller(name: Option<&str>) -> Result<Task> {
    let name = name.ok_or_else(|| Error::new(Kind::Null, "the task's name must not be null"))?;
    let rows = user::as_extension_owner(|| {
        sql::run(
            &format!("select {COLUMNS} from jittask.task t where t.name = $1 and t.dropped_at is null"),
            &[sql::arg(name)],
        )
    });
    if rows.is_empty() {
        return Err(gone(name));
    }
    let task = from_row(&rows, 0)?;
    // Superusers and members may act as the owner; but what evaluates the owner's filter would run it as they are.
    if user::may_act_as(task.owner) {
        return Ok(task);
    }
    Err(Error::new(Kind::Denied, format!("must be owner of task \"{name}\"")).hint("SET ROLE to its owner first."))
}

/// The task of this name, for the very role that owns it: what evaluates a filter, or makes a function of the owner's,
/// is done as nobody else, superusers and members of the role included.
pub fn find_own(name: Option<&str>) -> Result<Task> {
    let task = find_for_caller(name)?;
    if task.owner == user::current() {
        return Ok(task);
    }
    let owner = user::name_of(task.owner).unwrap_or_default();
    Err(Error::new(Kind::Denied, format!("task \"{}\" belongs to role \"{owner}\"", task.name))
        .hint("Only the task's owner may do this. Run SET ROLE to that role first."))
}

/// The same as [`find_for_caller`] for what changes the task: nobody else does until the transaction ends, and what somebody has
/// changed a moment ago is read. Others' tasks are not locked, not even for a moment.
pub fn find_to_change(name: Option<&str>) -> Result<Task> {
    to_change(&find_for_caller(name)?)
}

/// The same as [`find_own`].
pub fn find_own_to_change(name: Option<&str>) -> Result<Task> {
    to_change(&find_own(name)?)
}

fn to_change(found: &Task) -> Result<Task> {
    locked(found.id, "for no key update of t").ok_or_else(|| gone(&found.name))
}

/// A task as it is, and stays until the transaction ends; waits for whoever is changing it. None: it is dropped.
pub fn keep(id: i32) -> Option<Task> {
    locked(id, "for share of t")
}

fn locked(id: i32, how: &str) -> Option<Task> {
    let statement = format!("select {COLUMNS} from jittask.task t where t.id = $1 and t.dropped_at is null {how}");
    let rows = user::as_extension_owner(|| sql::run(&statement, &[sql::arg(id)]));
    (!rows.is_empty()).then(|| from_row(&rows, 0).ok()).flatten()
}

/// 42704.
pub fn gone(name: &str) -> Error {
    Error::new(Kind::NoObject, format!("task \"{name}\" does not exist"))
        .hint("The view jittask.tasks lists your tasks.")
}

/// A task by id, dropped or not.
pub fn by_id(id: i32) -> Option<Task> {
    let rows = user::as_extension_owner(|| {
        sql::run(&format!("select {COLUMNS} from jittask.task t where t.id = $1"), &[sql::arg(id)])
    });
    (!rows.is_empty()).then(|| from_row(&rows, 0).ok()).flatten()
}

/// What a date-field task's table is called, or was when it was there: qualified and quoted.
pub fn table_called(id: i32) -> Option<String> {
    let statement =
        "select format('%I.%I', table_schema, table_name) from jittask.task where id = $1 and kind = 'date_field'";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(id)]).get(0, 1))
}

/// A stored task as it is now, and its calendar: compare it with an earlier one.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    row: String,
    calendar: Option<Instant>,
}

/// The version of a task; None if it is gone.
pub fn version(id: i32) -> Option<Version> {
    let rows = user::as_extension_owner(|| {
        sql::run(
            "select t.xmin::text || t.ctid::text, c.changed_at from jittask.task t
             left join jittask.calendar c on t.definition ->> 'skip_holidays' = 'true'
                 and c.name = coalesce(t.definition ->> 'calendar', 'default')
             where t.id = $1",
            &[sql::arg(id)],
        )
    });
    Some(Version { row: rows.get(0, 1)?, calendar: rows.at(0, 2) })
}

/// Holds a task as it is until the transaction ends. False if it is gone, or somebody is changing it.
pub fn hold(id: i32) -> bool {
    user::as_extension_owner(|| {
        let statement = "select 1 from jittask.task where id = $1 for share skip locked";
        !sql::run(statement, &[sql::arg(id)]).is_empty()
    })
}

/// Is a task held back, by a pause or for want of something? Whoever lets it go on waits from here until the transaction
/// ends, and so sees what it did. None: somebody does just that, or else changes it.
pub fn hold_if_held_back(id: i32) -> Option<bool> {
    user::as_extension_owner(|| {
        let statement =
            "select not enabled or problem is not null from jittask.task where id = $1 for share skip locked";
        sql::run(statement, &[sql::arg(id)]).get(0, 1)
    })
}

/// Scheduled tasks whose planned series ends before `horizon`, and where: some of them, in this order, after the last one that
/// was given. Their series are locked; those that somebody is changing are left out too.
pub fn to_top_up(horizon: Instant, after: Option<(Instant, i32)>, left_out: &[i32]) -> Vec<(Instant, i32)> {
    let rows = user::as_extension_owner(|| {
        let statement = "select s.due_at, s.task_id from jittask.series s
             where s.due_at < $1 and (select t.enabled and t.dropped_at is null from jittask.task t where t.id = s.task_id)
                 and ($2::timestamptz is null or (s.due_at, s.task_id) > ($2, $3)) and s.task_id <> all($4)
             order by s.due_at, s.task_id limit 100 for update of s skip locked";
        let (at, id) = after.unzip();
        sql::run(statement, &[sql::at(horizon), sql::maybe_at(at), sql::arg(id), sql::arg(left_out.to_vec())])
    });
    (0..rows.len()).filter_map(|row| Some((rows.at(row, 1)?, rows.get(row, 2)?))).collect()
}

/// Those of these tasks, which are in ascending order, of which nobody can say when they are due, since a zone or a calendar is
/// missing, and why. Without their texts, which may be long. Calendars may be long too: looks at the first of them in any case,
/// at others for about `micros`, and says up to which.
pub fn unsettled(ids: &[i32], micros: i64) -> (Vec<(i32, Error)>, i32) {
    let statement = "select t.id, t.definition - '{title,description,body,filter}'::text[] from jittask.task t
         where t.dropped_at is null and t.id = any($1) order by t.id";
    let (mut found, until) = (Vec::new(), clock::monotonic() + micros);
    let mut looked_to = ids.last().copied().unwrap_or(i32::MAX);
    memory::scratch(|| {
        let rows = user::as_extension_owner(|| sql::run(statement, &[sql::arg(ids.to_vec())]));
        for row in 0..rows.len() {
            let id = rows.get(row, 1).unwrap_or(i32::MAX);
            let definition = rows.get::<JsonB>(row, 2).map_or(serde_json::Value::Null, |JsonB(definition)| definition);
            let timing = Definition::parse(definition).and_then(|definition| definition.timing());
            found.extend(timing.err().map(|problem| (id, problem)));
            if clock::monotonic() > until && id < looked_to {
                looked_to = id;
                break;
            }
        }
    });
    (found, looked_to)
}

/// Locks a task's row until the transaction ends. False if it is gone, or somebody has it.
pub fn try_lock(id: i32) -> bool {
    user::as_extension_owner(|| {
        let statement = "select 1 from jittask.task where id = $1 for update skip locked";
        !sql::run(statement, &[sql::arg(id)]).is_empty()
    })
}

/// The tasks of one owner, by name.
pub fn owned_by(owner: Oid) -> Vec<Task> {
    let rows = user::as_extension_owner(|| {
        let statement =
            format!("select {COLUMNS} from jittask.task t where t.owner = $1 and t.dropped_at is null order by t.name");
        sql::run(&statement, &[sql::arg(owner)])
    });
    (0..rows.len()).filter_map(|row| from_row(&rows, row).ok()).collect()
}

/// How many tasks a role has.
pub fn count_of(owner: Oid) -> i64 {
    let statement = "select count(*) from jittask.task where owner = $1 and dropped_at is null";
    let owner = sql::datum(REGROLEOID, Some(owner.into()));
    user::as_extension_owner(|| sql::look(statement, &[owner])).get(0, 1).unwrap_or_default()
}

/// Waits until no other transaction makes tasks, or calendars, of this role, and keeps others from it until this one ends.
pub fn wait_for_quota(owner: Oid) {
    if let Some(catalog) = lock::relation(c"task") {
        lock::wait_for_quota(catalog, owner);
    }
}

/// All that was due from `from` on has been looked through. If somebody changes the task just now, it is so once more.
pub fn set_looked_through(id: i32, from: Instant) {
    user::as_extension_owner(|| {
        let statement = "update jittask.task set looks_from = null
             where id = (select id from jittask.task where id = $1 and looks_from = $2 for update skip locked)";
        sql::run(statement, &[sql::arg(id), sql::at(from)])
    });
}

/// What is due since it counts has been planned. If somebody changes the task just now, that is not so any more.
pub fn set_planned(id: i32) {
    user::as_extension_owner(|| {
        let statement = "update jittask.task set is_unplanned = false
             where id = (select id from jittask.task where id = $1 and is_unplanned for update skip locked)";
        sql::run(statement, &[sql::arg(id)])
    });
}

/// Notes that a task could not be planned, and why, or that it could; writes only a change, and not while
/// somebody else changes the task.
pub fn set_plan_problem(id: i32, problem: Option<&str>) {
    user::as_extension_owner(|| {
        let statement = "update jittask.task set plan_problem = $2
             where id = (select id from jittask.task where id = $1 and plan_problem is distinct from $2 for update skip locked)";
        sql::run(statement, &[sql::arg(id), sql::arg(problem.map(cut))])
    });
}

/// Marks a task dropped.
pub fn mark_dropped(id: i32, keep_records: bool) {
    user::as_extension_owner(|| {
        sql::run("delete from jittask.series where task_id = $1", &[sql::arg(id)]);
        sql::run(
            "update jittask.task set dropped_at = clock_timestamp(), enabled = false, looks_from = null, keeps_records = $2 where id = $1",
            &[sql::arg(id), sql::arg(keep_records)],
        );
    });
}
