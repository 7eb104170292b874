//! The server's programs, and the user they run as.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, geteuid};

use crate::command;

/// An installed server: a directory with `bin/postgres`, and what the harness knows about it.
#[derive(Clone, Debug)]
pub struct Tree {
    dir: PathBuf,
    major: u32,
    user: Option<(Uid, Gid)>,
}

impl Tree {
    /// The server named by `JITTASK_SERVER`.
    ///
    /// # Panics
    /// With a sentence on what to do, when the variable is missing or the server cannot be used.
    pub fn from_env() -> Self {
        let Some(dir) = std::env::var_os("JITTASK_SERVER") else {
            panic!("JITTASK_SERVER is not set: run the cluster tests by `tools/with-server 18 cargo test -p cluster`");
        };
        Self::at(Path::new(&dir))
    }

    /// The server in `dir`, which has `bin/postgres`.
    ///
    /// # Panics
    /// With a sentence on what to do, when it cannot be used.
    pub fn at(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap_or_else(|error| panic!("server directory {}: {error}", dir.display()));
        let mut tree = Self { dir, major: 0, user: unprivileged_user() };
        let mut version = tree.command("postgres");
        version.arg("--version");
        let text = match version.output() {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => panic!("{version:?} failed: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!(
                "cannot run {version:?}: {error}; the server's user must be able to reach {}: `tools/server` sees to that",
                tree.dir.display()
            ),
        };
        tree.major = major_of(&text).unwrap_or_else(|| panic!("no major version in {text:?}"));
        tree
    }

    /// The directory that has `bin/postgres`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// 15, 18, …
    pub fn major(&self) -> u32 {
        self.major
    }

    /// One of the server's programs, to be run as the server's user, in a directory that this user can read.
    pub fn command(&self, program: &str) -> Command {
        self.as_server(Command::new(self.dir.join("bin").join(program)))
    }

    /// The same under a limit of its address space, in kB. The shell becomes the program, so the pid is the program's.
    pub(crate) fn limited_command(&self, program: &str, most: u64) -> Command {
        let mut command = Command::new("sh");
        let script = format!("ulimit -v {most} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(self.dir.join("bin").join(program));
        self.as_server(command)
    }

    fn as_server(&self, mut command: Command) -> Command {
        command.current_dir("/").env_remove("PGDATA").env("LC_ALL", "C.UTF-8");
        if let Some((uid, gid)) = self.user {
            use std::os::unix::process::CommandExt;
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// Gives `path` and all below it to the server's user.
    pub(crate) fn hand_over(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            command::run(Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(path));
        }
    }
}

/// Whom root lets the server run as; `None` for an ordinary user, who runs it himself.
fn unprivileged_user() -> Option<(Uid, Gid)> {
    if !geteuid().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.unwrap_or_else(|| panic!("root cannot run a server, and there is no user postgres or nobody"));
    Some((user.uid, user.gid))
}

/// `postgres (PostgreSQL) 15.20 (Debian …)` → 15
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn the_major_version_is_read_from_all_forms() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18.6\n"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_of("postgres (PostgreSQL)\n"), None);
    }
}
