//! The sessions that change rows before, and a few after, the instant. Each has ids of its own.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cluster::Cluster;
use cluster::postgres::Client;

use crate::literal;

type Writer = fn(&Cluster, DateTime<Utc>);

/// All of them, with what they are there for.
pub const ALL: &[(&str, Writer)] = &[
    ("plain statements", plain),
    ("COPY", copy),
    ("MERGE", merge),
    ("ON CONFLICT", on_conflict),
    ("a transaction older than the horizon, with changes of its own", repeatable_read_wrote_before),
    ("a snapshot older than the horizon", repeatable_read_looked_before),
    ("savepoints", savepoints),
    ("PREPARE TRANSACTION", prepared),
    ("a session whose triggers do not fire", replica),
    ("TRUNCATE", truncate),
    ("partitions", partitions),
    ("what has no trigger", untriggered),
    ("changes after the instant", afterwards),
];

/// Runs statements in which `:due` is the instant, `:k` a number.
fn run(session: &mut Client, due: DateTime<Utc>, k: i64, text: &str) {
    let text = text.replace(":due", &literal(due)).replace(":k", &k.to_string());
    session.batch_execute(&text).unwrap_or_else(|error| panic!("{error:?}\nin: {text}"));
}

/// Waits for a time of the clock: `before` the instant.
fn until(due: DateTime<Utc>, before: Duration) {
    while let Ok(left) = (due - Utc::now() - chrono::Duration::from_std(before).unwrap()).to_std() {
        sleep(left);
    }
}

/// Waits until the horizon has passed the instant, so that the rows of this task are planned.
fn planned(cluster: &Cluster, due: DateTime<Utc>, task: &str) {
    cluster.wait_for(
        Duration::from_secs(60),
        &format!("select exists (select from jittask.records where task = '{task}' and due_at = {})", literal(due)),
    );
}

fn plain(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..20 {
        until(due, Duration::from_millis(2500 + 1000 * (19 - k as u64)));
        let mut step = |text| run(&mut session, due, k, text);
        step("insert into item select 300000 + :k * 10 + i, :due + i * interval '300 ms' from generate_series(0, 4) i");
        step(
            "update item set due = :due + :k * interval '100 ms' where id between 30000 + :k * 10 and 30004 + :k * 10",
        );
        step("update item set due = :due + interval '2500 ms' where id between 100 + :k * 10 and 104 + :k * 10");
        step("update item set due = :due + interval '3 days' where id between 1000 + :k * 10 and 1004 + :k * 10");
        step("update item set live = false where id between 2000 + :k * 10 and 2004 + :k * 10");
        step("update item set live = true where id between 2000 + :k * 10 and 2001 + :k * 10");
        step("delete from item where id between 3000 + :k * 10 and 3004 + :k * 10");
        step("update item set due = :due + interval '2 days' where id between 4000 + :k * 10 and 4004 + :k * 10");
        step("update item set due = :due where id between 4000 + :k * 10 and 4002 + :k * 10");
        step("update item set due = null where id between 5000 + :k * 10 and 5001 + :k * 10");
        step("update item set due = 'infinity' where id between 5002 + :k * 10 and 5003 + :k * 10");
        step("update item set id = id + 320000 where id between 6000 + :k * 10 and 6002 + :k * 10");
    }
}

fn copy(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..4_i64 {
        until(due, Duration::from_secs(3 + 4 * k as u64));
        let mut writer = session.copy_in("copy item (id, due) from stdin").unwrap();
        for i in 0..30 {
            let at = due + chrono::Duration::milliseconds(i * 150);
            writeln!(writer, "{}\t{}", 302_000 + k * 100 + i, at.to_rfc3339()).unwrap();
        }
        writer.finish().unwrap();
    }
}

fn merge(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..4 {
        until(due, Duration::from_secs(3 + 4 * k as u64));
        let text = "merge into item using (select id from generate_series(40000 + :k * 100, 40009 + :k * 100) id
                           union all select id from generate_series(7000 + :k * 100, 7009 + :k * 100) id
                           union all select id from generate_series(303000 + :k * 100, 303009 + :k * 100) id) wanted
                    on item.id = wanted.id
                    when matched and item.id < 20000 then delete
                    when matched then update set due = :due + interval '1 second'
                    when not matched then insert (id, due) values (wanted.id, :due + interval '1100 ms')";
        run(&mut session, due, k, text);
    }
}

fn on_conflict(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..4 {
        until(due, Duration::from_secs(3 + 4 * k as u64));
        let text = "insert into item select id, :due + interval '700 ms'
                    from (select 50000 + :k * 100 + i from generate_series(0, 9) i
                          union all select 304000 + :k * 100 + i from generate_series(0, 9) i) wanted (id)
                    on conflict (id) do update set due = excluded.due";
        run(&mut session, due, k, text);
        let text = "insert into item select 8000 + i, :due + interval '700 ms' from generate_series(0, 9) i on conflict do nothing";
        run(&mut session, due, k, text);
    }
}

fn repeatable_read_wrote_before(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    let text = "begin isolation level repeatable read;
                insert into item select 305000 + i, :due + interval '200 ms' from generate_series(0, 19) i;
                update item set due = :due + interval '300 ms' where id between 60000 and 60019;
                update item set due = :due + interval '4 days' where id between 9000 and 9009;";
    run(&mut session, due, 0, text);
    planned(cluster, due, "item");
    let text = "insert into item select 305100 + i, :due + interval '200 ms' from generate_series(0, 19) i;
                update item set due = :due + interval '300 ms' where id between 60100 and 60119;
                delete from item where id between 9010 and 9019;";
    run(&mut session, due, 0, text);
    until(due, Duration::from_millis(2500));
    session.batch_execute("commit").unwrap();
}

fn repeatable_read_looked_before(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    run(&mut session, due, 0, "begin isolation level repeatable read; select count(*) from item where id < 10;");
    planned(cluster, due, "item");
    let text = "insert into item select 306000 + i, :due from generate_series(0, 19) i;
                update item set due = :due + interval '1500 ms' where id between 61000 and 61019;
                update item set due = :due + interval '1500 ms' where id between 9100 and 9109;
                delete from item where id between 9110 and 9119; commit;";
    run(&mut session, due, 0, text);
}

fn savepoints(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..3 {
        until(due, Duration::from_secs(3 + 6 * k as u64));
        let text = "begin; savepoint a;
                    insert into item select 307000 + :k * 100 + i, :due from generate_series(0, 9) i;
                    rollback to a; savepoint b;
                    update item set due = :due + interval '40 ms' where id between 62000 + :k * 100 and 62009 + :k * 100;
                    release b; savepoint c;
                    update item set due = :due + interval '1 day' where id between 10000 + :k * 100 and 10009 + :k * 100;
                    rollback to c;
                    do $$ begin
                        insert into item select 307000 + :k * 100 + i, :due from generate_series(0, 9) i;
                        perform 1 / 0;
                    exception when division_by_zero then
                        insert into item select 307020 + :k * 100 + i, :due from generate_series(0, 9) i;
                    end $$;
                    commit;
                    begin; update item set due = :due where id between 62050 and 62059; rollback;";
        run(&mut session, due, k, text);
    }
}

fn prepared(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    let text = "begin;
                insert into item select 308000 + i, :due + interval '500 ms' from generate_series(0, 19) i;
                update item set due = :due where id between 63000 and 63019;
                delete from item where id between 11000 and 11009;
                prepare transaction 'kept';";
    run(&mut session, due, 0, text);
    let text = "begin;
                insert into item select 308100 + i, :due + interval '500 ms' from generate_series(0, 19) i;
                update item set due = :due + interval '1 day' where id between 11100 and 11109;
                prepare transaction 'thrown away';";
    run(&mut session, due, 0, text);
    planned(cluster, due, "item");
    until(due, Duration::from_millis(2500));
    let mut other = cluster.app();
    other.batch_execute("commit prepared 'kept'").unwrap();
    other.batch_execute("rollback prepared 'thrown away'").unwrap();
}

fn replica(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.connect("postgres");
    session.batch_execute("set session_replication_role = replica").unwrap();
    for k in 0..4 {
        until(due, Duration::from_secs(5 + 4 * k as u64));
        let text = "insert into item select 309000 + :k * 100 + i, :due from generate_series(0, 9) i;
                    update item set due = :due where id between 64000 + :k * 100 and 64009 + :k * 100;
                    delete from item where id between 12000 + :k * 100 and 12004 + :k * 100;";
        run(&mut session, due, k, text);
    }
}

fn truncate(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    planned(cluster, due, "gone");
    let text = "begin; truncate gone;
                insert into gone select id, :due from generate_series(1, 5) id;
                insert into gone select id, :due + interval '1 second' from generate_series(201, 210) id; commit;";
    run(&mut session, due, 0, text);
    run(&mut session, due, 0, "begin; truncate gone; rollback;");
}

fn partitions(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    let mut step = |text| run(&mut session, due, 0, text);
    step("insert into part_w select id, 'w', :due from generate_series(1, 20) id");
    step("update part set region = 's' where id between 100 and 109 and region = 'n'");
    planned(cluster, due, "part");
    step("update part set region = 's' where id between 120 and 139 and region = 'n'");
    step(
        "update part set region = 'n', due = :due + interval '1 second' where id between 140 and 169 and region = 's'",
    );
    step("update part set due = :due + interval '2 days' where id between 170 and 179");
    step(
        "begin; insert into history (src, key, due) select 'part', id || '/' || region, due from part_w;
         alter table part attach partition part_w for values in ('w'); commit;",
    );
    step("insert into part select id, 'w', :due + interval '500 ms' from generate_series(30, 40) id");
    step("update part set region = 'w' where id between 200 and 209");
    step("delete from part where id between 210 and 219");
}

fn untriggered(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for (k, table) in ["under_view", "elsewhere"].into_iter().enumerate() {
        until(due, Duration::from_secs(12 - 2 * k as u64));
        let mut step = |text: &str| run(&mut session, due, 0, &text.replace("base", table));
        step("insert into base select id, :due + id * interval '20 ms' from generate_series(1, 60) id");
        step("update base set due = :due + interval '1 day' where id between 11 and 15");
        step("delete from base where id between 21 and 25");
        step("update base set due = :due where id between 31 and 35");
    }
    // What the view hides is not a row of the view.
    session.batch_execute("update history set due = null where src = 'seen' and key::int % 7 = 0").unwrap();
}

fn afterwards(cluster: &Cluster, due: DateTime<Utc>) {
    let mut session = cluster.app();
    for k in 0..4 {
        while Utc::now() < due + chrono::Duration::milliseconds(300 * (k + 1)) {
            until(due + chrono::Duration::milliseconds(300 * (k + 1)), Duration::ZERO);
        }
        let text = "insert into item select 310000 + :k * 100 + i, clock_timestamp() + interval '1500 ms' from generate_series(0, 9) i;
                    update item set due = clock_timestamp() + interval '2 seconds' where id between 65000 + :k * 100 and 65009 + :k * 100;
                    insert into item select 311000 + :k * 100 + i, clock_timestamp() - interval '1 second' from generate_series(0, 4) i;";
        run(&mut session, due, k, text);
    }
}
