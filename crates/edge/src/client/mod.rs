//! The daemon's half: keeps an edge running, hands it snapshots, and asks it.

mod launch;
mod link;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::{Changes, EngineError, GroupTraffic, Network, Result, Snapshot, TargetHealth};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

pub use self::launch::{Executable, stop_edge};
use self::launch::{Place, attach_or_start};
use self::link::Link;
use crate::protocol::{Answer, Ask, Configuration};

/// Group ids that a receiver may be behind; then it looks at everything.
const CHANGES_BEHIND_MAX: usize = 4096;
/// How long a caller waits while an edge that died is started again.
const RESTART_TIME_MAX: Duration = Duration::from_secs(15);
/// Between attempts to start an edge that does not start; doubles up to the second.
const START_PAUSE_MIN: Duration = Duration::from_millis(50);
const START_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The edge process, as [`engine::Edge`]. Dropping it leaves the process running.
pub struct EdgeClient {
    place: Arc<Place>,
    namespaces: Arc<dyn Network>,
    link: watch::Receiver<Option<Arc<Link>>>,
    changes: broadcast::Sender<String>,
    /// Of the last snapshot.
    groups: Arc<Mutex<Vec<String>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl EdgeClient {
    /// Attaches to the edge that serves `dir`, or starts one, and keeps one running from then on.
    /// Must be called within a Tokio runtime.
    pub async fn open(
        dir: PathBuf,
        listen_address: IpAddr,
        namespaces: Arc<dyn Network>,
        executable: Executable,
    ) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        let place = Arc::new(Place {
            dir,
            listen_address,
            executable,
        });
        let (changes, _) = broadcast::channel(CHANGES_BEHIND_MAX);
        let first = attach_or_start(&place, &changes).await?;
        let (sender, link) = watch::channel(Some(first));
        let groups = Arc::default();
        let keeper = keep(
            Arc::clone(&place),
            sender,
            changes.clone(),
            Arc::clone(&groups),
        );
        let keeper = tokio::spawn(keeper);
        Ok(Self {
            place,
            namespaces,
            link,
            changes,
            groups,
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// Ends the edge: requests under way are finished, listeners closed, the snapshot forgotten.
    /// Returns when the process is gone.
    pub async fn stop(&self) -> Result<()> {
        let keeper = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        launch::stop(&self.place).await
    }

    /// Asks the edge, and once more when it died meanwhile.
    async fn ask(&self, ask: Ask) -> Result<Answer> {
        let deadline = tokio::time::Instant::now() + RESTART_TIME_MAX;
        let mut links = self.link.clone();
        loop {
            let alive = links.wait_for(|link| link.as_ref().is_some_and(|link| !link.is_broken()));
            let link = match tokio::time::timeout_at(deadline, alive).await {
                Ok(Ok(link)) => link.clone(),
                Ok(Err(_)) => return Err(EngineError::unreachable("the edge was stopped")),
                Err(_) => {
                    let reason = "the edge process is not running and does not start";
                    return Err(EngineError::unreachable(reason));
                }
            };
            if let Some(link) = link
                && let Some(answer) = link.ask(ask.clone()).await
            {
                return Ok(answer);
            }
        }
    }

    async fn find_namespaces(
        &self,
        snapshot: &Snapshot,
    ) -> Result<(BTreeMap<String, PathBuf>, Vec<String>)> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for interface in snapshot.balancers.iter().flat_map(|it| &it.interfaces) {
            match self.namespaces.namespace(interface).await {
                Ok(path) => {
                    found.insert(interface.clone(), path);
                }
                Err(error) if error.fault == engine::Fault::NotFound => {
                    missing.push(format!("`{interface}`"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((found, missing))
    }
}

impl Drop for EdgeClient {
    fn drop(&mut self) {
        let keeper = self
            .keeper
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.take() {
            keeper.abort();
        }
    }
}

/// Starts an edge whenever there is none. Sleeps while there is one.
async fn keep(
    place: Arc<Place>,
    links: watch::Sender<Option<Arc<Link>>>,
    changes: broadcast::Sender<String>,
    groups: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let link = links.borrow().clone();
        if let Some(link) = link {
            link.broken().await;
            tracing::warn!("the edge process ended; starting it again");
        }
        links.send_replace(None);
        let mut pause = START_PAUSE_MIN;
        let link = loop {
            match attach_or_start(&place, &changes).await {
                Ok(link) => break link,
                Err(error) => tracing::error!("{}", error.chain()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(START_PAUSE_MAX);
        };
        links.send_replace(Some(link));
        // What happened while nobody listened is not known, so everything is looked at again.
        for group in groups.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = changes.send(group.clone());
        }
    }
}

#[async_trait]
impl engine::Edge for EdgeClient {
    async fn apply(&self, snapshot: Snapshot) -> Result<()> {
        let (namespaces, missing) = self.find_namespaces(&snapshot).await?;
        let groups = snapshot
            .target_groups
            .iter()
            .map(|it| it.id.clone())
            .collect();
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = groups;
        let configuration = Configuration {
            snapshot,
            namespaces,
        };
        let answer = self.ask(Ask::Apply(Box::new(configuration))).await?;
        match answer {
            Answer::Applied if missing.is_empty() => Ok(()),
            Answer::Applied => Err(EngineError::not_found(format!(
                "not attached: the interface {}; its load balancer answers 503 until it is",
                missing.join(", ")
            ))),
            other => Err(refusal(other)),
        }
    }

    async fn health(&self, group: &str) -> Result<Vec<TargetHealth>> {
        let group = group.to_owned();
        match self.ask(Ask::Health { group }).await? {
            Answer::Health(health) => Ok(health),
            other => Err(refusal(other)),
        }
    }

    async fn traffic(&self, group: &str) -> Result<GroupTraffic> {
        let group = group.to_owned();
        match self.ask(Ask::Traffic { group }).await? {
            Answer::Traffic(traffic) => Ok(traffic),
            other => Err(refusal(other)),
        }
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.place.listen_address, port)
    }

    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}

fn refusal(answer: Answer) -> EngineError {
    match answer {
        Answer::NotFound(reason) => EngineError::not_found(reason),
        Answer::Invalid(reason) => EngineError::invalid(reason),
        Answer::Conflict(reason) => EngineError::conflict(reason),
        Answer::Machine(reason) => EngineError::machine(reason),
        Answer::Applied | Answer::Health(_) | Answer::Traffic(_) | Answer::Stopping => {
            EngineError::machine("the edge answered another question")
        }
    }
}
