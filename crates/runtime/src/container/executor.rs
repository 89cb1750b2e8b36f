//! The last steps before a container's program takes over, inside the container.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::AccessFlags;
use seccompiler::BpfProgram;

use super::forked;
use super::init::{Init, split_off};

/// What shells answer when a command cannot be executed.
pub(super) const EXIT_CANNOT_EXECUTE: i32 = 126;
/// The highest signal number on Linux.
const SIGNAL_MAX: i32 = 64;

/// What is done to the process besides what the OCI configuration says.
#[derive(Clone, Default)]
pub(crate) struct Confinement {
    pub filters: Vec<BpfProgram>,
    /// The power to install them is not the program's: it is given up before the program is executed.
    pub gives_up_power: bool,
    pub init: Init,
    /// Rows and columns that its terminal has from the beginning.
    pub terminal_size: Option<(u16, u16)>,
}

/// A [`libcontainer`] executor. It tells why the program could not be executed through a pipe that
/// closes by itself when it could.
#[derive(Clone)]
pub(crate) struct Launch {
    pub confinement: Confinement,
    pub report: RawFd,
}

impl Executor for Launch {
    /// Runs while the container is being created, as its user and in its root.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        // It has changed its user since it was asked last, and is about to wait.
        let lives = forked::die_with_parent();
        let found = lives.and_then(|()| find_program(spec));
        found.map(|_| ()).map_err(|message| {
            self.tell(&message);
            ExecutorValidationError::ArgValidationError(message)
        })
    }

    /// The environment is taken from the configuration as it stands when the program is executed.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let message = match self.become_program(spec) {
            Ok(never) => match never {},
            Err(message) => message,
        };
        self.tell(&message);
        Err(ExecutorError::Other(message))
    }
}

impl Launch {
    fn become_program(&self, spec: &Spec) -> Result<Infallible, String> {
        let program = find_program(spec)?;
        let process = spec.process().as_ref().ok_or("no process is given")?;
        let arguments = to_c(process.args().as_deref().unwrap_or_default())?;
        let environment = to_c(process.env().as_deref().unwrap_or_default())?;
        let path = to_c(&[program.to_string_lossy().into_owned()])?.remove(0);
        if let Some((rows, columns)) = self.confinement.terminal_size {
            // A terminal of another size is better than none.
            let _ = super::resize(std::io::stdout(), rows, columns);
        }
        reset_signals();
        forked::die_with_parent()?;
        for filter in &self.confinement.filters {
            install(filter)
                .map_err(|error| format!("could not install the seccomp filter: {error}"))?;
        }
        if self.confinement.gives_up_power {
            give_up_power().map_err(|error| format!("could not give up power: {error}"))?;
        }
        split_off(self.confinement.init)?;
        let error =
            nix::unistd::execve(&path, &arguments, &environment).expect_err("only returns to fail");
        Err(explain(&program.to_string_lossy(), error))
    }

    fn tell(&self, message: &str) {
        // SAFETY: whoever made the `Launch` keeps the descriptor open until the process is created,
        // and this is the created process, with its own copy.
        let report = unsafe { BorrowedFd::borrow_raw(self.report) };
        let _ = nix::unistd::write(report, format!("{message}\n").as_bytes());
    }
}

/// Installs a filter of system calls. Unlike the library's own way it leaves alone whether programs may get
/// more power, which the configuration has said.
fn install(filter: &BpfProgram) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies the program, which outlives the call; its instructions are laid out as
    // the kernel's are.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    Errno::result(done).map(drop)
}

/// Takes `CAP_SYS_ADMIN` from what this process may use and may have. It has one thread.
fn give_up_power() -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    /// Effective, permitted and inheritable sets; twice, for 64 capabilities.
    type Sets = [[u32; 3]; 2];
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut sets: Sets = Default::default();
    // SAFETY: both are laid out as the kernel has them, and as long as this version says.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) };
    Errno::result(got)?;
    for set in &mut sets[0] {
        *set &= !(1 << SYS_ADMIN);
    }
    // SAFETY: as above.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, &raw const sets) };
    Errno::result(done).map(drop)
}

/// The program that the first argument names, or why there is none.
fn find_program(spec: &Spec) -> Result<PathBuf, String> {
    let process = spec.process().as_ref().ok_or("no process is given")?;
    let name = process
        .args()
        .as_ref()
        .and_then(|arguments| arguments.first());
    let name = name
        .filter(|name| !name.is_empty())
        .ok_or("no command is given")?;
    if name.contains('/') {
        let path = PathBuf::from(name);
        return is_program(&path)
            .map(|()| path)
            .map_err(|error| explain(name, error));
    }
    let environment = process.env().as_deref().unwrap_or_default();
    let path = environment
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let mut found = Errno::ENOENT;
    for directory in path.unwrap_or("").split(':') {
        let candidate =
            PathBuf::from(if directory.is_empty() { "." } else { directory }).join(name);
        match is_program(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => found = Errno::EACCES,
            Err(_) => {}
        }
    }
    Err(match found {
        Errno::ENOENT => format!("exec: \"{name}\": executable file not found in $PATH"),
        error => explain(name, error),
    })
}

fn is_program(path: &std::path::Path) -> Result<(), Errno> {
    nix::unistd::faccessat(
        nix::fcntl::AT_FDCWD,
        path,
        AccessFlags::X_OK,
        AtFlags::AT_EACCESS,
    )?;
    // Directories are "executable" too.
    if path.is_file() {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

fn explain(program: &str, error: Errno) -> String {
    format!("exec: \"{program}\": {}", error.desc().to_lowercase())
}

fn to_c(texts: &[String]) -> Result<Vec<CString>, String> {
    let convert = |text: &String| CString::new(text.as_str());
    let converted: Result<_, _> = texts.iter().map(convert).collect();
    converted.map_err(|_| "an argument or variable holds a zero byte".to_owned())
}

/// Rust programs ignore SIGPIPE, and what is ignored stays ignored in an executed program.
fn reset_signals() {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: installs no handler. Signals that cannot be set are refused, which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}
