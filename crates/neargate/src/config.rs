//! Where a daemon keeps its things and how it is reached: the options that every command has.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

const DEFAULT_STATE: &str = "/var/lib/neargate";
const DEFAULT_RUN: &str = "/run/neargate";

/// Options of every command. Several daemons live side by side when `--state`, `--listen` and
/// `--edge` differ.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where this daemon keeps everything
    #[arg(long, global = true, env = "NEARGATE_STATE", value_name = "DIR", default_value = DEFAULT_STATE)]
    pub state: PathBuf,
    /// Where the AWS API listens
    #[arg(
        long,
        global = true,
        env = "NEARGATE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4566"
    )]
    pub listen: SocketAddr,
    /// Where load balancers listen
    #[arg(
        long,
        global = true,
        env = "NEARGATE_EDGE",
        value_name = "ADDR",
        default_value = "127.0.0.1"
    )]
    pub edge: IpAddr,
    /// The AWS account id, twelve digits
    #[arg(
        long,
        global = true,
        env = "NEARGATE_ACCOUNT",
        value_name = "ID",
        default_value = "000000000000"
    )]
    pub account: String,
    /// The AWS region
    #[arg(
        long,
        global = true,
        env = "NEARGATE_REGION",
        default_value = "us-east-1"
    )]
    pub region: String,
    /// AWS's waits, compressed or as they are
    #[arg(
        long,
        global = true,
        env = "NEARGATE_PACE",
        value_enum,
        default_value = "fast"
    )]
    pub pace: Pace,
    /// Where repositories of GitHub are read from
    #[arg(
        long,
        global = true,
        env = "NEARGATE_GITHUB",
        value_name = "URL",
        default_value = "https://github.com"
    )]
    pub github: String,
    /// Addresses of this machine or its links that images and repositories may come from: an address, a
    /// network, or an address with a port, several with commas
    #[arg(
        long,
        global = true,
        env = "NEARGATE_ALLOW_ADDRESS",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub allow_address: Vec<reach::Allowed>,
    /// What is done with calls that no IAM policy allows: let through and recorded, or refused
    #[arg(
        long,
        global = true,
        env = "NEARGATE_IAM",
        value_enum,
        default_value = "audit"
    )]
    pub iam: IamMode,
    /// The key that the records are sealed with, when it is kept outside of the state directory
    #[arg(long, global = true, env = "NEARGATE_STORE_KEY", value_name = "FILE")]
    pub store_key: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pace {
    Fast,
    Real,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum IamMode {
    Audit,
    Enforce,
}

impl From<IamMode> for iam::Mode {
    fn from(mode: IamMode) -> Self {
        match mode {
            IamMode::Audit => Self::Audit,
            IamMode::Enforce => Self::Enforce,
        }
    }
}

impl From<Pace> for cloud::Pace {
    fn from(pace: Pace) -> Self {
        match pace {
            Pace::Fast => Self::Fast,
            Pace::Real => Self::Real,
        }
    }
}

impl Config {
    /// Checks what clap cannot, and makes the state directory's path absolute: roles are started in
    /// other directories.
    pub fn checked(mut self) -> Result<Self> {
        ensure!(
            self.account.len() == 12 && self.account.bytes().all(|b| b.is_ascii_digit()),
            "`{}` is not an account id: twelve digits are",
            self.account
        );
        let region_ok = self
            .region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        ensure!(
            region_ok && (4..=32).contains(&self.region.len()),
            "`{}` is not a region's name",
            self.region
        );
        self.state = std::path::absolute(&self.state)
            .with_context(|| format!("cannot resolve `{}`", self.state.display()))?;
        if let Some(key) = &mut self.store_key {
            *key = std::path::absolute(&key)
                .with_context(|| format!("cannot resolve `{}`", key.display()))?;
        }
        Ok(self)
    }

    /// What does not survive a reboot: sockets, namespaces, process ids.
    pub fn run_dir(&self) -> PathBuf {
        if self.state == Path::new(DEFAULT_STATE) {
            DEFAULT_RUN.into()
        } else {
            self.state.join("run")
        }
    }

    /// The daemon's log, when `up` started it.
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    /// The arguments that give another process of this program the same configuration.
    pub fn arguments(&self) -> Vec<String> {
        let pace = if self.pace == Pace::Fast {
            "fast"
        } else {
            "real"
        };
        let iam = match self.iam {
            IamMode::Audit => "audit",
            IamMode::Enforce => "enforce",
        };
        let pairs = [
            ("--state", self.state.display().to_string()),
            ("--listen", self.listen.to_string()),
            ("--edge", self.edge.to_string()),
            ("--account", self.account.clone()),
            ("--region", self.region.clone()),
            ("--pace", pace.to_owned()),
            ("--iam", iam.to_owned()),
            ("--github", self.github.clone()),
        ];
        let allowed = self.allow_address.iter();
        let allowed = allowed.map(|it| ("--allow-address", it.to_string()));
        let key = self.store_key.as_ref();
        let key = key.map(|it| ("--store-key", it.display().to_string()));
        pairs
            .into_iter()
            .chain(allowed)
            .chain(key)
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}
