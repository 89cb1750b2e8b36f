//! The static web server role: serves a folder, inside images that hold nothing else. It trusts
//! neither the requests nor the folder: nothing outside the root is ever served.

mod answer;
mod files;
mod range;
mod types;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use self::answer::{FileBody, answer};
use self::files::Root;

/// Clients at once; more wait in the kernel. Each is a few KiB and two descriptors, and common
/// limits allow 1024 of these.
const CONNECTIONS_MAX: usize = 480;
/// Longer than load balancers keep a silent connection, so that they are the ones to close it and
/// never send on one that is being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// Requests under way at the end have this long; orchestrators kill after 30 seconds.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Serves the folder `root` on `port` of every address until SIGTERM. Returns the exit code.
pub fn static_main(root: &Path, port: u16) -> i32 {
    match start(root, port) {
        Ok(()) => 0,
        Err(error) => {
            let root = root.display();
            // Nobody may be listening any more.
            let mut log = io::stderr().lock();
            let _ = writeln!(log, "static: cannot serve `{root}` on port {port}: {error}");
            1
        }
    }
}

fn start(root: &Path, port: u16) -> io::Result<()> {
    let root = Arc::new(Root::open(root)?);
    let listener = listen(port)?;
    // One thread: a container's share of the machine is rarely more than one core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(root, listener))
}

/// IPv6 and IPv4 where the machine has both.
fn listen(port: u16) -> io::Result<StdListener> {
    const BACKLOG: i32 = 1024;
    let both = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, io::Error>(StdListener::from(socket))
    };
    let listener = match both() {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            StdListener::bind(("0.0.0.0", port))?
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(root: Arc<Root>, listener: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let (stop, stopping) = watch::channel(false);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&room).acquire_owned();
        let accepted = async {
            let place = place.await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        tokio::select! {
            accepted = accepted => match accepted {
                Ok((place, (stream, client))) => {
                    let talking = talk(Arc::clone(&root), stream, client, stopping.clone());
                    tokio::spawn(async move {
                        talking.await;
                        drop(place);
                    });
                }
                // The client has gone, or there are no descriptors left; both pass.
                Err(_) => tokio::time::sleep(FULL_PAUSE).await,
            },
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let everyone = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(STOP_TIME_MAX, room.acquire_many(everyone)).await;
    Ok(())
}

async fn talk(
    root: Arc<Root>,
    stream: TcpStream,
    client: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let mut options = http1::Builder::new();
    options
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME_MAX);
    let service = service_fn(move |request| logged(Arc::clone(&root), request, client));
    let connection = options.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A connection that ends badly concerns its client alone.
        _ = &mut connection => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn logged(
    root: Arc<Root>,
    request: Request<Incoming>,
    client: SocketAddr,
) -> Result<Response<FileBody>, Infallible> {
    let started = Instant::now();
    let (head, _) = request.into_parts();
    let response = answer(&root, &head).await;
    // Probes that were answered well come every second: they would bury what people asked for.
    if response.status().is_success() && is_probe(&head.headers) {
        return Ok(response);
    }
    // A proxy in front is not who asked.
    let client = head
        .headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok())
        .and_then(|chain| chain.split(',').next_back())
        .map_or_else(
            || client.ip().to_canonical().to_string(),
            |it| it.trim().to_owned(),
        );
    let line = format!(
        "{} {client} {} {} {} {} {}us\n",
        httpdate::fmt_http_date(std::time::SystemTime::now()),
        head.method,
        head.uri.path(),
        response.status().as_u16(),
        hyper::body::Body::size_hint(response.body())
            .exact()
            .unwrap_or(0),
        started.elapsed().as_micros(),
    );
    // When nobody reads the log, pages are served all the same.
    let _ = io::stdout().lock().write_all(line.as_bytes());
    Ok(response)
}

fn is_probe(headers: &hyper::HeaderMap) -> bool {
    (headers.get(hyper::header::USER_AGENT))
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.starts_with("ELB-HealthChecker/"))
}
