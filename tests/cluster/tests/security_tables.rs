//! What a DBA does to our tables: indexes of his own, in any state, triggers, constraints, columns. Nobody's runs stop, nobody's
//! writes fail, and each index has all rows.

mod attack;

use attack::{SOON, cluster, session, wait_for};
use cluster::postgres::Client;
use cluster::{Cluster, all, nothing_unaccounted, one};

/// Rows of bob's, batches of them and single ones, and a task that fails for each tenth.
struct Rows<'a> {
    cluster: &'a Cluster,
    bob: Client,
    count: i64,
}

impl<'a> Rows<'a> {
    fn begin(cluster: &'a Cluster) -> Rows<'a> {
        let mut bob = session(cluster, "bob");
        bob.batch_execute(
            "create table bob.t (id bigint primary key, due timestamptz);
             create function bob.run(bob.t) returns text language plpgsql as $$
             begin
                 if $1.id % 10 = 0 then raise 'tenth'; end if;
                 return repeat('x', ($1.id % 7)::int);
             end $$;
             select jittask.create_date_task('rows', 'bob.t', 'due', 'bob.run', max_attempts => 1)",
        )
        .unwrap();
        Rows { cluster, bob, count: 0 }
    }

    /// More rows run: twenty together and one by itself.
    fn run(&mut self) {
        self.begin_run();
        self.end_run();
    }

    fn begin_run(&mut self) {
        let first = self.count + 1;
        let insert = format!("insert into bob.t select id, now() from generate_series({first}, {first} + 20) id");
        self.bob.batch_execute(&insert).unwrap();
        self.bob.batch_execute(&format!("insert into bob.t values ({first} + 21, now())")).unwrap();
        self.count += 22;
    }

    fn end_run(&mut self) {
        let ended =
            format!("select count(*) = {} from jittask.records where status in ('completed', 'failed')", self.count);
        self.cluster.wait_for(SOON, &ended);
    }

    /// Each index has what the table has, each row one record, and nothing is lost.
    fn all_is_right(&self) {
        let mut admin = self.cluster.connect("postgres");
        admin.batch_execute("create extension if not exists amcheck").unwrap();
        admin
            .batch_execute(
                "select bt_index_check(i.indexrelid, true) from pg_index i join pg_class c on c.oid = i.indexrelid
                 where i.indrelid in ('jittask.record'::regclass, 'jittask.capture'::regclass) and c.relam = 403 and i.indisvalid",
            )
            .unwrap();
        let by = |admin: &mut Client, seqscan: &str| -> Vec<i64> {
            admin
                .batch_execute(&format!(
                    "set enable_seqscan = {seqscan}; set enable_bitmapscan = {}; set enable_indexscan = {0}",
                    if seqscan == "on" { "off" } else { "on" }
                ))
                .unwrap();
            [
                "nominal_at > '2000-01-01'",
                "finished_at > '2000-01-01'",
                "started_at > '2000-01-01'",
                "id > 0",
                "id > 0 and status is not null",
                "finished_at > '2000-01-01' and status = 'failed'",
            ]
            .map(|condition| one(admin, &format!("select count(*) from jittask.record where {condition}")))
            .into()
        };
        assert_eq!(by(&mut admin, "off"), by(&mut admin, "on"));
        let failed: i64 = one(&mut admin, "select count(*) from jittask.record where status = 'failed'");
        assert_eq!(failed, self.count / 10);
        let odd: i64 = one(
            &mut admin,
            "select count(*) from jittask.record where reason is not null or due_at is not null or key is null",
        );
        assert_eq!(odd, 0);
        nothing_unaccounted(&mut admin);
    }

    fn is_by_statement(&self) -> bool {
        self.cluster.log().contains("writes records by statements")
    }
}

/// As it is made, the quick way is taken.
#[test]
fn the_table_as_it_is_made_is_known() {
    let cluster = cluster(&[]);
    let mut rows = Rows::begin(&cluster);
    rows.run();
    rows.all_is_right();
    assert!(!rows.is_by_statement(), "{}", cluster.log_tail());
}

/// Index builds that wait for an open transaction in their first phase, when the index is not ready, and are let go on, or
/// cancelled there; under load.
#[test]
fn an_index_that_is_not_ready_stops_nobody() {
    let cluster = cluster(&[]);
    let mut rows = Rows::begin(&cluster);
    rows.run();
    let mut admin = cluster.connect("postgres");
    for (build, is_cancelled) in [
        ("create index concurrently mine on jittask.record (key)", false),
        ("create index concurrently mine_2 on jittask.record (upper(key)) where task_id > 0", true),
        ("create unique index concurrently mine_3 on jittask.record (id)", true),
        ("reindex index concurrently jittask.record_occurrence", false),
        ("reindex index concurrently jittask.record_occurrence", true),
        ("reindex table concurrently jittask.record", false),
        ("drop index concurrently jittask.mine", false),
    ] {
        let mut holder = cluster.connect("postgres");
        holder.batch_execute("begin; lock table jittask.record in row exclusive mode").unwrap();
        let mut builder = cluster.connect("postgres");
        let pid: i32 = one(&mut builder, "select pg_backend_pid()");
        let thread = std::thread::spawn(move || builder.batch_execute(build).map_err(|error| format!("{error:?}")));
        cluster.wait_for(SOON, &format!("select count(*) = 1 from pg_locks where pid = {pid} and not granted"));
        rows.run();
        rows.begin_run();
        if is_cancelled {
            admin.batch_execute(&format!("select pg_cancel_backend({pid})")).unwrap();
            assert!(thread.join().unwrap().is_err(), "{build}");
            holder.batch_execute("rollback").unwrap();
        } else {
            holder.batch_execute("rollback").unwrap();
            assert_eq!(thread.join().unwrap(), Ok(()), "{build}");
        }
        rows.end_run();
        rows.run();
        rows.all_is_right();
    }
    assert!(rows.is_by_statement());
    // Those that were cancelled are left behind, and are made good.
    let left: i64 =
        one(&mut admin, "select count(*) from pg_index where indrelid = 'jittask.record'::regclass and not indisvalid");
    assert!(left >= 3, "{left}");
    admin
        .batch_execute(
            "drop index jittask.mine_2; drop index jittask.mine_3; drop index jittask.record_occurrence_ccnew",
        )
        .unwrap();
    rows.run();
    rows.all_is_right();
}

/// Indexes, constraints and triggers of a DBA's on the records: each is kept, and the triggers fire.
#[test]
fn what_somebody_adds_to_the_records_is_kept() {
    let cluster = cluster(&[]);
    let mut rows = Rows::begin(&cluster);
    rows.run();
    let mut admin = cluster.connect("postgres");
    admin.batch_execute("create table public.seen (id bigint, deferred bool)").unwrap();
    for change in [
        "create index on jittask.record (key)",
        "create index on jittask.record (lower(key)) where attempt is null",
        "create index on jittask.record using hash (task_id)",
        "create unique index on jittask.record (id, task_id)",
        "alter table jittask.record add constraint one unique (id) deferrable initially deferred",
        "alter table jittask.record add constraint apart exclude using btree (id with =)",
        "alter table jittask.record add check (id > 0)",
        "alter table jittask.record alter result set default 'none'",
        "drop index jittask.record_moved",
        "drop index jittask.record_id; create index record_id on jittask.record using brin (id int8_bloom_ops)",
        "drop index jittask.record_id; create index record_id on jittask.record using brin (id)",
        "create function public.see() returns trigger language plpgsql as $$
             begin insert into public.seen values (new.id, tg_argv[0]::bool); return null; end $$;
         create trigger seen after insert on jittask.record for each row execute function public.see('no');
         create constraint trigger seen_later after insert on jittask.record deferrable initially deferred for each row execute function public.see('yes');
         grant insert on public.seen to public",
        "alter table jittask.record set unlogged",
        "alter table jittask.record set logged",
        "alter table jittask.record enable row level security; alter table jittask.record force row level security",
    ] {
        admin.batch_execute(change).unwrap_or_else(|error| panic!("{change}: {error:?}"));
        rows.run();
        rows.all_is_right();
    }
    // The trigger was there for the last four.
    let seen: Vec<String> = all(
        &mut admin,
        "select format('%s %s %s', deferred, count(*), count(distinct id)) from public.seen group by deferred order by deferred",
    );
    assert_eq!(seen, [format!("f {0} {0}", 4 * 22), format!("t {0} {0}", 4 * 22)]);
}

/// Records are stored without the NULLs at their end. A column that is added with a default has it for them, no other has;
/// nor for new ones, whose NULLs are then stored.
#[test]
fn a_new_column_changes_no_record() {
    let cluster = cluster(&[]);
    let mut rows = Rows::begin(&cluster);
    rows.run();
    let mut admin = cluster.connect("postgres");
    let read = |admin: &mut Client| -> Vec<String> {
        all(
            admin,
            "select concat_ws('|', id, nominal_at, started_at, finished_at, task_id, pid, key, coalesce(result, '-'), coalesce(status::text, '-'),
                 coalesce(attempt, -1), coalesce(forced::text, '-'), coalesce(due_at::text, '-'), coalesce(error_code, '-'), coalesce(reason, '-'))
             from jittask.record order by id",
        )
    };
    let before = read(&mut admin);
    admin
        .batch_execute(
            "alter table jittask.record alter reason set default 'why', add column x int default 5, add column y text",
        )
        .unwrap();
    assert_eq!(read(&mut admin), before);
    assert_eq!(one::<i64>(&mut admin, "select count(*) from jittask.record where x = 5 and y is null"), 22);
    rows.run();
    rows.all_is_right();
    let sums = "select format('%s %s %s', count(*), sum(x), count(reason)) from jittask.record";
    let with_new = one::<String>(&mut admin, sums);
    assert_eq!(with_new, format!("{0} {1} 0", 44, 44 * 5));
    for rewrite in [
        "vacuum full jittask.record",
        "cluster jittask.record using record_occurrence",
        "alter table jittask.record alter x type bigint",
    ] {
        admin.batch_execute(rewrite).unwrap();
        assert_eq!(read(&mut admin)[..], read(&mut admin)[..]);
        assert_eq!(one::<String>(&mut admin, sums), with_new, "{rewrite}");
    }
    assert!(before.iter().all(|record| read(&mut admin).contains(record)));
    admin.batch_execute("alter table jittask.record drop column x, drop column y").unwrap();
    rows.run();
    rows.all_is_right();
}

/// A DBA's index or trigger on the candidates: each is kept if it can be, and no user's write fails by it.
#[test]
fn what_somebody_adds_to_the_candidates_fails_no_write() {
    let cluster = cluster(&[("jittask.scan_interval", "1h")]);
    let mut rows = Rows::begin(&cluster);
    rows.run();
    let mut admin = cluster.connect("postgres");
    for change in [
        "create index one on jittask.capture (token)",
        "create index two on jittask.capture (lower(keys[1])) where is_dated",
        "create index three on jittask.capture using gin (keys)",
        "create unique index four on jittask.capture ((1)) where token <> 0",
        "drop index jittask.four; alter table jittask.capture add check (token = 0) not valid",
        "alter table jittask.capture drop constraint capture_token_check; alter table jittask.capture add column more int not null default 1",
        "create function public.no() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
         create trigger no before insert on jittask.capture for each row execute function public.no()",
    ] {
        admin.batch_execute(change).unwrap_or_else(|error| panic!("{change}: {error:?}"));
        rows.run();
        // Also in savepoints, in a transaction of many parts, prepared or not.
        let first = rows.count + 1;
        rows.bob
            .batch_execute(&format!(
                "begin; savepoint a; insert into bob.t values ({first}, now()); rollback to a; insert into bob.t values ({first}, now());
                 savepoint b; insert into bob.t select id, now() from generate_series({first} + 1, {first} + 9) id; commit"
            ))
            .unwrap_or_else(|error| panic!("{change}: {error:?}"));
        rows.count += 10;
        rows.end_run();
        rows.all_is_right();
        // What can be kept is kept, also at the commit.
        let is_noted = !cluster.log().contains("cannot note candidates");
        assert!(is_noted || !change.starts_with("create index"), "{change}");
    }
    wait_for(&cluster, "rows", "failed", rows.count / 10);
}

/// Rows of all kinds in a table of this name, and a task for them: results of all lengths, own errors, a filter that they do not
/// meet any more, second attempts, keys of all sorts.
fn all_kinds(bob: &mut Client, table: &str, due: &str) {
    bob.batch_execute(&format!(
        "create table bob.{table} (k text, n int, due timestamptz, fits boolean default true, primary key (k, n)); create index on bob.{table} (due);
         create sequence bob.{table}_tries;
         create function bob.run(r bob.{table}) returns text language plpgsql as $$
         begin
             if r.n % 11 = 0 then raise 'no luck with %', r.k using errcode = 'P0042', detail = 'détail', hint = repeat('h', r.n); end if;
             if r.n = 55 + 1 and nextval('bob.{table}_tries') = 1 then raise 'try again'; end if;
             update bob.{table} set fits = false where n = r.n + 1 and n % 17 = 0;
             return case r.n % 5 when 0 then null when 1 then '' when 2 then 'done' when 3 then repeat('ü', r.n * 20) else e'a\\nb\\t\"c\"' end;
         end $$;
         select jittask.create_date_task('{table}', 'bob.{table}', 'due', 'bob.run(bob.{table})', filter => 'fits', max_attempts => 2,
             retry_backoff => '10 ms');
         insert into bob.{table} select case n % 4 when 0 then 'plain' when 1 then repeat('long', 30) when 2 then e'q\"\\\\\\n' else '合同' end, n,
             '{due}'::timestamptz - n / 40 * interval '1 second'
         from generate_series(1, 200) n"
    ))
    .unwrap();
}

/// The quick way of writing records and plain INSERT write the same, column by column.
#[test]
fn both_ways_of_writing_write_the_same() {
    let cluster = cluster(&[]);
    let (mut bob, mut admin) = (session(&cluster, "bob"), cluster.connect("postgres"));
    let due: String = one(&mut admin, "select date_trunc('second', now() - interval '5 seconds')::text");
    let is_by_statement = || cluster.log().contains("writes records by statements");
    let mut written = Vec::new();
    for table in ["by_tuple", "by_statement"] {
        if table == "by_statement" {
            admin.batch_execute("create index mine on jittask.record (upper(key)) where id > 0").unwrap();
        }
        all_kinds(&mut bob, table, &due);
        cluster.wait_for(
            SOON,
            &format!("select count(*) = 200 from jittask.records where task = '{table}' and finished_at is not null and status <> 'pending'"),
        );
        assert_eq!(is_by_statement(), table == "by_statement", "{}", cluster.log_tail());
        let rows: Vec<String> = all(
            &mut admin,
            &format!(
                "select replace(concat_ws('|', key, nominal_at, coalesce(status::text, '-'), coalesce(attempt::text, '-'), coalesce(forced::text, '-'),
                     coalesce(due_at::text, '-'), coalesce(error_code, '-'), coalesce(error, '-'), coalesce(error_context, '-'),
                     coalesce(reason, '-'), coalesce(result, '-'), started_at is null, finished_at >= started_at, pid is null), '{table}', 'table')
                 from jittask.record where task_id = (select id from jittask.task where name = '{table}') order by key collate \"C\""
            ),
        );
        written.push(rows);
    }
    assert_eq!(written[0].len(), 200);
    assert_eq!(written[0], written[1]);
    let kinds: Vec<String> = all(
        &mut admin,
        "select distinct k from (select concat_ws(' ', coalesce(status::text, '-'), coalesce(attempt::text, '-'), reason) collate \"C\" as k from jittask.record) r order by k",
    );
    assert_eq!(kinds, ["- -", "- 2", "failed 2", "skipped 0 filter"], "all kinds are among them");
    nothing_unaccounted(&mut admin);
}
