//! Are the objects that tasks need still there? Read from system catalogs only, so that the scheduler may ask; a user's
//! table is not opened.

use crate::catalog::ledger::held::{self, LetGo};
use crate::catalog::task;
use crate::catalog::task::replacement::REPLACEMENT;
use crate::catalog::upkeep::renames;
use crate::catalog::upkeep::replan::{self, Replanned};
use crate::error::cut;
use crate::pg::{clock, sql, user, worker};
use pgrx::pg_sys::Oid;

/// What a look at some tasks has found.
#[derive(Default)]
pub struct Found {
    /// The last task that was looked at; None: there was none.
    pub last: Option<i32>,
    /// Owners of tasks whose table is there again: executors of theirs give it back to them.
    pub to_adopt: Vec<Oid>,
    /// A role or a time zone is missing, or somebody is changing a task. Nothing tells when it is back or they are done, so
    /// somebody has to look.
    pub wants_looks: bool,
}

/// Tasks that are looked at together.
pub const PORTION: i64 = 20;
/// Reading when they are due takes about this much of a portion. Microseconds.
const TIMING_TIME: i64 = 10_000;
/// Letting go what was held back takes about this much of a portion. Microseconds.
const LET_GO_TIME: i64 = 20_000;
/// Planning anew by a changed calendar takes about this much of a portion. Microseconds.
const PLAN_TIME: i64 = 20_000;
const NEXT: &str = "select id from jittask.task where dropped_at is null and id > $1 order by id limit $2";

/// Finds, among the next tasks after `after`, those whose function, table, columns or owner are gone, and those that have
/// them back; lets them follow what was renamed. So many of them, so that whoever looks can do other work in between: there may
/// be very many tasks, and any one of them may take long.
pub fn check(after: i32, count: i64) -> Found {
    user::as_extension_owner(|| {
        let rows = sql::run(NEXT, &[sql::arg(after), sql::arg(count)]);
        let mut ids: Vec<i32> = (0..rows.len()).filter_map(|row| rows.get(row, 1)).collect();
        if ids.is_empty() {
            return Found::default();
        }
        let renamed_to = renames::some(&ids);
        // Zone and calendar.
        let (unsettled, looked_to) = task::unsettled(&ids, TIMING_TIME);
        ids.retain(|id| *id <= looked_to);
        let (unsettled, why): (Vec<i32>, Vec<String>) =
            unsettled.into_iter().map(|(id, problem)| (id, problem.message().to_string())).unzip();
        let wants_time = !unsettled.is_empty();
        let are_left_out = mark_and_heal(&ids, unsettled, why);
        let (let_go_to, are_let_go) = let_go(&ids);
        let (planned_to, are_replanned) = plan_anew(&ids);
        let rows = sql::run(
            &format!("select t.owner::oid, not exists (select 1 from pg_roles r where r.oid = t.owner::oid and r.rolname = t.owner_name),
                exists ({})
             from jittask.task t where t.id = any($1) and t.dropped_at is null and t.problem is not null", REPLACEMENT),
            &[sql::arg(ids.clone())],
        );
        let is = |row: usize, column: usize| rows.get::<bool>(row, column).unwrap_or(false);
        Found {
            last: planned_to.min(let_go_to).min(renamed_to),
            to_adopt: (0..rows.len()).filter(|row| is(*row, 3)).filter_map(|row| rows.get(row, 1)).collect(),
            wants_looks: wants_time
                || are_left_out
                || !are_let_go
                || !are_replanned
                || (0..rows.len()).any(|row| is(row, 2)),
        }
    })
}

/// Lets go what those hold back that have what they need again. Up to which task that is done; false if one must be tried again.
fn let_go(ids: &[i32]) -> (Option<i32>, bool) {
    let until = clock::monotonic() + LET_GO_TIME;
    let mut are_done = true;
    for id in held::letting_go(ids) {
        if clock::monotonic() > until {
            return (Some(id - 1), are_done);
        }
        let came = if task::try_lock(id) { held::let_go(id) } else { LetGo::Busy };
        match came {
            LetGo::All => {}
            LetGo::Some => return (Some(id - 1), are_done),
            LetGo::Busy => are_done = false,
        }
    }
    (ids.last().copied(), are_done)
}

/// Plans those anew whose calendar has changed. Up to which task that is done: rules may take their time; false if one must
/// be tried again.
fn plan_anew(ids: &[i32]) -> (Option<i32>, bool) {
    let until = clock::monotonic() + PLAN_TIME;
    let mut are_replanned = true;
    for id in replan::stale(ids) {
        if clock::monotonic() > until {
            return (Some(id - 1), are_replanned);
        }
        match replan::by_calendar(id) {
            Replanned::Done => {}
            Replanned::Partly => return (Some(id - 1), are_replanned),
            Replanned::Later => are_replanned = false,
        }
    }
    (ids.last().copied(), are_replanned)
}

/// The last of the next tasks, which could not be looked at.
pub fn last_of(after: i32, count: i64) -> Option<i32> {
    let last = user::as_extension_owner(|| sql::run(NEXT, &[sql::arg(after), sql::arg(count)]));
    (0..last.len()).filter_map(|row| last.get(row, 1)).next_back()
}

/// One that could not be looked at is left out; somebody has to look at it again.
pub fn left_out(after: i32) -> Found {
    Found { last: last_of(after, 1), wants_looks: true, ..Default::default() }
}

/// Tasks of these ids, what is wrong with each, and the function that it has now. A function is looked for by its number;
/// by its name and the type it takes, through the index on both, where that number is gone: never by reading all functions, nor all
/// of one name, for a role can make any number of them.
const PROBLEMS: &str = "with found as (
     select t.id, case
         when not exists (select 1 from pg_roles r where r.oid = t.owner::oid) then 'its owner does not exist any more'
         when (select r.rolname from pg_roles r where r.oid = t.owner::oid) <> t.owner_name
             then format('its owner has been renamed from \"%s\" to \"%s\" since the task was last altered', t.owner_name,
                 (select r.rolname from pg_roles r where r.oid = t.owner::oid))
         when not $1 and not (select r.rolcanlogin from pg_roles r where r.oid = t.owner::oid)
             then format('its owner \"%s\" cannot log in, so no background process can run it', t.owner)
         when t.kind = 'date_field' and c.oid is null then 'its table does not exist any more'
         when p.oid is null then format('function %s does not exist any more', t.function_name)
         when p.proowner <> t.function_owner::oid
             then format('function %s is no longer owned by the role that owned it when the task was created (service_changed)', t.function_name)
         when missing.name is not null then format('column \"%s\" of %s does not exist any more', missing.name, t.relation)
         else ($3::text[])[array_position($2::int[], t.id)]
         end as problem, p.oid as function_oid, case when p.oid is not null then format('%I.%I(%s)', f.nspname, p.proname,
             (select string_agg(format_type(a, null), ', ') from unnest(p.proargtypes) a)) end as function_name
     from jittask.task t
     left join lateral (select parse_ident(t.function_name, false) as name) i on true
     left join pg_class c on c.oid = t.relation::oid
     left join lateral (select case t.function_takes when 'nothing' then '' when 'row' then c.reltype::text
         else (select y.typarray::text from pg_type y where y.oid = c.reltype) end::oidvector as types) a on true
     left join pg_proc p on p.oid = coalesce(
         (select q.oid from pg_proc q where q.oid = t.function_oid),
         (select q.oid from pg_proc q where q.proname = i.name[2]::name and q.proargtypes = a.types
              and q.pronamespace = (select m.oid from pg_namespace m where m.nspname = i.name[1]::name)))
     left join pg_namespace f on f.oid = p.pronamespace
     left join lateral (
         select n.name from unnest(t.key_columns::text[] || array[t.definition ->> 'date_column', t.definition ->> 'end_column']) n (name)
         where t.kind = 'date_field' and n.name is not null and not exists (
             select 1 from pg_attribute a where a.attrelid = t.relation::oid and a.attname = n.name and a.attnum > 0 and not a.attisdropped)
         limit 1) missing on true
     where t.id = any($4) and t.dropped_at is null)
 select f.id, f.problem, f.function_oid, f.function_name, t.xmin::text from found f join jittask.task t on t.id = f.id
 where t.problem is distinct from f.problem
     or f.problem is null and (t.function_oid, t.function_name) is distinct from (f.function_oid, f.function_name)";

/// `unsettled` are tasks of which nobody can say when they are due, and why. True if some were left out, which somebody is
/// changing just now: they are not waited for, and may take hours.
fn mark_and_heal(ids: &[i32], unsettled: Vec<i32>, why: Vec<String>) -> bool {
    let changed = sql::run(
        PROBLEMS,
        &[sql::arg(worker::runs_nologin_roles()), sql::arg(unsettled), sql::arg(why), sql::arg(ids.to_vec())],
    );
    let mut are_left_out = false;
    for row in 0..changed.len() {
        let Some(id) = changed.get::<i32>(row, 1) else { continue };
        let problem = changed.get::<String>(row, 2);
        // Nor is one marked that has been changed since it was read.
        let is_free = task::try_lock(id) && is_as_it_was(id, changed.get(row, 5));
        if !is_free {
            are_left_out = true;
            continue;
        }
        match problem {
            Some(problem) => set_problem(id, Some(&problem)),
            None => {
                heal_with(id, changed.get::<Oid>(row, 3), changed.get::<String>(row, 4));
                held::begin_to_let_go(id);
            }
        }
    }
    are_left_out
}

fn is_as_it_was(id: i32, version: Option<String>) -> bool {
    let statement = "select 1 from jittask.task where id = $1 and xmin::text = $2";
    !sql::run(statement, &[sql::arg(id), sql::arg(version)]).is_empty()
}

/// A function that came back is followed from now on by its new OID, and one that was renamed by its new name.
fn heal_with(id: i32, function: Option<Oid>, name: Option<String>) {
    let statement = "update jittask.task set problem = null, function_oid = $2, function_name = $3,
             definition = case when definition ? 'service_function' then jsonb_set(definition, '{service_function}', to_jsonb($3))
                 else definition end
         where id = $1";
    sql::run(statement, &[sql::arg(id), sql::arg(function), sql::arg(name)]);
}

fn set_problem(id: i32, problem: Option<&str>) {
    let statement = "update jittask.task set problem = $2 where id = $1 and problem is distinct from $2";
    user::as_extension_owner(|| sql::run(statement, &[sql::arg(id), sql::arg(problem.map(cut))]));
}

/// Notes what is gone, found out by a run before the check did. False if somebody is changing the task just now.
pub fn mark(id: i32, problem: &str) -> bool {
    let is_known = user::as_extension_owner(|| {
        let statement = "select 1 from jittask.task where id = $1 and problem = $2";
        !sql::run(statement, &[sql::arg(id), sql::arg(cut(problem))]).is_empty()
    });
    if is_known {
        return true;
    }
    let is_free = task::try_lock(id);
    if is_free {
        set_problem(id, Some(problem));
    }
    is_free
}

/// Nothing is missing any more. False if that is not done yet: somebody is changing the task just now, or very much waits of it.
pub fn heal(id: i32) -> bool {
    let is_free = task::try_lock(id);
    if is_free {
        set_problem(id, None);
        held::begin_to_let_go(id);
    }
    is_free && held::let_go(id) == LetGo::All
}
