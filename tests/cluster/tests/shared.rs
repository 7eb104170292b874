//! Rows at instants of their own share transactions when many are due, and so do rows that were put aside; and yet none
//! suffers for another.

use cluster::{Cluster, SOON, all, nothing_unaccounted, one};

const SCHEMA: &str = "
create table bill (id int primary key, due timestamptz);
create index on bill (due);
create table outbox (id int);
create table checked (id int unique deferrable initially deferred);
insert into checked values (777);
create function remind(bill) returns void language plpgsql as $$
begin
    insert into outbox values ($1.id);
    if $1.id % 100 = 0 then raise 'cannot remind %', $1.id using errcode = 'P0100'; end if;
    -- Fails at the commit only.
    if $1.id = 777 then insert into checked values (777); end if;
end $$;
select jittask.create_date_task('bill', 'bill', 'due', 'remind', max_attempts => 1);";

#[test]
fn rows_at_instants_of_their_own() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(SCHEMA);
    cluster.app_sql("insert into bill select id, now() - id * interval '1 ms' from generate_series(1, 5000) id");
    cluster.ended_within(SOON, 5000);
    let mut session = cluster.app();
    let odd: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', row_key, status, attempt, error_code, error) from jittask.records
         where (status, attempt, coalesce(error_code, '')) is distinct from (
             case when (row_key ->> 'id')::int % 100 = 0 or row_key ->> 'id' = '777' then 'failed'::jittask.record_status else 'completed' end, 1,
             case when (row_key ->> 'id')::int % 100 = 0 then 'P0100' when row_key ->> 'id' = '777' then '23505' else '' end)",
    );
    assert_eq!(odd, Vec::<String>::new());
    assert_eq!(one::<i64>(&mut session, "select count(*) from outbox"), 4949);
    assert_eq!(one::<i64>(&mut session, "select count(distinct id) from outbox"), 4949);
    let transactions: i64 = one(&mut session, "select count(distinct xmin::text) from outbox");
    println!("4,949 rows in {transactions} transactions");
    assert!(transactions < 4000, "{transactions} transactions");
    nothing_unaccounted(&mut session);
}

const NOTES: &str = "
create table note (id int primary key, due timestamptz);
create index on note (due);
create table side (id int primary key, seen int not null default 0);
insert into side (id) select generate_series(1, 2000);
create function see(note) returns void language plpgsql as $$
begin
    update side set seen = seen + 1 where id = $1.id;
    if $1.id > 1000 then raise 'cannot see %', $1.id; end if;
end $$;
select jittask.create_date_task('notes', 'note', 'due', 'see', max_attempts => 1);";

#[test]
fn rows_that_fail() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(NOTES);
    cluster.app_sql("insert into note select id, now() from generate_series(501, 1500) id");
    cluster.ended_within(SOON, 1000);
    let mut session = cluster.connect("postgres");
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where status = 'failed'"), 500);
    assert_eq!(one::<i64>(&mut session, "select sum(seen) from side"), 500);
    let transactions: i64 =
        one(&mut session, "select count(distinct xmin::text) from jittask.record where status = 'failed'");
    println!("500 rows failed in {transactions} transactions");
    assert!(transactions < 250, "{transactions} transactions");
    nothing_unaccounted(&mut session);
}

#[test]
fn one_that_waits_for_a_lock_holds_none_that_others_wait_for() {
    let cluster = Cluster::ready(&[("jittask.max_executors", "1")]);
    cluster.app_sql(NOTES);
    // After the first has brought its process down all others run by themselves, or share a transaction under savepoints.
    cluster.app_sql(
        "create or replace function see(note) returns void language plpgsql as $$
         begin
             if $1.id = 1 then perform pg_terminate_backend(pg_backend_pid()), pg_sleep(10); end if;
             update side set seen = seen + 1 where id = $1.id;
         end $$",
    );
    let (mut first, mut second) = (cluster.app(), cluster.app());
    first.batch_execute("begin; select from side where id = 2 for update").unwrap();
    cluster.app_sql("insert into note select id, now() from generate_series(1, 8) id");
    let waits = |id: i32| format!("select count(*) = 1 from jittask.progress where row_key ->> 'id' = '{id}'");
    cluster.wait_for(SOON, "select count(*) = 7 from jittask.agenda where origin = 'a'");
    cluster.wait_for(SOON, &waits(2));
    second.batch_execute("begin; select from side where id = 5 for update").unwrap();
    first.batch_execute("commit").unwrap();
    // Those before it end, and hold no lock any more.
    let ended = "select string_agg(status || ' ' || (row_key ->> 'id'), ', ' order by id) = 'failed 1, completed 2, completed 3, completed 4'
                 from jittask.records where finished_at is not null";
    cluster.wait_for(SOON, ended);
    cluster.wait_for(SOON, &waits(5));
    cluster.app_sql("set lock_timeout = '10ms'; update side set seen = seen where id < 5");
    second.batch_execute("commit").unwrap();
    cluster.ended_within(SOON, 8);
    let mut session = cluster.app();
    assert_eq!(one::<i64>(&mut session, "select count(*) from side where seen = 1"), 7);
    assert_eq!(one::<i64>(&mut session, "select count(*) from jittask.records where attempt <> 1"), 0);
    nothing_unaccounted(&mut session);
}

#[test]
fn rows_that_bear_no_company() {
    let cluster = Cluster::ready(&[]);
    cluster.app_sql(
        "create table call (id int primary key, due timestamptz); create index on call (due);
         create table at (executor int default pg_backend_pid(), transaction timestamptz default now(), unique (executor, transaction));
         create function once(call) returns void language plpgsql as $$
         begin
             create temporary table once (id int) on commit drop;
             if $1.id % 10 = 0 then raise 'no'; end if;
         end $$;
         create function stamp(call) returns void language sql as $$ insert into at default values $$;
         select jittask.create_date_task('once', 'call', 'due', 'once', max_attempts => 1);
         select jittask.create_date_task('stamp', 'call', 'due', 'stamp', max_attempts => 1);
         insert into call select id, now() from generate_series(1, 100) id;
         insert into call select id, now() - id * interval '1 ms' from generate_series(101, 200) id;",
    );
    cluster.ended_within(SOON, 400);
    let mut session = cluster.app();
    let ended: Vec<String> = all(
        &mut session,
        "select concat_ws(' ', task, status, attempt, count(*), error) from jittask.records group by task, status, attempt, error order by 1",
    );
    assert_eq!(ended, ["once completed 1 180", "once failed 1 20 no", "stamp completed 1 200"]);
    nothing_unaccounted(&mut session);
}
