//! The server's processes as /proc shows them, also those of a server that lets nobody in.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// What `ps` shows of it, such as `postgres: jittask executor`.
    pub title: String,
}

/// What a process holds in memory, in kB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that is resident, the server's shared memory included as far as the process has touched it.
    pub resident: i64,
    /// Its own: neither shared memory nor files.
    pub private: i64,
    /// The most that has been resident so far.
    pub peak: i64,
}

/// All processes whose working directory is `datadir`, as every process of a server has it. One that is just ending has
/// no title any more, but may still hold shared memory.
pub fn of(datadir: &Path) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == datadir))
        .map(|pid| {
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            Process { pid, title: String::from_utf8_lossy(&title).replace('\0', " ").trim().to_owned() }
        })
        .collect()
}

/// The first word of each of these fields. None when the process has gone.
fn status<const N: usize>(pid: i32, names: [&str; N]) -> Option<[String; N]> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(known, _)| *known == name)?;
        value.split_whitespace().next().map(str::to_owned)
    };
    let fields: Option<Vec<String>> = names.into_iter().map(field).collect();
    fields?.try_into().ok()
}

/// None when the process has gone.
pub fn memory(pid: i32) -> Option<Memory> {
    let [resident, private, peak] = status(pid, ["VmRSS", "RssAnon", "VmHWM"])?;
    Some(Memory { resident: resident.parse().ok()?, private: private.parse().ok()?, peak: peak.parse().ok()? })
}

/// The processor time that it has used. None when the process has gone.
pub fn processor_time(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may have blanks in it, ends at the last parenthesis; utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// How often it was taken off a processor. None when the process has gone.
pub fn switches(pid: i32) -> Option<u64> {
    let [waited, preempted] = status(pid, ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"])?;
    Some(waited.parse::<u64>().ok()? + preempted.parse::<u64>().ok()?)
}

/// Has it been stopped, or has it gone?
pub fn is_stopped(pid: i32) -> bool {
    status(pid, ["State"]).is_none_or(|[state]| state == "T")
}
