//! The case that most measures share: a table of contracts, some of which expire on one day, and a function that puts
//! one row into an outbox for each. And the sides that do so: the bare statement, the careful loop, jittask.

use std::cell::Cell;
use std::time::Duration;

use cluster::{Cluster, one};

use crate::processes::{Meter, cpu_seconds};
use crate::server::{maintain, now, postmaster, seconds, wait_for_count, wait_for_count_and};

/// The function that everybody calls, and what the loop needs.
const SCHEMA: &str = "
create table contracts (
    id bigint generated always as identity primary key, customer text not null, amount numeric(12, 2) not null,
    status text not null default 'active', expires_on date not null);
create table outbox (contract_id bigint not null, expires_on date not null, at timestamptz not null default clock_timestamp());
create function remind(c contracts) returns void language plpgsql as
    $$ begin insert into outbox (contract_id, expires_on) values (c.id, c.expires_on); end $$;
create function remind_all(cs contracts[]) returns void language plpgsql as
    $$ begin insert into outbox (contract_id, expires_on) select c.id, c.expires_on from unnest(cs) c; end $$;
create function remind_most(c contracts) returns void language plpgsql as $$ begin
    insert into outbox (contract_id, expires_on) values (c.id, c.expires_on);
    if c.id % 1000 = 0 then raise exception 'contract % cannot be reminded', c.id; end if;
end $$;
create table loop_record (
    contract_id bigint not null, due_at timestamptz not null, status text not null, started_at timestamptz not null,
    finished_at timestamptz not null, error_code text, error text, primary key (contract_id, due_at));
create function run_loop(day date, due timestamptz) returns bigint language plpgsql as $$
declare
    c contracts;
    begun timestamptz;
    done bigint := 0;
begin
    for c in select * from contracts k where k.expires_on = day
        and not exists (select from loop_record r where r.contract_id = k.id and r.due_at = due)
    loop
        begun := clock_timestamp();
        begin
            perform remind(c);
            insert into loop_record (contract_id, due_at, status, started_at, finished_at)
            values (c.id, due, 'completed', begun, clock_timestamp());
            done := done + 1;
        exception when others then
            insert into loop_record (contract_id, due_at, status, started_at, finished_at, error_code, error)
            values (c.id, due, 'failed', begun, clock_timestamp(), sqlstate, sqlerrm);
        end;
    end loop;
    return done;
end $$;";

/// The table in a cluster, and when its rows are due.
pub struct Contracts<'a> {
    pub cluster: &'a Cluster,
    /// Rows due on the day.
    pub due: i64,
    /// The date that these rows have.
    pub day: String,
    /// A zone in which it is early in the morning, so that the day does not end within the run.
    pub zone: String,
    tasks: Cell<usize>,
}

/// One run of a side.
#[derive(Clone, Copy)]
pub struct Run {
    /// Rows a second; jittask's from the due instant until all are recorded and committed.
    pub rate: f64,
    /// Microseconds of CPU time that the server's processes took for a row.
    pub cpu: f64,
}

/// One run of jittask.
pub struct Due {
    pub run: Run,
    /// Seconds from the task's creation until all its rows were in the agenda: before the due instant.
    pub planning: f64,
}

impl<'a> Contracts<'a> {
    /// Makes the table: every tenth of `rows` is due on the day, the others in one to nine years.
    pub fn create(cluster: &'a Cluster, rows: i64) -> Contracts<'a> {
        let zone = early_zone(cluster);
        let day: String = one(
            &mut cluster.connect("postgres"),
            &format!("select (clock_timestamp() at time zone '{zone}')::date::text"),
        );
        cluster.app_sql(SCHEMA);
        cluster.app_sql(&format!(
            "insert into contracts (customer, amount, expires_on)
             select 'customer ' || g, g % 1000, date '{day}' + case when g % 10 = 0 then 0 else 365 + g % 3000 end
             from generate_series(1, {rows}) g;
             create index on contracts (expires_on)"
        ));
        maintain(cluster, "vacuum analyze");
        Contracts::again(cluster, rows / 10, &day, &zone, 0)
    }

    /// The table made before, in the same cluster after a restart. `round` keeps the tasks' names apart.
    pub fn again(cluster: &'a Cluster, due: i64, day: &str, zone: &str, round: usize) -> Contracts<'a> {
        Contracts { cluster, due, day: day.into(), zone: zone.into(), tasks: Cell::new(1000 * round) }
    }

    /// Everybody starts with empty tables, warm caches and no checkpoint ahead.
    pub fn clear(&self) {
        self.cluster.sql("postgres", "truncate outbox, loop_record, jittask.record");
        maintain(self.cluster, "checkpoint");
        let warm = format!("select count(*) from contracts c where expires_on = '{}' and c.amount >= 0", self.day);
        assert_eq!(one::<i64>(&mut self.cluster.app(), &warm), self.due);
    }

    /// (a) The bare statement, without any bookkeeping.
    pub fn bare(&self) -> Run {
        self.clear();
        self.timed(&format!("select count(remind(c)) from contracts c where expires_on = '{}'", self.day))
    }

    /// (b) The careful loop: an exception block and a record for each row.
    pub fn hand_written(&self) -> Run {
        self.clear();
        self.timed(&format!("select run_loop('{}', now())", self.day))
    }

    fn timed(&self, query: &str) -> Run {
        let mut session = self.cluster.app();
        let pid: i32 = one(&mut session, "select pg_backend_pid()");
        let cpu = || cpu_seconds(pid).unwrap_or_else(|| panic!("the session's process is gone"));
        let (mut done, before) = (0_i64, cpu());
        let taken = seconds(|| done = one(&mut session, query));
        let cpu = cpu() - before;
        assert_eq!(done, self.due, "{query}");
        self.check_outbox(self.due);
        self.run(taken, cpu)
    }

    fn run(&self, seconds: f64, cpu_seconds: f64) -> Run {
        Run { rate: self.due as f64 / seconds, cpu: cpu_seconds * 1e6 / self.due as f64 }
    }

    /// jittask, with `function` of the schema above.
    pub fn jittask(&self, function: &str) -> Due {
        self.clear();
        let number = self.tasks.replace(self.tasks.get() + 1);
        let (name, zone, day) = (format!("bench_{number}"), &self.zone, &self.day);
        // Time enough to plan, on a busy machine too.
        let lead = 3.0 + self.due as f64 / 20_000.0;
        let begun = now();
        let mut app = self.cluster.app();
        let at: String = one(
            &mut app,
            &format!("select to_char((clock_timestamp() + interval '{lead} s') at time zone '{zone}', 'HH24:MI:SS')"),
        );
        let create = format!(
            "select jittask.create_date_task('bench', 'contracts', 'expires_on', '{function}', at => '{at}',
                 time_zone => '{zone}', name => '{name}', max_attempts => 1)"
        );
        app.batch_execute(&create).unwrap_or_else(|error| panic!("{create}: {error}"));
        let due_at: f64 =
            one(&mut app, &format!("select extract(epoch from timestamp '{day} {at}' at time zone '{zone}')::float8"));
        let count = format!("select entered from jittask.accounts where task = '{name}'");
        let limit = Duration::from_secs(60);
        let planned_at = wait_for_count(self.cluster, &count, self.due, Duration::from_millis(20), limit);
        assert!(planned_at < due_at, "planning ended after the due instant: {:.1} s", planned_at - begun);
        let mut meter = Meter::start(postmaster(self.cluster), "jittask");
        std::thread::sleep(Duration::from_secs_f64((due_at - now()).max(0.0)));
        // What the view shows, without the view's other columns: looking often must not take the CPU from who works.
        let count = format!(
            "select coalesce(sum(y.completed + y.failed), 0)::bigint from jittask.tally y join jittask.task t on t.id = y.task_id
             where t.name = '{name}'"
        );
        let limit = Duration::from_secs(600);
        // A lent executor is gone when all is done.
        let meanwhile = || meter.look_sometimes(Duration::from_millis(10));
        let ended_at = wait_for_count_and(self.cluster, &count, self.due, Duration::from_millis(2), limit, meanwhile);
        let cpu = meter.look();
        let failed: i64 = one(&mut app, &format!("select failed from jittask.tasks where name = '{name}'"));
        self.check_outbox(self.due - failed);
        app.batch_execute(&format!("select jittask.drop_task('{name}')")).unwrap();
        Due { run: self.run(ended_at - due_at, cpu), planning: planned_at - begun }
    }

    /// Nobody is measured who did not do the work.
    pub fn check_outbox(&self, expected: i64) {
        let rows: i64 = one(&mut self.cluster.connect("postgres"), "select count(distinct contract_id) from outbox");
        assert_eq!(rows, expected, "rows in the outbox");
    }
}

/// A zone at a whole hour from UTC where it is between one and two o'clock at night: there the day has only begun.
pub fn early_zone(cluster: &Cluster) -> String {
    let hour = "select extract(hour from clock_timestamp() at time zone 'UTC')::int";
    zone_at_one(one(&mut cluster.connect("postgres"), hour))
}

fn zone_at_one(utc_hour: i32) -> String {
    let east = (1 - utc_hour).rem_euclid(24);
    // POSIX counts to the west; names go from 12 hours west to 14 east.
    match east {
        0 => "UTC".into(),
        1..=14 => format!("Etc/GMT-{east}"),
        _ => format!("Etc/GMT+{}", 24 - east),
    }
}

#[cfg(test)]
mod tests {
    use super::zone_at_one;

    #[test]
    fn it_is_one_o_clock_there() {
        assert_eq!(zone_at_one(1), "UTC");
        assert_eq!(zone_at_one(13), "Etc/GMT-12");
        assert_eq!(zone_at_one(10), "Etc/GMT+9");
        assert_eq!(zone_at_one(12), "Etc/GMT-13");
        assert_eq!(zone_at_one(23), "Etc/GMT-2");
        assert_eq!(zone_at_one(0), "Etc/GMT-1");
    }
}
