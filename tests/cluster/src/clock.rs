//! A server's clock that can be set: a small library, preloaded into its processes, that adds to the real time what
//! stands in a file. It is built with the C compiler that building the extension needs anyway.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clock/clock.c");

#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Builds the library in `dir`.
    pub(crate) fn build(dir: &Path) -> Self {
        let clock = Self { library: dir.join("clock.so"), file: dir.join("clock") };
        command::run(Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&clock.library).arg(SOURCE));
        fs::write(&clock.file, 0_i64.to_ne_bytes()).unwrap_or_else(|error| panic!("{}: {error}", clock.file.display()));
        clock
    }

    pub(crate) fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("TEST_CLOCK", &self.file);
    }

    /// In place, since the processes have the file mapped.
    pub(crate) fn set(&self, seconds: i64) {
        let micros = (seconds * 1_000_000).to_ne_bytes();
        fs::File::options()
            .write(true)
            .open(&self.file)
            .and_then(|file| file.write_all_at(&micros, 0))
            .unwrap_or_else(|error| panic!("{}: {error}", self.file.display()));
    }
}
