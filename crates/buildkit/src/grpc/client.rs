//! Calls that are made, to the services of whoever is at the other end of a connection.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{CONTENT_TYPE, Code, Messages, Sender, Status};
use crate::limits::{CALL_TIMEOUT, MESSAGES_QUEUED};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection to make calls on.
#[derive(Clone)]
pub struct Channel(SendRequest<Body>);

/// A call whose messages go both ways.
pub struct Outgoing {
    pub sender: Sender,
    pub messages: Messages,
}

impl Channel {
    /// The channel, and the connection's own work, which has to go on for as long as there are calls.
    pub async fn open<T>(
        connection: T,
    ) -> hyper::Result<(Self, impl Future<Output = hyper::Result<()>>)>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, work) = builder.handshake(connection).await?;
        Ok((Self(sender), work))
    }

    /// Begins a call.
    pub async fn stream(
        &self,
        path: &str,
        headers: &[(String, String)],
    ) -> Result<Outgoing, Status> {
        let (sender, receiver) = mpsc::channel::<Bytes>(MESSAGES_QUEUED);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        let request = Request::post(format!("http://session{path}"))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::TE, "trailers");
        let mut request = request
            .body(StreamBody::new(frames).boxed_unsync())
            .map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))?;
        for (name, value) in headers {
            let bad = || Status::new(Code::InvalidArgument, format!("`{name}` cannot be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let value = HeaderValue::from_str(value).map_err(|_| bad())?;
            request.headers_mut().append(name, value);
        }
        let mut connection = self.0.clone();
        let unavailable = |error: hyper::Error| Status::new(Code::Unavailable, error.to_string());
        // Servers of calls that go both ways may answer only once they were told something.
        let sending = connection.send_request(request);
        Ok(Outgoing {
            sender: Sender(sender),
            messages: Messages::coming(async move {
                let response = sending.await.map_err(unavailable)?;
                if response.status() != StatusCode::OK {
                    let message = format!("a call was answered with {}", response.status());
                    return Err(Status::new(Code::Unavailable, message));
                }
                // A call that has no messages has its outcome here.
                match Status::of(response.headers()) {
                    Some(Err(status)) => Err(status),
                    Some(Ok(())) => Ok((response.into_body(), true)),
                    None => Ok((response.into_body(), false)),
                }
            }),
        })
    }

    /// A call with one message each way.
    pub async fn unary<A: Message + Default>(
        &self,
        path: &str,
        request: &impl Message,
    ) -> Result<A, Status> {
        let call = async {
            let Outgoing {
                sender,
                mut messages,
            } = self.stream(path, &[]).await?;
            sender.send(request).await;
            drop(sender);
            let answer = messages.next().await?;
            let answer = answer.ok_or_else(|| Status::broken("a call was not answered"))?;
            // The outcome comes after it.
            match messages.next::<A>().await? {
                None => Ok(answer),
                Some(_) => Err(Status::broken("a call was answered more than once")),
            }
        };
        let late = |_| Status::new(Code::DeadlineExceeded, "a client's service does not answer");
        timeout(CALL_TIMEOUT, call).await.map_err(late)?
    }
}
