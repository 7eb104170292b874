//! Names that are no plain words, of whatever has a name: what is said of one object must never be read as another, or as SQL.

mod attack;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use attack::{code, number, text};
use cluster::Cluster;
use cluster::postgres::Client;

/// Names that mean something else where they are not quoted, or not by their number. Each is at most 63 bytes.
const ODD: [&str; 19] = [
    "we\"ird. N\u{e4}me'; --",
    "Upper",
    "select",
    "a.b.c",
    "a, b",
    "f(x)",
    "(",
    "%s%I%n%%",
    "line\nbreak",
    "$1 $$ $x$",
    "back\\slash",
    "\\",
    "\"",
    " blank ",
    "12345",
    "-",
    "*",
    "row_data",
    "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}x",
];

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(name: &str) -> String {
    format!("E'{}'", name.replace('\\', "\\\\").replace('\'', "''"))
}

/// The superuser who makes the extension owns calendar `default`, and nobody whose name looks like his.
#[test]
fn the_extensions_owner_may_have_any_name() {
    let cluster = Cluster::with(&[]);
    let mut admin = cluster.connect("postgres");
    for role in ["admin", "upper", "b", "row_data"] {
        admin.batch_execute(&format!("create role {role} login")).unwrap();
    }
    let owners = ODD.iter().chain(&["jane.doe@corp", "Admin", "Postgres", "current_user", "0"]);
    for (i, owner) in owners.enumerate().filter(|(_, name)| **name != "row_data") {
        let (quoted, database) = (identifier(owner), format!("d{i}"));
        admin.batch_execute(&format!("create role {quoted} login superuser")).unwrap();
        admin.batch_execute(&format!("create database {database}")).unwrap();
        let mut session = cluster.connect_as(&database, "postgres");
        session
            .batch_execute(&format!(
                "set session authorization {quoted}; create extension jittask; grant usage on schema jittask to public"
            ))
            .unwrap_or_else(|error| panic!("as {owner}: {error:?}"));
        let found = text(&mut session, "select owner::text from jittask.calendars where name = 'default'");
        assert_eq!(found.as_deref(), Some(*owner));
        for plain in ["admin", "upper", "b"] {
            session.batch_execute(&format!("reset session authorization; set session authorization {plain}")).unwrap();
            let changed = session.query("select jittask.add_holiday('default', '2030-01-01', 'x')", &[]);
            assert_eq!(code(changed), "42501", "{plain} on a calendar of {owner}");
        }
        drop(session);
        admin.batch_execute(&format!("drop database {database} with (force)")).unwrap();
    }
}

/// A role, its schema, table, columns, function, calendar and titles, all of one name.
struct Odd<'a> {
    cluster: &'a Cluster,
    session: Client,
    name: &'a str,
    /// As an identifier, and as a literal.
    quoted: String,
    said: String,
    /// The key's column, as an identifier: the name backwards.
    key: String,
    /// A calendar's name, which has no control character.
    calendar: String,
}

impl<'a> Odd<'a> {
    fn new(cluster: &'a Cluster, name: &'a str) -> Self {
        let (quoted, said) = (identifier(name), literal(name));
        cluster.sql(
            "postgres",
            &format!("create role {quoted} login; grant usage on schema jittask to {quoted}; create schema {quoted} authorization {quoted}"),
        );
        let backwards: String = name.chars().rev().collect();
        let key = if backwards == name { identifier(&format!("{name}2")) } else { identifier(&backwards) };
        let calendar = if name.contains('\n') { "E'plain'".to_string() } else { said.clone() };
        Odd { cluster, session: cluster.connect_as("postgres", name), name, quoted, said, key, calendar }
    }

    fn run(&mut self, statement: &str) {
        let name = self.name;
        self.session.batch_execute(statement).unwrap_or_else(|error| panic!("{name:?}: {error:?}\nin: {statement}"));
    }

    fn row_key(&self) -> String {
        format!("jsonb_build_object({}, {}::text)", literal(&plain(&self.key)), self.said)
    }

    /// Waits until so many runs of a task have completed, with this result or another.
    fn completed(&mut self, task: &str, count: i64, is_service: bool) {
        let result = if is_service { "= 'ran'" } else { "is distinct from 'ran'" };
        let query = format!(
            "select count(*) from jittask.records where task = '{task}' and status = 'completed' and result {result}"
        );
        let status = text(&mut self.session, "select s::text from jittask.status() s");
        let what = format!("{:?}: {count} runs of {task}; {status:?}", self.name);
        let session = &mut self.session;
        self.cluster.wait_until(&what, Duration::from_secs(20), || (number(session, &query) == count).then_some(()));
    }

    fn make(&mut self) {
        let Odd { quoted, said, key, calendar, .. } = &*self;
        let table = format!("{quoted}.{quoted}");
        let filter = literal(&format!("{quoted} is not null and {key} <> 'left out' and {quoted}.{key} = {key}"));
        let task = |name: &str, function: &str| {
            format!(
                "select jittask.create_date_task({said}, {}, {said}, {}, filter => {filter}, name => '{name}',
                     description => {said}, calendar => {calendar}, end_column => {said}, existing_rows => '1 day');",
                literal(&table),
                literal(function)
            )
        };
        let statements = [
            format!(
                "create table {table} ({key} text primary key, {quoted} timestamptz, note text);
                 create index on {table} ({quoted});
                 create table {quoted}.seen (note text);
                 create function {table}({table}) returns text language sql as
                     $f$ insert into {quoted}.seen values ($1.note); select 'ran' $f$"
            ),
            format!("select jittask.create_calendar({calendar}, 'DE', description => {said})"),
            task("by_name", &table) + &task("by_signature", &format!("{table}({table})")),
            format!("insert into {table} values ({said}, now(), 'x'), ('left out', now(), 'x'), ('2', now(), {said})"),
        ];
        statements.iter().for_each(|statement| self.run(statement));
    }

    /// Each row that meets the filter has run once for each task.
    fn has_run(&mut self) {
        self.completed("by_name", 2, true);
        self.completed("by_signature", 2, true);
        let seen = format!("select count(*) from {}.seen", self.quoted);
        assert_eq!(number(&mut self.session, &seen), 4);
        let keys = format!("select count(*) from jittask.records where row_key = {}", self.row_key());
        assert_eq!(number(&mut self.session, &keys), 2, "{:?}", self.name);
    }

    /// Out and in again, and all that reads or changes a task; a column loses its name and gets it back; a body.
    fn is_worked_with(&mut self) {
        let (quoted, row_key) = (self.quoted.clone(), self.row_key());
        for call in [
            "select jittask.import_task(jittask.export_task('by_name'), true)",
            "select jittask.alter_task('by_name', jsonb_build_object('description', null, 'catch_up', 'all'))",
            &format!("select * from jittask.explain_row('by_name', {row_key})"),
            &format!("select * from jittask.preview('by_name', 3, {row_key})"),
            "select * from jittask.simulate('by_name', now() - interval '1 day', now() + interval '1 day')",
            "select * from jittask.tasks, jittask.calendars, jittask.status()",
            &format!("select jittask.run_task('by_name', {row_key})"),
        ] {
            self.run(call);
        }
        self.completed("by_name", 3, true);
        self.run(&format!("alter table {quoted}.{quoted} rename column {quoted} to plain"));
        self.run(&format!("alter table {quoted}.{quoted} rename column plain to {quoted}"));
        self.run("select jittask.alter_task('by_signature', jsonb_build_object('body', 'perform 1'))");
        self.run(&format!("select jittask.run_task('by_signature', {row_key})"));
        self.completed("by_signature", 1, false);
        let problems = text(&mut self.session, "select string_agg(problem, ', ') from jittask.tasks");
        assert_eq!(problems, None, "{:?}", self.name);
    }

    fn goes(&mut self) {
        self.run("select jittask.drop_task(name) from jittask.tasks");
        self.run(&format!("select jittask.drop_calendar({}); drop schema {} cascade", self.calendar, self.quoted));
        let mut admin = self.cluster.connect("postgres");
        assert_eq!(number(&mut admin, "select count(*) from jittask.task where dropped_at is null"), 0);
    }
}

/// A quoted name as it is.
fn plain(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].replace("\"\"", "\"")
}

#[test]
fn odd_names_mean_what_they_name() {
    let cluster = Cluster::with(&[]);
    cluster.sql("postgres", "create extension jittask");
    for (i, name) in ODD.iter().enumerate() {
        let mut odd = Odd::new(&cluster, name);
        odd.run(&format!("set quote_all_identifiers = {}", i % 2 == 1));
        odd.make();
        odd.has_run();
        odd.is_worked_with();
        odd.goes();
    }
}

/// A dump has names for numbers; in the restored database each task finds its own table and function again.
#[test]
fn odd_names_come_back_from_a_dump() {
    let cluster = Cluster::with(&[]);
    cluster.sql("postgres", "create database original");
    cluster.sql("postgres", "create database copy");
    cluster.sql("original", "create extension jittask; grant usage on schema jittask to public");
    for (i, name) in ODD.iter().enumerate() {
        let (quoted, said) = (identifier(name), literal(name));
        cluster.sql("original", &format!("create role {quoted} login; create schema {quoted} authorization {quoted}"));
        let mut own = cluster.connect_as("original", name);
        let table = literal(&format!("{quoted}.{quoted}"));
        own.batch_execute(&format!(
            "create table {quoted}.{quoted} (id int primary key, {quoted} date);
             create table {quoted}.seen (id int);
             create function {quoted}.{quoted}({quoted}.{quoted}) returns void language sql as $f$ insert into {quoted}.seen values ($1.id) $f$;
             insert into {quoted}.{quoted} values ({i}, '2099-01-01');
             select jittask.create_date_task({said}, {table}, {said}, {table}, name => 'task_{i}')"
        ))
        .unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
    }
    let program = |name: &str, database: &str| {
        let mut command = cluster.tree().command(name);
        command.arg("-h").arg(cluster.socket_dir()).arg("-p").arg(cluster.port().to_string());
        command.args(["-U", "postgres", "-d", database]);
        command
    };
    let dump = program("pg_dump", "original").stderr(Stdio::inherit()).output().unwrap();
    let mut restored = program("psql", "copy")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    restored.stdin.take().unwrap().write_all(&dump.stdout).unwrap();
    assert!(dump.status.success() && restored.wait().unwrap().success());
    let mut admin = cluster.connect("copy");
    admin.batch_execute("select jittask.activate()").unwrap();
    // The look at the objects that follows every change of the schema.
    admin.batch_execute("create table public.changes (id int)").unwrap();
    for (i, name) in ODD.iter().enumerate() {
        let mut own = cluster.connect_as("copy", name);
        let quoted = identifier(name);
        own.batch_execute(&format!("select jittask.run_task('task_{i}', '{{\"id\": {i}}}')"))
            .unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        cluster.wait_until(&format!("{name:?}: the run in the copy"), Duration::from_secs(20), || {
            (number(&mut own, &format!("select count(*) from {quoted}.seen where id = {i}")) == 1).then_some(())
        });
        let owner = text(&mut own, &format!("select owner::text from jittask.tasks where name = 'task_{i}'"));
        assert_eq!(owner.as_deref(), Some(*name));
    }
    let problems = text(
        &mut admin,
        "select string_agg(format('%s: %s', name, problem), ', ') from jittask.tasks where problem is not null",
    );
    assert_eq!(problems, None);
}
