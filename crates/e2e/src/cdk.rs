//! AWS's CDK, pinned in `target/cdk` (see `bin/test-setup`).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::aws::shell_environment;
use crate::docker::has_program;
use crate::machine::{Machine, Output, run_bounded};

pub struct Cdk {
    packages: PathBuf,
    environment: Vec<(String, String)>,
    /// The application, and the CDK's own cache beside it.
    folder: tempfile::TempDir,
}

impl Cdk {
    /// The application of `crates/e2e/cdk`, in a folder of its own. None, with a loud word, when the CDK is not
    /// installed.
    pub fn of(machine: &Machine) -> Option<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = own.join("../../target/cdk/node_modules");
        if !has_program("node") {
            return None;
        }
        if !packages.join(".bin/cdk").exists() {
            eprintln!("SKIPPED: no CDK; bin/test-setup installs it where there is npm");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.js", "cdk.json"] {
            std::fs::copy(own.join("cdk").join(name), folder.path().join(name)).unwrap();
        }
        Some(Self {
            packages: packages.canonicalize().unwrap(),
            environment: shell_environment(machine, &["AWS_", "DOCKER_"]),
            folder,
        })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// With a variable that the application reads.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(key, _)| key != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.packages.join(".bin/cdk"));
        command.args(arguments).current_dir(self.folder());
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder());
        command.env("NODE_PATH", &self.packages);
        // It asks nobody whether there is a newer one, tells nobody that it was used, and colours nothing.
        for name in [
            "CDK_DISABLE_VERSION_CHECK",
            "CDK_DISABLE_CLI_TELEMETRY",
            "CI",
            "NO_COLOR",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION",
        ] {
            command.env(name, "true");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_bounded(command)
    }

    /// For commands that must work: all that the client says.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = output.stdout + &output.stderr;
        assert_eq!(output.code, 0, "cdk {arguments:?}: {said}");
        eprintln!("cdk {}: {} ms", arguments[0], output.took.as_millis());
        said
    }

    /// For commands that must be refused: what the client says.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = output.stdout + &output.stderr;
        assert_ne!(output.code, 0, "cdk {arguments:?}: {said}");
        said
    }
}
