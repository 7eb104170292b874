//! What planning and running a task need, looked up once: the task, its table, its function, the statements that read it.
//! Kept while neither the task nor its calendar nor anything in the system catalogs changes. In an executor's process and
//! the caller's transaction.

use crate::catalog::definition::TaskKind;
use crate::catalog::table::function::Callable;
use crate::catalog::task::query::Resolved;
use crate::catalog::task::{self, Task, Version};
use crate::error::{Error, Kind, Result};
use crate::pg::lock::{self, Object};
use crate::pg::{invalidation, user, xact};
use crate::settings;
use crate::worker::executor::run::fetch::Statements;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// So many tasks are kept.
const MOST: usize = 100;

/// One task as it is worked on.
pub struct Prepared {
    version: Version,
    generation: u64,
    /// The task.
    pub task: Task,
    held: OnceCell<HashSet<Object>>,
    resolved: OnceCell<Resolved>,
    plan: OnceCell<Plan>,
}

/// How to run it.
pub struct Plan {
    /// The function.
    pub callable: Callable,
    /// How its rows are read, of a date-field task.
    pub statements: Option<Statements>,
    /// Microseconds that an attempt may take.
    pub timeout: i64,
    /// The task's name and its key's columns, to be handed out for each row.
    pub name: Rc<str>,
    /// Names of the key's columns.
    pub key_columns: Rc<[String]>,
}

/// What was looked up for tasks, by their ids.
#[derive(Default)]
pub struct Kept(RefCell<HashMap<i32, Rc<Prepared>>>);

impl Kept {
    /// The task, as it is now; None if it is gone.
    pub fn task(&self, id: i32) -> Option<Rc<Prepared>> {
        // What must not change between now and its use is held first.
        let kept = self.0.borrow().get(&id).filter(|kept| kept.hold_again()).cloned();
        // Before anything is looked up: a change from now on shows at the next entry.
        let generation = invalidation::generation();
        let version = task::version(id)?;
        if let Some(kept) = kept.filter(|kept| kept.generation == generation && kept.version == version) {
            return Some(kept);
        }
        let task = task::by_id(id)?;
        let (held, resolved, plan) = Default::default();
        let prepared = Rc::new(Prepared { version, generation, task, held, resolved, plan });
        let mut all = self.0.borrow_mut();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(id, prepared.clone());
        Some(prepared)
    }
}

/// Is the task still as it was looked up? Then it stays so until the transaction ends. Where nothing was written by it a look is
/// enough, for a lock would cost a transaction id: what it has told in shared memory is forgotten by whoever changes the task
/// after that.
pub fn hold(prepared: &Prepared) -> bool {
    let id = prepared.task.id;
    (!xact::has_written() || task::hold(id)) && task::version(id).as_ref() == Some(&prepared.version)
}

impl Prepared {
    /// Holds what a superuser's task calls and reads, so that it is the same when it is used as when it is looked up. Before
    /// [`Prepared::plan`] and [`Prepared::resolved`]; false: somebody is just changing it, and it is to be left for a moment.
    pub fn try_hold(&self) -> bool {
        if self.held.get().is_some() {
            return self.hold_again();
        }
        self.task.try_hold().is_some_and(|held| self.held.set(held).is_ok())
    }

    fn hold_again(&self) -> bool {
        self.held.get().is_none_or(|held| held.iter().all(|object| lock::read(*object, false)))
    }

    /// Looks up function and table; what is wrong with them is looked at again the next time.
    pub fn plan(&self) -> Result<&Plan> {
        look_up_once(&self.plan, || Plan::look_up(self))
    }

    /// The table of a date-field task, likewise.
    pub fn resolved(&self) -> Result<&Resolved> {
        look_up_once(&self.resolved, || self.task.clone().resolve())
    }
}

fn look_up_once<T>(cell: &OnceCell<T>, look_up: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = look_up()?;
    Ok(cell.get_or_init(|| value))
}

impl Plan {
    fn look_up(prepared: &Prepared) -> Result<Plan> {
        let task = &prepared.task;
        check_owner(task)?;
        let callable = task.function.callable().map_err(|problem| Error::new(Kind::NoFunction, problem))?;
        task.check_superuser(None, None)?;
        // The setting may have been lowered since the task was made.
        let longest = i64::from(settings::MAX_TIMEOUT.get()) * 1_000_000;
        let timeout = schedule::span_micros(task.timing()?.timeout).min(longest);
        let resolved = task.relation.is_some().then(|| prepared.resolved()).transpose()?;
        if task.kind == TaskKind::DateField && resolved.is_none() {
            return Err(Error::new(
                Kind::NoTable,
                format!("the table of task \"{}\" does not exist any more", task.name),
            ));
        }
        if !callable.fits(task.function.takes, resolved.map(|resolved| &resolved.target)) {
            return Err(Error::new(
                Kind::NoFunction,
                format!("function {} has other arguments than when the task was created", task.function.signature),
            ));
        }
        let key_columns = resolved.iter().flat_map(|resolved| resolved.key.iter().map(|column| column.name.clone()));
        Ok(Plan {
            callable,
            statements: resolved.map(Statements::new),
            timeout,
            name: task.name.as_str().into(),
            key_columns: key_columns.collect(),
        })
    }
}

/// The task is a role's, not a number's: one that took its place, or its name, runs nothing that it did not make.
fn check_owner(task: &Task) -> Result<()> {
    match user::name_of(task.owner) {
        Some(name) if name == task.owner_name => Ok(()),
        Some(name) => Err(Error::new(
            Kind::State,
            format!(
                "its owner has been renamed from \"{}\" to \"{name}\" since the task was last altered",
                task.owner_name
            ),
        )),
        None => Err(Error::new(Kind::State, "its owner does not exist any more")),
    }
}
