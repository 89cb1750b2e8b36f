//! Calls that are answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use tokio::sync::mpsc;

use super::{CONTENT_TYPE, Code, Messages, Sender, Status};
use crate::limits::{CALLS_MAX, MESSAGES_QUEUED};

/// A call: `/package.Service/Method`, what came along with it, and its messages.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub messages: Messages,
}

impl Call {
    /// The one message of a call that has one.
    pub async fn message<M: Message + Default>(&mut self) -> Result<M, Status> {
        let message = self.messages.next().await?;
        message.ok_or_else(|| Status::new(Code::InvalidArgument, "the call has no message"))
    }
}

/// Where answers go.
pub type Replies = Sender;

#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers a call. It is dropped when its client gives it up.
    async fn call(&self, call: Call, replies: Replies) -> Result<(), Status>;
}

/// Answers all calls of a connection, until it ends.
pub async fn serve<T>(connection: T, service: Arc<dyn Service>) -> hyper::Result<()>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request, service.clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(CALLS_MAX)
        .serve_connection(connection, service)
        .await
}

fn answer(request: Request<Incoming>, service: Arc<dyn Service>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(http::header::CONTENT_TYPE);
    let is_call = kind.is_some_and(|it| it.as_bytes().starts_with(CONTENT_TYPE.as_bytes()));
    if head.method != Method::POST || !is_call {
        let mut response = Response::new(Answer::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let call = Call {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        messages: Messages::new(body),
    };
    let (sender, receiver) = mpsc::channel(MESSAGES_QUEUED);
    let work = async move { service.call(call, Sender(sender)).await }.boxed();
    let mut response = Response::new(Answer {
        work: Some(work),
        outcome: None,
        receiver,
    });
    let kind = http::HeaderValue::from_static(CONTENT_TYPE);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}

/// The work and what comes of it. Dropping it ends the work.
struct Answer {
    work: Option<BoxFuture<'static, Result<(), Status>>>,
    outcome: Option<Result<(), Status>>,
    receiver: mpsc::Receiver<Bytes>,
}

impl Answer {
    fn empty() -> Self {
        Self {
            work: None,
            outcome: None,
            receiver: mpsc::channel(1).1,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(work) = &mut self.work
            && let Poll::Ready(outcome) = work.poll_unpin(cx)
        {
            // With it goes its sender, so that the last of its messages is known to be.
            self.work = None;
            self.outcome = Some(outcome);
        }
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) => match self.outcome.take() {
                Some(outcome) => {
                    let trailers = Status::trailers(&outcome);
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                // The work goes on, and has nothing more to say than how it ends.
                None if self.work.is_some() => Poll::Pending,
                None => Poll::Ready(None),
            },
            Poll::Pending => Poll::Pending,
        }
    }
}
