//! One request at one target: on a pooled connection or a new one, and once more when a pooled
//! one turns out to be stale and sending again is safe.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;

use super::body::{RequestBody, Sent};
use super::channel::Channel;
use super::group::Target;
use super::namespace::Origin;
use super::pool::{self, Lease};
use super::tunnel::{self, Tunnel};
use super::worker::Client;

/// A request ready to be sent.
pub struct Outgoing {
    pub head: Parts,
    pub body: RequestBody,
    /// The protocol that the client wants to change to, and its side of the tunnel.
    pub upgrade: Option<(HeaderValue, OnUpgrade)>,
}

pub struct Answered {
    pub response: Response<Incoming>,
    /// The connection, to be given back when the body has ended; `None` for one that may become a
    /// tunnel.
    pub lease: Option<Lease>,
    pub tunnel: Option<Tunnel>,
}

pub enum Failure {
    /// Nothing was sent: another target may have it.
    NotSent {
        request: Box<Outgoing>,
        error: io::Error,
    },
    /// The client's body ended early or is malformed.
    Client,
    TimedOut,
    /// The client stopped in the middle of its body.
    ClientTimedOut,
    Broken,
}

pub struct Exchange<'a> {
    pub client: &'a Rc<Client>,
    pub target: &'a Arc<Target>,
    pub origin: &'a Origin,
    pub idle_timeout: Duration,
    /// Another target may take the request when this one does not take a connection.
    pub has_others: bool,
}

impl Exchange<'_> {
    pub async fn run(&self, outgoing: Outgoing) -> Result<Answered, Failure> {
        match outgoing.upgrade {
            Some(_) => self.run_upgrade(outgoing).await,
            None => self.run_plain(outgoing).await,
        }
    }

    async fn run_plain(&self, mut outgoing: Outgoing) -> Result<Answered, Failure> {
        let request_sent = outgoing.body.sent();
        loop {
            let pooled = self.client.worker.pool.take(self.origin, self.target);
            let reused = pooled.is_some();
            let mut sender = match pooled {
                Some(sender) => sender,
                None => match self.open().await {
                    Ok(sender) => sender,
                    Err(error) => return not_sent(outgoing, error),
                },
            };
            if sender.ready().await.is_err() {
                if reused {
                    continue;
                }
                let error = io::Error::from(io::ErrorKind::ConnectionReset);
                return not_sent(outgoing, error);
            }
            // A server may close a silent connection at the moment we send on it. What may be
            // done twice is then sent again, as RFC 9110 (9.2.2) allows.
            let spare =
                (reused && outgoing.body.is_empty() && outgoing.head.method.is_idempotent())
                    .then(|| outgoing.head.clone());
            let request = Request::from_parts(outgoing.head, outgoing.body);
            let error = match self.in_time(sender.try_send_request(request)).await {
                None if request_sent.as_ref().is_some_and(|sent| !sent.whole.get()) => {
                    return Err(Failure::ClientTimedOut);
                }
                None => return Err(Failure::TimedOut),
                Some(Ok(response)) => {
                    return Ok(Answered {
                        response,
                        lease: Some(self.lease(sender, request_sent)),
                        tunnel: None,
                    });
                }
                Some(Err(error)) => error,
            };
            outgoing = again(error, spare)?;
            if !reused {
                let error = io::Error::from(io::ErrorKind::ConnectionReset);
                return not_sent(outgoing, error);
            }
        }
    }

    /// An upgrade has a connection for itself, which ends with it.
    async fn run_upgrade(&self, mut outgoing: Outgoing) -> Result<Answered, Failure> {
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(error) => return not_sent(outgoing, error),
        };
        let sender =
            pool::handshake_with_upgrades(&self.client.worker.pool, stream, self.target).await;
        let mut sender = sender.map_err(|_| Failure::Broken)?;
        let client_side = outgoing.upgrade.take().map(|(protocol, client_side)| {
            tunnel::announce(&mut outgoing.head.headers, protocol);
            client_side
        });
        let request = Request::from_parts(outgoing.head, outgoing.body);
        let mut response = match self.in_time(sender.send_request(request)).await {
            None => return Err(Failure::TimedOut),
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(failure_of(&error)),
        };
        let target_side = hyper::upgrade::on(&mut response);
        Ok(Answered {
            response,
            lease: None,
            tunnel: client_side.map(|client_side| Tunnel {
                client: Rc::clone(self.client),
                target: Arc::clone(self.target),
                idle_timeout: self.idle_timeout,
                client_side,
                target_side,
            }),
        })
    }

    async fn open(&self) -> io::Result<SendRequest<RequestBody>> {
        let stream = self.connect().await?;
        let sender = pool::handshake(&self.client.worker.pool, stream, self.target).await;
        sender.map_err(io::Error::other)
    }

    /// A connection is not waited for any longer once it is known that the target goes.
    async fn connect(&self) -> io::Result<Channel> {
        let pool = &self.client.worker.pool;
        let given_up = || Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        if !self.has_others {
            let connecting = pool::connect(self.origin, self.target, pool::CONNECT_TIME_MAX);
            return tokio::select! {
                biased;
                connected = connecting => connected,
                () = pool.cut_off(self.target) => given_up(),
            };
        }
        let time_max = pool::CONNECT_TIME_BEFORE_OTHERS;
        tokio::select! {
            biased;
            connected = pool::connect(self.origin, self.target, time_max) => connected,
            () = pool.leaving(self.target) => given_up(),
        }
    }

    fn lease(&self, sender: SendRequest<RequestBody>, request_sent: Option<Rc<Sent>>) -> Lease {
        Lease {
            sender,
            target: Arc::clone(self.target),
            pool: Rc::clone(&self.client.worker.pool),
            origin: self.origin.id(),
            request_sent,
        }
    }

    /// `None` when neither the target answered nor the client moved for the idle time.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        let activity = &self.client.activity;
        let mut wait = self.idle_timeout;
        loop {
            if let Ok(answer) = tokio::time::timeout(wait, answer.as_mut()).await {
                return Some(answer);
            }
            wait = self.idle_timeout.saturating_sub(activity.idle_for());
            if wait.is_zero() {
                return None;
            }
        }
    }
}

fn not_sent<T>(outgoing: Outgoing, error: io::Error) -> Result<T, Failure> {
    Err(Failure::NotSent {
        request: Box::new(outgoing),
        error,
    })
}

/// The request once more, when that is safe.
fn again(
    mut error: hyper::client::conn::TrySendError<Request<RequestBody>>,
    spare: Option<Parts>,
) -> Result<Outgoing, Failure> {
    let (head, body) = match (error.take_message(), spare) {
        (Some(unsent), _) => unsent.into_parts(),
        (None, Some(head)) if closed_without_answer(error.error()) => (head, RequestBody::Empty),
        (None, _) => return Err(failure_of(error.error())),
    };
    Ok(Outgoing {
        head,
        body,
        upgrade: None,
    })
}

fn closed_without_answer(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_reset(error)
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let io_error = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    io_error.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    })
}

/// The error of a client's body is ours to send on, and so it comes as the cause of one of ours.
fn failure_of(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error);
    if error.is_user() && cause.is_some_and(|cause| cause.is::<hyper::Error>()) {
        Failure::Client
    } else {
        Failure::Broken
    }
}
