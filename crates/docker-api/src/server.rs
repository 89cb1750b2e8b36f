//! An engine that is served: at a socket, with its containers followed, until it is closed.

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
use tokio::task::{JoinHandle, JoinSet};

use crate::docker::{Docker, Following};
use crate::limits::{CLOSE_WAIT, HEAD_TIMEOUT};
use crate::routes;

/// An engine that is served until it is closed.
pub struct Serving {
    docker: Arc<Docker>,
    following: Following,
    accepting: JoinHandle<()>,
}

impl Serving {
    pub fn new(docker: Arc<Docker>, socket: PathBuf) -> Result<Self> {
        let socket = Socket::bind(socket)?;
        Ok(Self {
            following: docker.follow(),
            accepting: tokio::spawn(socket.serve(docker.clone())),
            docker,
        })
    }

    /// Ends it. No container is started afterwards.
    pub async fn close(self) -> Arc<Docker> {
        drop(self.following);
        if tokio::time::timeout(CLOSE_WAIT, self.docker.close())
            .await
            .is_err()
        {
            tracing::warn!("a container takes long to start, and may be left running");
        }
        self.accepting.abort();
        // Its end takes the socket away.
        let _ = self.accepting.await;
        self.docker
    }
}

/// A socket that is bound. Whoever may open it may use the engine, so the owner alone may.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the place of a socket that an earlier process left.
    fn bind(path: PathBuf) -> Result<Self> {
        let failed = |error: std::io::Error| {
            EngineError::machine(format!("cannot listen at `{}`", path.display())).because(error)
        };
        crate::disk::remove(&path)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Accepts connections for ever. They end with this.
    async fn serve(self, docker: Arc<Docker>) {
        let mut connections = JoinSet::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    while connections.try_join_next().is_some() {}
                    connections.spawn(connection(docker.clone(), stream));
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

async fn connection(docker: Arc<Docker>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let docker = docker.clone();
        async move { Ok::<_, Infallible>(routes::answer(docker, request).await) }
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
