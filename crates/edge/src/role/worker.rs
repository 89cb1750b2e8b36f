//! The threads that serve: one per core, each with its own runtime, its own sockets on every port
//! and its own connections to targets. They share nothing but configuration and counts.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, LocalSet};

use super::activity::{Activity, WatchedStream};
use super::answer::CameBy;
use super::channel::Channel;
use super::plan::Slot;
use super::pool::Pool;
use super::proxy;
use super::say::say;
use super::tls::{self, ClientTls};

/// Client connections that one worker holds at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 16_384;
/// How long a worker that can take no more connections waits before it looks again.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// What is read ahead of a request. Larger than any head that [`super::head_watch`] lets through.
const HEAD_BYTES_MAX: usize = 80 * 1024;
/// Far more than any client sends; room for each is made before a head is read, so that a limit as high
/// as 64 KiB can hold would cost every request.
const HEADERS_MAX: usize = 1024;
/// Time for requests under way when the edge stops.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// Time for a client that was let in to say its first word when the edge stops.
const FIRST_WORD_TIME_MAX: Duration = Duration::from_secs(1);

pub enum Command {
    Listen {
        listener: u64,
        sockets: Vec<std::net::TcpListener>,
        slot: Arc<Slot>,
    },
    Close {
        listener: u64,
    },
    /// Some targets get no new requests any more, or were cut.
    Sweep,
    /// The worker shows that it can still do something.
    Beat {
        count: u64,
        pulse: Arc<AtomicU64>,
    },
}

pub struct Worker {
    pub index: usize,
    pub pool: Rc<Pool>,
    /// The worker's own, because every step of a connection looks at it.
    pub stop: watch::Receiver<bool>,
    random: Cell<u64>,
    open: Rc<Cell<usize>>,
}

/// One client connection.
pub struct Client {
    pub worker: Rc<Worker>,
    pub slot: Arc<Slot>,
    pub address: SocketAddr,
    pub since: Instant,
    pub activity: Arc<Activity>,
    /// What was agreed on, where it speaks TLS.
    pub tls: OnceCell<ClientTls>,
}

impl Client {
    pub fn came_by(&self) -> CameBy {
        CameBy {
            protocol: if self.tls.get().is_some() {
                "https"
            } else {
                "http"
            },
            port: self.slot.port,
        }
    }
}

/// Counts a connection while it lives.
pub struct OpenConnection(Rc<Cell<usize>>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Worker {
    /// Good enough for trace ids: xorshift, seeded from the kernel.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }

    pub fn count_connection(&self) -> OpenConnection {
        self.open.set(self.open.get() + 1);
        OpenConnection(Rc::clone(&self.open))
    }
}

/// Serves until told to stop and all is finished, or [`STOP_TIME_MAX`] is over.
pub fn run(
    index: usize,
    commands: mpsc::UnboundedReceiver<Command>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop_connections, connections_stop) = watch::channel(false);
    let worker = Rc::new(Worker {
        index,
        pool: Rc::default(),
        stop: connections_stop,
        random: Cell::new(crate::identity::random_u64() | 1),
        open: Rc::default(),
    });
    LocalSet::new().block_on(&runtime, async move {
        let accepting = obey(&worker, commands, stop).await;
        for task in accepting.values().flatten() {
            task.abort();
        }
        let _ = stop_connections.send(true);
        let _ = tokio::time::timeout(STOP_TIME_MAX, all_closed(&worker)).await;
    });
    Ok(())
}

/// Returns what still accepts clients when it is time to stop.
async fn obey(
    worker: &Rc<Worker>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    mut stop: watch::Receiver<bool>,
) -> HashMap<u64, Vec<AbortHandle>> {
    let mut accepting: HashMap<u64, Vec<AbortHandle>> = HashMap::new();
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = stop.wait_for(|stopping| *stopping) => None,
        };
        match command {
            Some(Command::Listen {
                listener,
                sockets,
                slot,
            }) => {
                let accept = |socket| {
                    let accepting = accept(Rc::clone(worker), socket, Arc::clone(&slot));
                    tokio::task::spawn_local(accepting).abort_handle()
                };
                accepting.insert(listener, sockets.into_iter().map(accept).collect());
            }
            Some(Command::Close { listener }) => {
                for task in accepting.remove(&listener).into_iter().flatten() {
                    task.abort();
                }
            }
            Some(Command::Sweep) => worker.pool.sweep(),
            Some(Command::Beat { count, pulse }) => pulse.store(count, Ordering::Relaxed),
            None => return accepting,
        }
    }
}

async fn all_closed(worker: &Worker) {
    const LOOK_PAUSE: Duration = Duration::from_millis(5);
    while worker.open.get() > 0 {
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

async fn accept(worker: Rc<Worker>, socket: std::net::TcpListener, slot: Arc<Slot>) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return say(format_args!("cannot listen on port {}: {error}", slot.port)),
    };
    loop {
        if worker.open.get() >= CONNECTIONS_MAX {
            tokio::time::sleep(FULL_PAUSE).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, address)) => greet(&worker, &slot, stream, address),
            // The client has gone, or there are no descriptors left; both pass.
            Err(_) => tokio::time::sleep(FULL_PAUSE).await,
        }
    }
}

/// Closes at once what no balancer of the port lets in.
fn greet(worker: &Rc<Worker>, slot: &Arc<Slot>, stream: TcpStream, address: SocketAddr) {
    let serves = slot.serves.load();
    if !serves.iter().any(|it| it.admits.lets_in(address.ip())) {
        return;
    }
    let _ = stream.set_nodelay(true);
    let idle_timeout = serves.iter().map(|it| it.idle_timeout).max();
    let activity = Arc::new(Activity::default());
    activity.touch();
    let client = Rc::new(Client {
        worker: Rc::clone(worker),
        slot: Arc::clone(slot),
        address,
        since: Instant::now(),
        activity,
        tls: OnceCell::new(),
    });
    let may_be_tls = serves.iter().any(|it| it.tls.is_some());
    // From here on, and not only when its turn comes: who stops meanwhile waits for it.
    let open = worker.count_connection();
    let idle_timeout = idle_timeout.unwrap_or_default();
    tokio::task::spawn_local(async move {
        let _open = open;
        let stream = match may_be_tls {
            false => Some(Channel::Plain(stream)),
            true => tls::begin(&client, stream).await,
        };
        if let Some(stream) = stream {
            client.activity.touch();
            talk(client, stream, idle_timeout).await;
        }
    });
}

async fn talk(client: Rc<Client>, stream: Channel, idle_timeout: Duration) {
    let stream = WatchedStream::new(stream, Arc::clone(&client.activity));
    let handler = Rc::clone(&client);
    let connection = server_options()
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| proxy::serve(request, Rc::clone(&handler))),
        )
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut dead = pin!(client.activity.died_down(idle_timeout));
    let mut stop = client.worker.stop.clone();
    // A connection that is told to end before anything was read of it is closed, and the request lost that is
    // on its way: who was let in is heard.
    let mut stopped = pin!(async {
        let _ = stop.wait_for(|stopping| *stopping).await;
        client.activity.heard(FIRST_WORD_TIME_MAX).await;
    });
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // A connection that ends badly concerns its client alone.
            _ = &mut connection => return,
            () = &mut dead => return client.activity.give_up(),
            () = &mut stopped, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn server_options() -> http1::Builder {
    let mut options = http1::Builder::new();
    options
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // Names as the target writes them; the balancer's own as it writes them.
        .preserve_header_case(true)
        .title_case_headers(true)
        // Slow heads are what `Activity` watches, without a timer for each.
        .header_read_timeout(None);
    options
}
