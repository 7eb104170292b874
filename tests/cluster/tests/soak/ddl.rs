//! Somebody who changes tables, functions and tasks all the while. Whatever is taken away comes back a moment later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::postgres::{Client, Config, Error, NoTls};

use super::load::{self, DATE_TASKS, TABLES, TICKS, owner};
use super::random::Random;

/// How often something is changed, on average.
const EVERY: Duration = Duration::from_millis(700);
/// How long something stays away.
const AWAY_MILLIS: (u64, u64) = (50, 600);

/// What was changed, how often, and what was refused.
#[derive(Default)]
pub struct Changes {
    pub made: BTreeMap<&'static str, u64>,
    /// By SQLSTATE; a lost connection is `lost`.
    pub refused: BTreeMap<String, u64>,
}

impl Changes {
    fn count(&mut self, name: &'static str, result: Result<(), Error>) {
        match result {
            Ok(()) => *self.made.entry(name).or_default() += 1,
            Err(error) => {
                let code = error.code().map_or("lost", |code| code.code());
                let code = if code.starts_with("57P0") { "lost" } else { code };
                println!("{name}: {code} {}", error.as_db_error().map_or("", |error| error.message()));
                *self.refused.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    /// In a short run chance may leave some out.
    pub fn assert_all_were_made(&self, minutes: u64) {
        let wanted = if minutes >= 10 { CHANGES.len() } else { CHANGES.len() / 2 };
        assert!(self.made.len() >= wanted, "only {:?}", self.made);
    }
}

/// A change: what it is called, and what it does to number `k`.
type Change = (&'static str, fn(&mut Hand, u64) -> Result<(), Error>);

const CHANGES: [Change; 21] = [
    ("table renamed and back", |hand, k| {
        hand.there_and_back(
            k,
            format!("alter table t{k} rename to t{k}_away"),
            format!("alter table t{k}_away rename to t{k}"),
        )
    }),
    ("column renamed and back", |hand, k| {
        let rename = |from, to| format!("alter table t{k} rename {from} to {to}");
        hand.there_and_back(k, rename("due", "due_away"), rename("due_away", "due"))
    }),
    ("column added and dropped", |hand, k| {
        hand.there_and_back(
            k,
            format!("alter table t{k} add extra int default 1"),
            format!("alter table t{k} drop extra"),
        )
    }),
    ("index dropped and created", |hand, k| {
        hand.there_and_back(k, format!("drop index t{k}_due_idx"), format!("create index t{k}_due_idx on t{k} (due)"))
    }),
    ("table locked", |hand, k| {
        hand.there_and_back(k, format!("begin; lock table t{k} in access exclusive mode"), "commit".to_owned())
    }),
    ("VACUUM FULL", |hand, k| hand.run(format!("vacuum full t{k}"))),
    ("REINDEX", |hand, k| hand.run(format!("reindex table t{k}"))),
    ("ANALYZE", |hand, k| hand.run(format!("analyze t{k}"))),
    ("function replaced", |hand, k| hand.run_as(k, load::function(k).unwrap_or_default())),
    ("function dropped and created", |hand, k| match load::function(k) {
        Some(create) => {
            let table = load::table_of(k);
            let drop =
                format!("drop function if exists run_d{k}(t{table}); drop function if exists run_d{k}(t{table}[])");
            hand.run_as(k, format!("begin; {drop}; {create} commit"))
        }
        None => Ok(()),
    }),
    ("function altered", |hand, _| hand.run("alter function run_side(side) cost 7".to_owned())),
    ("task altered", |hand, k| {
        let minutes = hand.random.between(60, 600);
        hand.run_as(k, format!("select jittask.alter_task('d{k}', '{{\"timeout\": \"{minutes} minutes\", \"description\": \"altered\"}}')"))
    }),
    ("task renamed and back", |hand, k| {
        let rename = |from: &str, to: &str| format!("select jittask.alter_task('{from}', '{{\"name\": \"{to}\"}}')");
        let (name, away) = (format!("d{k}"), format!("d{k}_away"));
        hand.there_and_back(k, rename(&name, &away), rename(&away, &name))
    }),
    ("task paused and resumed", |hand, k| {
        let resume = format!("select jittask.resume_task('d{k}', '1 hour')");
        hand.there_and_back(k, format!("select jittask.pause_task('d{k}', 'soak')"), resume)
    }),
    ("scheduled task paused and resumed", |hand, k| {
        let k = k % TICKS + 1;
        let resume = format!("select jittask.resume_task('tick{k}', '1 hour')");
        hand.there_and_back(k, format!("select jittask.pause_task('tick{k}')"), resume)
    }),
    ("task created and dropped", |hand, _| {
        let create = "select jittask.create_date_task('extra', 'side', 'due', 'run_side', name => 'extra', existing_rows => '1 minute')";
        hand.there_and_back(2, create.to_owned(), "select jittask.drop_task('extra')".to_owned())
    }),
    ("table truncated", |hand, _| hand.run("truncate side".to_owned())),
    ("executor cancelled", |hand, _| {
        hand.run("select pg_cancel_backend(pid) from jittask.progress limit 1".to_owned())
    }),
    ("executor terminated", |hand, _| {
        hand.run("select pg_terminate_backend(pid) from jittask.workers where kind = 'executor' limit 1".to_owned())
    }),
    ("database created, used and dropped", |hand, _| {
        hand.run("create database scratch".to_owned())?;
        let mut config = hand.config.clone();
        let mut scratch = config.dbname("scratch").connect(NoTls)?;
        scratch.batch_execute("create extension jittask")?;
        drop(scratch);
        hand.run("drop database scratch".to_owned())
    }),
    ("configuration reloaded", |hand, _| hand.run("select pg_reload_conf()".to_owned())),
];

/// Gives back what a lost connection has left away.
const REPAIR: &str = "
do $$ declare x record; begin
    for x in select relname as name, replace(relname, '_away', '') as old from pg_class where relname ~ '^t\\d+_away$' loop
        execute format('alter table %I rename to %I', x.name, x.old);
    end loop;
    for x in select attrelid::regclass as name from pg_attribute where attname = 'due_away' and attrelid::regclass::text ~ '^t\\d+$' loop
        execute format('alter table %s rename due_away to due', x.name);
    end loop;
    for x in select attrelid::regclass as name from pg_attribute where attname = 'extra' and not attisdropped and attrelid::regclass::text ~ '^t\\d+$' loop
        execute format('alter table %s drop extra', x.name);
    end loop;
    for x in select relname as name from pg_class c where relname ~ '^t\\d+$' and to_regclass(relname || '_due_idx') is null loop
        execute format('set local role %I; create index on %I (due); reset role', (select pg_get_userbyid(relowner) from pg_class where relname = x.name), x.name);
    end loop;
end $$;
select jittask.resume_task(name, '1 hour') from jittask.tasks where state = 'paused';
select jittask.drop_task(name) from jittask.tasks where name = 'extra';";

struct Hand<'a> {
    config: &'a Config,
    stopped: &'a AtomicBool,
    session: Client,
    random: Random,
}

impl Hand<'_> {
    fn run(&mut self, text: String) -> Result<(), Error> {
        self.session.batch_execute(&text)
    }

    /// As the owner of table and task `k`.
    fn run_as(&mut self, k: u64, text: String) -> Result<(), Error> {
        self.run(format!("set role {}", owner(k)))?;
        let done = self.run(text);
        if done.is_err() {
            self.run("rollback".to_owned())?;
        }
        self.run("reset role".to_owned())?;
        done
    }

    /// Takes something away for a moment. It has to come back, and is tried again while the server is there.
    fn there_and_back(&mut self, k: u64, there: String, back: String) -> Result<(), Error> {
        self.run_as(k, there)?;
        sleep(Duration::from_millis(self.random.between(AWAY_MILLIS.0, AWAY_MILLIS.1)));
        loop {
            match self.run_as(k, back.clone()) {
                Err(error) if !self.session.is_closed() && error.code().is_some_and(|code| code.code() == "55P03") => {}
                done => return done,
            }
        }
    }

    /// Makes one change, and tells what came of it.
    fn change(&mut self, changes: &mut Changes) {
        let (name, change) = *self.random.choose(&CHANGES);
        // Tasks that share a table come last, and tables are as many as tasks or fewer.
        let most = if name.contains("task") || name.contains("function") { DATE_TASKS } else { TABLES };
        let k = self.random.between(1, most + 1);
        let done = change(self, k);
        changes.count(name, done);
    }

    /// A new session, in which what is still away is given back.
    fn start_anew(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Ok(session) = self.config.connect(NoTls) {
                self.session = session;
                if self.repair().map_err(|error| println!("repair: {error:?}")).is_ok() {
                    return true;
                }
            }
            sleep(Duration::from_millis(50));
        }
        false
    }

    fn repair(&mut self) -> Result<(), Error> {
        self.session.batch_execute("set lock_timeout = '2s'")?;
        self.session.batch_execute(REPAIR)?;
        for row in self.session.query("select name, owner::text from jittask.tasks where name like '%\\_away'", &[])? {
            let (name, owner): (&str, &str) = (row.get(0), row.get(1));
            let back = name.trim_end_matches("_away");
            self.session.batch_execute(&format!(
                "set role {owner}; select jittask.alter_task('{name}', '{{\"name\": \"{back}\"}}'); reset role"
            ))?;
        }
        self.session.batch_execute("drop database if exists scratch")
    }
}

/// Changes things until told to stop; then all is as it was.
pub fn change(config: &Config, stopped: &AtomicBool, random: Random) -> Changes {
    let mut changes = Changes::default();
    let Some(session) = load::connect(config, stopped) else { return changes };
    let mut hand = Hand { config, stopped, session, random };
    while !hand.stopped.load(Ordering::Acquire) {
        if hand.start_anew(Duration::from_secs(1)) {
            while !hand.session.is_closed() && !hand.stopped.load(Ordering::Acquire) {
                hand.change(&mut changes);
                sleep(Duration::from_millis(hand.random.between(0, 2 * EVERY.as_millis() as u64)));
            }
        }
    }
    assert!(hand.start_anew(Duration::from_secs(30)), "what was taken away cannot be given back");
    changes
}
