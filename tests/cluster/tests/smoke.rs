//! The harness itself: a cluster comes up, answers, survives a restart and a killed process, and leaves nothing behind.
//! It runs without the extension, so a failure here is never the extension's.

use std::time::Duration;

use cluster::{Cluster, Mode, Options};

#[test]
fn a_plain_cluster_answers_and_is_gone_afterwards() {
    let cluster = Cluster::plain();
    let row =
        cluster.connect("postgres").query_one("select 1, current_setting('server_version_num')::int", &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
    assert_eq!(row.get::<_, i32>(1) / 10_000, cluster.major() as i32);
    let datadir = cluster.datadir();
    assert!(datadir.join("PG_VERSION").exists());
    drop(cluster);
    assert!(!datadir.exists(), "{} is left behind", datadir.display());
}

#[test]
fn settings_and_roles_arrive() {
    let cluster = Cluster::with_options(&Options::plain().set("work_mem", "5MB"));
    cluster.sql("postgres", "create role app login");
    cluster.sql("postgres", "create database other");
    let mut session = cluster.connect_as("other", "app");
    let row = session.query_one("select current_setting('work_mem'), session_user::text", &[]).unwrap();
    assert_eq!((row.get(0), row.get(1)), ("5MB", "app"));
}

#[test]
fn data_survives_each_kind_of_restart_and_a_killed_process() {
    let mut cluster = Cluster::plain();
    cluster.sql("postgres", "create table kept (n int)");
    for mode in [Mode::Fast, Mode::Immediate] {
        cluster.sql("postgres", "insert into kept values (1)");
        cluster.restart(mode);
    }
    let mut victim = cluster.connect("postgres");
    let pid: i32 = victim.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    cluster.kill9(pid);
    let kept: i64 = cluster.wait_until("recovery", Duration::from_secs(20), || {
        let mut session = cluster.try_connect("postgres", "postgres").ok()?;
        session.query_one("select count(*) from kept", &[]).ok().map(|row| row.get(0))
    });
    assert_eq!(kept, 2);
    // The rows may have been counted before the postmaster noticed.
    cluster.wait_for_log("terminated by signal 9");
}
