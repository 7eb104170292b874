//! Fifty tasks of two owners, and a writer of two hundred rows a second that fall due within seconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::postgres::{Client, Config, NoTls};
use cluster::{Cluster, one};

use super::random::Random;

/// Tables `t1` …, each with a task `d1` … of its own.
pub const TABLES: u64 = 36;
/// Date-field tasks; those beyond the tables share the first ones.
pub const DATE_TASKS: u64 = 40;
/// Scheduled tasks `tick1` …
pub const TICKS: u64 = 9;
/// Rows a second.
pub const RATE: u64 = 200;
/// The writer commits this often.
const PORTION: Duration = Duration::from_millis(100);
const TABLES_A_PORTION: u64 = 4;

/// The owner of a table, and of a task of the same number.
pub fn owner(k: u64) -> &'static str {
    if k.is_multiple_of(2) { "app" } else { "other" }
}

/// The table of date-field task `d{k}`.
pub fn table_of(k: u64) -> u64 {
    (k - 1) % TABLES + 1
}

/// The statement that makes the function of task `d{k}`, or makes it anew.
pub fn function(k: u64) -> Option<String> {
    let table = table_of(k);
    let insert = "insert into public.outbox (task, key, due_at)";
    Some(match k % 5 {
        0 => format!(
            "create or replace function run_d{k}(t{table}[]) returns void language sql as
             $$ {insert} select 'd{k}', row.id, run.due_at from jittask.current_run() run, unnest($1) row $$;"
        ),
        1 => format!(
            "create or replace function run_d{k}(t{table}) returns void language plpgsql as $$ begin
                 if $1.id % 11 = 0 and (select attempt = 1 from jittask.current_run()) then raise 'not at first'; end if;
                 {insert} select 'd{k}', $1.id, due_at from jittask.current_run(); end $$;"
        ),
        2 => return None,
        _ => format!(
            "create or replace function run_d{k}(t{table}) returns void language plpgsql as $$ begin
                 {insert} select 'd{k}', $1.id, due_at from jittask.current_run(); perform pg_sleep(0.003); end $$;"
        ),
    })
}

fn date_task(k: u64) -> String {
    let (table, scan) = (table_of(k), if k % 20 == 4 { "scan" } else { "trigger" });
    let call = match function(k) {
        Some(_) => format!("service_function => 'run_d{k}'"),
        None => format!(
            "body => $b$ begin insert into public.outbox (task, key, due_at)
                 select 'd{k}', row_data.id, due_at from jittask.current_run(); end $b$"
        ),
    };
    format!(
        "select jittask.create_date_task('task {k}', 't{table}', 'due', {call}, name => 'd{k}', capture => '{scan}',
             catch_up => 'all', max_attempts => 20, retry_backoff => '1 second');"
    )
}

fn tick(k: u64) -> String {
    format!(
        "create function run_tick{k}() returns void language sql as
             $$ insert into public.outbox (task, key, due_at) select 'tick{k}', 0, due_at from jittask.current_run() $$;
         select jittask.create_scheduled_task('tick {k}', now() + interval '1 second', 'run_tick{k}', name => 'tick{k}',
             rule => 'every {} seconds', catch_up => 'all', overlap => 'queue', max_attempts => 20, retry_backoff => '1 second');",
        k % 3 + 2
    )
}

/// Makes roles, tables and tasks. The table `side`, whose task's rows are not counted, is there to be truncated.
pub fn prepare(cluster: &Cluster) {
    cluster.sql(
        "postgres",
        "create role other login; grant usage on schema jittask to other; grant create on schema public to other;
         create table outbox (task text, key bigint, due_at timestamptz, at timestamptz default clock_timestamp());
         create index on outbox (at);
         grant insert on outbox to public;",
    );
    for role in ["app", "other"] {
        let mine = |k: &u64| owner(*k) == role;
        let tables: String = (1..=TABLES)
            .filter(mine)
            .map(|k| format!("create table t{k} (id bigserial primary key, due timestamptz not null); create index on t{k} (due);"))
            .collect();
        let functions: String = (1..=DATE_TASKS).filter(mine).filter_map(function).collect();
        let tasks: String = (1..=DATE_TASKS).filter(mine).map(date_task).collect();
        let ticks: String = (1..=TICKS).filter(mine).map(tick).collect();
        let text = format!("{tables}{functions}{tasks}{ticks}");
        cluster.connect_as("postgres", role).batch_execute(&text).unwrap_or_else(|error| panic!("{error:?}"));
    }
    cluster.app_sql(
        "create table side (id bigserial primary key, due timestamptz not null); create index on side (due);
         create function run_side(side) returns void language sql as $$ select $$;
         select jittask.create_date_task('side', 'side', 'due', 'run_side', name => 'side', catch_up => 'all');",
    );
}

/// Connects again and again until the server lets somebody in; None when it is time to end.
pub fn connect(config: &Config, stopped: &AtomicBool) -> Option<Client> {
    while !stopped.load(Ordering::Acquire) {
        match config.connect(NoTls) {
            Ok(session) => return Some(session),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
    None
}

/// Writes rows until told to stop. What the server does not take, because it is down or the table is busy, is not
/// tried again: the rows that are there in the end are what counts.
pub fn write(config: &Config, stopped: &AtomicBool, mut random: Random) {
    let mut next = Instant::now();
    while let Some(mut session) = connect(config, stopped) {
        if session.batch_execute("set lock_timeout = '1s'").is_err() {
            continue;
        }
        while !session.is_closed() && !stopped.load(Ordering::Acquire) {
            let _ = session.batch_execute(&portion(&mut random));
            next = (next + PORTION).max(Instant::now() - PORTION);
            sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// Some rows each for a few tables, in one transaction. Half of them share their instant with others.
fn portion(random: &mut Random) -> String {
    let rows = RATE * PORTION.as_millis() as u64 / 1000 / TABLES_A_PORTION;
    let mut text: String = (0..TABLES_A_PORTION)
        .map(|_| {
            let (table, ahead) = (random.between(1, TABLES + 1), random.between(300, 4000));
            let spread = random.between(0, 2) * 100;
            format!(
                "insert into t{table} (due) select clock_timestamp() + ({ahead} + n * {spread}) * interval '1 ms'
                 from generate_series(1, {rows}) n;"
            )
        })
        .collect();
    if random.between(0, 10) == 0 {
        text += "insert into side (due) values (clock_timestamp() + interval '1 second');";
    }
    text
}

/// The server's clock.
pub fn now(session: &mut Client) -> chrono::DateTime<chrono::Utc> {
    one(session, "select clock_timestamp()")
}
