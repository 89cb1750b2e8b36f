//! neargate: AWS's container stack on one Linux machine.
//!
//! This crate is the composition: it alone reads arguments and the environment, and it alone knows
//! all the others. The executable plays one of several roles, named by its first argument: the
//! command line that people use, the daemon (`serve`), and the roles that the daemon starts (`shim`,
//! `edge`) or puts into images (`static`).

mod cli;
mod client;
mod commands;
mod config;
mod credentials;
mod daemon;
mod descriptors;
mod front;
mod roles;
mod say;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Roles are started by this program itself, often, and must start fast: no argument parser, no
    // runtime, no threads before them.
    if let Some(code) = roles::dispatch() {
        return code;
    }
    cli::run()
}
