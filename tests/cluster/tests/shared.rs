//! Rows at instants of their own share transactions when many are due; and yet none suffers for another.

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
