//! A network namespace of a test's own, where every port is free: for tests that type what people type.

use std::process::Command;

use crate::machine::run_bounded_by;

/// Tells the inside from the outside.
const INSIDE: &str = "NEARGATE_E2E_OWN_NETWORK";
/// Long walks with builds in them, while other tests share the two cores.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// Runs `body` in a network namespace that has a loopback and nothing else. The test program starts
/// itself again there, for the test of this name (`module::name`); what it says is said again here.
#[track_caller]
pub fn in_own_network(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.is_ok_and(|it| it.success()), "the loopback is not up");
        return body();
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]);
    command.arg(std::env::current_exe().expect("a test program knows its file"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(INSIDE, "1");
    let output = run_bounded_by(command, TIMEOUT);
    eprintln!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, 0, "it failed in its own network");
    assert!(
        output.stdout.contains("1 passed"),
        "there is no test `{test}`"
    );
}
