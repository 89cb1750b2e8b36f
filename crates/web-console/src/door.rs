//! Who is let in.
//!
//! The API takes signed requests only, and a browser signs nothing; what it shows instead is a cookie. So that
//! nobody else makes use of it:
//!
//! * the connection comes from this machine (from elsewhere: by a tunnel);
//! * `Host` is an address of this machine or `localhost`: a foreign name that was made to lead here is refused;
//! * the browser says that the request is the page's own or typed by hand (`Sec-Fetch-Site`), and `Origin`, where
//!   there is one, is the page's own; no other page is allowed to read an answer, for none carries CORS headers;
//! * what changes anything carries a header that no form can send, and comes from a session that may write;
//! * no cookie but a link's, which works once.

use std::net::IpAddr;

use cloud::Origin;
use http::header::{COOKIE, HOST, HeaderName, LOCATION, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use crate::asked::PATH;
use crate::reply::{self, Reply};
use crate::sessions::{Session, Sessions};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a request that changes something carries. A form cannot, and another page would have to ask first.
pub const ACTS: HeaderName = HeaderName::from_static("x-neargate-console");

/// A request that was let in.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) session: Session,
}

pub fn admit(sessions: &Sessions, head: &Parts, origin: &Origin) -> Result<Admitted, Box<Reply>> {
    let forbidden = |why: &str| Err(Box::new(reply::plain(StatusCode::FORBIDDEN, why)));
    let address = origin.client().and_then(|it| it.address);
    if !address.is_some_and(|it| it.is_loopback()) {
        return forbidden(
            "the console answers on the daemon's own machine only: make a tunnel to it (ssh -L 4566:127.0.0.1:4566 MACHINE)",
        );
    }
    let host = text(&head.headers, HOST).unwrap_or_default();
    if !is_own(host) {
        return forbidden("the console has the addresses of the daemon's own machine only");
    }
    let is_foreign = text(&head.headers, ORIGIN).is_some_and(|it| it != format!("http://{host}"));
    let site = text(&head.headers, FETCH_SITE).unwrap_or("none");
    if is_foreign || !["none", "same-origin"].contains(&site) {
        return forbidden("another page asks for this: open the console by its own address");
    }
    let path = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    if let (Some(token), &Method::GET) = (path.strip_prefix("in/"), &head.method) {
        return Err(Box::new(enter(sessions, token, host)));
    }
    let Some(session) = cookie(&head.headers, host).and_then(|it| sessions.find(it)) else {
        return Err(Box::new(reply::plain(
            StatusCode::UNAUTHORIZED,
            "nobody is let in without a link: `neargate console` prints one, which works once",
        )));
    };
    if head.method != Method::GET {
        if !session.can_write {
            return forbidden(
                "this session only looks: `neargate console --write` prints a link to one that changes things",
            );
        }
        if text(&head.headers, ACTS) != Some("act") {
            return forbidden("what changes something is sent by the console's own script");
        }
    }
    Ok(Admitted { session })
}

/// Exchanges a link for a cookie.
fn enter(sessions: &Sessions, token: &str, host: &str) -> Reply {
    let Some(secret) = sessions.exchange(token) else {
        return reply::plain(
            StatusCode::UNAUTHORIZED,
            "this link has been used, or is too old: `neargate console` prints another",
        );
    };
    let cookie = format!(
        "{}={secret}; Path={PATH}; HttpOnly; SameSite=Strict",
        cookie_name(host)
    );
    let mut reply = reply::plain(StatusCode::SEE_OTHER, "");
    reply.header(LOCATION, PATH);
    reply.header(SET_COOKIE, &cookie);
    reply
}

/// Browsers keep one set of cookies for all ports of a host, and each may be another daemon's.
fn cookie_name(host: &str) -> String {
    let port = host.rsplit_once(':').map_or("80", |it| it.1);
    format!("neargate-console-{port}")
}

fn cookie<'a>(headers: &'a HeaderMap, host: &str) -> Option<&'a str> {
    let name = cookie_name(host);
    let all = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let mut pairs = all
        .flat_map(|it| it.split(';'))
        .filter_map(|it| it.trim().split_once('='));
    pairs.find(|it| it.0 == name).map(|it| it.1)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|it| it.to_str().unwrap_or("?"))
}

/// Whether a `Host` can only mean this machine, whoever answers for names.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_of_this_machine() {
        for own in [
            "localhost:4566",
            "127.0.0.1:4566",
            "127.3.2.1",
            "[::1]:4566",
            "localhost",
        ] {
            assert!(is_own(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example:4566",
            "localhost.evil.example",
            "192.0.2.1:4566",
            "0x7f.1",
            "127.0.0.1.evil.example",
            "x.localhost",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
