//! What instances are answered at their metadata's address: see [`ec2::metadata`]. A door of its own, where
//! nothing is signed and no request has a body.

use std::convert::Infallible;
use std::net::TcpStream as PlainStream;
use std::os::fd::AsFd;
use std::sync::Arc;

use ec2::{MetadataAnswer, MetadataRequest, MetadataTold};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::bounds::Client;
use super::{Body, Front, end_of, full, http_server};

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const SECONDS: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How far a packet goes where nobody says otherwise.
const HOPS: u32 = 64;

impl Front {
    pub(super) async fn visit_metadata(
        self: Arc<Self>,
        interface: String,
        stream: TcpStream,
        client: Client,
    ) {
        let reach = Arc::new(Reach::of(&stream));
        let service = service_fn(move |request| {
            let (front, interface, reach) = (self.clone(), interface.clone(), reach.clone());
            async move {
                let answer = front.answer_metadata(&interface, &request).await;
                reach.set(answer.hops);
                Ok::<_, Infallible>(response(answer))
            }
        });
        let connection = http_server().serve_connection(TokioIo::new(stream), service);
        end_of(connection, &client).await;
    }

    async fn answer_metadata(
        &self,
        interface: &str,
        request: &Request<Incoming>,
    ) -> MetadataAnswer {
        let headers = request.headers();
        let asked = MetadataRequest {
            method: request.method().as_str(),
            path: request.uri().path(),
            token: text(headers, &TOKEN),
            seconds: text(headers, &SECONDS),
            is_forwarded: headers.contains_key(FORWARDED),
        };
        let told = match ec2::metadata(&self.cloud, interface, asked).await {
            Ok(MetadataTold::Answer(answer)) => return answer,
            Ok(MetadataTold::Credentials(role)) => {
                self.instance_credentials(interface, &role).await
            }
            Err(error) => Err(error),
        };
        match told {
            Ok(Some(credentials)) => MetadataAnswer::text(format!("{credentials:#}")),
            Ok(None) => MetadataAnswer::refused(404, "Not Found"),
            // A role that does not trust instances: AWS tells so in a document, with this code.
            Err(error) if error.status < 500 => {
                let failed = serde_json::json!({
                    "Code": "AssumeRoleUnauthorizedAccess",
                    "Message": format!("EC2 cannot assume the role: {}", error.message),
                });
                MetadataAnswer::text(format!("{failed:#}"))
            }
            Err(error) => {
                tracing::warn!(
                    code = error.code,
                    message = error.message,
                    "instance metadata failed"
                );
                MetadataAnswer::refused(500, "Internal Server Error")
            }
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // What is no text is no token either: it is not taken for none.
    headers.get(name).map(|it| it.to_str().unwrap_or_default())
}

fn response(answer: MetadataAnswer) -> Response<Body> {
    let mut response = Response::new(full(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(SERVER, HeaderValue::from_static("EC2ws"));
    if let Some(seconds) = answer.seconds {
        headers.insert(SECONDS, HeaderValue::from(seconds));
    }
    response
}

/// How many networks the packets of a connection may pass: a token is to reach its instance and not those
/// whom that forwards for.
struct Reach(Option<PlainStream>);

impl Reach {
    fn of(stream: &TcpStream) -> Self {
        Self(
            stream
                .as_fd()
                .try_clone_to_owned()
                .ok()
                .map(PlainStream::from),
        )
    }

    fn set(&self, hops: Option<u32>) {
        if let Some(stream) = &self.0
            && let Err(error) = stream.set_ttl(hops.unwrap_or(HOPS))
        {
            tracing::warn!(%error, "cannot bound how far a token goes");
        }
    }
}
