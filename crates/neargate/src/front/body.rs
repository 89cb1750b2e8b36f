//! Reading the bodies of requests into memory, as far as there is room.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use memmap2::MmapMut;
use tokio::runtime::Handle;

use super::Body;
use super::bounds::{Busy, Client, Reserved, SMALL_BODY_BYTES, Sender, Turn};

/// The largest body is there by then, on any line that a daemon on this machine is reached by.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client that is refused may go on to send what nobody keeps: most look for an answer only
/// when they have sent all.
const LINGER: Duration = Duration::from_secs(2);

/// A body, and the room that it takes.
pub struct Held {
    bytes: Bytes,
    reserved: Reserved,
}

impl Held {
    /// Forgets the bytes and keeps the room, for what was made of them.
    pub fn into_reserved(self) -> Reserved {
        self.reserved
    }
}

impl Deref for Held {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is longer than it may be, or did not arrive.
    Unfit,
    /// There is no room for it at the moment.
    Busy,
}

impl From<Busy> for Trouble {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// A whole body of at most `limit` bytes, of whom its head names.
pub async fn read(
    body: Incoming,
    limit: usize,
    client: &Client,
    sender: Sender<'_>,
) -> Result<Held, Trouble> {
    // A length that is told beforehand need not be waited for.
    let told = body.size_hint();
    if told.lower() > limit as u64 {
        return Err(Trouble::Unfit);
    }
    // Who does not tell a length may send as much as there may be, once it is more than a little.
    let told = told.upper().and_then(|it| usize::try_from(it).ok());
    let reserved = client.reserve(told.unwrap_or_default(), sender).await?;
    let gathered = Gathered::new(told.unwrap_or_default())?;
    let reading = gather(body, limit, (client, sender), (gathered, reserved));
    let arrived = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    let (gathered, reserved) = arrived.map_err(|_| Trouble::Unfit)??;
    reserved.arrived();
    Ok(Held {
        bytes: gathered.into_bytes(),
        reserved,
    })
}

async fn gather(
    mut body: Incoming,
    limit: usize,
    (client, sender): (&Client, Sender<'_>),
    (mut gathered, mut reserved): (Gathered, Reserved),
) -> Result<(Gathered, Reserved), Trouble> {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = reserved.given_up() => return Err(Trouble::Busy),
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| Trouble::Unfit)?.into_data() else {
            continue;
        };
        let length = gathered.length() + data.len();
        if length > limit {
            return Err(Trouble::Unfit);
        }
        if length > gathered.room() {
            reserved = client.reserve(limit, sender).await?;
            gathered = gathered.with_room(limit)?;
        }
        gathered.push(&data);
    }
    Ok((gathered, reserved))
}

/// What has come of a body. A large one has pages of its own, which the kernel hands out as they are
/// written to and has back when the body goes. The allocator keeps what it is given back: of 128 MiB that
/// forty clients sent at once, 92 stayed with the daemon.
enum Gathered {
    Small(Vec<u8>),
    Large(Pages),
}

struct Pages {
    map: MmapMut,
    length: usize,
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.map[..self.length]
    }
}

impl Gathered {
    fn new(room: usize) -> Result<Self, Trouble> {
        if room <= SMALL_BODY_BYTES {
            return Ok(Self::Small(Vec::with_capacity(room)));
        }
        let map = MmapMut::map_anon(room).map_err(|error| {
            tracing::warn!(%error, "there is no memory for a request");
            Trouble::Busy
        })?;
        Ok(Self::Large(Pages { map, length: 0 }))
    }

    fn room(&self) -> usize {
        match self {
            Self::Small(_) => SMALL_BODY_BYTES,
            Self::Large(pages) => pages.map.len(),
        }
    }

    fn with_room(self, room: usize) -> Result<Self, Trouble> {
        let mut larger = Self::new(room)?;
        match &self {
            Self::Small(bytes) => larger.push(bytes),
            Self::Large(pages) => larger.push(pages.as_ref()),
        }
        Ok(larger)
    }

    fn length(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(pages) => pages.length,
        }
    }

    /// Appends what there is room for.
    fn push(&mut self, data: &[u8]) {
        match self {
            Self::Small(bytes) => bytes.extend_from_slice(data),
            Self::Large(pages) => {
                let end = pages.length + data.len();
                pages.map[pages.length..end].copy_from_slice(data);
                pages.length = end;
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Small(bytes) => bytes.into(),
            Self::Large(pages) => Bytes::from_owner(pages),
        }
    }
}

/// Whether a body is known to be that short.
pub fn is_at_most(body: &Incoming, limit: usize) -> bool {
    body.size_hint()
        .upper()
        .is_some_and(|it| it <= limit as u64)
}

/// An answer to a request whose body nobody wants. What the client still sends is dropped as it comes,
/// for a while, and its connection ends.
pub fn without(body: Incoming, answer: Response<Body>) -> Response<Body> {
    drain(body);
    last(answer)
}

fn drain(mut body: Incoming) {
    // A daemon that ends drops what it has, and nobody is left to read.
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        let reading = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(LINGER, reading).await;
    });
}

/// The last answer of its connection, which says so: a client sends its next request on another.
fn last(mut answer: Response<Body>) -> Response<Body> {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

/// Whether somebody has left off reading a body before its end.
#[derive(Clone, Default)]
pub struct LeftOff(Arc<AtomicBool>);

impl LeftOff {
    /// The answer to the request. Where its body was not read, the connection cannot go on, and says so: a
    /// client that did not know would lose its next request. S3 does the same.
    pub fn tell(&self, answer: Response<Body>) -> Response<Body> {
        match self.0.load(Ordering::Relaxed) {
            true => last(answer),
            false => answer,
        }
    }
}

/// A body that somebody reads as far as they want to.
pub struct Read {
    /// None only while it is dropped.
    body: Option<Incoming>,
    is_over: bool,
    left_off: LeftOff,
}

impl Read {
    pub fn new(body: Incoming, left_off: &LeftOff) -> Self {
        Self {
            body: Some(body),
            is_over: false,
            left_off: left_off.clone(),
        }
    }
}

impl hyper::body::Body for Read {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        self.is_over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(Incoming::size_hint)
            .unwrap_or_default()
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|it| !it.is_end_stream());
        if let Some(rest) = rest.filter(|_| !self.is_over) {
            self.left_off.0.store(true, Ordering::Relaxed);
            drain(rest);
        }
    }
}

/// The body of an answer, whose request is under way until it has been sent or is given up.
struct Sending {
    body: Body,
    _turn: Turn,
}

pub fn until_sent(body: Body, turn: Turn) -> Body {
    let sending = Sending { body, _turn: turn };
    sending.boxed_unsync()
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
