//! Connections to targets, kept open between requests. Each worker has its own pool, so that no
//! lock is ever taken.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use super::body::{RequestBody, Sent};
use super::channel::Channel;
use super::encrypt::encrypt;
use super::group::Target;
use super::namespace::Origin;

/// Shorter than what common servers keep a silent connection for (nginx 75 s, Apache 5 s with
/// fewer), so that most stale connections are closed by us first.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Per target and worker: more than this many at once is a burst whose connections are not worth
/// keeping.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// A target in the same machine that does not take a connection by then is not going to.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The same where there is another target that may take it.
pub const CONNECT_TIME_BEFORE_OTHERS: Duration = Duration::from_secs(1);

/// Origin and target.
type Key = (u64, u64);

#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<Key, Vec<IdleConnection>>>,
    /// By target id: what the connections to a target wait for to end early. Kept here and not in
    /// the target, because every step of a connection takes a lock that workers would fight over.
    cuts: RefCell<HashMap<u64, Cut>>,
    sweeping: Cell<bool>,
}

struct Cut {
    target: Arc<Target>,
    now: Rc<Notify>,
    /// It gets no new requests any more.
    leaves: Rc<Notify>,
}

struct IdleConnection {
    sender: SendRequest<RequestBody>,
    target: Arc<Target>,
    since: Instant,
}

/// A connection in use, with what it takes to give it back.
pub struct Lease {
    pub sender: SendRequest<RequestBody>,
    pub target: Arc<Target>,
    pub pool: Rc<Pool>,
    pub origin: u64,
    /// Whether the whole request has gone out; a connection that still takes in a body cannot be
    /// used again.
    pub request_sent: Option<Rc<Sent>>,
}

impl Lease {
    pub fn give_back(self) {
        let sent = self
            .request_sent
            .as_ref()
            .is_none_or(|sent| sent.whole.get());
        if !sent || self.sender.is_closed() || self.target.is_draining() {
            return;
        }
        let key = (self.origin, self.target.id);
        let mut idle = self.pool.idle.borrow_mut();
        let connections = idle.entry(key).or_default();
        if connections.len() < IDLE_CONNECTIONS_MAX {
            connections.push(IdleConnection {
                sender: self.sender,
                target: self.target,
                since: Instant::now(),
            });
        }
        drop(idle);
        if !self.pool.sweeping.replace(true) {
            tokio::task::spawn_local(sweep_until_empty(self.pool));
        }
    }
}

impl Pool {
    /// The connection that was used last, if it is still open.
    pub fn take(&self, origin: &Origin, target: &Target) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&(origin.id(), target.id))?;
        while let Some(connection) = connections.pop() {
            if !connection.sender.is_closed() {
                return Some(connection.sender);
            }
        }
        None
    }

    /// Returns when the target is cut.
    pub async fn cut_off(&self, target: &Arc<Target>) {
        if target.is_cut() {
            return;
        }
        let cut = self.cut_of(target, |it| &it.now);
        cut.notified().await;
    }

    /// Returns when the target gets no new requests any more.
    pub async fn leaving(&self, target: &Arc<Target>) {
        if target.is_draining() {
            return;
        }
        let leaves = self.cut_of(target, |it| &it.leaves);
        leaves.notified().await;
    }

    fn cut_of(&self, target: &Arc<Target>, which: fn(&Cut) -> &Rc<Notify>) -> Rc<Notify> {
        let mut cuts = self.cuts.borrow_mut();
        let cut = cuts.entry(target.id).or_insert_with(|| Cut {
            target: Arc::clone(target),
            now: Rc::default(),
            leaves: Rc::default(),
        });
        Rc::clone(which(cut))
    }

    /// Ends the connections to targets that were cut, and closes those that wait in vain: the old
    /// ones, and those to targets that get no new requests.
    pub fn sweep(&self) {
        self.cuts.borrow_mut().retain(|_, cut| {
            if cut.target.is_draining() {
                cut.leaves.notify_waiters();
            }
            if cut.target.is_cut() {
                cut.now.notify_waiters();
            }
            !cut.target.is_cut()
        });
        let keep = |connection: &IdleConnection| {
            connection.since.elapsed() < IDLE_TIME_MAX
                && !connection.sender.is_closed()
                && !connection.target.is_draining()
        };
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(keep);
            !connections.is_empty()
        });
    }
}

/// Runs only while there is something to sweep, so that an idle edge sleeps.
async fn sweep_until_empty(pool: Rc<Pool>) {
    while !pool.idle.borrow().is_empty() {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        pool.sweep();
    }
    pool.sweeping.set(false);
}

/// A new connection, made in the origin's namespace.
pub async fn connect(origin: &Origin, target: &Target, time_max: Duration) -> io::Result<Channel> {
    let socket = origin.enter(TcpSocket::new_v4)?;
    socket.set_nodelay(true)?;
    let connected = async {
        let stream = socket.connect(target.address.into()).await?;
        match target.tls {
            false => Ok(Channel::Plain(stream)),
            true => encrypt(stream, target.address).await,
        }
    };
    tokio::time::timeout(time_max, connected)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Speaks HTTP over a new connection until it ends or the target is cut.
pub async fn handshake(
    pool: &Rc<Pool>,
    stream: Channel,
    target: &Arc<Target>,
) -> hyper::Result<SendRequest<RequestBody>> {
    let (sender, connection) = client_options().handshake(TokioIo::new(stream)).await?;
    let (pool, target) = (Rc::clone(pool), Arc::clone(target));
    tokio::task::spawn_local(async move {
        tokio::select! {
            biased;
            // How it ended is told to whoever waits for an answer on it.
            _ = connection => {}
            () = pool.cut_off(&target) => {}
        }
    });
    Ok(sender)
}

/// As [`handshake`], for a request that may turn the connection into a tunnel.
pub async fn handshake_with_upgrades(
    pool: &Rc<Pool>,
    stream: Channel,
    target: &Arc<Target>,
) -> hyper::Result<SendRequest<RequestBody>> {
    let (sender, connection) = client_options().handshake(TokioIo::new(stream)).await?;
    let (pool, target) = (Rc::clone(pool), Arc::clone(target));
    tokio::task::spawn_local(async move {
        tokio::select! {
            biased;
            _ = connection.with_upgrades() => {}
            () = pool.cut_off(&target) => {}
        }
    });
    Ok(sender)
}

fn client_options() -> http1::Builder {
    /// An Application Load Balancer takes no larger one of a target.
    const HEAD_BYTES_MAX: usize = 32 * 1024;
    /// Far more than any server sends; room for each is made before a head is read.
    const HEADERS_MAX: usize = 256;
    let mut options = http1::Builder::new();
    options
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // Names as the client writes them; the balancer's own as it writes them.
        .preserve_header_case(true)
        .title_case_headers(true);
    options
}
