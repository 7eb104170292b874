//! What tests ask of tasks and records again and again, and the clock on which they wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postgres::Client;

use crate::lifecycle::Cluster;
use crate::load::Load;
use crate::ready::one;
use crate::wait::poll;

/// How long anything that should happen now may take on a slow machine.
pub const SOON: Duration = Duration::from_secs(30);

impl Cluster {
    /// Waits until the query, run by the superuser, gives true, for so many seconds of an idle machine ([`Load`]).
    ///
    /// # Panics
    /// When it takes longer.
    pub fn wait_within(&self, limit: f64, query: &str) {
        let load = Load::watch();
        self.wait_for(SOON, query);
        load.assert_over_within(limit, query);
    }

    /// Waits until this many occurrences have ended, whatever the end.
    ///
    /// # Panics
    /// After [`SOON`], with what there is instead.
    pub fn ended(&self, occurrences: i64) {
        self.ended_within(SOON, occurrences);
    }

    /// The same for a number of them that takes its time.
    ///
    /// # Panics
    /// After `timeout`, with what there is instead.
    pub fn ended_within(&self, timeout: Duration, occurrences: i64) {
        let mut session = self.connect("postgres");
        let counted = format!(
            "select count(*) = {occurrences} from jittask.records where status in ('completed', 'failed', 'skipped', 'cancelled')"
        );
        let looked = poll(timeout, || one::<bool>(&mut session, &counted).then_some(()));
        assert!(
            looked.is_some(),
            "{occurrences} are to end, but there are: {}\n{}",
            ends(&mut session),
            self.log_tail()
        );
    }

    /// Waits until the clock is past this instant, also while the server is down. Seconds since 1970.
    pub fn wait_past(&self, instant: f64) {
        self.wait_until("the time to come", Duration::from_secs(60), || (now() > instant).then_some(()));
    }

    /// Waits until the log has this text.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_until(&format!("\"{text}\" in the log"), SOON, || self.log().contains(text).then_some(()));
    }

    /// Turns a setting of the server and waits until sessions see it.
    pub fn turn(&self, setting: &str, value: &str) {
        let mut session = self.connect("postgres");
        session
            .batch_execute(&format!("alter system set {setting} = '{value}'"))
            .and_then(|()| session.batch_execute("select pg_reload_conf()"))
            .unwrap_or_else(|error| panic!("{setting} = {value}: {error}"));
        let seen = format!("select current_setting('{setting}') = '{value}'");
        self.wait_until(&seen, SOON, || one::<bool>(&mut self.connect("postgres"), &seen).then_some(()));
    }
}

/// Seconds since 1970, by the clock that the server has too.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or_default()
}

/// How many records have which status, as `completed 90, failed 10`.
pub fn ends(session: &mut Client) -> String {
    one::<Option<String>>(
        session,
        "select string_agg(format('%s %s', status, n), ', ' order by status)
         from (select status::text, count(*) as n from jittask.records group by 1) counted",
    )
    .unwrap_or_default()
}

/// All that entered the agenda ended, or waits.
///
/// # Panics
/// When something is missing.
pub fn nothing_unaccounted(session: &mut Client) {
    let odd: Vec<String> =
        crate::ready::all(session, "select a::text from jittask.accounts a where a.unaccounted <> 0");
    assert!(odd.is_empty(), "unaccounted: {odd:?}");
    nothing_missing(session);
}

/// What was due ran or waits, as far as the session may see: a superuser's asks for every owner.
///
/// # Panics
/// When the audit finds something.
pub fn nothing_missing(session: &mut Client) {
    let owners = "select quote_ident(r.rolname) from pg_roles r
                  where r.oid in (select t.owner::oid from jittask.task t where t.dropped_at is null)";
    let all_owners = "select quote_ident(current_user)";
    let is_superuser = "select rolsuper from pg_roles where rolname = session_user";
    let owners = if crate::ready::one(session, is_superuser) { owners } else { all_owners };
    let mut found = Vec::new();
    for owner in crate::ready::all::<String>(session, owners) {
        session.batch_execute(&format!("set role {owner}")).unwrap();
        found.extend(crate::ready::all::<String>(
            session,
            "select a::text from jittask.audit(until_at => now()) a limit 20",
        ));
    }
    session.batch_execute("reset role").unwrap();
    assert!(found.is_empty(), "the audit finds {found:#?}");
}
