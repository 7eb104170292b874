//! jittask measured against what a user would pick instead: `make bench`.
//!
//! Each measure has a server of its own, on which all its sides run by turns; a side's value is the median of its
//! rounds, a ratio the median of the rounds' ratios. NOTES.md says what each measure means.

#![forbid(unsafe_code)]

mod baseline;
mod contracts;
mod machine;
mod measures;
mod peers;
mod plan;
mod processes;
mod report;
mod results;
mod server;
mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cluster::Tree;

use measures::Measure;
use plan::Plan;
use report::{Line, Outcome, table};

fn main() -> ExitCode {
    match Plan::from_env().and_then(|plan| run(&plan)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<ExitCode, String> {
    let chosen = choose(plan)?;
    // What went wrong in full, but no stack: it is about servers and peers, not about this program.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let results: Vec<(&str, Outcome)> = chosen.iter().map(|measure| (measure.name, measured(measure, plan))).collect();
    println!("\n{}", table(&results));
    if plan.is_quick {
        return judge(plan, &chosen, &results);
    }
    if plan.scale == 1.0 {
        let path = home().join("RESULTS.md");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let text = results::file(&before, &about(plan), &results);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written to {}", path.display());
    } else {
        println!("only what is measured at SCALE=1 is written to bench/RESULTS.md");
    }
    let failed = results.iter().any(|(_, outcome)| outcome.is_err());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn choose(plan: &Plan) -> Result<Vec<Measure>, String> {
    let all = measures::all();
    if let Some(unknown) = plan.measures.iter().find(|name| all.iter().all(|measure| measure.name != name.as_str())) {
        let names: Vec<&str> = all.iter().map(|measure| measure.name).collect();
        return Err(format!("there is no measure {unknown}; there are: {}", names.join(" ")));
    }
    let wanted = |measure: &Measure| {
        if plan.measures.is_empty() {
            !plan.is_quick || measure.is_quick
        } else {
            plan.measures.iter().any(|name| name == measure.name)
        }
    };
    Ok(all.into_iter().filter(wanted).collect())
}

/// One measure to its end; one that fails is a line that says why.
fn measured(measure: &Measure, plan: &Plan) -> Outcome {
    eprintln!("==> {}: {}", measure.name, measure.what);
    let begun = std::time::Instant::now();
    let outcome = std::panic::catch_unwind(|| (measure.run)(plan)).unwrap_or_else(|panic| Err(message(&*panic)));
    match &outcome {
        Ok(lines) => {
            lines.iter().for_each(|line| eprintln!("    {}: {} {}", line.what, report::short(line.value), line.unit))
        }
        Err(why) => eprintln!("    not measured: {why}"),
    }
    eprintln!("    ({:.0} s)", begun.elapsed().as_secs_f64());
    outcome
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").lines().next().unwrap_or_default().to_owned()
}

/// CI's judgement. What fell is measured once more before it counts, with more rounds: the machine may have been busy.
fn judge(plan: &Plan, chosen: &[Measure], results: &[(&str, Outcome)]) -> Result<ExitCode, String> {
    let path = home().join("baseline.json");
    let lines = lines_of(results)?;
    if plan.saves {
        let text = format!("{:#}\n", baseline::of(&lines));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written to {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut committed = baseline::read(&path)?;
    if !plan.measures.is_empty() {
        baseline::keep(&mut committed, &lines);
    }
    let fallen = baseline::fallen(&committed, &lines);
    if fallen.is_empty() {
        println!("bench: no ratio fell by 30 % or more");
        return Ok(ExitCode::SUCCESS);
    }
    fallen.iter().for_each(|sentence| println!("{sentence}: once more, with more rounds"));
    let again = Plan { rounds: plan.rounds + 2, ..plan.clone() };
    let suspect = |measure: &&Measure| {
        let outcome = results.iter().find(|(name, _)| *name == measure.name);
        let lines = outcome.and_then(|(_, outcome)| outcome.as_ref().ok());
        lines.is_some_and(|lines| !baseline::fallen_of(&committed, lines).is_empty())
    };
    let second: Vec<(&str, Outcome)> =
        chosen.iter().filter(suspect).map(|measure| (measure.name, measured(measure, &again))).collect();
    let fallen = baseline::fallen_of(&committed, &lines_of(&second)?);
    fallen.iter().for_each(|sentence| println!("FELL: {sentence}"));
    Ok(if fallen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines_of(results: &[(&str, Outcome)]) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (name, outcome) in results {
        lines.extend(outcome.clone().map_err(|why| format!("{name} was not measured: {why}"))?);
    }
    Ok(lines)
}

/// When, on what, and by how many rounds was measured.
fn about(plan: &Plan) -> String {
    let server = format!("PostgreSQL {}", server_version());
    format!("{} ROUNDS={}.", machine::describe(&server), plan.rounds)
}

fn server_version() -> String {
    let output = Tree::from_env().command("postgres").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.trim().trim_start_matches("postgres (PostgreSQL) ").to_owned()
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
