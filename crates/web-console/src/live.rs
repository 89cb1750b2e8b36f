//! Live pages: a page's stream sends its main part again whenever it has changed.
//!
//! Pages that look at the same thing share one look, and all looks together share one pace: after each, the next
//! waits nineteen times as long as it worked, so that the console takes a twentieth of one core at most, however
//! many pages are open. A look ends when the last page that wants it is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cloud::Cx;
use http::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Sources;
use crate::asked::Asked;
use crate::reply::{self, Content, Reply};
use crate::views::{self, Shown};

/// How often it is looked at most.
const LOOK: Duration = Duration::from_secs(1);
/// What a look leaves to everybody else, as a multiple of its own time.
const REST: u32 = 19;
/// A stream that has nothing to send says so, to notice whether anybody is there.
const BEAT: Duration = Duration::from_secs(15);
/// Open pages with a stream. A browser opens six connections to a host.
const STREAMS_MAX: usize = 64;
/// What a slow reader may be behind: the newest is what counts.
const BEHIND_MAX: usize = 2;

type Part = Option<Arc<str>>;

pub struct Looks {
    sources: Arc<Sources>,
    open: Mutex<HashMap<String, watch::Receiver<Part>>>,
    streams: Arc<()>,
    /// When the next look is due.
    next: Mutex<Option<Instant>>,
}

impl Looks {
    pub fn new(sources: Arc<Sources>) -> Self {
        Self {
            sources,
            open: Mutex::default(),
            streams: Arc::default(),
            next: Mutex::default(),
        }
    }

    /// The stream of one page.
    pub fn stream(self: &Arc<Self>, cx: Cx, asked: Asked) -> Reply {
        if Arc::strong_count(&self.streams) > STREAMS_MAX {
            return reply::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many pages are open: this one shows what was there when it was opened",
            );
        }
        let place = self.streams.clone();
        let mut parts = self.subscribe(cx, asked);
        let (sender, receiver) = mpsc::channel(BEHIND_MAX);
        tokio::spawn(async move {
            let _place = place;
            loop {
                let part = parts.borrow_and_update().clone();
                let message =
                    part.map_or_else(|| Bytes::from_static(b": still here\n\n"), |it| event(&it));
                if sender.send(message).await.is_err() {
                    return;
                }
                loop {
                    tokio::select! {
                        changed = parts.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        },
                        () = sender.closed() => return,
                        () = tokio::time::sleep(BEAT) => {
                            if sender.send(Bytes::from_static(b": still here\n\n")).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            }
        });
        Reply::new(
            StatusCode::OK,
            "text/event-stream",
            Content::Stream(receiver),
        )
    }

    fn subscribe(self: &Arc<Self>, cx: Cx, asked: Asked) -> watch::Receiver<Part> {
        let key = format!("{}\n{}\n{}", cx.region, asked.can_write, asked.with(&[]));
        let mut open = self.open.lock().expect("nothing panics while it is held");
        // One whose look has ended has no sender.
        open.retain(|_, it| it.has_changed().is_ok());
        if let Some(known) = open.get(&key) {
            return known.clone();
        }
        let (sender, receiver) = watch::channel(None);
        open.insert(key.clone(), receiver.clone());
        drop(open);
        tokio::spawn(self.clone().look(key, cx, asked, sender));
        receiver
    }

    async fn look(self: Arc<Self>, key: String, cx: Cx, asked: Asked, sender: watch::Sender<Part>) {
        loop {
            let looked = self.once(&cx, &asked).await;
            if let Some(text) = looked {
                let text: Part = Some(text.into());
                sender.send_if_modified(|known| {
                    let is_new = *known != text;
                    *known = text;
                    is_new
                });
            }
            tokio::time::sleep(LOOK).await;
            let mut open = self.open.lock().expect("nothing panics while it is held");
            // The list's own.
            if sender.receiver_count() <= 1 {
                open.remove(&key);
                return;
            }
        }
    }

    /// Whether nobody looks, and so nothing is looked at.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.open
            .lock()
            .expect("nothing panics while it is held")
            .is_empty()
    }

    /// What is to be seen now, when it is time.
    async fn once(&self, cx: &Cx, asked: &Asked) -> Option<String> {
        let at = *self.next.lock().expect("nothing panics while it is held");
        if let Some(at) = at {
            tokio::time::sleep_until(at).await;
        }
        let (shown, spent) = timed(views::look(&self.sources, cx, asked)).await;
        let text = match shown {
            Ok(Shown::Page(page)) => Some(page.main().into_string()),
            // What cannot be read at the moment leaves the page as it is.
            _ => None,
        };
        let now = Instant::now();
        let mut next = self.next.lock().expect("nothing panics while it is held");
        *next = Some(next.map_or(now, |it| it.max(now)) + spent * REST);
        text
    }
}

/// What comes of it, and how long it worked: waiting for others costs nothing.
async fn timed<F: Future>(work: F) -> (F::Output, Duration) {
    let (mut work, mut spent) = (std::pin::pin!(work), Duration::ZERO);
    let output = std::future::poll_fn(|waker| {
        let begun = std::time::Instant::now();
        let polled = work.as_mut().poll(waker);
        spent += begun.elapsed();
        polled
    });
    let output = output.await;
    (output, spent)
}

/// One message. A line of it begins wherever a reader would see one begin, so that no text ends the message or
/// begins another.
fn event(text: &str) -> Bytes {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut message = String::with_capacity(text.len() + 64);
    for line in text.split('\n') {
        message.push_str("data: ");
        message.push_str(line);
        message.push('\n');
    }
    message.push('\n');
    Bytes::from(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_waits_for_somebody_costs_the_others_nothing() {
        let begun = Instant::now();
        let ((), spent) = timed(tokio::time::sleep(Duration::from_secs(60))).await;
        assert!(begun.elapsed() >= Duration::from_secs(60));
        assert!(spent * REST < LOOK, "{spent:?}");
    }

    #[test]
    fn no_text_begins_a_message_of_its_own() {
        let sent = event("<p>a\r\revent: x\r\n\ndata: y</p>\n\nid: 1");
        let sent = String::from_utf8(sent.to_vec()).unwrap();
        let body = sent.strip_suffix("\n\n").unwrap();
        assert!(body.lines().all(|it| it.starts_with("data: ")), "{sent:?}");
        assert!(!body.contains('\r') && !body.contains("\n\n"), "{sent:?}");
    }
}
