//! What a function leaves behind in its session, 1,000 times, reaches neither the next task nor, of its settings, the
//! next row.

use cluster::postgres::Client;
use cluster::{Cluster, all, nothing_unaccounted, one};

/// `litter` leaves all it can, `look` says what a session is like; both are tasks on the same rows.
const SCHEMA: &str = "
create table contract (id int primary key, due timestamptz);
create index on contract (due);
create table outbox (who text, state text);
create function state() returns text language sql as $$
    select concat_ws(' | ', current_user, session_user, current_setting('role'), (select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
        where name in ('default_transaction_read_only', 'transaction_read_only', 'search_path', 'row_security', 'DateStyle', 'TimeZone',
                       'statement_timeout', 'work_mem', 'default_transaction_isolation', 'transaction_isolation')))
$$;
create function objects() returns text language sql as $$
    -- 100 ms are jittask's own, while rows share a transaction.
    select format('lock_timeout %s, %s temporary relations, %s prepared statements, %s cursors, %s advisory locks',
        case when current_setting('lock_timeout') in ('0', '100ms') then 'its own' else current_setting('lock_timeout') end, (select count(*) from pg_class where relnamespace = pg_my_temp_schema()), (select count(*) from pg_prepared_statements),
        (select count(*) from pg_cursors where is_holdable),
        (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()))
$$;
create function litter() returns void language plpgsql as $$
begin
    set default_transaction_read_only = on; set search_path = pg_temp, pg_catalog; set row_security = off; set DateStyle = 'SQL, DMY';
    set TimeZone = 'Asia/Tokyo'; set lock_timeout = '1ms'; set role helper; set work_mem = '9MB';
    set default_transaction_isolation = serializable;
    perform set_config('transaction_read_only', 'on', false), set_config('app.secret', 'left behind', false);
end $$;
create function litter_more(contract) returns void language plpgsql as $$
begin
    insert into public.outbox values ('litter', public.state());
    create temp table if not exists scratch (id int);
    if not exists (select from pg_prepared_statements where name = 'kept') then execute 'prepare kept as select 1'; end if;
    if not exists (select from pg_cursors where name = 'held') then execute 'declare held cursor with hold for select 1'; end if;
    perform pg_advisory_lock($1.id), setval('counter', $1.id), nextval('counter');
    perform public.litter();
end $$;
create sequence counter;
create function look(contract) returns void language sql as
    $$ insert into public.outbox values ('look', public.state() || ' | ' || public.objects() || coalesce(nullif(current_setting('app.secret', true), ''), '')) $$;";

const ROWS: i64 = 1000;

fn states(session: &mut Client, who: &str) -> Vec<String> {
    all(
        session,
        &format!("select format('%s times %s', count(*), state) from outbox where who = '{who}' group by state"),
    )
}

#[test]
fn leftovers_of_a_thousand_runs_reach_nobody() {
    // One executor, so that it is one session in which both tasks take turns.
    let cluster = Cluster::ready(&[("jittask.max_executors", "1"), ("max_locks_per_transaction", "1024")]);
    cluster.sql("postgres", "create role helper; grant helper to app; grant create, usage on schema public to helper");
    cluster.app_sql(SCHEMA);
    cluster.app_sql(
        "select jittask.create_date_task('litter', 'contract', 'due', 'litter_more', max_attempts => 1),
             jittask.create_date_task('look', 'contract', 'due', 'look', after => '4 ms', max_attempts => 1)",
    );
    let mut session = cluster.app();
    // Where the machine is slow, the executor lets some rows of one task go together: more rows, then.
    let (mut rows, mut switches) = (0, 0);
    while rows < ROWS || switches < ROWS {
        let insert = format!(
            "insert into contract select id, now() + interval '0.5 seconds' + (id - {rows}) * interval '8 ms'
             from generate_series({rows} + 1, {rows} + 200) id"
        );
        session.batch_execute(&insert).unwrap();
        rows += 200;
        cluster.ended(2 * rows);
        switches = one(
            &mut session,
            "select count(*) from (select task, lag(task) over (order by started_at) as before from jittask.records) r where task <> before",
        );
    }
    let failed: Vec<String> = all(
        &mut session,
        "select distinct concat_ws(' ', task, status, error) from jittask.records where status <> 'completed'",
    );
    assert!(failed.is_empty(), "{failed:#?}");
    let clean = "app | app | none | DateStyle=ISO, MDY TimeZone=UTC default_transaction_isolation=read committed default_transaction_read_only=off \
                 row_security=on search_path=\"$user\", public statement_timeout=0 \
                 transaction_isolation=read committed transaction_read_only=off work_mem=4096";
    let nothing = "lock_timeout its own, 0 temporary relations, 0 prepared statements, 0 cursors, 0 advisory locks";
    assert_eq!(states(&mut session, "look"), [format!("{rows} times {clean} | {nothing}")]);
    assert_eq!(states(&mut session, "litter"), [format!("{rows} times {clean}")]);
    println!("{switches} times the session passed from one task to the other");
    let sessions: i64 = one(&mut session, "select count(distinct pid) from jittask.records");
    assert_eq!(sessions, 1);
    nothing_unaccounted(&mut session);
}

/// Rows of one batch, in one transaction: of settings, each finds what the first found.
#[test]
fn settings_of_a_thousand_rows_reach_no_other_row() {
    let cluster = Cluster::ready(&[]);
    cluster.sql("postgres", "create role helper; grant helper to app; grant create, usage on schema public to helper");
    cluster.app_sql(SCHEMA);
    cluster.app_sql(&format!(
        "select jittask.create_date_task('litter', 'contract', 'due', 'litter_more', max_attempts => 1);
         insert into contract select id, now() from generate_series(1, {ROWS}) id"
    ));
    cluster.ended(ROWS);
    let mut session = cluster.app();
    assert_eq!(states(&mut session, "litter").len(), 1, "{:#?}", states(&mut session, "litter"));
    let completed: i64 = one(&mut session, "select count(*) from jittask.records where status = 'completed'");
    assert_eq!(completed, ROWS);
    nothing_unaccounted(&mut session);
}
