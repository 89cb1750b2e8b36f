//! The sockets: bound, then served until they are dropped.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{EngineError, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};

use crate::docker::Docker;
use crate::limits::HEAD_TIMEOUT;
use crate::policy::Policy;
use crate::routes;

/// A socket that is bound. Whoever may open it may use the API as its policy says, so the owner
/// alone may.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    policy: Policy,
}

impl Socket {
    /// Takes the place of a socket that an earlier process left.
    pub fn bind(path: PathBuf, policy: Policy) -> Result<Self> {
        let failed = |error: std::io::Error| {
            EngineError::machine(format!("cannot listen at `{}`", path.display())).because(error)
        };
        crate::disk::remove(&path)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            listener,
            path,
            policy,
        })
    }

    /// Accepts connections for ever.
    pub async fn serve(self, docker: Arc<Docker>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(connection(docker.clone(), self.policy, stream));
                }
                Err(error) => {
                    // Out of descriptors: waiting is all that helps.
                    tracing::warn!(%error, path = %self.path.display(), "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn connection(docker: Arc<Docker>, policy: Policy, stream: UnixStream) {
    let service = service_fn(move |request| {
        let docker = docker.clone();
        async move { Ok::<_, Infallible>(routes::answer(docker, policy, request).await) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        // A client that closes its side before it is answered is gone: what it waits for is given up.
        .header_read_timeout(HEAD_TIMEOUT);
    let serving = server
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection of docker's client ended early");
    }
}
