//! The port to the machine: plain types and a few small traits.
//!
//! Everything above this crate (the AWS services) asks for effects through these traits and never
//! touches a process, a socket or a namespace; everything below it (images, builder, runtime,
//! network, edge, logs) implements one of them and knows no AWS word. Types are plain data that
//! serialise as JSON, because they also travel between the roles (daemon, shim, edge).
//!
//! Rules that hold for every trait here:
//! * a method that makes something is idempotent: called again with the same arguments it returns
//!   the same result, so a caller that crashed may simply ask again;
//! * a method that removes something succeeds when the thing is already gone;
//! * wake-ups ([`Changes`]) carry an id and no data: the receiver looks at what is there.

mod build;
mod docker;
mod edge;
mod error;
mod git;
mod image;
mod inside;
mod logs;
mod network;
mod objects;
mod room;
mod shares;
mod task;
mod workspaces;

use std::sync::Arc;

pub use build::*;
pub use docker::*;
pub use edge::*;
pub use error::*;
pub use git::*;
pub use image::*;
pub use inside::*;
pub use logs::*;
pub use network::*;
pub use objects::*;
pub use room::*;
pub use shares::*;
pub use task::*;
pub use workspaces::*;

/// Ids of the things that changed, for whoever wants to look again. A slow receiver may lag: it
/// then looks at everything.
pub type Changes = tokio::sync::broadcast::Receiver<String>;

/// Where programs on this machine reach what is above the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The address of the API, as a URL: `http://127.0.0.1:4566`.
    pub api: String,
    /// Where repositories of GitHub are read from: `https://github.com`, or a server of that form.
    pub github: String,
}

/// The machine, as the services see it.
#[derive(Clone)]
pub struct Engine {
    pub images: Arc<dyn Images>,
    pub builds: Arc<dyn Builds>,
    pub tasks: Arc<dyn Tasks>,
    pub network: Arc<dyn Network>,
    pub edge: Arc<dyn Edge>,
    pub logs: Arc<dyn Logs>,
    pub objects: Arc<dyn Objects>,
    pub workspaces: Arc<dyn Workspaces>,
    pub git: Arc<dyn Git>,
    pub inside: Arc<dyn Inside>,
    pub docker: Arc<dyn BuildEngines>,
    pub access: Access,
}
