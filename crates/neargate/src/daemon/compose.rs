//! What the daemon is made of. Nothing else knows all parts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use cloud::{Clock, Cloud, CloudParts, Store};
use edge::EdgeClient;
use engine::Engine;
use images::{EmbeddedHosts, ImageStore, Registry};
use reach::{Reach, Target};
use tokio::sync::mpsc;

use super::inside::{Doors, Visit};
use crate::config::Config;

/// The engine, and the parts of it that the composition needs by their own names.
pub struct Machine {
    pub engine: Engine,
    pub images: ImageStore,
    pub registry: Arc<Registry>,
    pub git: Arc<git::GitStore>,
    pub edge: Arc<EdgeClient>,
    pub network: Arc<network::Machine>,
    pub runtime: Arc<runtime::Runtime>,
    pub docker: Arc<docker_api::Engines>,
    /// What comes in by the doors inside containers' namespaces; taken by who answers.
    pub visits: Mutex<Option<mpsc::Receiver<Visit>>>,
    /// This program's own file, as it was called when the daemon started: a new build that takes
    /// its place has the same name.
    pub program: PathBuf,
}

/// Opens everything below the services. What an earlier daemon left running is found again.
pub async fn machine(config: &Config) -> Result<Machine> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let (run, instance) = (config.run_dir(), network::instance_tag(&config.state));
    let network = Arc::new(network::Machine::open(run.clone(), instance.clone())?);
    let account = config.account.clone();
    let github = Target::of(&config.github).context("--github names a server of HTTP")?;
    let mut reach = Reach::new(config.allow_address.clone(), vec![github]);
    if has_proxy() {
        reach = reach.behind_a_proxy();
    }
    let store = ImageStore::open(
        config.state.join("images"),
        EmbeddedHosts::matching(move |host| is_embedded(host, &account)),
        reach.clone(),
    )?;
    let runtime = runtime::Runtime::new(
        run.clone(),
        config.state.clone(),
        network.clone(),
        runtime::Executable {
            program: program.clone(),
            args: vec!["shim".into()],
        },
        instance,
    )?;
    runtime.recover().await?;
    let runtime = Arc::new(runtime);
    let containers = runtime.clone();
    store.ask_in_use(move || containers.directories_in_use());
    let edge = EdgeClient::open(
        run.join("edge"),
        config.edge,
        network.clone(),
        edge::Executable {
            program: program.clone(),
            args: vec!["edge".into()],
        },
    )
    .await?;
    let edge = Arc::new(edge);
    let images = Arc::new(store.clone());
    let git = Arc::new(git::GitStore::open(
        config.state.join("git"),
        reach.clone(),
    )?);
    let builds =
        builder::Builder::open(config.state.join("builds"), images.clone(), runtime.clone())?
            .downloading(Arc::new(images::Downloader::new(reach)))
            .cloning(git.clone());
    let builds = Arc::new(builds);
    let below = super::docker::Below {
        images: images.clone(),
        builds: builds.clone(),
        tasks: runtime.clone(),
        network: network.clone(),
    };
    let docker = Arc::new(super::docker::engines(config, below));
    let (doors, visits) = Doors::new(network.clone());
    let engine = Engine {
        images,
        builds,
        tasks: runtime.clone(),
        network: network.clone(),
        edge: edge.clone(),
        logs: Arc::new(logs::LogStore::open(config.state.join("logs"))?),
        objects: Arc::new(objects::ObjectStore::open(config.state.join("objects"))?),
        workspaces: Arc::new(workspaces::WorkspaceStore::open(
            config.state.join("workspaces"),
        )?),
        git: git.clone(),
        inside: Arc::new(doors),
        docker: docker.clone(),
        access: engine::Access {
            api: format!("http://{}", config.listen),
            github: config.github.trim_end_matches('/').to_owned(),
        },
    };
    Ok(Machine {
        engine,
        images: store.clone(),
        registry: Arc::new(Registry::new(store)),
        git,
        edge,
        network,
        runtime,
        docker,
        visits: Mutex::new(Some(visits)),
        program,
    })
}

/// Whether whoever started the daemon said that the world is reached by a proxy, which Git heeds.
fn has_proxy() -> bool {
    const NAMES: [&str; 5] = [
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ];
    let set = |it: &&str| std::env::var_os(it).is_some_and(|it| !it.is_empty());
    NAMES.iter().any(set)
}

pub fn cloud(config: &Config, machine: &Machine, store: Store) -> Arc<Cloud> {
    let cloud = Cloud::new(CloudParts {
        account: config.account.clone(),
        default_region: config.region.clone(),
        store,
        engine: machine.engine.clone(),
        clock: Clock::new(config.pace.into()),
        services: services(),
    });
    cloud.decide_by(Arc::new(iam::Policies::new(config.iam.into())));
    cloud
}

/// Every service of this build.
pub fn services() -> Vec<cloud::Service> {
    vec![
        acm::service(),
        application_autoscaling::service(),
        autoscaling::service(),
        cloudformation::service(),
        cloudwatch::service(),
        cloudwatch_logs::service(),
        codebuild::service(),
        codecommit::service(),
        codeconnections::service(),
        codeconnections::codestar_service(),
        codepipeline::service(),
        ec2::service(),
        ecr::service(),
        ecs::service(),
        elbv2::service(),
        iam::service(),
        iam::sts_service(),
        kms::service(),
        s3::service(),
        secretsmanager::service(),
        ssm::service(),
    ]
}

/// `<account>.dkr.ecr.<region>.amazonaws.com`, whatever the region: these are never anybody else's.
pub fn is_embedded(host: &str, account: &str) -> bool {
    host.strip_prefix(account)
        .and_then(|rest| rest.strip_prefix(".dkr.ecr."))
        .is_some_and(|rest| rest.ends_with(".amazonaws.com"))
}
