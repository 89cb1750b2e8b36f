//! Session Manager's data channels: `GET /v1/data-channel/<session>`, a WebSocket. What comes and goes on
//! it is what its plugin speaks ([`frame`]), and [`channel`] serves one. The URL names a session and lets
//! nobody in: the first message brings the token.

mod channel;
mod frame;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT};
use hyper::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest;
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Body, Front, full};

const PATH: &str = "/v1/data-channel/";
/// Connections at once, whether they have shown their token or not: each holds a process in a container.
const CHANNELS_MAX: usize = 100;
/// The plugin sends a kilobyte of input in a message, and a handshake's answer is not much longer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What is not read by a client: one message, and some.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// RFC 6455, section 1.3.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub fn is_for(path: &str) -> bool {
    path.starts_with(PATH)
}

/// How many more channels there may be.
pub struct Channels(Arc<Semaphore>);

impl Default for Channels {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CHANNELS_MAX)))
    }
}

pub fn answer(front: &Front, request: Request<Incoming>) -> Response<Body> {
    let accept = match accepted(&request) {
        Ok(accept) => accept,
        Err((status, why)) => return refused(status, why),
    };
    let Ok(turn) = front.channels.0.clone().try_acquire_owned() else {
        let why = "too many sessions are open at the moment: try again later";
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let id = request.uri().path().trim_start_matches(PATH).to_owned();
    let cloud = front.cloud.clone();
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => {
                let limits = WebSocketConfig::default()
                    .read_buffer_size(MESSAGE_BYTES_MAX)
                    .write_buffer_size(0)
                    .max_write_buffer_size(WRITE_BYTES_MAX)
                    .max_message_size(Some(MESSAGE_BYTES_MAX))
                    .max_frame_size(Some(MESSAGE_BYTES_MAX));
                let stream = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits));
                channel::serve(&cloud, &id, socket.await).await;
            }
            Err(error) => tracing::debug!(%error, "a data channel was not taken over"),
        }
        drop(turn);
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What is answered to the client's key, when it asks for a WebSocket (RFC 6455, section 4.2.1).
fn accepted(request: &Request<Incoming>) -> Result<HeaderValue, (StatusCode, &'static str)> {
    let headers = request.headers();
    let asks = has(headers, UPGRADE, "websocket") && has(headers, CONNECTION, "upgrade");
    if request.method() != Method::GET || !asks {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket"));
    }
    if !has(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "use version 13 of WebSocket"));
    }
    let unfit = (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes");
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(unfit)?;
    let key = key.to_str().map_err(|_| unfit)?;
    let bytes = STANDARD.decode(key).map_err(|_| unfit)?;
    if bytes.len() != 16 {
        return Err(unfit);
    }
    HeaderValue::from_str(&accept_of(key)).map_err(|_| unfit)
}

fn accept_of(key: &str) -> String {
    let text = format!("{key}{ACCEPT_GUID}");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(hash)
}

/// Whether a header has a word among those that commas part.
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|it| it.to_str().ok());
    let mut words = texts.flat_map(|it| it.split(','));
    words.any(|it| it.trim().eq_ignore_ascii_case(word))
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_answered_as_the_rfc_says() {
        let answer = super::accept_of("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
