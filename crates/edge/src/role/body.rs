//! The bodies that pass through: what goes to a target, and what comes back from it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::access::Accessing;
use super::activity::UnderWay;
use super::group::InFlight;
use super::pool::Lease;

/// What of a body was handed to the target's connection.
#[derive(Default)]
pub struct Sent {
    pub whole: Cell<bool>,
    pub bytes: Cell<u64>,
}

/// A request's body. An empty one can be sent a second time.
pub enum RequestBody {
    Empty,
    Streaming { incoming: Incoming, sent: Rc<Sent> },
}

impl RequestBody {
    pub fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            RequestBody::Empty
        } else {
            RequestBody::Streaming {
                incoming,
                sent: Rc::default(),
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, RequestBody::Empty)
    }

    /// `None` for an empty body, which is always sent.
    pub fn sent(&self) -> Option<Rc<Sent>> {
        match self {
            RequestBody::Empty => None,
            RequestBody::Streaming { sent, .. } => Some(Rc::clone(sent)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Streaming { incoming, sent } => {
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    sent.bytes.set(sent.bytes.get() + bytes as u64);
                }
                if matches!(polled, Poll::Ready(None)) || incoming.is_end_stream() {
                    sent.whole.set(true);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Streaming { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Streaming { incoming, .. } => incoming.size_hint(),
        }
    }
}

pub enum ResponseBody {
    /// The balancer's own answer.
    Own(Full<Bytes>),
    Target(TargetBody),
}

/// A target's answer. At its end the connection goes back to the pool and the request counts as
/// done.
pub struct TargetBody {
    pub incoming: Incoming,
    pub lease: Option<Lease>,
    pub in_flight: Option<InFlight>,
    pub under_way: Option<UnderWay>,
    pub accessing: Option<Box<Accessing>>,
}

impl TargetBody {
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.in_flight = None;
    }
}

impl Drop for TargetBody {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            ResponseBody::Own(full) => Pin::new(full)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            ResponseBody::Target(body) => {
                let polled = Pin::new(&mut body.incoming).poll_frame(cx);
                if let (Some(accessing), Poll::Ready(Some(Ok(frame)))) =
                    (&mut body.accessing, &polled)
                {
                    accessing.sent(frame.data_ref().map_or(0, Bytes::len));
                }
                let ended = match &polled {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(_))) => body.incoming.is_end_stream(),
                    Poll::Ready(Some(Err(_))) | Poll::Pending => false,
                };
                if ended {
                    body.finish();
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Own(full) => full.is_end_stream(),
            ResponseBody::Target(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Own(full) => full.size_hint(),
            ResponseBody::Target(body) => body.incoming.size_hint(),
        }
    }
}
