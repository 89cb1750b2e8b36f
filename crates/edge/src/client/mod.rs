//! The daemon's half: keeps an edge running, hands it snapshots, and asks it.

mod held;
mod launch;
mod link;
mod watchdog;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::{
    AccessEntry, Changes, EngineError, GroupTraffic, Network, Result, Snapshot, TargetHealth,
};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::held::HeldSockets;
pub use self::launch::{Executable, stop_edge};
use self::launch::{Place, attach_or_start};
use self::link::Link;
use crate::protocol::{Answer, Ask, Configuration};

/// Group ids that a receiver may be behind; then it looks at everything.
const CHANGES_BEHIND_MAX: usize = 4096;
/// How long a caller waits for an answer, also while an edge that died is started again. One that
/// is alive answers within milliseconds; whoever asks says then that it is not known.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// As much for a snapshot, which has to be on the disk; an edge that is silent is replaced by then.
const APPLY_TIME_MAX: Duration = Duration::from_secs(15);
/// Between attempts to put everything in force at an edge that was started again.
const AGAIN_PAUSE: Duration = Duration::from_secs(2);
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
    last: Last,
    held: Arc<HeldSockets>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What the edge was told last: an edge that is started again is told it once more, since the disk
/// may have been too full for it. Locked while it is told, so that nothing older comes after it.
type Last = Arc<tokio::sync::Mutex<Option<Configuration>>>;

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
        let held = Arc::new(HeldSockets::default());
        let first = attach_or_start(&place, &changes, &held).await?;
        held.renew(&place).await;
        let (links, link) = watch::channel(Some(first));
        let (groups, last) = (Arc::default(), Last::default());
        let keeper = Keeper {
            place: Arc::clone(&place),
            links,
            changes: changes.clone(),
            groups: Arc::clone(&groups),
            last: Arc::clone(&last),
            held: Arc::clone(&held),
        };
        let keeper = tokio::spawn(keeper.keep());
        Ok(Self {
            place,
            namespaces,
            link,
            changes,
            groups,
            last,
            held,
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
        let stopped = launch::stop(&self.place).await;
        self.held.let_go();
        stopped
    }

    /// Asks the edge, and once more when it died meanwhile.
    async fn ask(&self, ask: Ask, time_max: Duration) -> Result<Answer> {
        let deadline = Instant::now() + time_max;
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
                && let Some(answer) = link.ask(ask.clone(), deadline).await
            {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                let reason = "the edge process does not answer";
                return Err(EngineError::unreachable(reason));
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

/// Keeps an edge running.
struct Keeper {
    place: Arc<Place>,
    links: watch::Sender<Option<Arc<Link>>>,
    changes: broadcast::Sender<String>,
    groups: Arc<Mutex<Vec<String>>>,
    last: Last,
    held: Arc<HeldSockets>,
}

impl Keeper {
    /// Starts an edge whenever there is none, or none that answers.
    async fn keep(self) {
        let mut link = self.links.borrow().clone();
        loop {
            if let Some(link) = link {
                self.watch_over(&link).await;
            }
            self.links.send_replace(None);
            let next = self.start().await;
            self.links.send_replace(Some(Arc::clone(&next)));
            // What happened while nobody listened is not known, so everything is looked at again.
            for group in &*self.groups.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = self.changes.send(group.clone());
            }
            link = Some(next);
        }
    }

    /// Returns when the edge is gone.
    async fn watch_over(&self, link: &Link) {
        tokio::select! {
            () = link.broken() => tracing::warn!("the edge process ended; starting it again"),
            () = watchdog::silent(link) => {
                tracing::error!("the edge process does not answer; starting another one");
                if let Err(error) = launch::kill(link.process).await {
                    tracing::error!("{}", error.chain());
                }
            }
        }
    }

    async fn start(&self) -> Arc<Link> {
        let mut pause = START_PAUSE_MIN;
        loop {
            match attach_or_start(&self.place, &self.changes, &self.held).await {
                Ok(link) => {
                    self.held.renew(&self.place).await;
                    let (last, held) = (Arc::clone(&self.last), Arc::clone(&self.held));
                    let place = Arc::clone(&self.place);
                    tokio::spawn(tell_again(Arc::clone(&link), last, held, place));
                    return link;
                }
                Err(error) => tracing::error!("{}", error.chain()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(START_PAUSE_MAX);
        }
    }
}

/// Tells an edge that was started again what is in force, until it is, and says what is in the way.
async fn tell_again(link: Arc<Link>, last: Last, held: Arc<HeldSockets>, place: Arc<Place>) {
    let mut said = String::new();
    while !link.is_broken() {
        let last = last.lock().await;
        let Some(configuration) = last.clone() else {
            return;
        };
        let ask = Ask::Apply(Box::new(configuration));
        let answer = link.ask(ask, Instant::now() + APPLY_TIME_MAX).await;
        drop(last);
        held.renew(&place).await;
        match answer {
            Some(Answer::Applied) => return,
            Some(answer) => {
                let problem = refusal(answer).chain();
                if problem != said {
                    tracing::error!("the load balancers are only partly in force: {problem}");
                    said = problem;
                }
            }
            None => {}
        }
        tokio::time::sleep(AGAIN_PAUSE).await;
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
        let mut last = self.last.lock().await;
        let mut configuration = configuration;
        if let Some(before) = &*last {
            keep_certificates(&mut configuration.snapshot, &before.snapshot);
        }
        let newer = last
            .as_ref()
            .is_none_or(|last| last.snapshot.generation <= configuration.snapshot.generation);
        if newer {
            *last = Some(configuration.clone());
        }
        let ask = Ask::Apply(Box::new(configuration));
        let answer = self.ask(ask, APPLY_TIME_MAX).await?;
        drop(last);
        self.held.renew(&self.place).await;
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
        match self.ask(Ask::Health { group }, ANSWER_TIME_MAX).await? {
            Answer::Health(health) => Ok(health),
            other => Err(refusal(other)),
        }
    }

    async fn traffic(&self, group: &str) -> Result<GroupTraffic> {
        let group = group.to_owned();
        match self.ask(Ask::Traffic { group }, ANSWER_TIME_MAX).await? {
            Answer::Traffic(traffic) => Ok(traffic),
            other => Err(refusal(other)),
        }
    }

    async fn take_accesses(&self, balancer: &str) -> Result<Vec<AccessEntry>> {
        let balancer = balancer.to_owned();
        let ask = Ask::TakeAccesses { balancer };
        match self.ask(ask, ANSWER_TIME_MAX).await? {
            Answer::Accesses(accesses) => Ok(accesses),
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

/// What is unknown stays in force with the certificates that it had: an edge that is started again finds them
/// nowhere else.
fn keep_certificates(snapshot: &mut Snapshot, before: &Snapshot) {
    if snapshot.unknown.is_empty() {
        return;
    }
    for certificate in &before.certificates {
        if snapshot
            .certificates
            .iter()
            .all(|it| it.id != certificate.id)
        {
            snapshot.certificates.push(certificate.clone());
        }
    }
}

fn refusal(answer: Answer) -> EngineError {
    match answer {
        Answer::NotFound(reason) => EngineError::not_found(reason),
        Answer::Invalid(reason) => EngineError::invalid(reason),
        Answer::Conflict(reason) => EngineError::conflict(reason),
        Answer::Machine(reason) => EngineError::machine(reason),
        Answer::Applied
        | Answer::Alive { .. }
        | Answer::Sockets { .. }
        | Answer::Health(_)
        | Answer::Traffic(_)
        | Answer::Accesses(_)
        | Answer::Stopping => EngineError::machine("the edge answered another question"),
    }
}
