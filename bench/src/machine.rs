//! Where and when it was measured.

use std::process::Command;

/// In one line.
pub fn describe(server: &str) -> String {
    let date = said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let commit = said("git", &["describe", "--always", "--dirty", "--exclude", "*"]);
    let cpu = field("/proc/cpuinfo", "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory =
        field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1048576.0;
    let kernel = said("uname", &["-sr"]);
    format!(
        "{date}, commit {commit}: {cores} cores ({cpu}), {memory:.0} GiB of memory, {kernel}; {server}; {}, {}.",
        said("rustc", &["--version"]),
        peers()
    )
}

fn peers() -> String {
    let node = said("node", &["--version"]);
    let python = said("python3", &["--version"]);
    format!("node {node}, {python}")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { format!("no {program}") } else { text }
}

fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or("?", |(_, value)| value).trim().to_owned()
}
