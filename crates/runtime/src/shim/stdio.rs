//! What a container gets as its standard streams, and our ends of them.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use engine::{ContainerSpec, OutputStream};

use super::attach::Input;
use super::output::LogPipe;
use super::process::{null, set_nonblocking};
use crate::container::{Console, Owner, Streams, Theirs};
use crate::error::{Context, Result};
use crate::order::{Order, TaskFiles};

pub(super) struct Stdio {
    pub pipes: Vec<LogPipe>,
    pub input: Option<Input>,
    pub theirs: Theirs,
}

/// A task's output is copied into its log. A step's goes to the shim's own standard output, where
/// the builder reads it.
pub(super) fn stdio(
    files: &TaskFiles,
    order: &Order,
    spec: &ContainerSpec,
    owner: Owner,
) -> Result<Stdio> {
    if order.step.is_some() {
        return step(files, order);
    }
    if spec.terminal {
        return Ok(Stdio {
            pipes: Vec::new(),
            input: None,
            theirs: Theirs::Terminal(Console::open(files)?),
        });
    }
    let (out, stdout) = LogPipe::new(OutputStream::Stdout)?;
    let (err, stderr) = LogPipe::new(OutputStream::Stderr)?;
    let (input, stdin) = if spec.stdin {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .context(|| "could not make a pipe".to_owned())?;
        set_nonblocking(&write)?;
        owner.own(&read)?;
        (Some(Input::new(File::from(write), spec.stdin_once)), read)
    } else {
        (None, null()?)
    };
    owner.own(&stdout)?;
    owner.own(&stderr)?;
    Ok(Stdio {
        pipes: vec![out, err],
        input,
        theirs: Theirs::Streams(Streams {
            stdin,
            stdout,
            stderr,
        }),
    })
}

fn step(files: &TaskFiles, order: &Order) -> Result<Stdio> {
    let output = || -> Result<OwnedFd> {
        let stdout = std::io::stdout().as_fd().try_clone_to_owned();
        stdout.context(|| "could not duplicate standard output".to_owned())
    };
    let stdin = if order.step.as_ref().is_some_and(|step| step.has_stdin) {
        let file = File::open(files.step_stdin());
        file.context(|| "could not open the step's input".to_owned())?
            .into()
    } else {
        null()?
    };
    Ok(Stdio {
        pipes: Vec::new(),
        input: None,
        theirs: Theirs::Streams(Streams {
            stdin,
            stdout: output()?,
            stderr: output()?,
        }),
    })
}
