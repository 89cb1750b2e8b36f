//! The workspace keeps the rules of the house.

use std::process::Command;

#[test]
fn the_workspace_keeps_the_rules_of_the_house() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tidy")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
