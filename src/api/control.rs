//! Working with tasks: pause, resume, drop, run now. In the caller's transaction.

use super::{require_preloaded, writing};
use crate::catalog::agenda::{arrears, candidates, series};
use crate::catalog::definition::{Definition, TaskKind};
use crate::catalog::ledger::entries::{self, Entry};
use crate::catalog::ledger::held;
use crate::catalog::ledger::record::{self, Outcome, Record};
use crate::catalog::ledger::{Ledger, New, Writer, forget};
use crate::catalog::table::key::{self, NO_ROW};
use crate::catalog::table::{body, filter};
use crate::catalog::task::{self, Task, pause, triggers};
use crate::error::{Error, Kind, OrRaise, Result};
use crate::pg::json::Json;
use crate::pg::{clock, sql, value, wake, xact};
use crate::settings;
use pgrx::prelude::*;
use schedule::{Base, Instant, Occurrence};

#[pg_extern(sql = false)]
fn pause_task(name: Option<String>, note: Option<String>) {
    sql::session(|| writing(|| pause(name, note)).or_raise())
}

fn pause(name: Option<String>, note: Option<String>) -> Result<()> {
    let task = task::find_to_change(name.as_deref())?;
    pause::begin(task.id, note.as_deref());
    held::hold_retries(task.id);
    wake::at_commit();
    Ok(())
}

#[pg_extern(sql = false)]
fn resume_task(name: Option<String>, make_up: Option<pgrx::datum::Interval>) {
    sql::session(|| writing(|| resume(name, make_up)).or_raise())
}

fn resume(name: Option<String>, make_up: Option<pgrx::datum::Interval>) -> Result<()> {
    let task = task::find_to_change(name.as_deref())?;
    if task.enabled {
        return Err(Error::new(Kind::State, format!("task \"{}\" is not paused", task.name))
            .hint("pause_task stops a task, resume_task lets it run again."));
    }
    let now = clock::transaction_start();
    let make_up = make_up.map_or(Ok(0), make_up_micros)?;
    let since = not_forgotten(&task.definition, now.back(make_up), now)?;
    pause::end(task.id, since, (make_up > 0).then_some(since));
    if make_up > 0 {
        let mut ledger = Ledger::open(task.id, Writer::Session);
        for (id, occurrence, key) in record::skipped_by_pause(task.id, since) {
            ledger.revive(&task, id, occurrence, &key);
        }
        ledger.close();
    }
    go_on(&task, since)
}

/// Lets a task that was paused go on with what is due from `since` on.
pub(super) fn go_on(task: &Task, since: Instant) -> Result<()> {
    let_go(task);
    if task.kind == TaskKind::Scheduled {
        plan_series(task, since)?;
    }
    candidates::plan_anew_at_commit(task.token);
    wake::at_commit();
    Ok(())
}

/// Lets go all that a task holds back. With one snapshot for the whole transaction what came since is not seen: the scheduler looks
/// for the rest of it.
pub(super) fn let_go(task: &Task) {
    held::let_all_go(task.id);
    if xact::has_one_snapshot() {
        held::begin_to_let_go(task.id);
        wake::schema_changed_at_commit();
    }
}

/// From where on a task that was at work may be looked through again, if that is wanted from `since` on: what is older than
/// records are kept may have run, and nobody would know.
pub(super) fn not_forgotten(definition: &Definition, since: Instant, now: Instant) -> Result<Instant> {
    let kept = i64::from(settings::RECORD_RETENTION.get()) * 1_000_000;
    let kept = Instant(now.0 - kept.max(schedule::span_micros(definition.timing()?.catch_up_window)));
    if settings::RECORD_RETENTION.get() == 0 || since >= kept {
        return Ok(since);
    }
    notice!(
        "rows due longer ago than jittask.record_retention are ignored, because their records may already have been removed"
    );
    Ok(kept)
}

fn make_up_micros(interval: pgrx::datum::Interval) -> Result<i64> {
    let span = interval.into_datum().and_then(value::span);
    let micros = span.map(schedule::span_micros).filter(|micros| *micros >= 0);
    micros.ok_or_else(|| {
        Error::new(Kind::Invalid, "make_up must be finite and not negative")
            .hint("It is how far back runs that fell due during the pause are made up for.")
    })
}

/// A scheduled task's series goes on with the first occurrence from `from` on that is neither planned nor recorded.
fn plan_series(task: &Task, from: Instant) -> Result<()> {
    let timing = task.timing()?;
    let planned = series::get(task.id);
    if planned.is_some_and(|last| last.due_at >= clock::transaction_start()) {
        // It outlived the pause in the agenda.
        return Ok(());
    }
    let from = planned.map_or(from, |last| from.max(Instant(last.due_at.0 + 1)));
    let base = Base::Instant(timing.start_at.unwrap_or(from));
    // A series that has ended keeps no last occurrence: the agenda and the records tell.
    let pending = entries::pending(task.id, from, Instant::MAX);
    let is_new = |next: &Occurrence| {
        !pending.contains(&key::occurrence(key::mark(NO_ROW), next.nominal_at))
            && record::known(task.id, &[(NO_ROW, next.nominal_at)]).is_empty()
    };
    let next = timing.schedule.occurrences(base, &timing.zone, timing.end_at, from).find(is_new);
    if let Some(next) = next {
        let mut ledger = Ledger::open(task.id, Writer::Session);
        ledger.enter(task.owner, &[New::scheduled(next, next.due_at < clock::transaction_start())]);
        ledger.close();
    }
    series::set(task.id, next);
    Ok(())
}

#[pg_extern(sql = false)]
fn drop_task(name: Option<String>, keep_records: Option<bool>) {
    sql::session(|| writing(|| drop(name, keep_records.unwrap_or(true))).or_raise())
}

fn drop(name: Option<String>, keep_records: bool) -> Result<()> {
    let task = task::find_to_change(name.as_deref())?;
    triggers::drop_triggers(&task);
    task::mark_dropped(task.id, keep_records);
    if !keep_records {
        forget::records_of(task.id);
    }
    arrears::forget(task.id);
    let cancelled = |entry: &Entry| -> Vec<Record> {
        (0..entry.keys.len()).map(|position| Record::of(entry, position, Outcome::Cancelled("dropped"))).collect()
    };
    let mut ledger = Ledger::open(task.id, Writer::Session);
    // Entries that an executor holds end there; it sees that the task is gone.
    entries::take_unclaimed(task.id, |entries| {
        let ended: Vec<Record> = entries.iter().flat_map(cancelled).collect();
        if keep_records {
            ledger.end_once(ended);
        } else {
            ledger.end_unrecorded(&ended);
        }
    });
    ledger.close();
    body::drop(&task.name, task.owner);
    if let Some(filter) = &task.filter {
        filter::drop(&filter.call, task.owner);
    }
    candidates::plan_anew_at_commit(task.token);
    wake::at_commit();
    Ok(())
}

#[pg_extern(sql = false)]
fn run_task(name: Option<String>, row_key: Option<Json>) -> i64 {
    sql::session(|| writing(|| run(name, row_key)).or_raise())
}

fn run(name: Option<String>, row_key: Option<Json>) -> Result<i64> {
    require_preloaded()?;
    let task = task::find_for_caller(name.as_deref())?;
    if !crate::catalog::task::home::is_here() {
        return Err(Error::new(Kind::State, "this database is a copy: its tasks do not run")
            .hint("jittask.activate() lets them run here."));
    }
    // It is not dropped until its occurrence is entered.
    let task = task::keep(task.id).ok_or_else(|| task::gone(&task.name))?;
    let broken = |problem: &str| Error::new(Kind::State, format!("task \"{}\" is broken: {problem}", task.name));
    if let Some(problem) = task.problem.as_ref().or(task.plan_problem.as_ref()) {
        return Err(broken(problem));
    }
    task.function.callable().map_err(|problem| broken(&problem))?;
    let key = match (task.kind, row_key) {
        (TaskKind::Scheduled, None) => NO_ROW.to_string(),
        (TaskKind::Scheduled, Some(_)) => {
            return Err(Error::new(
                Kind::Invalid,
                format!("task \"{}\" is a scheduled task, which has no rows", task.name),
            )
            .hint("Leave row_key out."));
        }
        (TaskKind::DateField, None) => {
            return Err(Error::new(Kind::Invalid, format!("task \"{}\" needs a row_key", task.name))
                .hint(format!("Give the row's key as a JSON object of: {}.", task.key_columns.join(", "))));
        }
        (TaskKind::DateField, Some(Json(row_key))) => {
            let resolved = task.clone().resolve().map_err(|problem| broken(problem.message()))?;
            key::from_json(&row_key, &resolved.key)?
        }
    };
    let mut ledger = Ledger::open(task.id, Writer::Session);
    let id = ledger.ask_for(task.owner, &key);
    ledger.close();
    wake::at_commit();
    Ok(id)
}
