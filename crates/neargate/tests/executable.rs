//! The executable answers. This test also makes `cargo test` build the executable, which the tests
//! of the crate `e2e` run.

use std::process::Command;

fn neargate(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neargate"));
    command.args(arguments).output().unwrap()
}

#[test]
fn it_says_its_version() {
    let output = neargate(&["version", "--json"]);
    let version = format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
}

#[test]
fn wrong_arguments_are_an_error_of_their_own() {
    for arguments in [
        &["fly"][..],
        &["up", "--count", "many"],
        &["static", "--root", "/"],
        &["edge"],
    ] {
        let output = neargate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
