//! The job queues from outside, each a small program in bench/peers that `tools/bench` has installed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, one};

use crate::contracts::Contracts;

/// A queue that takes longer is not waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// A job queue.
pub struct Peer {
    pub name: &'static str,
    program: Vec<PathBuf>,
}

impl Peer {
    /// All that there are.
    pub fn all() -> [Peer; 2] {
        let home = std::env::var_os("BENCH_PEERS").map(PathBuf::from).unwrap_or_default();
        let node = home.join("graphile-worker");
        let python = home.join("pgqueuer");
        [
            Peer { name: "graphile-worker", program: vec!["node".into(), node.join("peer.js")] },
            Peer { name: "pgqueuer", program: vec![python.join("venv/bin/python"), python.join("peer.py")] },
        ]
    }

    /// Makes its tables.
    ///
    /// # Errors
    /// With what it said, when it fails.
    pub fn install(&self, cluster: &Cluster) -> Result<(), String> {
        self.run(cluster, &["install"])
    }

    /// Rows a second, from the first row in the outbox to the last: neither filling the queue nor the program's start
    /// is counted.
    ///
    /// # Errors
    /// With what it said, when it fails.
    pub fn rate(&self, contracts: &Contracts) -> Result<f64, String> {
        contracts.clear();
        let due = format!("select id from contracts where expires_on = '{}'", contracts.day);
        self.run(contracts.cluster, &["enqueue", &due])?;
        self.run(contracts.cluster, &["work"])?;
        contracts.check_outbox(contracts.due);
        let span = "select extract(epoch from max(at) - min(at))::float8 from outbox";
        Ok(contracts.due as f64 / one::<f64>(&mut contracts.cluster.connect("postgres"), span))
    }

    fn run(&self, cluster: &Cluster, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(arguments);
        command.env("PGHOST", cluster.socket_dir()).env("PGPORT", cluster.port().to_string());
        command.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        let log = cluster.socket_dir().join(self.name);
        let errors = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut child = command.spawn().map_err(|error| format!("{} does not start: {error}", self.name))?;
        let until = Instant::now() + LIMIT;
        let status = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if Instant::now() >= until => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{} took longer than {LIMIT:?}", self.name));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
        status.success().then_some(()).ok_or_else(|| format!("{} failed: {last}", self.name))
    }
}
