//! What a balancer does to the headers that pass through it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{ForwardedFor, HttpSettings};
use http::header::{
    self, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{Uri, Version};

use super::router::without_port;
use super::tls::ClientTls;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TLS_VERSION: HeaderName = HeaderName::from_static("x-amzn-tls-version");
const TLS_SUITE: HeaderName = HeaderName::from_static("x-amzn-tls-cipher-suite");
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

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
    for name in [
        HTTP2_SETTINGS,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    upgrade
}

/// Where a request came in, and what is to be told of it.
pub struct Arrival<'a> {
    /// What it names, or the balancer's own name.
    pub host: HeaderValue,
    pub client: SocketAddr,
    pub port: u16,
    pub tls: Option<&'a ClientTls>,
    pub settings: &'a HttpSettings,
}

/// Makes a client's request one for a target.
pub fn prepare_request(request: &mut Parts, arrival: Arrival<'_>, random: impl FnMut() -> u64) {
    let Arrival {
        host,
        client,
        port,
        tls,
        settings,
    } = arrival;
    let host = match settings.preserves_host {
        true => host,
        false => with_listeners_port(host, port),
    };
    request.headers.remove(EXPECT);
    request.headers.insert(HOST, host);
    request.version = Version::HTTP_11;
    if request.uri.authority().is_some() {
        let path = request.uri.path_and_query().cloned();
        request.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    match settings.forwarded_for {
        ForwardedFor::Append => {
            let with_port = settings.forwards_client_port;
            append_forwarded_for(&mut request.headers, client, with_port);
        }
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => drop(request.headers.remove(FORWARDED_FOR)),
    }
    let protocol = if tls.is_some() { "https" } else { "http" };
    request
        .headers
        .insert(FORWARDED_PROTO, HeaderValue::from_static(protocol));
    if let Some(tls) = tls.filter(|_| settings.tells_tls) {
        tell_tls(&mut request.headers, tls);
    }
    request
        .headers
        .insert(FORWARDED_PORT, HeaderValue::from(port));
    let trace = trace_id(request.headers.get(TRACE_ID), random);
    request.headers.insert(TRACE_ID, trace);
}

fn tell_tls(headers: &mut HeaderMap, tls: &ClientTls) {
    headers.insert(TLS_VERSION, HeaderValue::from_static(tls.version));
    if let Ok(suite) = HeaderValue::from_str(&tls.suite) {
        headers.insert(TLS_SUITE, suite);
    }
}

/// As a balancer changes the header unless it is told not to: a port that is not the protocol's own
/// stands behind the host, when the client has not put one there; with HTTP's or HTTPS's own, none does
/// (ELB User Guide, "Host header preservation").
fn with_listeners_port(host: HeaderValue, port: u16) -> HeaderValue {
    let Ok(text) = host.to_str() else {
        return host;
    };
    let name = without_port(text);
    let changed = match port {
        80 | 443 if name.len() < text.len() => HeaderValue::from_str(name),
        80 | 443 => return host,
        _ if name.len() < text.len() || text.is_empty() => return host,
        _ => HeaderValue::try_from(format!("{text}:{port}")),
    };
    changed.unwrap_or(host)
}

/// Takes away what has a name of anything but letters, digits and hyphens.
pub fn drop_invalid(headers: &mut HeaderMap) {
    let is_valid = |it: &str| {
        it.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let invalid: Vec<HeaderName> = (headers.keys())
        .filter(|it| !is_valid(it.as_str()))
        .cloned()
        .collect();
    for name in invalid {
        headers.remove(name);
    }
}

fn append_forwarded_for(headers: &mut HeaderMap, client: SocketAddr, with_port: bool) {
    let mut chain = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let address = client.ip().to_canonical();
    let shown = match with_port {
        true => SocketAddr::new(address, client.port()).to_string(),
        false => address.to_string(),
    };
    chain.extend_from_slice(shown.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&chain) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// The only protocol that a connection may change to. Another one, HTTP/2 above all, would carry requests
/// that the balancer does not see; the request goes on as one that asks for nothing.
pub fn only_web_sockets(protocols: &HeaderValue) -> Option<HeaderValue> {
    let mut all = protocols.to_str().ok()?.split(',');
    let wanted = all.any(|it| it.trim().eq_ignore_ascii_case("websocket"));
    wanted.then(|| HeaderValue::from_static("websocket"))
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
    fn hosts_name_the_port_that_is_not_the_protocols_own() {
        let check = |host: &'static str, port, expect: &str| {
            let changed = with_listeners_port(HeaderValue::from_static(host), port);
            assert_eq!(changed, expect, "{host} {port}");
        };
        check("shop", 8080, "shop:8080");
        check("shop:99", 8080, "shop:99");
        check("shop", 80, "shop");
        check("shop:99", 80, "shop");
        check("[::1]", 8080, "[::1]:8080");
        check("[::1]:99", 80, "[::1]");
    }

    #[test]
    fn what_becomes_of_forwarded_for() {
        let check = |forwarded_for, forwards_client_port, before: Option<&'static str>| {
            let mut request = http::Request::get("/").body(()).unwrap();
            if let Some(before) = before {
                let before = HeaderValue::from_static(before);
                request.headers_mut().insert(FORWARDED_FOR, before);
            }
            let (mut parts, ()) = request.into_parts();
            let arrival = Arrival {
                host: HeaderValue::from_static("shop"),
                client: "[::ffff:10.0.0.1]:77".parse().unwrap(),
                port: 80,
                tls: None,
                settings: &HttpSettings {
                    forwarded_for,
                    forwards_client_port,
                    ..Default::default()
                },
            };
            prepare_request(&mut parts, arrival, || 1);
            let found = parts.headers.get(FORWARDED_FOR);
            found.map(|it| it.to_str().unwrap().to_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        use ForwardedFor::{Append, Preserve, Remove};
        assert_eq!(check(Append, false, None), some("10.0.0.1"));
        assert_eq!(
            check(Append, true, Some("1.1.1.1")),
            some("1.1.1.1, 10.0.0.1:77")
        );
        assert_eq!(check(Preserve, true, Some("1.1.1.1")), some("1.1.1.1"));
        assert_eq!(check(Preserve, false, None), None);
        assert_eq!(check(Remove, false, Some("1.1.1.1")), None);
    }

    #[test]
    fn only_names_of_letters_digits_and_hyphens_are_valid() {
        let mut headers = HeaderMap::new();
        for name in ["x-ok", "x_under", "x.dot", "x9"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        drop_invalid(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-ok", "x9"]);
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
