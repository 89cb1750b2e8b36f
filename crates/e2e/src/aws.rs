//! AWS's own command line, pinned in the repository's `.venv` (see `bin/test-setup`).

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::machine::{Machine, Output, run_bounded};

#[derive(Clone)]
pub struct Aws {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

pub type AwsOutput = Output;

impl Aws {
    /// None, with a loud word, when the command line is not installed.
    pub fn of(machine: &Machine) -> Option<Self> {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let program = root.join(".venv/bin/aws");
        if !program.exists() {
            eprintln!("SKIPPED: no AWS command line; bin/test-setup installs it");
            return None;
        }
        Some(Self {
            program,
            environment: shell_environment(machine, &["AWS_"]),
        })
    }

    /// With another secret.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(key, _)| key != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.run_here(command)
    }

    /// Runs a program in Python, with boto3 at hand.
    pub fn python(&self, program: &str) -> Output {
        let mut command = Command::new(self.program.with_file_name("python"));
        command.args(["-c", program]);
        self.run_here(command)
    }

    fn run_here(&self, mut command: Command) -> Output {
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AWS_PAGER", "").env("AWS_MAX_ATTEMPTS", "1");
        // Nobody's own configuration.
        command.env("HOME", "/nonexistent");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_bounded(command)
    }

    /// For commands that must work.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "aws {arguments:?}: {output:?}");
        if output.stdout.trim().is_empty() {
            return Value::Null;
        }
        output.json()
    }

    /// For commands that must be refused: what the client says.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_ne!(output.code, 0, "aws {arguments:?}: {output:?}");
        output.stderr
    }
}

/// What `eval "$(neargate env)"` sets, asked of a real shell: names that begin so.
pub(crate) fn shell_environment(machine: &Machine, prefixes: &[&str]) -> Vec<(String, String)> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(r#"eval "$("$0" "$@")" && env"#);
    shell.arg(crate::neargate()).arg("env");
    shell.args(machine.arguments());
    shell.env_clear();
    let output = run_bounded(shell);
    assert_eq!(output.code, 0, "{output:?}");
    let lines = output.stdout.lines().filter_map(|it| it.split_once('='));
    let ours = lines.filter(|(name, _)| prefixes.iter().any(|it| name.starts_with(it)));
    ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
