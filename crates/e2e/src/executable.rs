//! Where the executable is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The neargate executable: `NEARGATE_BIN`, or the one of the build that this test belongs to.
///
/// `cargo test --workspace` builds it before any test runs, because the crate `neargate` has a test
/// of its executable. When only this crate is tested on a clean clone, it is built here.
pub fn neargate() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("NEARGATE_BIN") {
        Some(path) => PathBuf::from(path),
        None => in_target_directory(),
    })
}

fn in_target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    // target/<triple>/<profile>/deps/all-<hash>
    let profile = test.ancestors().nth(2).expect("tests are two levels deep");
    let path = profile.join("neargate");
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "neargate"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(
            status.is_ok_and(|it| it.success()),
            "neargate cannot be built"
        );
    }
    path
}
