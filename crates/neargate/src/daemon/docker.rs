//! The Docker Engine API, composed: its sockets, and what it asks about the embedded registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use cloud::{ClientOrigin, Cloud, Cx, Origin};
use docker_api::{Docker, Following, OwnRegistry, Parts, Policy, RegistryUse, Socket};
use engine::{RegistryLogin, Repository};
use shapes::ecr::DescribeRepositoriesInput;
use shapes::elbv2::{DescribeListenersInput, DescribeLoadBalancersInput};
use tokio::task::JoinHandle;

use super::compose::{Machine, is_embedded};
use super::registry::{RegistryClient, region_of};
use crate::config::Config;

/// A repository that was just created is there by then.
const PLACE_WAIT: Duration = Duration::from_millis(20);
const PLACE_LOOKS: usize = 100;
/// A start that is under way is over by then.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// The owner's socket: what `DOCKER_HOST` names.
pub fn socket(config: &Config) -> PathBuf {
    config.run_dir().join("docker.sock")
}

/// The socket that containers of builds get. It is alone in its folder, which is what they see: a
/// daemon that starts anew makes another socket there.
pub fn build_socket(run: &Path) -> PathBuf {
    run.join("docker-build").join("docker.sock")
}

/// The API, served until this is closed.
pub struct Serving {
    sockets: Vec<JoinHandle<()>>,
    following: Following,
    docker: Arc<Docker>,
}

impl Serving {
    /// Ends it. No container is started afterwards.
    pub async fn close(self) {
        self.sockets.iter().for_each(JoinHandle::abort);
        drop(self.following);
        if tokio::time::timeout(CLOSE_WAIT, self.docker.close())
            .await
            .is_err()
        {
            tracing::warn!("a container takes long to start, and may be left running");
        }
    }
}

pub fn serve(config: &Config, machine: &Machine, cloud: &Arc<Cloud>) -> Result<Serving> {
    let engine = &machine.engine;
    let docker = Docker::open(Parts {
        images: engine.images.clone(),
        builds: engine.builds.clone(),
        tasks: engine.tasks.clone(),
        network: engine.network.clone(),
        registry: Arc::new(Registry {
            cloud: cloud.clone(),
        }),
        directory: config.state.join("docker"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    let following = docker.follow();
    let sockets = [
        (socket(config), Policy::Owner),
        (build_socket(&config.run_dir()), Policy::Build),
    ];
    let mut serving = Serving {
        sockets: Vec::new(),
        following,
        docker: docker.clone(),
    };
    for (path, policy) in sockets {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let socket = Socket::bind(path, policy)?;
        serving
            .sockets
            .push(tokio::spawn(socket.serve(docker.clone())));
    }
    Ok(serving)
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
