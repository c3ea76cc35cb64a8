//! For tests: files that are no part of the repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file or folder of `shared/`, which lies beside the workspace or where `RHYTON_SHARED` says; its `conformance`
/// may be elsewhere, where `RHYTON_CONFORMANCE` says. Says that the test is skipped when it is not there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("RHYTON_SHARED").map_or(beside, PathBuf::from);
    let path = match (name.strip_prefix("conformance"), std::env::var_os("RHYTON_CONFORMANCE")) {
        (Some(rest), Some(folder)) => Path::new(&folder).join(rest.trim_start_matches('/')),
        _ => root.join(name),
    };
    if !path.exists() {
        skipped(&format!("there is no {}", path.display()));
        return None;
    }
    Some(path)
}

/// Says that the test that runs is skipped, wholly or in part, and why: to standard error itself, for what tests print
/// with `eprintln!` is shown only when they fail.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    writeln!(std::io::stderr().lock(), "skipped: {test}: {why}").ok();
}
