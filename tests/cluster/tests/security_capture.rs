//! What the capture triggers write is read by processes that work for all: it obeys the triggers that jittask made, and
//! nobody's planning reads what was captured of others.

mod attack;
mod fair;

use attack::{attempt, number, session};
use cluster::Cluster;
use fair::{MALLORY, NEVER, assert_in_time, fair, late, latest};

/// 7c. The capture trigger's function obeys the triggers that jittask made, and no others.
#[test]
fn capture_obeys_our_triggers_alone() {
    let (cluster, mut bob) = fair(&[]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute("select jittask.create_date_task('m', 'mallory.t', 'due', 'mallory.run', name => 'm')")
        .unwrap();
    let token: i64 = number(&mut cluster.connect("postgres"), "select token from jittask.task where name = 'm'");
    mallory.batch_execute("create table mallory.f (x int, due timestamptz)").unwrap();
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(
            "create table seen (n bigint); create function note() returns trigger language plpgsql as
        $$ begin insert into public.seen values (1); return null; end $$",
        )
        .unwrap();
    for (token, name) in [(12345, "own"), (token, "own"), (token, &*format!("jittask_{}_insert", token as u64))] {
        attempt(
            &mut mallory,
            &[
                &format!(
                    "create trigger {name} after insert on mallory.f for each row execute function jittask.capture_row('{token}', 'x', 'none')"
                ),
                "insert into mallory.f select generate_series(1, 300000)",
                &format!("drop trigger {name} on mallory.f"),
            ],
        );
        let pages: i64 = number(&mut admin, "select pg_relation_size('jittask.capture')");
        assert!(pages < 1_000_000, "{pages} bytes were captured by a trigger {name} with token {token}");
        assert_in_time(&cluster, &mut bob, control, "forged captures");
    }
}

/// 7c. And it does obey those: in partitions of partitions, in a transaction that began before there was a task, and after a
/// restart. No scan finds the rows in time.
#[test]
fn capture_obeys_each_of_our_triggers() {
    let (mut cluster, mut bob) = fair(&[("jittask.scan_interval", "1h")]);
    bob.batch_execute(
        "create table bob.p (id int primary key, due timestamptz) partition by range (id);
         create table bob.p1 partition of bob.p for values from (0) to (100) partition by range (id);
         create table bob.p11 partition of bob.p1 for values from (0) to (50);
         create table bob.p2 (id int primary key, due timestamptz);
         create function bob.run(bob.p) returns void language sql as '';",
    )
    .unwrap();
    let mut early = session(&cluster, "bob");
    early.batch_execute("begin isolation level repeatable read; select count(*) from pg_class").unwrap();
    bob.batch_execute("select jittask.create_date_task('parts', 'bob.p', 'due', 'bob.run', name => 'parts')").unwrap();
    let done = |cluster: &Cluster, count: i64| {
        let query =
            format!("select count(*) = {count} from jittask.records where task = 'parts' and status = 'completed'");
        cluster.wait_for(NEVER, &query);
    };
    bob.batch_execute("insert into bob.p values (1, now())").unwrap();
    done(&cluster, 1);
    bob.batch_execute("insert into bob.p1 values (2, now()); insert into bob.p11 values (3, now())").unwrap();
    done(&cluster, 3);
    early.batch_execute("insert into bob.p values (4, now()); commit").unwrap();
    done(&cluster, 4);
    bob.batch_execute("alter table bob.p attach partition bob.p2 for values from (100) to (200); insert into bob.p2 values (101, now())").unwrap();
    done(&cluster, 5);
    drop((bob, early));
    cluster.restart(cluster::Mode::Immediate);
    let mut bob = session(&cluster, "bob");
    late(&cluster, &mut bob);
    bob.batch_execute("insert into bob.p11 values (5, now())").unwrap();
    done(&cluster, 6);
    bob.batch_execute("update bob.p set due = now() where id = 101").unwrap();
    done(&cluster, 7);
}

/// 7c. What one owner's own triggers capture, another's planning need not read.
#[test]
fn many_captures_of_one_stop_nobody() {
    let (cluster, mut bob) = fair(&[("autovacuum", "off")]);
    let control = latest(&cluster, &mut bob);
    let mut mallory = session(&cluster, "mallory");
    mallory.batch_execute(MALLORY).unwrap();
    mallory
        .batch_execute(
            "select jittask.create_date_task('m', 'mallory.t', 'due', 'mallory.run', name => 'm');
             alter table mallory.t drop constraint t_pkey",
        )
        .unwrap();
    // A key column that is null: each row is captured by itself.
    mallory.batch_execute("alter table mallory.t alter id drop not null").unwrap();
    let mut writer = session(&cluster, "mallory");
    let writing = std::thread::spawn(move || {
        writer.batch_execute("insert into mallory.t (note, due) select 'x', now() from generate_series(1, 1500000)")
    });
    while !writing.is_finished() {
        assert_in_time(&cluster, &mut bob, 3.0 * control, "while another's rows are captured");
    }
    writing.join().unwrap().unwrap();
    for _ in 0..3 {
        assert_in_time(&cluster, &mut bob, control, "another's captures");
    }
}
