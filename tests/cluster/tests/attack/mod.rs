//! What the security tests share: a cluster with a victim and an attacker, both plain roles, and words for refusals.
#![allow(dead_code)] // each test file uses its part

use std::time::Duration;

use cluster::Cluster;
use cluster::postgres::{Client, Error};

/// How long something that must happen may take.
pub const SOON: Duration = Duration::from_secs(20);

/// Code of mallory's that notes as whom it runs. SECURITY INVOKER: whoever runs it lends it his rights.
pub const NOTE: &str = "create function mallory.note(what text) returns boolean language plpgsql as
    $$ begin insert into public.loot values (what, current_user, session_user); return true; end $$;
    grant usage on schema mallory to public";

/// A cluster with the extension in database `postgres`, the roles `bob` and `mallory`, and each one's own schema. Both
/// may create in schema `public`, as everybody could up to PostgreSQL 14.
pub fn cluster(settings: &[(&str, &str)]) -> Cluster {
    peopled(Cluster::with(settings))
}

/// The same, made of a cluster that is up already.
pub fn peopled(cluster: Cluster) -> Cluster {
    cluster.sql(
        "postgres",
        "create role bob login; create role mallory login;
         grant create on schema public to bob, mallory;
         create schema bob authorization bob; create schema mallory authorization mallory;
         create extension jittask; grant usage on schema jittask to bob, mallory;
         create table public.loot (what text, who text, session text);
         grant insert on public.loot to public;",
    );
    cluster
}

/// A session of `role` on database `postgres`.
pub fn session(cluster: &Cluster, role: &str) -> Client {
    cluster.connect_as("postgres", role)
}

/// Runs statements, each of which may fail: an attack that is refused is no failure of the test.
pub fn attempt(client: &mut Client, statements: &[&str]) {
    for statement in statements {
        let _ = client.batch_execute(statement);
    }
}

/// The SQLSTATE of a refusal.
///
/// # Panics
/// When it was not refused.
pub fn code<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("was not refused"),
        Err(error) => error.code().map_or_else(|| format!("no SQLSTATE: {error}"), |code| code.code().to_string()),
    }
}

/// The one bigint that a query gives.
pub fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// The one text that a query gives, or nothing.
pub fn text(client: &mut Client, query: &str) -> Option<String> {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// What hostile code noted: as whom did it run?
pub fn loot(cluster: &Cluster) -> Vec<(String, String, String)> {
    let rows = cluster.connect("postgres").query("select what, who, session from public.loot", &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// What of it ran as this role, or in a session of its.
pub fn caught(cluster: &Cluster, role: &str) -> Vec<(String, String, String)> {
    loot(cluster).into_iter().filter(|(_, who, session)| who == role || session == role).collect()
}

/// Waits until a task has so many records of a status.
pub fn wait_for(cluster: &Cluster, task: &str, status: &str, count: i64) {
    let mut admin = cluster.connect("postgres");
    cluster.wait_until(&format!("{count} {status} records of {task}"), SOON, || {
        let query = "select count(*) from jittask.records where task = $1 and status::text = $2";
        let found: i64 = admin.query_one(query, &[&task, &status]).unwrap().get(0);
        (found >= count).then_some(())
    });
}
