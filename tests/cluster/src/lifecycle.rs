//! A cluster's life: set up, start, stop, restart, gone.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::options::Options;
use crate::processes::{self, Process};
use crate::template;
use crate::tree::Tree;
use crate::wait::{POLL, poll};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Waits for all sessions to leave.
    Smart,
    /// Ends all sessions, writes a checkpoint.
    Fast,
    /// A crash: the next start recovers from the log.
    Immediate,
}

impl Mode {
    fn signal(self) -> Signal {
        match self {
            Mode::Smart => Signal::SIGTERM,
            Mode::Fast => Signal::SIGINT,
            Mode::Immediate => Signal::SIGQUIT,
        }
    }
}

/// A server on a data directory of its own; both go when the value goes.
#[derive(Debug)]
pub struct Cluster {
    tree: Tree,
    port: u16,
    address_space_kb: Option<u64>,
    postmaster: Option<Child>,
    clock: Option<Clock>,
    dir: TempDir,
}

impl Cluster {
    /// A running cluster with `jittask` preloaded.
    ///
    /// # Panics
    /// With the end of the server's log, when it does not come up.
    pub fn start() -> Self {
        Self::with_options(&Options::default())
    }

    /// The same with some server settings.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::with_options(&settings.iter().fold(Options::default(), |all, (name, value)| all.set(name, value)))
    }

    /// A running cluster without the extension's library.
    pub fn plain() -> Self {
        Self::with_options(&Options::plain())
    }

    /// A running cluster as described.
    pub fn with_options(options: &Options) -> Self {
        Self::on(Tree::from_env(), options)
    }

    /// The same on another installed server than the environment names.
    pub fn on(tree: Tree, options: &Options) -> Self {
        let mut cluster = Self::in_new_dir(tree);
        cluster.address_space_kb = options.address_space_kb;
        if options.own_identity {
            template::initdb(&cluster.tree, &cluster.datadir());
        } else {
            template::provide(&cluster.tree, &cluster.datadir());
        }
        cluster.configure(options);
        if options.clock {
            cluster.clock = Some(Clock::build(cluster.dir.path()));
            cluster.tree.hand_over(cluster.dir.path());
        }
        cluster.start_again();
        cluster
    }

    fn in_new_dir(tree: Tree) -> Self {
        let dir = temp_dir();
        let cluster = Self { tree, port: 0, address_space_kb: None, postmaster: None, clock: None, dir };
        cluster.tree.hand_over(cluster.dir.path());
        cluster
    }

    /// Another server of the same programs, whose data directory is still to be made.
    pub(crate) fn unborn(&self) -> Self {
        Self::in_new_dir(self.tree.clone())
    }

    /// Adds lines to `postgresql.conf`; they count after a reload or restart.
    pub fn configure(&self, options: &Options) {
        let path = self.datadir().join("postgresql.conf");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(&path, format!("{text}\n{}", options.lines()))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Starts the stopped server.
    ///
    /// # Panics
    /// With the end of its log, when it does not come up; when it runs already.
    pub fn start_again(&mut self) {
        assert!(self.postmaster.is_none(), "the server runs already");
        // Another process may take the free port between the look and the bind: then look again. A port once had stays.
        let attempts = if self.port == 0 { 5 } else { 1 };
        for left in (0..attempts).rev() {
            if attempts > 1 {
                self.port = free_port();
            }
            match self.launch() {
                Ok(()) => return,
                Err(_) if left > 0 && self.log().contains("could not create any TCP/IP sockets") => {}
                Err(why) => panic!("the server did not start: {why}\n{}", self.log_tail()),
            }
        }
    }

    /// Stops the server and waits for its end.
    pub fn stop(&mut self, mode: Mode) {
        let Some(mut child) = self.postmaster.take() else { return };
        let _ = kill(pid_of(&child), mode.signal());
        if poll(STOP, || (!matches!(child.try_wait(), Ok(None))).then_some(())).is_some() {
            return;
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("the server did not stop ({mode:?}) within {STOP:?}\n{}", self.log_tail());
    }

    /// Stops and starts the server.
    pub fn restart(&mut self, mode: Mode) {
        self.stop(mode);
        self.start_again();
    }

    /// `kill -9` for one of the server's processes, as `pg_stat_activity.pid` gives it.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn kill9(&self, pid: i32) {
        assert!(self.try_kill9(pid), "there is no process {pid}");
    }

    /// The same; false when the process has gone by itself.
    pub fn try_kill9(&self, pid: i32) -> bool {
        assert!(pid > 1, "{pid} is no process of the server");
        kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
    }

    /// Stops a process where it waits for something (`SIGSTOP`), or lets it go on (`SIGCONT`). One that is stopped anywhere else
    /// may hold a lock in the server's memory, and then all others stand still with it.
    ///
    /// # Panics
    /// When there is no such process, or it does not wait for a minute.
    pub fn stand_still(&self, pid: i32, still: bool) {
        let send = |signal| assert!(pid > 1 && kill(Pid::from_raw(pid), signal).is_ok(), "there is no process {pid}");
        if !still {
            return send(Signal::SIGCONT);
        }
        let mut session = self.connect("postgres");
        self.wait_until("a process to wait", START, || {
            // It stood still from the first look on if it was scheduled no more than once, to be stopped.
            let before = processes::switches(pid)?;
            let waits = "select wait_event_type in ('Activity', 'Client', 'Extension', 'Lock', 'Timeout')
                         from pg_stat_activity where pid = $1";
            session.query_opt(waits, &[&pid]).unwrap()?.get::<_, Option<bool>>(0).filter(|waits| *waits)?;
            send(Signal::SIGSTOP);
            while !processes::is_stopped(pid) {
                sleep(Duration::from_millis(1));
            }
            let is_where_it_was = processes::switches(pid)? <= before + 1;
            if !is_where_it_was {
                send(Signal::SIGCONT);
            }
            is_where_it_was.then_some(())
        });
    }

    /// `kill -9` for the postmaster, and waits for its children to see that they are orphans, as a new one has to.
    ///
    /// # Panics
    /// When one of them is still there after a minute.
    pub fn kill_postmaster(&mut self) {
        let Some(mut child) = self.postmaster.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        let mut left = Vec::new();
        let ended = poll(STOP, || {
            left = processes::of(&self.datadir());
            left.is_empty().then_some(())
        });
        if ended.is_none() {
            left.iter().for_each(|process| self.kill9(process.pid));
            panic!("the postmaster's orphans did not end: {left:?}");
        }
    }

    /// The server's processes, as the operating system shows them; no session is needed to ask.
    pub fn processes(&self) -> Vec<Process> {
        processes::of(&self.datadir())
    }

    /// Sets the server's clock so many seconds ahead of the real one, in all its processes at once.
    ///
    /// # Panics
    /// When the cluster was not made with [`Options::clock`].
    pub fn set_clock(&self, seconds: i64) {
        self.clock.as_ref().unwrap_or_else(|| panic!("this cluster's clock cannot be set")).set(seconds);
    }

    /// The port on 127.0.0.1; the socket's name has it too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub fn datadir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// All that the server has logged since it was made.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.tree.major()
    }

    /// The server's programs, for a test that runs `pg_dump` or `pgbench`.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts the postmaster as a child of the test, so that its pid is known for sure, and waits until it lets us in.
    fn launch(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log_path()).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = match self.address_space_kb {
            Some(most) => self.tree.limited_command("postgres", most),
            None => self.tree.command("postgres"),
        };
        command.arg("-D").arg(self.datadir()).arg("-p").arg(self.port.to_string()).arg("-k").arg(self.dir.path());
        if let Some(clock) = &self.clock {
            clock.preload(&mut command);
        }
        let child =
            command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(|error| error.to_string())?;
        let child = self.postmaster.insert(child);
        let pid = child.id();
        let until = Instant::now() + START;
        loop {
            let ended = self.postmaster.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                self.postmaster = None;
                return Err(format!("it ended with {status}"));
            }
            match self.try_connect("postgres", "postgres") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= until => {
                    self.stop(Mode::Immediate);
                    return Err(format!("process {pid} let nobody in within {START:?}: {error}"));
                }
                Err(_) => sleep(POLL),
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut child) = self.postmaster.take() else { return };
        let _ = kill(pid_of(&child), Mode::Immediate.signal());
        let until = Instant::now() + Duration::from_secs(10);
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = child.kill();
            }
            sleep(POLL);
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    // A pid fits: the kernel's limit is 2^22.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Under /tmp whatever TMPDIR says: the server's user must reach it, and a socket's path has 107 bytes.
fn temp_dir() -> TempDir {
    let dir =
        tempfile::Builder::new().prefix("jittask-").permissions(fs::Permissions::from_mode(0o700)).tempdir_in("/tmp");
    dir.unwrap_or_else(|error| panic!("no temporary directory under /tmp: {error}"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|error| panic!("no free port: {error}"));
    listener.local_addr().map(|address| address.port()).unwrap_or_else(|error| panic!("no free port: {error}"))
}
