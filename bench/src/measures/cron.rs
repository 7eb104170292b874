//! The peer pg_cron, on a server of its own that has it: how late the jobs of one minute start, and what idling costs;
//! beside it jittask with the same jobs, half a minute shifted, so that they do not disturb each other.

use std::path::PathBuf;
use std::time::Duration;

use cluster::{Cluster, Options, Tree, all};

use crate::plan::Plan;
use crate::processes;
use crate::report::{Line, Outcome};
use crate::server;
use crate::stats::percentile;

const JOBS: i32 = 20;
const IDLE_JOBS: i32 = 500;
const IDLE: Duration = Duration::from_secs(300);

pub fn run(plan: &Plan) -> Outcome {
    let home = std::env::var_os("BENCH_CRON_SERVER").map(PathBuf::from);
    let home = home.filter(|path| path.join("bin/postgres").exists());
    let home = home.ok_or("no server with pg_cron: tools/bench says why")?;
    let peer = Cluster::on(Tree::at(&home), &options());
    let ours = server::start(&[]);
    jobs(&peer, &ours);
    let version: String =
        cluster::one(&mut peer.connect("postgres"), "select extversion from pg_extension where extname = 'pg_cron'");
    // Whole minutes; the first is for getting started.
    std::thread::sleep(Duration::from_secs(60) * (plan.rounds as u32 + 1) + Duration::from_secs(5));
    let late = |cluster: &Cluster| -> Vec<f64> {
        all(
            &mut cluster.connect("postgres"),
            "select late_ms from outbox where at > (select min(at) from outbox) + interval '30 s'",
        )
    };
    let (theirs, ours_late) = (late(&peer), late(&ours));
    let needed = plan.rounds * JOBS as usize;
    if theirs.len() < needed || ours_late.len() < needed {
        return Err(format!("of {needed} jobs pg_cron ran {}, jittask {}", theirs.len(), ours_late.len()));
    }
    drop(ours);
    let (cpu, xids) = idle(&peer, plan.span(IDLE));
    let ms = |what: &str, late: &[f64], share| Line::info(what, percentile(late, share), "ms");
    let cron = format!("pg_cron {version}");
    Ok(vec![
        ms(&format!("{JOBS} jobs each minute, p50 late: {cron}"), &theirs, 0.5),
        ms("the same, jittask", &ours_late, 0.5),
        ms(&format!("{JOBS} jobs each minute, the latest: {cron}"), &theirs, 1.0),
        ms("the same, jittask", &ours_late, 1.0),
        Line::info(&format!("idle, {IDLE_JOBS} jobs, an hour: CPU time of {cron}"), cpu, "s"),
        Line::info(&format!("idle, {IDLE_JOBS} jobs, an hour: transaction ids of {cron}"), xids, "ids"),
    ])
}

fn options() -> Options {
    let options = Options::plain().set("shared_preload_libraries", "pg_cron").set("cron.use_background_workers", "on");
    options.set("max_worker_processes", "64").set("autovacuum", "off")
}

fn jobs(peer: &Cluster, ours: &Cluster) {
    let outbox = "create table outbox (late_ms float8 not null, at timestamptz not null default clock_timestamp());
        create function handle() returns void language sql as
            $$ insert into outbox (late_ms) select extract(epoch from clock_timestamp() - date_trunc('minute', clock_timestamp())) * 1000 $$;";
    peer.sql("postgres", "create extension pg_cron");
    peer.sql("postgres", outbox);
    peer.sql(
        "postgres",
        &format!("select cron.schedule('job ' || g, '* * * * *', 'select handle()') from generate_series(1, {JOBS}) g"),
    );
    let shifted =
        outbox.replace("date_trunc('minute', clock_timestamp())", "(select due_at from jittask.current_run())");
    ours.app_sql(&shifted);
    ours.app_sql(&format!(
        "select jittask.create_scheduled_task('job', now(), 'handle', rule => 'cron: 30 * * * * *', name => 'job_' || g)
         from generate_series(1, {JOBS}) g"
    ));
}

/// CPU seconds and transaction ids an hour, with jobs that are not due.
fn idle(peer: &Cluster, span: Duration) -> (f64, f64) {
    peer.sql("postgres", "select cron.unschedule(jobid) from cron.job");
    // At four at night in twelve hours from now.
    peer.sql(
        "postgres",
        &format!(
            "select cron.schedule('idle ' || g, '0 ' || extract(hour from now() + interval '12 hours') || ' * * *', 'select 1')
             from generate_series(1, {IDLE_JOBS}) g"
        ),
    );
    std::thread::sleep(Duration::from_secs(5));
    let mut session = peer.connect("postgres");
    let per_hour = 3600.0 / span.as_secs_f64();
    let before = server::next_xid(&mut session);
    let cpu = processes::watch(server::postmaster(peer), "pg_cron", span) * per_hour;
    (cpu, (server::next_xid(&mut session) - before) as f64 * per_hour)
}
