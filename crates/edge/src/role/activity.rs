//! When something last moved on a client's connection. One lazy timer per connection watches it,
//! instead of one timer per request and direction.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::raw;
use super::channel::Channel;
use super::head_watch::HeadWatch;

/// A client that sends a request's head this slowly does it on purpose.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Times are milliseconds since the process started. Atomics only because upgraded connections
/// must be `Send`; a connection lives on one thread.
#[derive(Default)]
pub struct Activity {
    last_ms: AtomicU64,
    /// When the first byte of a head came that is not yet complete; zero when there is none.
    head_since_ms: AtomicU64,
    /// Requests that wait for their target, which have their own time-out.
    waiting: AtomicU32,
    /// Requests whose answer has not ended, and tunnels.
    under_way: AtomicU32,
    given_up: AtomicBool,
    /// Something was read.
    heard: AtomicBool,
}

/// What the bytes that were read belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    NewHead,
    Head,
    /// A body, a tunnel, or the next request, which is read ahead.
    Rest,
}

/// Milliseconds since the process started, never zero.
pub fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
}

impl Activity {
    pub fn touch(&self) {
        self.last_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn touch_by_reading(&self) -> Reading {
        let now = now_ms();
        self.last_ms.store(now, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Reading::Rest;
        }
        if self.is_reading_head() {
            return Reading::Head;
        }
        self.head_since_ms.store(now, Ordering::Relaxed);
        Reading::NewHead
    }

    fn is_reading_head(&self) -> bool {
        self.head_since_ms.load(Ordering::Relaxed) != 0
    }

    /// The connection is about to be closed because nothing moves. A client that has stopped in the
    /// middle of a head hears why.
    pub fn give_up(&self) {
        if self.is_reading_head() {
            self.given_up.store(true, Ordering::Relaxed);
        }
    }

    pub fn idle_for(&self) -> Duration {
        let last = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(now_ms().saturating_sub(last))
    }

    /// A request's head is complete, and its target is asked until the guard goes.
    pub fn wait_for_target(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// A request is under way until the guard goes: what is read meanwhile is not a head.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_since_ms.store(0, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// What is left before the connection counts as dead; `None` when it does.
    fn time_left(&self, now_ms: u64, idle_timeout: Duration) -> Option<Duration> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Some(idle_timeout);
        }
        let since = |then_ms| Duration::from_millis(now_ms.saturating_sub(then_ms));
        let idle_left = idle_timeout.checked_sub(since(self.last_ms.load(Ordering::Relaxed)))?;
        let head_left = match self.head_since_ms.load(Ordering::Relaxed) {
            0 => HEAD_TIME_MAX,
            head_since => HEAD_TIME_MAX.checked_sub(since(head_since))?,
        };
        Some(idle_left.min(head_left)).filter(|left| !left.is_zero())
    }

    /// Returns when the client has said anything, or did not for this long.
    pub async fn heard(&self, at_most: Duration) {
        const LOOK_PAUSE: Duration = Duration::from_millis(5);
        let end = Instant::now() + at_most;
        while !self.heard.load(Ordering::Relaxed) && Instant::now() < end {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Returns when nothing has moved for too long.
    pub async fn died_down(&self, idle_timeout: Duration) {
        while let Some(left) = self.time_left(now_ms(), idle_timeout) {
            tokio::time::sleep(left).await;
        }
    }
}

pub struct Waiting<'a>(&'a Activity);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The idle time begins anew with the answer.
        self.0.touch();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

pub struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's connection that notes every movement, and lets no head through that is too large.
pub struct WatchedStream {
    stream: Channel,
    activity: Arc<Activity>,
    head: HeadWatch,
    /// Bytes that are still read, and lost, of a client that was refused: it would not see the answer
    /// if its connection was closed under what it sends.
    refused: Option<usize>,
}

/// More is not read of a client that was refused.
const REFUSED_BYTES_MAX: usize = 1024 * 1024;

impl WatchedStream {
    pub fn new(stream: Channel, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            head: HeadWatch::default(),
            refused: None,
        }
    }

    /// Whether what was read may be passed on.
    fn lets_in(&mut self, bytes: &[u8]) -> bool {
        match self.activity.touch_by_reading() {
            _ if bytes.is_empty() => return true,
            Reading::Rest => return true,
            Reading::NewHead => self.head = HeadWatch::default(),
            Reading::Head => {}
        }
        self.head.takes(bytes)
    }

    /// Answers without a request.
    fn say(&mut self, status: StatusCode) {
        self.stream.say_last(&raw(status));
    }

    /// Reads on without anybody, to the end or as far as it goes.
    fn poll_lose(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len();
            left = left.saturating_sub(read);
            self.refused = Some(left);
            if read == 0 || left == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        if self.refused.is_none() && self.activity.given_up.load(Ordering::Relaxed) {
            self.say(StatusCode::REQUEST_TIMEOUT);
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(left) = self.refused {
            return self.poll_lose(cx, left);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.lets_in(&buffer.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        self.say(StatusCode::BAD_REQUEST);
        self.poll_lose(cx, REFUSED_BYTES_MAX)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if result.is_ready() {
            self.activity.touch();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if result.is_ready() {
            self.activity.touch();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(300);

    fn left_s(activity: &Activity, now_s: u64) -> Option<u64> {
        let left = activity.time_left(now_s * 1000, IDLE);
        left.map(|left| left.as_secs())
    }

    #[test]
    fn slow_heads_end_and_slow_bodies_do_not() {
        let activity = Arc::new(Activity::default());
        activity.last_ms.store(1_000, Ordering::Relaxed);
        assert_eq!(left_s(&activity, 2), Some(60));
        assert_eq!(left_s(&activity, 290), Some(11));
        assert_eq!(left_s(&activity, 301), None);
        // A head begins, and is slow.
        activity.head_since_ms.store(10_000, Ordering::Relaxed);
        activity.last_ms.store(60_000, Ordering::Relaxed);
        assert_eq!(left_s(&activity, 60), Some(10));
        assert_eq!(left_s(&activity, 71), None);
        // It was complete after all; what is read now is a body, or belongs to a tunnel.
        let under_way = activity.begin();
        activity.touch_by_reading();
        activity.last_ms.store(100_000, Ordering::Relaxed);
        assert_eq!(left_s(&activity, 399), Some(1));
        drop(under_way);
        activity.touch_by_reading();
        assert_ne!(activity.head_since_ms.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_slow_target_is_not_a_dead_client() {
        let activity = Activity::default();
        let waiting = activity.wait_for_target();
        assert_eq!(left_s(&activity, 1_000), Some(300));
        drop(waiting);
        activity.last_ms.store(1_000, Ordering::Relaxed);
        assert_eq!(left_s(&activity, 1_000), None);
    }
}
