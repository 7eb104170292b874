//! Copies of a whole running server: a physical standby.

use crate::command;
use crate::lifecycle::Cluster;

impl Cluster {
    /// A hot standby of this server, by `pg_basebackup`, which follows it under `name`.
    ///
    /// # Panics
    /// When it cannot be made, or does not come up.
    pub fn standby(&self, name: &str) -> Cluster {
        let mut standby = self.unborn();
        let primary =
            format!("host={} port={} user=postgres application_name={name}", self.socket_dir().display(), self.port());
        let mut backup = self.tree().command("pg_basebackup");
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream", "-d", &primary]);
        command::run(backup.arg("-D").arg(standby.datadir()));
        standby.start_again();
        standby
    }
}
