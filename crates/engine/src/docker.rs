//! Docker's API for those who run strangers' commands.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::Result;

/// The socket's name in the folder that [`BuildEngines::open`] returns.
pub const DOCKER_SOCKET: &str = "docker.sock";

/// Docker engines for builds, one each: a socket, images, containers, networks and volumes that are nobody
/// else's, and that end with the build.
#[async_trait]
pub trait BuildEngines: Send + Sync {
    /// Serves a build's engine, and returns the folder that holds its socket and nothing else. None where
    /// there is no Docker. A daemon that starts anew is asked again, and finds all as it was: the folder
    /// stays, the socket in it is another. Builds of the same `cache` share the steps of `docker build`.
    async fn open(&self, build: &str, cache: &str) -> Result<Option<PathBuf>>;
    /// Ends everything of a build, whoever served it.
    async fn close(&self, build: &str) -> Result<()>;
}
