//! Terraform with the provider for AWS, as they are on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::aws::shell_environment;
use crate::docker::has_program;
use crate::machine::{Machine, Output, run_bounded_by};

/// The provider alone waits a minute for a load balancer, and this machine does other things meanwhile.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Where the provider is in a mirror.
const PROVIDER: &str = "registry.terraform.io/hashicorp/aws";

/// A configuration in a folder of its own.
pub struct Terraform {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Terraform {
    /// A copy of an example, initialized. None, with a loud word, when Terraform or the provider is not installed:
    /// nothing is fetched from anywhere.
    pub fn of(machine: &Machine, example: &str) -> Option<Self> {
        if !has_program("terraform") {
            return None;
        }
        let Some(configuration) = configuration_with_provider() else {
            eprintln!(
                "SKIPPED: no folder that terraform's CLI configuration names has `{PROVIDER}`"
            );
            return None;
        };
        let mut environment = shell_environment(machine, &["AWS_"]);
        for (name, value) in [
            ("TF_CLI_CONFIG_FILE", &*configuration.to_string_lossy()),
            ("TF_IN_AUTOMATION", "1"),
            ("TF_INPUT", "0"),
            ("CHECKPOINT_DISABLE", "1"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        let terraform = Self {
            folder: copy_of(example),
            environment,
        };
        terraform.ok(&["init"]);
        Some(terraform)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("terraform");
        command.args(&arguments[..1]);
        let silent = ["output", "show"].contains(&arguments[0]);
        command.args((!silent).then_some("-no-color"));
        command.args(&arguments[1..]);
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Nobody's own configuration.
        command.env("HOME", "/nonexistent");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_bounded_by(command, TIMEOUT)
    }

    /// For commands that must work.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(
            output.code, 0,
            "terraform {arguments:?}: {}\n{}",
            output.stdout, output.stderr
        );
        output
    }

    #[track_caller]
    pub fn apply(&self, variables: &[&str]) -> Output {
        self.ok(&[&["apply", "-auto-approve"], variables].concat())
    }

    /// What is there is what is written.
    #[track_caller]
    pub fn assert_no_changes(&self, variables: &[&str]) {
        let output = self.run(&[&["plan", "-detailed-exitcode"], variables].concat());
        assert_eq!(
            output.code, 0,
            "there is something to change, or it failed: {}\n{}",
            output.stdout, output.stderr
        );
        assert!(output.stdout.contains("No changes."), "{}", output.stdout);
    }

    #[track_caller]
    pub fn output(&self, name: &str) -> String {
        let json = self.ok(&["output", "-json"]).json();
        match &json[name]["value"] {
            Value::String(text) => text.clone(),
            other => panic!("there is no output `{name}`: {other}"),
        }
    }
}

fn copy_of(example: &str) -> tempfile::TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source.join(example)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// The configuration of Terraform's command line, where one of the folders that it names has the provider.
fn configuration_with_provider() -> Option<PathBuf> {
    let file = match std::env::var_os("TF_CLI_CONFIG_FILE") {
        Some(path) => PathBuf::from(path),
        None => Path::new(&std::env::var_os("HOME")?).join(".terraformrc"),
    };
    let text = fs::read_to_string(&file).ok()?;
    let has_provider = |folder: &str| Path::new(folder).join(PROVIDER).is_dir();
    // Every other piece between quotes is a text of the configuration.
    let named = text.split('"').skip(1).step_by(2).any(has_provider);
    named.then_some(file)
}
