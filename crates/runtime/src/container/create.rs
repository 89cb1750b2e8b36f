//! Creating and starting a container with `libcontainer`. Only ever called in a process with one
//! thread.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::complaints::{self, Listening};
use super::container_id;
use super::executor::{Confinement, Launch};
use super::forked::Parenthood;
use super::terminal::{Console, Terminal};
use crate::error::{Context, Failure, Result};
use crate::order::TaskFiles;

/// What a container's first process has as its standard streams.
pub(crate) struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// What a container's first process is given.
pub(crate) enum Theirs {
    Streams(Streams),
    /// It makes a terminal and hands it over here.
    Terminal(Console),
}

impl Theirs {
    /// The container's half goes into what it is built with, ours stays.
    pub fn give(self, builder: ContainerBuilder) -> (ContainerBuilder, Option<Console>) {
        match self {
            Self::Streams(streams) => {
                let builder = builder
                    .with_stdin(streams.stdin)
                    .with_stdout(streams.stdout)
                    .with_stderr(streams.stderr);
                (builder, None)
            }
            Self::Terminal(console) => {
                let builder = builder.with_console_socket(Some(console.path()));
                (builder, Some(console))
            }
        }
    }
}

/// A container that is set up and waits for its program to be executed.
pub(crate) struct Created {
    container: Container,
    /// Says why the program could not be executed, or closes when it was.
    report: File,
    terminal: Option<Terminal>,
}

/// Sets up the container whose bundle was written.
pub(crate) fn create(
    files: &TaskFiles,
    index: usize,
    confinement: Confinement,
    theirs: Theirs,
) -> Result<Created> {
    let (report, told) = report_pipe()?;
    let launch = Launch {
        confinement,
        report: told.as_raw_fd(),
    };
    let parenthood = Parenthood::begin()?;
    let listening = Listening::to(&told);
    let builder = ContainerBuilder::new(container_id(index), SyscallType::default());
    let (builder, console) = theirs.give(builder.with_executor(launch));
    let built = builder
        .with_root_path(files.containers())
        .and_then(|builder| {
            let builder = builder.as_init(files.bundle(index));
            builder.with_systemd(false).with_detach(true).build()
        });
    drop((listening, told, parenthood));
    match built {
        Ok(container) => Ok(Created {
            terminal: console.map(Console::receive).transpose()?,
            container,
            report,
        }),
        Err(error) => Err(better_reason(report, &error)),
    }
}

impl Created {
    /// In the host's pid namespace.
    pub fn pid(&self) -> Option<i32> {
        self.container.pid().map(|pid| pid.as_raw())
    }

    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// Returns when the program has been executed.
    pub fn start(mut self) -> Result<()> {
        self.container
            .start()
            .map_err(|error| Failure(chain(&error)))?;
        let said = read_all(self.report);
        let (reason, _) = complaints::split(&said);
        if reason.is_empty() {
            Ok(())
        } else {
            Err(Failure(reason))
        }
    }
}

pub(crate) fn report_pipe() -> Result<(File, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).context(|| "could not make a pipe".to_owned())?;
    Ok((File::from(read), write))
}

/// What the process inside said is nearer to the cause than what `libcontainer` makes of it.
pub(crate) fn better_reason(report: File, error: &LibcontainerError) -> Failure {
    let said = read_all(report);
    match complaints::split(&said) {
        (message, _) if !message.is_empty() => Failure(message),
        (_, Some(complaint)) => Failure(format!("{}: {complaint}", chain(error))),
        _ => Failure(chain(error)),
    }
}

fn read_all(mut report: File) -> String {
    let mut text = Vec::new();
    let _ = report.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The error with its causes, each said once: many of them repeat the one below.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
