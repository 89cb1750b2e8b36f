//! The Docker Engine API, composed: its sockets, and what it asks about the embedded registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use cloud::{ClientOrigin, Cloud, Cx, Origin};
use docker_api::{Docker, EngineParts, Engines, OwnRegistry, Parts, RegistryUse};
use engine::{Builds, EngineError, Images, Network, RegistryLogin, Repository, Tasks};
use shapes::ecr::DescribeRepositoriesInput;
use shapes::elbv2::{DescribeListenersInput, DescribeLoadBalancersInput};

use super::compose::{Machine, is_embedded};
use super::registry::{RegistryClient, region_of};
use crate::config::Config;

/// A repository that was just created is there by then.
const PLACE_WAIT: Duration = Duration::from_millis(20);
const PLACE_LOOKS: usize = 100;

/// The owner's socket: what `DOCKER_HOST` names.
pub fn socket(config: &Config) -> PathBuf {
    config.run_dir().join("docker.sock")
}

/// The engines of builds.
pub fn engines(config: &Config, parts: Below) -> Engines {
    Engines::new(EngineParts {
        images: parts.images,
        builds: parts.builds,
        tasks: parts.tasks,
        network: parts.network,
        state: config.state.join("docker-builds"),
        run: config.run_dir().join("docker-builds"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What engines of Docker stand on.
pub struct Below {
    pub images: Arc<dyn Images>,
    pub builds: Arc<dyn Builds>,
    pub tasks: Arc<dyn Tasks>,
    pub network: Arc<dyn Network>,
}

/// The API, served until this is closed.
pub struct Serving {
    owners: docker_api::Serving,
    engines: Arc<Engines>,
}

impl Serving {
    /// Ends it. No container is started afterwards.
    pub async fn close(self) {
        self.owners.close().await;
        self.engines.stop_serving().await;
    }
}

/// Lets engines of builds be opened.
pub fn connect(machine: &Machine, cloud: &Arc<Cloud>) -> Arc<dyn OwnRegistry> {
    let registry: Arc<dyn OwnRegistry> = Arc::new(Registry {
        cloud: cloud.clone(),
    });
    machine.docker.connect(registry.clone());
    registry
}

pub fn serve(
    config: &Config,
    machine: &Machine,
    registry: Arc<dyn OwnRegistry>,
) -> Result<Serving> {
    let engine = &machine.engine;
    let docker = Docker::open(Parts {
        images: engine.images.clone(),
        builds: engine.builds.clone(),
        tasks: engine.tasks.clone(),
        network: engine.network.clone(),
        registry,
        directory: config.state.join("docker"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scope: None,
    })?;
    // Both know each other, and neither is to keep the other.
    let containers = Arc::downgrade(&docker);
    machine
        .images
        .ask_needed(move || match containers.upgrade() {
            Some(docker) => Ok(docker.images_of_containers()),
            None => Err(EngineError::machine(
                "docker's containers are not known any more",
            )),
        });
    Ok(Serving {
        owners: docker_api::Serving::new(docker, socket(config))?,
        engines: machine.docker.clone(),
    })
}

struct Registry {
    cloud: Arc<Cloud>,
}

impl Registry {
    fn client(&self, login: &RegistryLogin) -> Option<RegistryClient> {
        let origin = Arc::new(Origin::Client(ClientOrigin {
            address: None,
            user_agent: None,
            is_secure: false,
            inside: None,
        }));
        RegistryClient::find(&self.cloud, &login.username, &login.password, origin)
    }

    fn context(&self, host: &str) -> Cx {
        self.cloud.daemon_context(region_of(host))
    }
}

/// What a client does when it pulls or pushes a whole image.
fn actions(wanted: RegistryUse) -> &'static [&'static str] {
    match wanted {
        RegistryUse::Pull => &["BatchGetImage", "GetDownloadUrlForLayer"],
        RegistryUse::Push => &[
            "BatchCheckLayerAvailability",
            "InitiateLayerUpload",
            "UploadLayerPart",
            "CompleteLayerUpload",
            "PutImage",
        ],
    }
}

#[async_trait]
impl OwnRegistry for Registry {
    fn is_own(&self, host: &str) -> bool {
        is_embedded(host, &self.cloud.account)
    }

    fn accepts(&self, login: &RegistryLogin) -> bool {
        self.client(login).is_some()
    }

    async fn refusal(
        &self,
        login: &RegistryLogin,
        wanted: RegistryUse,
        repository: &Repository,
    ) -> Option<String> {
        let Some(client) = self.client(login) else {
            return Some(
                "denied: Your authorization token has expired. Reauthenticate and try again."
                    .to_owned(),
            );
        };
        for action in actions(wanted) {
            if let Err(error) = client.authorize(action, repository) {
                return Some(format!("denied: {}", error.message));
            }
        }
        let input = DescribeRepositoriesInput {
            repository_names: Some(vec![repository.path.clone()]),
            ..Default::default()
        };
        if self.context(&repository.host).call(input).await.is_ok() {
            // It is recorded; its place follows.
            for _ in 0..PLACE_LOOKS {
                if self.cloud.engine.images.manifests(repository).await.is_ok() {
                    return None;
                }
                tokio::time::sleep(PLACE_WAIT).await;
            }
        }
        Some(format!(
            "name unknown: The repository with name '{}' does not exist in the registry with id '{}'",
            repository.path, self.cloud.account
        ))
    }

    async fn holder(&self, port: u16) -> Option<String> {
        let cx = self.cloud.daemon_context(&self.cloud.default_region);
        let input = DescribeLoadBalancersInput::default();
        let balancers = cx.call(input).await.ok()?.load_balancers?;
        for balancer in balancers {
            let input = DescribeListenersInput {
                load_balancer_arn: balancer.load_balancer_arn,
                ..Default::default()
            };
            let listeners = cx.call(input).await.ok()?.listeners?;
            if listeners.iter().any(|it| it.port == Some(i32::from(port))) {
                return Some(format!(
                    "the load balancer `{}`",
                    balancer.load_balancer_name?
                ));
            }
        }
        None
    }
}
