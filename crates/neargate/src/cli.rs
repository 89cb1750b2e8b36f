//! The command line that people use.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands;
use crate::config::Config;
use crate::say;

/// AWS's container stack on one Linux machine, for real.
///
/// Put a web application online:    neargate up FOLDER
/// Speak to it as to AWS:           eval "$(neargate env)"; aws ecs list-clusters
#[derive(Debug, Parser)]
#[command(name = "neargate", version, verbatim_doc_comment, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten, next_help_heading = "Which daemon, and how it speaks")]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a folder and put it online; again after an edit: roll it out
    Up(commands::up::Up),
    /// Take an application offline
    Down(commands::down::Down),
    /// List applications
    Ls,
    /// Show what an application's containers print
    Logs(commands::logs::Logs),
    /// Run a command, or a shell, in a container of an application's, a service's or a task's
    Exec(commands::exec::Exec),
    /// Print an application's address, and open it where there is a browser
    Open {
        /// The application's name
        name: String,
    },
    /// Print a link that opens the web console, once; open it where there is a browser
    Console(commands::web::Web),
    /// Say what is wrong with a thing, or with whatever is red, and what mends it
    Why(commands::why::Why),
    /// Say what is wrong with files before anything is made of them: templates, plans, Dockerfiles
    Check(commands::check::Check),
    /// Say what deleted stacks and builds have left in the account, and what removes it
    Leftovers(commands::leftovers::Leftovers),
    /// Say what permissions a role needs, found out from its calls
    #[command(subcommand)]
    Iam(commands::iam::Iam),
    /// Connections to Git hosts: list and complete them
    #[command(subcommand)]
    Connection(commands::connection::Connection),
    /// Print the certificate of the local authority, or make this machine trust it
    Ca(commands::ca::Ca),
    /// Images that come from files
    #[command(subcommand)]
    Image(commands::image::Image),
    /// EC2 instances: list them, and show their consoles
    #[command(subcommand)]
    Instance(commands::instance::InstanceCommand),
    /// Run the daemon in the foreground
    Serve,
    /// Stop the daemon and everything that it runs; nothing is forgotten
    Stop,
    /// Put a copy of the records in their place, after they were lost or damaged
    Restore(commands::restore::Restore),
    /// Print what a shell needs to speak to the daemon: eval "$(neargate env)"
    Env,
    /// Say what this machine lacks, and how to mend it
    Doctor,
    /// List the operations and resource types that this version answers, or which members one of them takes
    Coverage(commands::coverage::Coverage),
    /// Print the version
    Version,
}

/// What `up DIR` defaults to.
pub fn current_directory() -> PathBuf {
    PathBuf::from(".")
}

/// What a shell reports of a program that wrote into a pipe that nobody reads any more (128 + SIGPIPE).
pub const BROKEN_PIPE: i32 = 141;

/// `neargate … | head` ends where `head` does, without a word: printing to a closed pipe panics in Rust.
fn end_with_the_pipe() {
    let other = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|it| it.contains("Broken pipe (os error 32)")) {
            std::process::exit(BROKEN_PIPE);
        }
        other(panic);
    }));
}

pub fn run() -> ExitCode {
    end_with_the_pipe();
    let cli = Cli::parse();
    let json = cli.config.json;
    match cli
        .config
        .checked()
        .and_then(|config| execute(config, cli.command))
    {
        Ok(code) => code,
        Err(error) => {
            say::failure(&error, json);
            ExitCode::FAILURE
        }
    }
}

fn execute(config: Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve => crate::daemon::serve(config),
        Command::Version => commands::version::run(&config),
        Command::Restore(it) => it.run(&config),
        Command::Env => commands::env::run(&config),
        Command::Doctor => commands::doctor::run(&config),
        Command::Coverage(it) => it.run(&config),
        Command::Up(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Down(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Ls => client_runtime()?.block_on(commands::ls::run(&config)),
        Command::Ca(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Connection(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Iam(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Leftovers(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Console(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Why(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Check(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Exec(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Logs(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Open { name } => client_runtime()?.block_on(commands::open::run(&config, &name)),
        Command::Instance(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Image(it) => client_runtime()?.block_on(it.run(&config)),
        Command::Stop => client_runtime()?.block_on(commands::stop::run(&config)),
    }
}

/// A client waits for one thing at a time: one thread does.
fn client_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
