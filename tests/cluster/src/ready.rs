//! A cluster on which tasks can be made at once, and short ways to ask it.

use std::time::Duration;

use postgres::Client;
use postgres::types::FromSqlOwned;

use crate::lifecycle::Cluster;
use crate::options::Options;

impl Cluster {
    /// A cluster with the extension in the database `postgres`, and an ordinary role `app` that may use it and make
    /// tables. `settings` are the server's.
    pub fn ready(settings: &[(&str, &str)]) -> Self {
        Self::ready_with(settings.iter().fold(Options::default(), |all, (name, value)| all.set(name, value)))
    }

    /// The same, for a test that wants more of its server than settings.
    pub fn ready_with(options: Options) -> Self {
        let cluster = Self::with_options(&options);
        cluster.sql("postgres", "create role app login; create extension jittask");
        cluster.sql("postgres", "grant usage on schema jittask to app; grant create on schema public to app");
        cluster
    }

    /// A session of the ordinary role `app`.
    pub fn app(&self) -> Client {
        self.connect_as("postgres", "app")
    }

    /// Runs statements as `app`, together in one transaction and a session of their own.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn app_sql(&self, text: &str) {
        self.run_as("postgres", "app", text);
    }

    /// Waits until the query, run by the superuser, gives true.
    ///
    /// # Panics
    /// After `timeout`.
    pub fn wait_for(&self, timeout: Duration, query: &str) {
        let mut session = self.connect("postgres");
        self.wait_until(query, timeout, || one::<bool>(&mut session, query).then_some(()));
    }
}

/// The only column of the only row of a query without parameters.
///
/// # Panics
/// When it fails, or gives anything else.
pub fn one<T: FromSqlOwned>(session: &mut Client, query: &str) -> T {
    match session.query_one(query, &[]) {
        Ok(row) => row.get(0),
        Err(error) => panic!("{error:?}\nin: {query}"),
    }
}

/// The first column of all rows of a query without parameters.
///
/// # Panics
/// When it fails.
pub fn all<T: FromSqlOwned>(session: &mut Client, query: &str) -> Vec<T> {
    match session.query(query, &[]) {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => panic!("{error:?}\nin: {query}"),
    }
}
