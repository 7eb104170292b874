//! The pages of the documentation say what happens: their examples are run.

use cluster::Cluster;

#[test]
fn the_page_on_time() {
    Cluster::ready(&[]).follow_page("time.md", "app");
}
