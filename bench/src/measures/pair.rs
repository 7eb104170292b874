//! Two tables that are alike, of which one has a task; for the measures of what being tracked costs a writer.

use cluster::Cluster;

use crate::server;

/// The tables, in the order in which a round takes them; the next round takes them the other way round.
pub const TABLES: [&str; 2] = ["untracked", "tracked"];

/// Makes both, and a task on one.
pub fn create(cluster: &Cluster, column: &str) {
    for table in TABLES {
        cluster.app_sql(&format!(
            "create table {table} (id bigint generated always as identity primary key, customer text not null, due {column} not null);
             create index on {table} (due);
             create function remind({table}) returns void language sql as ''"
        ));
    }
    track(cluster, "tracked");
}

/// Makes the task, and waits until its planning is over.
pub fn track(cluster: &Cluster, table: &str) {
    cluster
        .app_sql(&format!("select jittask.create_date_task('bench', '{table}', 'due', 'remind', time_zone => 'UTC')"));
    cluster.wait_for(
        std::time::Duration::from_secs(30),
        "select not exists (select from jittask.workers where kind = 'executor' and state <> 'idle')
             and exists (select from jittask.workers where kind = 'executor')",
    );
}

/// What each side of a round takes: first the untracked table's seconds, then the tracked one's.
pub fn round(cluster: &Cluster, number: usize, mut side: impl FnMut(&str) -> f64) -> (f64, f64) {
    let mut one = |table: &str| {
        server::maintain(cluster, "checkpoint");
        side(table)
    };
    if number.is_multiple_of(2) {
        let untracked = one(TABLES[0]);
        (untracked, one(TABLES[1]))
    } else {
        let tracked = one(TABLES[1]);
        (one(TABLES[0]), tracked)
    }
}
