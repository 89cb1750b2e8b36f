//! A machine that is not there, for tests of what stands above the engine.
//!
//! Every port is faked in memory and does at once what a real machine does in time. Tests reach in:
//! let an image exist, let a container exit, let a target be unhealthy, and look at what was asked.

mod docker;
mod doors;
mod edge;
mod git;
mod images;
mod inside;
mod logs;
mod network;
mod objects;
mod tasks;
mod workspaces;

use std::sync::Arc;

use engine::Engine;

pub use docker::SimDocker;
pub use edge::SimEdge;
pub use git::SimGit;
pub use images::{SimBuilds, SimImages, digest_of};
pub use inside::SimInside;
pub use logs::SimLogs;
pub use network::SimNetwork;
pub use objects::SimObjects;
pub use tasks::SimTasks;
pub use workspaces::SimWorkspaces;

/// The fakes, and the [`Engine`] made of them.
#[derive(Clone)]
pub struct Sim {
    pub images: Arc<SimImages>,
    pub tasks: Arc<SimTasks>,
    pub network: Arc<SimNetwork>,
    pub edge: Arc<SimEdge>,
    pub logs: Arc<SimLogs>,
    pub objects: Arc<SimObjects>,
    pub workspaces: Arc<SimWorkspaces>,
    pub git: Arc<SimGit>,
    pub inside: Arc<SimInside>,
    pub docker: Arc<SimDocker>,
}

impl Default for Sim {
    fn default() -> Self {
        Self {
            images: Arc::new(SimImages::default()),
            tasks: Arc::new(SimTasks::default()),
            network: Arc::new(SimNetwork::default()),
            edge: Arc::new(SimEdge::default()),
            logs: Arc::new(SimLogs::default()),
            objects: Arc::default(),
            workspaces: Arc::default(),
            git: Arc::default(),
            inside: Arc::default(),
            docker: Arc::default(),
        }
    }
}

impl Sim {
    pub fn engine(&self) -> Engine {
        Engine {
            images: self.images.clone(),
            builds: Arc::new(SimBuilds),
            tasks: self.tasks.clone(),
            network: self.network.clone(),
            edge: self.edge.clone(),
            logs: self.logs.clone(),
            objects: self.objects.clone(),
            workspaces: self.workspaces.clone(),
            git: self.git.clone(),
            inside: self.inside.clone(),
            docker: self.docker.clone(),
            access: engine::Access {
                api: "http://127.0.0.1:4566".into(),
                github: "https://github.com".into(),
            },
        }
    }
}
