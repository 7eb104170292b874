//! The numbers of a run, as a section of `tests/SOAK.md`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cluster::{Cluster, one};

use super::kills::Kill;
use super::{Measured, load, memory};

pub fn section(cluster: &Cluster, measured: &Measured) -> String {
    let version: String = one(&mut cluster.connect("postgres"), "select current_setting('server_version')");
    let Measured { kills, changes, minutes, growth, verdict } = measured;
    let [half, most, all] = verdict.delays;
    let mut text =
        format!("## PostgreSQL {version}\n\n{} UTC, {}.\n\n", chrono::Utc::now().format("%Y-%m-%d %H:%M"), machine());
    text += &format!(
        "{} date-field tasks on {} tables, {} scheduled tasks every 2 to 4 seconds, and one whose table is truncated; {} rows a second \
         while the server is up; {} minutes.\n\n",
        load::DATE_TASKS,
        load::TABLES,
        load::TICKS,
        load::RATE,
        minutes.len()
    );
    text += &format!("- {} rows were written; {} occurrences were due.\n", verdict.rows, verdict.occurrences);
    text += &format!(
        "- Each has exactly one effect and one completed record; {} of them after more than one attempt.\n",
        verdict.retried
    );
    text += &format!(
        "- `jittask.status().unaccounted` = 0: {} entered = {} ended + {} waiting, those of dropped and truncated tables included.\n",
        verdict.entered, verdict.ended, verdict.waiting
    );
    text += &format!(
        "- From due to done, all time without a server included: {half:.3} s in the median, {most:.3} s for 95 %, {all:.1} s at most.\n\n"
    );
    text += &kill_table(kills);
    text += &list("Changed meanwhile", changes.made.iter().map(|(name, times)| format!("{name} {times}")));
    text += &list("Refused, by SQLSTATE", changes.refused.iter().map(|(code, times)| format!("{code} {times}")));
    text +=
        "\nMemory in MB, private / resident with shared memory, the largest process of each kind in each minute:\n\n";
    text += &memory::table(minutes);
    for (kind, lived, grown) in memory::longest(growth) {
        text += &format!(
            "\nThe {kind} that lived longest, {} s, grew by {grown} kB of its own memory after its first minute.\n",
            lived.as_secs()
        );
    }
    text
}

fn kill_table(kills: &[Kill]) -> String {
    let mut by_victim: BTreeMap<&str, Vec<&Kill>> = BTreeMap::new();
    for kill in kills {
        by_victim.entry(kill.victim).or_default().push(kill);
    }
    let mut text = String::from(
        "| kill -9 of | times | server back: median, most (s) | first run of what fell due then: median, most (s) |\n| --- | ---: | ---: | ---: |\n",
    );
    for (victim, kills) in by_victim {
        let recovery = half_and_most(kills.iter().map(|kill| kill.recovery));
        let first_run = half_and_most(kills.iter().map(|kill| kill.first_run));
        text += &format!("| {victim} | {} | {recovery} | {first_run} |\n", kills.len());
    }
    text + "\n"
}

fn half_and_most(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    match times.last() {
        Some(most) => format!("{:.2}, {most:.2}", times[times.len() / 2]),
        None => String::new(),
    }
}

fn list(title: &str, parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { String::new() } else { format!("{title}: {}.\n", parts.join(", ")) }
}

/// Processors, memory and kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, |count| count.get());
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let meminfo = read("/proc/meminfo");
    let memory: u64 = meminfo.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{processors} processors ({}), {} GB of memory, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        memory / 1_000_000,
        kernel.trim()
    )
}
