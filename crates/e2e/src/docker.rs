//! Docker's own clients, as they are on this machine.

use std::path::Path;
use std::process::Command;

use crate::aws::shell_environment;
use crate::machine::{Machine, Output, run_bounded};

pub struct Docker {
    environment: Vec<(String, String)>,
    /// Its configuration: logins, above all.
    directory: tempfile::TempDir,
}

impl Docker {
    /// None, with a loud word, when docker's client is not there.
    pub fn of(machine: &Machine) -> Option<Self> {
        has_program("docker").then(|| Self {
            environment: {
                let mut environment = shell_environment(machine, &["DOCKER_"]);
                // The classic builder, whether or not the machine's client has BuildKit's.
                environment.push(("DOCKER_BUILDKIT".to_owned(), "0".to_owned()));
                environment
            },
            directory: tempfile::tempdir().unwrap(),
        })
    }

    fn command(&self, program: &str, arguments: &[&str], folder: &Path) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_bounded(command)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(Path::new("/"), arguments)
    }

    pub fn run_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.command("docker", arguments, folder)
    }

    /// For commands that must work: what the client prints, without space around it.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "docker {arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// For commands that must be refused: what the client says.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_ne!(output.code, 0, "docker {arguments:?}: {output:?}");
        output.stderr
    }

    /// docker-compose 1.29. None, with a loud word, when it is not there.
    pub fn compose(&self, folder: &Path, arguments: &[&str]) -> Option<Output> {
        has_program("docker-compose").then(|| self.command("docker-compose", arguments, folder))
    }
}

pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|it| it.join(name).is_file());
    if !found {
        eprintln!("SKIPPED: no `{name}` on this machine");
    }
    found
}
