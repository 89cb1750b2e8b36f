//! What a balancer does to the headers that pass through it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    self, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{Uri, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The host that a request names, in the form of a `Host` header.
///
/// # Errors
/// In words for the client, when the request names none or several.
pub fn host_of(request: &Parts) -> Result<Option<HeaderValue>, &'static str> {
    if let Some(authority) = request.uri.authority() {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        return HeaderValue::from_str(host)
            .map(Some)
            .map_err(|_| "the request names an impossible host");
    }
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err("the request names several hosts"),
        (Some(host), None) => match host.to_str() {
            Ok(text) if !text.contains(['/', '@', ',', ' ']) => Ok(Some(host.clone())),
            _ => Err("the request names an impossible host"),
        },
        (None, _) if request.version == Version::HTTP_11 => Err("the request names no host"),
        (None, _) => Ok(None),
    }
}

/// Removes what concerns one connection only. Returns the protocol that an upgrade was asked for.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut upgrade = None;
    if headers.contains_key(CONNECTION) {
        let listed: Vec<String> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        if listed.iter().any(|name| name == "upgrade") {
            upgrade = headers.get(UPGRADE).cloned();
        }
        for name in listed {
            // What the message itself needs cannot be declared away.
            if name != header::HOST.as_str() && name != header::CONTENT_LENGTH.as_str() {
                headers.remove(name.as_str());
            }
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    upgrade
}

/// Makes a client's request one for a target.
pub fn prepare_request(
    request: &mut Parts,
    host: HeaderValue,
    client: SocketAddr,
    port: u16,
    random: impl FnMut() -> u64,
) {
    request.headers.remove(EXPECT);
    request.headers.insert(HOST, host);
    request.version = Version::HTTP_11;
    if request.uri.authority().is_some() {
        let path = request.uri.path_and_query().cloned();
        request.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    append_forwarded_for(&mut request.headers, client);
    request
        .headers
        .insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    request
        .headers
        .insert(FORWARDED_PORT, HeaderValue::from(port));
    let trace = trace_id(request.headers.get(TRACE_ID), random);
    request.headers.insert(TRACE_ID, trace);
}

fn append_forwarded_for(headers: &mut HeaderMap, client: SocketAddr) {
    let mut chain = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.ip().to_canonical().to_string().as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&chain) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// A request that comes without a trace gets a root; one that has a root gets this balancer's own
/// field before it.
fn trace_id(found: Option<&HeaderValue>, mut random: impl FnMut() -> u64) -> HeaderValue {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_1970.map_or(0, |time| time.as_secs() as u32);
    let mut text = String::with_capacity(80);
    let found = found.and_then(|value| value.to_str().ok());
    let name = match found {
        Some(found) if found.contains("Root=") => "Self",
        _ => "Root",
    };
    let (first, second) = (random(), random() as u32);
    let _ = write!(text, "{name}=1-{seconds:08x}-{first:016x}{second:08x}");
    if let Some(found) = found {
        text.push(';');
        text.push_str(found);
    }
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_headers_stay_behind() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONNECTION,
            HeaderValue::from_static("x-mine, Upgrade, host"),
        );
        headers.insert("x-mine", HeaderValue::from_static("1"));
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let upgrade = remove_hop_by_hop(&mut headers);
        assert_eq!(upgrade.unwrap(), "websocket");
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["host"]);
    }

    #[test]
    fn traces_are_made_and_kept() {
        let made = trace_id(None, || 1);
        let made = made.to_str().unwrap();
        assert!(made.starts_with("Root=1-") && made.len() == 40, "{made}");
        let root = HeaderValue::from_static("Root=1-a-b");
        let kept = trace_id(Some(&root), || 1);
        let kept = kept.to_str().unwrap();
        assert!(
            kept.starts_with("Self=1-") && kept.ends_with(";Root=1-a-b"),
            "{kept}"
        );
    }
}
