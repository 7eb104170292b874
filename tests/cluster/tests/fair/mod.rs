//! A victim whose rows are to run in time whatever another owner does: measured against the same server before the attack.
#![allow(dead_code)] // each test file uses its part

use std::time::Duration;

use cluster::postgres::Client;
use cluster::{Cluster, Load};

use crate::attack::{cluster, session};

/// How long the slowest of all may take before it counts as never.
pub const NEVER: Duration = Duration::from_secs(60);
/// Rows that are looked at for one measure.
pub const ROWS: usize = 4;

/// Bob's table and task.
pub fn fair(settings: &[(&str, &str)]) -> (Cluster, Client) {
    fair_on(cluster(settings))
}

/// The same, on a cluster that has the roles already.
pub fn fair_on(cluster: Cluster) -> (Cluster, Client) {
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(
        "create table bob.t (id serial primary key, due timestamptz); create index on bob.t (due);
         create function bob.run(bob.t) returns void language sql as '';
         select jittask.create_date_task('victim', 'bob.t', 'due', 'bob.run')",
    )
    .unwrap();
    late(&cluster, &mut bob);
    (cluster, bob)
}

/// Seconds by which a row that bob inserts now is late.
pub fn late(cluster: &Cluster, bob: &mut Client) -> f64 {
    let id: i32 = bob.query_one("insert into bob.t (due) values (clock_timestamp()) returning id", &[]).unwrap().get(0);
    let query = "select extract(epoch from started_at - due_at)::float8 from jittask.records
                 where task = 'victim' and row_key = jsonb_build_object('id', $1::int) and status = 'completed'";
    cluster.wait_until("bob's row", NEVER, || bob.query_opt(query, &[&id]).unwrap().map(|row| row.get(0)))
}

/// The latest of some rows.
pub fn latest(cluster: &Cluster, bob: &mut Client) -> f64 {
    (0..ROWS).map(|_| late(cluster, bob)).fold(0.0, f64::max)
}

/// Bob's rows are late by no more than a second beyond three times `control`.
pub fn assert_in_time(cluster: &Cluster, bob: &mut Client, control: f64, what: &str) {
    for _ in 0..ROWS {
        let load = Load::watch();
        load.assert_within(1.0 + 3.0 * control, late(cluster, bob), what);
    }
}

/// The attacker's table and function.
pub const MALLORY: &str =
    "create table mallory.t (id int primary key, note text, n text, due timestamptz); create index on mallory.t (due);
    create function mallory.run(mallory.t) returns void language sql as '';";
