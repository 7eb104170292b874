//! Who may say that an occurrence has run? Only its own record: none of another task, and of no other key.

mod attack;

use attack::{SOON, cluster, number, session, wait_for};
use cluster::postgres::Client;
use cluster::{all, nothing_unaccounted, one};

/// A table of bob's with text keys, whose function counts its calls in a sequence, which no rollback undoes.
const TABLE: &str = "create table bob.t (k text not null, due timestamptz);
    create sequence bob.calls;
    create function bob.run(bob.t) returns void language sql as $$ select nextval('bob.calls') $$;";

fn calls(bob: &mut Client) -> i64 {
    number(bob, "select case when is_called then last_value else 0 end from bob.calls")
}

/// What stands for a key in the index stands for no other: short keys for themselves, long ones for a digest that no short
/// one can look like.
#[test]
fn the_identity_of_a_key_is_no_other_keys() {
    let cluster = cluster(&[]);
    let mut admin = cluster.connect("postgres");
    // All lengths around the limit, of characters that begin or end like others' lengths and digests do.
    let odd: Vec<String> = all(
        &mut admin,
        "with keys (k) as (
             select distinct repeat(c, n) || e from generate_series(0, 70) n, unnest(array['1', '9', 'é', E'\\x01', E'\\x1f', ' ', '!', 'ÿ']) c,
                 unnest(array['', '0', E'\\x01', ' ', 'é']) e)
         select format('%s and %s', min(k), max(k)) from keys group by jittask.key_identity(k) having count(*) > 1",
    );
    assert!(odd.is_empty(), "{odd:?}");
    let odd: Vec<String> = all(
        &mut admin,
        "select k from (select repeat('ab', n) || e from generate_series(0, 40) n, unnest(array['', 'c']) e) v (k)
         where jittask.key_identity(k) is distinct from case when octet_length(k) <= 32
             then set_byte('\\x00', 0, octet_length(k)) || convert_to(k, 'UTF8') end
             and not (octet_length(k) > 32 and octet_length(jittask.key_identity(k)) = 33 and get_byte(jittask.key_identity(k), 0) = 255)",
    );
    assert!(odd.is_empty(), "{odd:?}");
    // It must never change: BLAKE3 of 33 letters, as its own program gives it.
    let long: String = one(&mut admin, "select encode(jittask.key_identity(repeat('a', 33)), 'hex')");
    assert_eq!(long, format!("ff{}", DIGEST_OF_33_LETTERS));
    // Numbers that are written in ascending order lie so.
    let are_ascending: bool = one(
        &mut admin,
        "select bool_and(jittask.key_identity(n::text) < jittask.key_identity((n + 1)::text)) from generate_series(0, 20000) n",
    );
    assert!(are_ascending);
}

const DIGEST_OF_33_LETTERS: &str = "22b5445fa5b25e0ec1f12c706e28e6e228a4099e7bb135c39dfdeb088a3d848d";

/// Records of another task, of the same keys and the same instant, and of whatever else, make nothing of the victim's done.
#[test]
fn records_of_another_task_are_not_ones_own() {
    let cluster = cluster(&[]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(TABLE).unwrap();
    bob.batch_execute("select jittask.create_date_task('victim', 'bob.t', 'due', 'bob.run', key_columns => '{k}')")
        .unwrap();
    let mut mallory = session(&cluster, "mallory");
    mallory
        .batch_execute(
            "create table mallory.t (k text not null, due timestamptz);
             create function mallory.run(mallory.t) returns void language sql as '';
             select jittask.create_date_task('mine', 'mallory.t', 'due', 'mallory.run', key_columns => '{k}')",
        )
        .unwrap();
    let due: String = one(&mut bob, "select (clock_timestamp() + interval '4 seconds')::text");
    let keys = "select k from unnest(array['', '1', 'a', repeat('b', 29), repeat('b', 30), repeat('b', 31), repeat('c', 310)]) k";
    mallory.batch_execute(&format!("insert into mallory.t select k, '{due}' from ({keys}) k (k)")).unwrap();
    // Planted before the victim's are planned: what she can do by cancelling her own, and more than she can do.
    cluster.wait_for(SOON, "select count(*) = 7 from jittask.records where task = 'mine'");
    mallory.batch_execute("select jittask.cancel_record(id) from jittask.records where task = 'mine'").unwrap();
    wait_for(&cluster, "mine", "cancelled", 7);
    cluster.sql(
        "postgres",
        "insert into jittask.record (id, nominal_at, finished_at, task_id, key)
         select 1, r.nominal_at, now(), r.task_id + i, r.key from jittask.record r, generate_series(-3, 3) i
         where r.task_id + i not in (select id from jittask.task)",
    );
    bob.batch_execute(&format!("insert into bob.t select k, '{due}' from ({keys}) k (k)")).unwrap();
    wait_for(&cluster, "victim", "completed", 7);
    assert_eq!(calls(&mut bob), 7);
    nothing_unaccounted(&mut cluster.connect("postgres"));
}

/// Of two long keys that differ in one character each runs, once; again in a second look at the same window.
#[test]
fn long_keys_that_are_alike_run_each() {
    let cluster = cluster(&[("jittask.scan_interval", "1s")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(TABLE).unwrap();
    bob.batch_execute("select jittask.create_date_task('alike', 'bob.t', 'due', 'bob.run', key_columns => '{k}')")
        .unwrap();
    bob.batch_execute(
        "insert into bob.t select repeat('x', n) || c || repeat('x', 310 - n), now() + interval '1 second' from generate_series(0, 310, 10) n, unnest(array['a', 'b']) c",
    )
    .unwrap();
    wait_for(&cluster, "alike", "completed", 64);
    // The change counters move, so the window is looked through again.
    bob.batch_execute("insert into bob.t values ('new', now())").unwrap();
    wait_for(&cluster, "alike", "completed", 65);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(calls(&mut bob), 65);
}

/// Keys of kilobytes and of a megabyte, captured by trigger and found by a scan, also very many bytes of them together.
#[test]
fn very_long_keys_run_as_others_do() {
    let cluster = cluster(&[("jittask.scan_interval", "1s")]);
    let mut bob = session(&cluster, "bob");
    bob.batch_execute(TABLE).unwrap();
    bob.batch_execute(
        "create view bob.v as select * from bob.t;
         create function bob.run_v(bob.v) returns void language sql as $$ select nextval('bob.calls') $$;
         select jittask.create_date_task('captured', 'bob.t', 'due', 'bob.run', key_columns => '{k}'),
             jittask.create_date_task('scanned', 'bob.v', 'due', 'bob.run_v', key_columns => '{k}', capture => 'scan');
         insert into bob.t select n || repeat(md5(n::text), 250), now() + interval '3 seconds' from generate_series(1, 300) n;
         insert into bob.t select n || repeat(md5(n::text), 32000), now() + interval '3 seconds' from generate_series(1, 20) n",
    )
    .unwrap();
    wait_for(&cluster, "captured", "completed", 320);
    wait_for(&cluster, "scanned", "completed", 320);
    assert_eq!(calls(&mut bob), 640);
    let mut admin = cluster.connect("postgres");
    let wrong = number(
        &mut admin,
        "select count(*) from jittask.records r where not exists (select from bob.t where k = r.row_key ->> 'k')",
    );
    assert_eq!(wrong, 0);
    nothing_unaccounted(&mut admin);
}

/// Two sessions that create tasks of different names do not wait for each other.
#[test]
fn different_names_do_not_share_a_lock() {
    let cluster = cluster(&[]);
    let (mut bob, mut mallory) = (session(&cluster, "bob"), session(&cluster, "mallory"));
    mallory
        .batch_execute("begin; select jittask.create_scheduled_task('m', now() + '1 day', body => 'null', name => 'm')")
        .unwrap();
    for name in ["a", "bb", "ccccccc", "dddddddd"] {
        bob.batch_execute(&format!(
            "set lock_timeout = '2s'; select jittask.create_scheduled_task('{name}', now() + '1 day', body => 'null', name => '{name}')"
        ))
        .unwrap();
    }
    mallory.batch_execute("rollback").unwrap();
}
