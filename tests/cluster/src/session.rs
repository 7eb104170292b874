//! Sessions on a cluster, and waiting for what they will see.

use std::time::Duration;

use postgres::{Client, Config, NoTls};

use crate::lifecycle::Cluster;
use crate::wait::poll;

const LOG_TAIL: usize = 60;

impl Cluster {
    /// A session of the superuser `postgres`.
    ///
    /// # Panics
    /// When the server does not let it in; see [`Cluster::try_connect`].
    pub fn connect(&self, database: &str) -> Client {
        self.connect_as(database, "postgres")
    }

    /// A session of any role; no password is asked.
    ///
    /// # Panics
    /// When the server does not let it in; see [`Cluster::try_connect`].
    pub fn connect_as(&self, database: &str, role: &str) -> Client {
        self.try_connect(database, role)
            .unwrap_or_else(|error| panic!("cannot connect to {database} as {role}: {error}\n{}", self.log_tail()))
    }

    /// The same, for those who expect a refusal.
    pub fn try_connect(&self, database: &str, role: &str) -> Result<Client, postgres::Error> {
        self.config(database, role).connect(NoTls)
    }

    /// How to connect, for a test that wants more than [`Cluster::connect`] does.
    pub fn config(&self, database: &str, role: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.socket_dir())
            .port(self.port())
            .dbname(database)
            .user(role)
            .application_name("test")
            .connect_timeout(Duration::from_secs(10));
        config
    }

    /// Runs statements as superuser, together in one transaction and a session of their own.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn sql(&self, database: &str, text: &str) {
        self.run_as(database, "postgres", text);
    }

    pub(crate) fn run_as(&self, database: &str, role: &str, text: &str) {
        if let Err(error) = self.connect_as(database, role).batch_execute(text) {
            panic!("{}\nin: {text}\n{}", describe(&error), self.log_tail());
        }
    }

    /// Calls `look` until it gives a value, as [`poll`] does.
    ///
    /// # Panics
    /// After `timeout`, with `what` was waited for and the end of the server's log.
    pub fn wait_until<T>(&self, what: &str, timeout: Duration, look: impl FnMut() -> Option<T>) -> T {
        poll(timeout, look).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}\n{}", self.log_tail()))
    }

    /// The last lines of the server's log, for messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        format!("--- end of the server's log ---\n{}\n---", tail.join("\n"))
    }
}

/// An error with all that the server said about it.
fn describe(error: &postgres::Error) -> String {
    let Some(told) = error.as_db_error() else {
        return error.to_string();
    };
    let mut text = format!("{} {}: {}", told.severity(), told.code().code(), told.message());
    for (name, part) in [("detail", told.detail()), ("hint", told.hint()), ("context", told.where_())] {
        if let Some(part) = part {
            text.push_str(&format!("\n{name}: {part}"));
        }
    }
    text
}
