//! What most tests start from: contracts that fall due, and an outbox that shows what ran.

use postgres::Client;

use crate::lifecycle::Cluster;

/// The tables, and a function that leaves one effect a run.
pub const CONTRACTS: &str = "
create table contract (id bigint primary key, due timestamptz);
create index on contract (due);
create table outbox (id bigint, attempt int, due_at timestamptz, at timestamptz default clock_timestamp());
create function run(contract) returns void language sql as
    $$ insert into outbox (id, attempt, due_at) select $1.id, attempt, due_at from jittask.current_run() $$;";

/// Effects and records that are not one completed record and one effect for each contract that was due.
const ODD: &str = "
select format('contract %s: %s effects, %s records %s', id, coalesce(o.n, 0), coalesce(r.n, 0), r.states)
from contract full join (select id, count(*) as n from outbox group by 1) o using (id)
full join (select (row_key ->> 'id')::bigint as id, count(*) as n, array_agg(status) as states
           from jittask.records where task = 'rows' group by 1) r using (id)
where (o.n, r.n, r.states) is distinct from (1, 1, '{completed}'::jittask.record_status[]) and due <= now()
order by id limit 20";

impl Cluster {
    /// The contracts of role `app`, with task `rows` on them; `more` are further parameters, such as `, timeout => '1 s'`.
    pub fn contracts(&self, more: &str) {
        self.app_sql(CONTRACTS);
        self.app_sql(&format!(
            "select jittask.create_date_task('rows', 'contract', 'due', 'run', name => 'rows'{more})"
        ));
    }

    /// Asserts that each contract that was due has one completed record and one effect, and that none is unaccounted.
    ///
    /// # Panics
    /// When that is not so.
    pub fn assert_each_once(&self) {
        let mut session = self.connect("postgres");
        let odd: Vec<String> = crate::all(&mut session, ODD);
        assert!(odd.is_empty(), "not exactly once: {odd:#?}");
        assert_eq!(crate::one::<i64>(&mut session, "select unaccounted from jittask.status()"), 0);
    }
}

/// Writes contracts `from` to `until` that all fall due at one instant, so many milliseconds from now.
///
/// # Panics
/// When the server refuses.
pub fn fall_due(session: &mut Client, from: i64, until: i64, millis: i64) {
    let text = format!(
        "insert into contract select id, clock_timestamp() + interval '{millis} ms' from generate_series({from}, {until}) id"
    );
    session.batch_execute(&text).unwrap_or_else(|error| panic!("{error:?}\nin: {text}"));
}
