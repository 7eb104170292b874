//! Running a program that must succeed.

use std::process::Command;

/// Runs `command` to its end.
///
/// # Panics
/// With the command and what it said, when it fails.
pub(crate) fn run(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("cannot run {command:?}: {error}"),
    }
}
