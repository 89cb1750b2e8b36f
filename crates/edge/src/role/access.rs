//! Access logs: what a balancer keeps of each request until the daemon fetches it. Nothing is written to
//! the disk: an edge that dies loses what was not fetched, as AWS's own logs are "best effort".

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{AccessEntry, AccessedTarget, AccessedTls};
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, USER_AGENT};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::worker::Client;

/// What is kept of one balancer; a daemon that is down for longer finds the last ones.
const ACCESSES_MAX: usize = 50_000;
/// What is kept of a client's words: as long as a line of a head may be.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// All of a balancer's texts together, so that long ones do not add up to much.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Of one message to the daemon, far below the longest.
const TAKEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// At the end of a head, or of one of its lines.
const LINE_END: usize = 2;

#[derive(Default)]
pub struct AccessLog(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    all: VecDeque<AccessEntry>,
    bytes: usize,
}

impl AccessLog {
    fn keep(&self, access: AccessEntry) {
        let mut kept = self.lock();
        kept.bytes += size_of(&access);
        kept.all.push_back(access);
        while kept.all.len() > ACCESSES_MAX || kept.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = kept.all.pop_front() else {
                return;
            };
            kept.bytes -= size_of(&oldest);
        }
    }

    /// The oldest ones, which are not kept any longer.
    pub fn take(&self) -> Vec<AccessEntry> {
        let mut kept = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < TAKEN_BYTES_MAX
            && let Some(access) = kept.all.pop_front()
        {
            bytes += size_of(&access);
            taken.push(access);
        }
        kept.bytes -= bytes;
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With all that a client may have made long.
fn size_of(access: &AccessEntry) -> usize {
    let redirect = access.redirect.as_ref().map_or(0, String::len);
    let host = access.tls.as_ref().and_then(|it| it.host.as_ref());
    std::mem::size_of::<AccessEntry>()
        + access.method.len()
        + access.url.len()
        + access.user_agent.len()
        + access.trace.len()
        + redirect
        + host.map_or(0, String::len)
}

/// One request under way, which is kept when this goes, whatever became of it.
pub struct Accessing {
    log: Arc<AccessLog>,
    access: AccessEntry,
    began: Instant,
    /// When the balancer had something to answer.
    answered: Option<Instant>,
}

impl Accessing {
    pub fn begin(log: Arc<AccessLog>, head: &Parts, host: &str, client: &Client) -> Self {
        let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let agent = head.headers.get(USER_AGENT);
        let agent = agent.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        let (address, came) = (client.address, client.came_by());
        let (protocol, port) = (came.protocol, came.port);
        let tls = client.tls.get().map(|it| AccessedTls {
            version: it.version.to_owned(),
            suite: it.suite.clone(),
            host: it.host.clone().map(shortened),
            certificate: it.certificate.clone(),
        });
        let line = head.method.as_str().len() + path.len() + "  HTTP/1.1".len() + LINE_END;
        Self {
            log,
            access: AccessEntry {
                began_us: now_us(),
                ended_us: 0,
                client: SocketAddr::new(address.ip().to_canonical(), address.port()),
                request_us: None,
                target_us: None,
                response_us: None,
                // Unless somebody answers: the client went away.
                status: super::proxy::CLIENT_WENT_AWAY,
                received_bytes: (line + size_of_headers(&head.headers)) as u64,
                sent_bytes: 0,
                method: head.method.to_string(),
                url: shortened(format!("{protocol}://{host}:{port}{path}")),
                version: format!("{:?}", head.version),
                user_agent: shortened(agent.unwrap_or_default()),
                group: None,
                target: None,
                trace: String::new(),
                priority: None,
                action: String::new(),
                redirect: None,
                upgraded: false,
                tls,
            },
            began: Instant::now(),
            answered: None,
        }
    }

    pub fn matched(&mut self, priority: u32, action: &str) {
        self.access.priority = Some(priority);
        self.access.action = action.to_owned();
    }

    pub fn traced(&mut self, trace: Option<&http::HeaderValue>) {
        let trace = trace.and_then(|it| it.to_str().ok());
        self.access.trace = shortened(trace.unwrap_or_default().to_owned());
    }

    pub fn offered_to(&mut self, group: &str, target: std::net::SocketAddrV4) {
        self.access.group = Some(group.to_owned());
        self.access.target = Some(AccessedTarget {
            address: target,
            status: None,
        });
        self.access.request_us = Some(us(self.began.elapsed()));
    }

    /// The target's answer has begun.
    pub fn answered_by_target(&mut self, status: u16, took: Duration) {
        if let Some(target) = &mut self.access.target {
            target.status = Some(status);
        }
        self.access.target_us = Some(us(took));
    }

    /// What the client is going to get.
    pub fn answers<B: hyper::body::Body>(&mut self, response: &Response<B>) {
        self.access.status = response.status().as_u16();
        self.access.upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(location) = response.headers().get(http::header::LOCATION)
            && self.access.action == "redirect"
        {
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            self.access.redirect = Some(shortened(location));
        }
        self.access.sent_bytes += size_of_answer(response) as u64;
        self.answered = Some(Instant::now());
    }

    /// A body of the balancer's own, which is given out at once.
    pub fn sent_own(&mut self, body: &impl hyper::body::Body) {
        let size = body.size_hint().exact().unwrap_or(0);
        if self.access.method != "HEAD" {
            self.access.sent_bytes += size;
        }
    }

    pub fn received(&mut self, bytes: u64) {
        self.access.received_bytes += bytes;
    }

    pub fn sent(&mut self, bytes: usize) {
        self.access.sent_bytes += bytes as u64;
    }
}

impl Drop for Accessing {
    fn drop(&mut self) {
        self.access.ended_us = now_us();
        if self.access.target_us.is_some() {
            self.access.response_us = self.answered.map(|it| us(it.elapsed()));
        }
        self.log.keep(self.access.clone());
    }
}

/// As it goes over the wire, with what the connection adds.
fn size_of_answer<B: hyper::body::Body>(response: &Response<B>) -> usize {
    let headers = response.headers();
    let mut size = "HTTP/1.1 200 ".len() + LINE_END + size_of_headers(headers);
    let said = response.extensions().get::<ReasonPhrase>();
    let said = said.map(|it| it.as_bytes().len());
    let usual = response.status().canonical_reason().map_or(0, str::len);
    size += said.unwrap_or(usual);
    if !headers.contains_key(DATE) {
        size += "date: ".len() + "Sun, 06 Nov 1994 08:49:37 GMT".len() + LINE_END;
    }
    if !headers.contains_key(CONTENT_LENGTH)
        && let Some(length) = response.body().size_hint().exact()
    {
        size += format!("content-length: {length}").len() + LINE_END;
    }
    size
}

fn size_of_headers(headers: &HeaderMap) -> usize {
    let lines = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + LINE_END);
    lines.sum::<usize>() + LINE_END
}

fn shortened(mut text: String) -> String {
    let mut length = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    text.truncate(length);
    text
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AccessEntry {
        AccessEntry {
            began_us: 0,
            ended_us: 0,
            client: "10.0.0.1:77".parse().unwrap(),
            request_us: None,
            target_us: None,
            response_us: None,
            status: 200,
            received_bytes: 0,
            sent_bytes: 0,
            method: String::new(),
            url: String::new(),
            version: String::new(),
            user_agent: String::new(),
            group: None,
            target: None,
            trace: String::new(),
            priority: None,
            action: String::new(),
            redirect: None,
            upgraded: false,
            tls: None,
        }
    }

    #[test]
    fn whatever_a_client_makes_long_takes_room() {
        let long = || "a".repeat(TEXT_BYTES_MAX);
        let method = AccessEntry {
            method: long(),
            ..entry()
        };
        let url = AccessEntry {
            url: long(),
            ..entry()
        };
        let user_agent = AccessEntry {
            user_agent: long(),
            ..entry()
        };
        let trace = AccessEntry {
            trace: long(),
            ..entry()
        };
        let redirect = AccessEntry {
            redirect: Some(long()),
            ..entry()
        };
        for access in [method, url, user_agent, trace, redirect] {
            let log = AccessLog::default();
            for _ in 0..=KEPT_BYTES_MAX / TEXT_BYTES_MAX {
                log.keep(access.clone());
            }
            assert!(log.lock().all.len() < KEPT_BYTES_MAX / TEXT_BYTES_MAX);
            assert!(log.take().len() <= TAKEN_BYTES_MAX / TEXT_BYTES_MAX);
        }
    }
}
