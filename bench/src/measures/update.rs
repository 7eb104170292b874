//! pgbench: single-row updates of the date column, far future, tracked against untracked.

use std::path::Path;
use std::time::Duration;

use cluster::Cluster;

use super::pair;
use crate::plan::Plan;
use crate::report::{Line, Outcome};
use crate::server;
use crate::stats::{median, ratio};

pub fn run(plan: &Plan) -> Outcome {
    let cluster = server::start(&[]);
    pair::create(&cluster, "date");
    let rows = plan.count(100_000);
    for table in pair::TABLES {
        cluster.sql(
            "postgres",
            &format!("insert into {table} (customer, due) select 'customer ' || g, date '2100-01-01' from generate_series(1, {rows}) g"),
        );
        server::maintain(&cluster, &format!("vacuum analyze {table}"));
    }
    let span = plan.span(Duration::from_secs(10)).max(Duration::from_secs(2));
    let (mut untracked, mut tracked) = (Vec::new(), Vec::new());
    for number in 0..2 * plan.rounds {
        let (without, with) = pair::round(&cluster, number, |table| pgbench(&cluster, table, rows, span));
        untracked.push(without);
        tracked.push(with);
    }
    let what = "pgbench single-row UPDATE of the date column, far future, tracked against untracked";
    Ok(vec![
        Line::ratio("update", what, ratio(&tracked, &untracked), 0.95, 0.98),
        Line::info("untracked, two clients", median(&untracked), "tps"),
        Line::info("tracked, two clients", median(&tracked), "tps"),
    ])
}

/// Transactions a second.
fn pgbench(cluster: &Cluster, table: &str, rows: i64, span: Duration) -> f64 {
    let script = cluster.socket_dir().join(format!("{table}.sql"));
    let text = format!(
        "\\set id random(1, {rows})\n\\set days random(1, 30000)\nupdate {table} set due = date '2100-01-01' + :days::int where id = :id;\n"
    );
    std::fs::write(&script, text).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    readable(&script);
    let mut command = cluster.tree().command("pgbench");
    command.args(["--no-vacuum", "--protocol=prepared", "--client=2", "--jobs=1"]);
    command
        .arg(format!("--time={}", span.as_secs()))
        .arg("--file")
        .arg(&script)
        .arg("--host")
        .arg(cluster.socket_dir());
    command.arg(format!("--port={}", cluster.port())).args(["--username=app", "postgres"]);
    let output = command.output().unwrap_or_else(|error| panic!("pgbench: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("pgbench told no tps: {said} {}", String::from_utf8_lossy(&output.stderr)))
}

/// pgbench runs as the server's user.
fn readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
