//! What no trigger saw is found at the next scan, whatever else is planned meanwhile and whoever wrote it.

use cluster::{Cluster, Load, SOON, now, one};

/// The horizon moves on more often than tables are scanned.
#[test]
fn scans_have_their_own_clock() {
    let cluster = Cluster::ready(&[("jittask.planning_horizon", "2s"), ("jittask.scan_interval", "3s")]);
    cluster.app_sql(
        "create table contract (id int primary key, due timestamptz);
         create index on contract (due);
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task('rows', 'contract', 'due', 'run');
         insert into contract values (1, now())",
    );
    cluster.ended(1);
    let load = Load::watch();
    for id in 2..4 {
        cluster.wait_past(now() + 4.0);
        let silently = "set session_replication_role = replica; insert into contract values";
        cluster.sql("postgres", &format!("{silently} ({id}, now())"));
        cluster.ended(id);
    }
    let late: f64 = one(
        &mut cluster.app(),
        "select max(extract(epoch from delay))::float8 from jittask.records where due_at is not null",
    );
    load.assert_within(7.0, late, "what no trigger saw");
}

/// Rows of a foreign part are written where nobody counts them.
#[test]
fn a_partition_on_another_server() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "500ms")]);
    cluster.sql("postgres", "create database other");
    cluster.sql("other", "create table part (id int, due timestamptz)");
    let port = one::<String>(&mut cluster.connect("postgres"), "select current_setting('port')");
    cluster.sql(
        "postgres",
        &format!(
            "create extension postgres_fdw;
             create server other foreign data wrapper postgres_fdw options (host '127.0.0.1', port '{port}', dbname 'other');
             create user mapping for app server other options (user 'postgres', password_required 'false');
             grant usage on foreign server other to app"
        ),
    );
    cluster.app_sql(
        "create table contract (id int, due timestamptz) partition by list (id);
         create table here partition of contract for values in (1);
         create foreign table there partition of contract default server other options (table_name 'part');
         create function run(contract) returns void language sql as '';
         select jittask.create_date_task('rows', 'contract', 'due', 'run', key_columns => '{id}', capture => 'scan')",
    );
    cluster.wait_for(SOON, "select bool_and(looks_from is null) from jittask.task");
    for id in 2..4 {
        cluster.wait_past(now() + 1.5);
        cluster.sql("other", &format!("insert into part values ({id}, now())"));
        cluster.ended(id - 1);
    }
}

/// No row of the table changes, but others are to be seen.
#[test]
fn a_policy_that_lets_more_be_seen() {
    let cluster = Cluster::ready(&[("jittask.scan_interval", "500ms")]);
    cluster.sql("postgres", "create role keeper login; grant create on schema public to keeper");
    let mut keeper = cluster.connect_as("postgres", "keeper");
    keeper
        .batch_execute(
            "create table contract (id int primary key, due timestamptz, tenant int);
             alter table contract enable row level security;
             create policy mine on contract using (tenant = 1);
             grant select, trigger on contract to app",
        )
        .unwrap();
    cluster.app_sql(
        "create function run(contract) returns void language sql as '';
         select jittask.create_date_task('rows', 'contract', 'due', 'run')",
    );
    keeper.batch_execute("insert into contract values (1, now(), 1), (2, now(), 2)").unwrap();
    cluster.ended(1);
    cluster.wait_past(now() + 2.0);
    keeper.batch_execute("alter policy mine on contract using (true)").unwrap();
    cluster.ended(2);
}
