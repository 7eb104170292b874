//! A publication of all tables, as tools that capture changes make it: our own tables are in it, and nothing stops.

use cluster::{Cluster, SOON, all, nothing_unaccounted, one};

#[test]
fn a_publication_of_all_tables_stops_nothing() {
    let cluster = Cluster::ready(&[("wal_level", "logical")]);
    cluster.app_sql(
        "create table outbox (id int primary key);
         create table bill (id int primary key, due timestamptz);
         create index on bill (due);
         create table broken (id int primary key);
         insert into broken values (3);
         create function pay(bill) returns void language plpgsql as $$ begin
             if exists (select from public.broken b where b.id = $1.id) then raise exception 'no money'; end if;
             insert into public.outbox values ($1.id);
         end $$;
         create function tick() returns void language sql as '';",
    );
    cluster.sql("postgres", "create publication everything for all tables");
    cluster.sql("postgres", "select pg_create_logical_replication_slot('reader', 'pgoutput')");
    cluster.app_sql(
        "select jittask.create_date_task('bills', 'bill', 'due', 'pay', max_attempts => 1);
         select jittask.create_scheduled_task('ticks', now() + '1 hour', 'tick', repeat => 'hourly');",
    );
    // Captured rows, some of them together, one that fails and is taken back to be retried.
    cluster.app_sql("insert into bill values (1, now()), (2, now()), (3, now())");
    cluster.app_sql("insert into bill select id, now() + '1 second' from generate_series(4, 103) id");
    cluster.ended_within(SOON, 103);
    cluster.app_sql("delete from broken; select jittask.retry_record(id) from jittask.records where status = 'failed'");
    cluster.wait_for(SOON, "select count(*) = 103 from outbox");
    cluster.app_sql("select jittask.alter_task('bills', '{\"before\": \"1 day\"}')");
    cluster.app_sql(
        "select jittask.pause_task('ticks'); select jittask.resume_task('ticks'); select jittask.drop_task('ticks')",
    );
    let mut session = cluster.connect("postgres");
    nothing_unaccounted(&mut session);
    let problems: Vec<String> = all(&mut session, "select unnest(problems) from jittask.status()");
    assert!(problems.is_empty(), "{problems:?}");
    let read = "select count(*) from pg_logical_slot_get_binary_changes('reader', null, null,
        'proto_version', '1', 'publication_names', 'everything')";
    assert!(one::<i64>(&mut session, read) > 300);
    let log = cluster.log();
    assert!(!log.contains("replica identity"), "{log}");
}
