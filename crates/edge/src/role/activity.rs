//! When something last moved on a client's connection. One lazy timer per connection watches it,
//! instead of one timer per request and direction.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

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
}

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
}

impl Activity {
    pub fn touch(&self) {
        self.last_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn touch_by_reading(&self) {
        let now = now_ms();
        self.last_ms.store(now, Ordering::Relaxed);
        if self.head_since_ms.load(Ordering::Relaxed) == 0 {
            self.head_since_ms.store(now, Ordering::Relaxed);
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

    /// What is left before the connection counts as dead; `None` when it does.
    fn time_left(&self, idle_timeout: Duration) -> Option<Duration> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Some(idle_timeout);
        }
        let idle_left = idle_timeout.checked_sub(self.idle_for())?;
        let head_since = self.head_since_ms.load(Ordering::Relaxed);
        let head_left = match head_since {
            0 => HEAD_TIME_MAX,
            since => {
                HEAD_TIME_MAX.checked_sub(Duration::from_millis(now_ms().saturating_sub(since)))?
            }
        };
        Some(idle_left.min(head_left)).filter(|left| !left.is_zero())
    }

    /// Returns when nothing has moved for too long.
    pub async fn died_down(&self, idle_timeout: Duration) {
        while let Some(left) = self.time_left(idle_timeout) {
            tokio::time::sleep(left).await;
        }
    }
}

pub struct Waiting<'a>(&'a Activity);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The idle time begins anew with the answer, and bytes that came meanwhile were a body.
        self.0.touch();
        self.0.head_since_ms.store(0, Ordering::Relaxed);
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's socket that notes every movement.
pub struct WatchedStream {
    pub stream: TcpStream,
    pub activity: Arc<Activity>,
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            self.activity.touch_by_reading();
        }
        result
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
