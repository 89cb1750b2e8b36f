//! `neargate up DIR`: from a folder to a live service.
//!
//! A client like any other: it builds through the daemon, then creates or updates a stack of
//! neargate's own template and waits until CloudFormation says that it is complete, which it says
//! when the service is steady behind its load balancer. Then it fetches the page itself.

mod build;
mod folder;
mod given;
pub mod live;
mod size;
mod stack;
mod verdict;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use console::style;
use engine::BuildRequest;
use serde_json::json;

use super::application::{self, check_name, name_from};
use super::background::ensure_daemon;
use crate::cli::current_directory;
use crate::client::Client;
use crate::config::Config;
use crate::say::{self, Step};
use folder::Folder;

#[derive(Debug, Args)]
pub struct Up {
    /// The folder: with a Dockerfile, or with an index.html
    #[arg(default_value_os_t = current_directory())]
    pub directory: PathBuf,
    /// The application's name; the folder's by default
    #[arg(long)]
    pub name: Option<String>,
    /// How many containers run
    #[arg(long, default_value_t = 2)]
    pub count: u32,
    /// The port that the application listens on; the Dockerfile's EXPOSE by default
    #[arg(long)]
    pub port: Option<u16>,
    /// A path that answers 200 to 399 while the application is well
    #[arg(long, default_value = "/")]
    pub health_path: String,
    /// Seconds that the application may take to start before failed health checks count; 10 without
    #[arg(long, default_value_t = 0)]
    pub grace: u32,
    /// CPU units of a container: 1024 are one core
    #[arg(long, default_value_t = 256)]
    pub cpu: u32,
    /// MiB of memory of a container
    #[arg(long, default_value_t = 512)]
    pub memory: u32,
    /// A secret for `RUN --mount=type=secret`: `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`
    #[arg(long = "secret", value_name = "SECRET")]
    pub secrets: Vec<String>,
    /// An SSH agent for `RUN --mount=type=ssh`: `default`, or `NAME=SOCKET`
    #[arg(long = "ssh", value_name = "AGENT")]
    pub agents: Vec<String>,
}

/// `.localhost` names lead to 127.0.0.1: for another edge address, curl has to be told.
fn curl(config: &Config, url: &str) -> String {
    match curl_hint(config, url) {
        None => format!("curl {url}"),
        Some(hint) => hint,
    }
}

/// The command that gets there, where the name alone does not lead.
pub(super) fn curl_hint(config: &Config, url: &str) -> Option<String> {
    let is_default = config.edge == std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    (!is_default).then(|| format!("curl --connect-to ::{}: {url}", config.edge))
}

/// A step's name and how long it took, for `--json`.
pub(super) type Timings = Vec<(&'static str, Duration)>;

impl Up {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let began = Instant::now();
        size::check(self.cpu, self.memory)?;
        let folder = Folder::look(&self.directory)?;
        let name = self.application_name(&folder)?;
        let mut timings = Timings::new();

        let step = Step::begin("daemon", config.json);
        let (health, started) = ensure_daemon(config).await?;
        let word = if started { "started" } else { "running" };
        timings.push((
            "daemon",
            step.done(&format!(
                "{word} (process {}, {})",
                health.pid, config.listen
            )),
        ));
        let client = Client::new(config)?;

        let request = self.build_request(&folder)?;
        let image = build::build(config, &client, &folder, request, &name, &mut timings).await?;
        let port = self.container_port(&folder, &image.exposed_ports)?;
        let wanted = stack::Wanted {
            name: &name,
            image: &image.reference,
            port,
            options: self,
            command: &self.command(),
        };
        let url = stack::bring_up(config, &client, &wanted, &mut timings).await?;

        // Nobody is there to answer when no container is wanted.
        if self.count > 0 {
            let step = Step::begin("page", config.json);
            let status = live::wait(config, &client, &name, &url, &step).await?;
            timings.push(("page", step.done(&format!("answers {status}"))));
        }
        self.report(config, &client, &name, &url, began.elapsed(), &timings)
            .await?;
        Ok(ExitCode::SUCCESS)
    }

    /// What there is to say of a build but its name; nothing of it is for a folder without a Dockerfile.
    fn build_request(&self, folder: &Folder) -> Result<BuildRequest> {
        if folder.is_static() && !(self.secrets.is_empty() && self.agents.is_empty()) {
            bail!("`--secret` and `--ssh` are for the steps of a Dockerfile, and there is none");
        }
        Ok(BuildRequest {
            context: folder.path.clone(),
            secrets: given::secrets(&self.secrets, &given::environment)?,
            agents: given::agents(&self.agents, &given::environment)?,
            ..BuildRequest::default()
        })
    }

    fn application_name(&self, folder: &Folder) -> Result<String> {
        if let Some(name) = &self.name {
            check_name(name)?;
            return Ok(name.clone());
        }
        let own = folder
            .path
            .file_name()
            .map(|it| it.to_string_lossy().into_owned())
            .unwrap_or_default();
        name_from(&own).ok_or_else(|| {
            anyhow!("no application name can be made from `{own}`: give one with --name")
        })
    }

    fn container_port(&self, folder: &Folder, exposed: &[u16]) -> Result<u16> {
        match (self.port, exposed) {
            (Some(port), _) => Ok(port),
            (None, [port]) => Ok(*port),
            (None, []) if folder.is_static() => Ok(folder::STATIC_PORT),
            (None, []) => bail!(
                "which port does the application listen on? Say EXPOSE in the Dockerfile, or --port here"
            ),
            (None, several) => {
                bail!("the Dockerfile exposes several ports ({several:?}): choose one with --port")
            }
        }
    }

    /// The command that was typed, without what advice may change.
    fn command(&self) -> String {
        let name = self.name.iter().map(|it| format!(" --name {it}"));
        format!(
            "neargate up {}{}",
            self.directory.display(),
            name.collect::<String>()
        )
    }

    async fn report(
        &self,
        config: &Config,
        client: &Client,
        name: &str,
        url: &str,
        took: Duration,
        timings: &Timings,
    ) -> Result<()> {
        let application = application::find(client, name).await?;
        if config.json {
            let seconds = |it: &Duration| (it.as_secs_f64() * 1000.0).round() / 1000.0;
            let steps: serde_json::Map<String, serde_json::Value> = timings
                .iter()
                .map(|(name, time)| ((*name).to_owned(), json!(seconds(time))))
                .collect();
            let report = json!({ "name": name, "url": url, "seconds": seconds(&took), "steps": steps, "application": application });
            say::line(serde_json::to_string_pretty(&report).context("the report is plain data")?);
            return Ok(());
        }
        say::line("");
        say::line(format_args!("  {}", style(url).bold().underlined()));
        say::line(format_args!(
            "  {} of {} containers run; live after {:.2} s",
            application.running,
            application.desired,
            took.as_secs_f64()
        ));
        say::line("");
        say::line("Next:");
        say::line(format_args!("  {}", curl(config, url)));
        say::line(format_args!(
            "  neargate logs {name} -f          what the containers print"
        ));
        say::line(format_args!(
            "  neargate up {}    after an edit: rolled out with no failed request",
            self.directory.display()
        ));
        say::line(format_args!(
            "  neargate down {name}             take it offline"
        ));
        say::line(format_args!(
            "  eval \"$(neargate env)\"          then `aws ecs list-services --cluster {name}` and all the rest"
        ));
        Ok(())
    }
}
