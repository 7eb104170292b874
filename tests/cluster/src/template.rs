//! A new data directory. `initdb` takes about a second, a copy of its result some hundredths: the first one made with a
//! server is kept beside that server's files, if they may be written, and later clusters are copies of it.
//!
//! The copies share one system identifier, so a test of what that identifier tells apart sets
//! [`crate::Options::own_identity`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::tree::Tree;

/// Makes `data` a data directory of superuser `postgres` that the server's user owns, as a copy where possible.
pub(crate) fn provide(tree: &Tree, data: &Path) {
    let template = tree.dir().join("jittask-template");
    if !template.join("PG_VERSION").exists() {
        initdb(tree, data);
        keep(data, &template);
        return;
    }
    command::run(Command::new("cp").args(["-R", "--reflink=auto"]).arg(&template).arg(data));
    private(data);
    tree.hand_over(data);
}

/// Makes `data` a data directory of its own.
pub(crate) fn initdb(tree: &Tree, data: &Path) {
    command::run(
        tree.command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(data),
    );
}

/// Keeps a copy of `data` as `template`. Where that cannot be written, or somebody else was first, nothing is lost.
fn keep(data: &Path, template: &Path) {
    let mut part = template.as_os_str().to_owned();
    part.push(format!(".{}.{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], ""));
    let part = PathBuf::from(part);
    let copied = Command::new("cp").args(["-R", "--reflink=auto"]).arg(data).arg(&part).output();
    let kept = copied.is_ok_and(|output| output.status.success()) && std::fs::rename(&part, template).is_ok();
    if !kept {
        let _ = std::fs::remove_dir_all(&part);
    }
}

/// PostgreSQL takes no data directory that others can read.
fn private(data: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
        .unwrap_or_else(|error| panic!("chmod {}: {error}", data.display()));
}
