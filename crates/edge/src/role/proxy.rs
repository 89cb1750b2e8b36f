//! One request: to whom it goes, and what comes back.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::response;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::access::Accessing;
use super::answer::{by_rule, plain};
use super::body::{RequestBody, ResponseBody, TargetBody};
use super::exchange::{Exchange, Failure, Outgoing};
use super::group::{AnsweredBy, Group, InFlight, Target, fingerprint};
use super::headers::{
    Arrival, TRACE_ID, drop_invalid, host_of, only_web_sockets, prepare_request, remove_hop_by_hop,
};
use super::namespace::Origin;
use super::plan::{CompiledAction, Forward, Frontend};
use super::worker::Client;
use super::{router, sticky, tunnel};

/// Targets that one request may be offered to while nothing of it was sent.
const ATTEMPTS_MAX: usize = 8;

/// The client gets no answer; its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is not let in")]
pub struct Refused;

pub async fn serve(
    request: Request<Incoming>,
    client: Rc<Client>,
) -> Result<Response<ResponseBody>, Refused> {
    let under_way = client.activity.begin();
    let waiting = client.activity.wait_for_target();
    let mut answered = answer(request, &client).await;
    drop(waiting);
    if let Ok(response) = &mut answered
        && let ResponseBody::Target(body) = response.body_mut()
    {
        body.under_way = Some(under_way);
    }
    answered
}

async fn answer(
    mut request: Request<Incoming>,
    client: &Rc<Client>,
) -> Result<Response<ResponseBody>, Refused> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let serves = client.slot.serves.load_full();
    let host = match host_of(&head) {
        Ok(host) => host,
        Err(reason) => return admitted(&serves, client, plain(StatusCode::BAD_REQUEST, reason)),
    };
    let host_text = host.as_ref().and_then(|host| host.to_str().ok());
    let host_name = router::without_port(host_text.unwrap_or("")).to_owned();
    let Some(frontend) = router::frontend(&serves, &host_name, client.tls.get()) else {
        return admitted(&serves, client, nobody_here(&serves, &host_name));
    };
    if !frontend.admits.lets_in(client.address.ip()) {
        return Err(Refused);
    }
    let mut accessing = frontend
        .access_log
        .clone()
        .map(|log| Accessing::begin(log, &head, &host_name, client));
    let arrived = Arrived {
        head,
        body,
        upgraded,
        host,
        host_name,
    };
    let mut answered = arrived.answer(client, frontend, &mut accessing).await;
    for header in &frontend.headers {
        header.apply(answered.headers_mut());
    }
    if let Some(mut accessing) = accessing {
        accessing.answers(&answered);
        match answered.body_mut() {
            ResponseBody::Target(body) => body.accessing = Some(Box::new(accessing)),
            ResponseBody::Own(body) => accessing.sent_own(body),
        }
    }
    let keep_alive = Duration::from_millis(frontend.http.client_keep_alive_ms);
    let is_old = client.since.elapsed() >= keep_alive;
    Ok(
        match is_old && answered.status() != StatusCode::SWITCHING_PROTOCOLS {
            true => closing(answered),
            false => answered,
        },
    )
}

/// A request whose balancer is known.
struct Arrived {
    head: Parts,
    body: Incoming,
    upgraded: OnUpgrade,
    /// What it names.
    host: Option<HeaderValue>,
    /// The same without its port; empty when it names none.
    host_name: String,
}

impl Arrived {
    async fn answer(
        self,
        client: &Rc<Client>,
        frontend: &Frontend,
        accessing: &mut Option<Accessing>,
    ) -> Response<ResponseBody> {
        let Self {
            mut head,
            body,
            upgraded,
            host,
            host_name,
        } = self;
        if frontend.http.drops_invalid_headers {
            drop_invalid(&mut head.headers);
        }
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            let reason = "a load balancer takes no such method";
            return plain(StatusCode::METHOD_NOT_ALLOWED, reason);
        }
        let Some(rule) = router::rule(&frontend.rules, &head, &host_name, client.address.ip())
        else {
            let reason = "no rule of the listener matches";
            return plain(StatusCode::SERVICE_UNAVAILABLE, reason);
        };
        if let Some(accessing) = accessing {
            accessing.matched(rule.priority, rule.action.name());
        }
        let forward = match &rule.action {
            CompiledAction::Answer(action) => {
                return by_rule(action, &head, &host_name, client.came_by());
            }
            CompiledAction::Forward(forward) => forward,
        };
        let upgrade = remove_hop_by_hop(&mut head.headers);
        let upgrade = upgrade.and_then(|it| only_web_sockets(&it));
        let host = host.or_else(|| HeaderValue::from_str(&frontend.host).ok());
        let arrival = Arrival {
            host: host.unwrap_or_else(|| HeaderValue::from_static("")),
            client: client.address,
            port: client.slot.port,
            tls: client.tls.get(),
            settings: &frontend.http,
        };
        prepare_request(&mut head, arrival, || client.worker.random());
        let outgoing = Outgoing {
            head,
            body: RequestBody::new(body),
            upgrade: upgrade.map(|protocol| (protocol, upgraded)),
        };
        if let Some(accessing) = accessing {
            accessing.traced(outgoing.head.headers.get(TRACE_ID));
        }
        forward_to_group(outgoing, client, frontend, forward, accessing).await
    }
}

/// A client that no balancer of the port lets in is not even told that its request is wrong.
fn admitted(
    serves: &[Arc<Frontend>],
    client: &Client,
    response: Response<ResponseBody>,
) -> Result<Response<ResponseBody>, Refused> {
    let client = client.address.ip();
    let someone = serves
        .iter()
        .any(|frontend| frontend.admits.lets_in(client));
    if someone { Ok(response) } else { Err(Refused) }
}

fn nobody_here(serves: &[Arc<Frontend>], host: &str) -> Response<ResponseBody> {
    let hosts: Vec<&str> = serves.iter().map(|found| found.host.as_str()).collect();
    let reason = format!(
        "no load balancer is named `{host}` here; there are: {}",
        hosts.join(", ")
    );
    plain(StatusCode::SERVICE_UNAVAILABLE, &reason)
}

async fn forward_to_group(
    outgoing: Outgoing,
    client: &Rc<Client>,
    frontend: &Frontend,
    forward: &Forward,
    accessing: &mut Option<Accessing>,
) -> Response<ResponseBody> {
    if let Origin::Missing(interface) = &frontend.origin {
        let reason = format!("the load balancer's interface `{interface}` is not attached");
        return plain(StatusCode::SERVICE_UNAVAILABLE, &reason);
    }
    let Some(group) = choose_group(forward, &outgoing.head) else {
        let reason = "the rule forwards to no target group";
        return plain(StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let traffic = &group.traffic[client.worker.index];
    traffic.requests.fetch_add(1, Ordering::Relaxed);
    let mut count = CountOnce {
        group,
        worker: client.worker.index,
        status: CLIENT_WENT_AWAY,
        by: AnsweredBy::Balancer,
    };
    let stickiness = group.settings.load().stickiness.clone();
    let stickiness = stickiness.as_ref();
    let wanted = stickiness.and_then(|it| sticky::target_of(&outgoing.head.headers, it));
    let received = outgoing.body.sent();
    let place = Place { frontend, group };
    let (mut response, target) = offer_around(outgoing, client, place, wanted, accessing).await;
    if let (Some(accessing), Some(received)) = (accessing, received) {
        accessing.received(received.bytes.get());
    }
    count.status = response.status().as_u16();
    if matches!(response.body(), ResponseBody::Target(_)) {
        count.by = AnsweredBy::Target;
    }
    if let Some(stickiness) = stickiness {
        let token = target.map(|it| it.token);
        sticky::keep_at(response.headers_mut(), stickiness, token, wanted.is_some());
    }
    if forward.stickiness_ms.is_some() {
        let token = fingerprint(group.id.as_bytes());
        sticky::write(response.headers_mut(), sticky::GROUP_COOKIE, token);
    }
    response
}

/// The number that counts are kept under when the client closed before the answer.
pub const CLIENT_WENT_AWAY: u16 = 460;

/// Counts the request's outcome, even when the client goes away and the future is dropped.
struct CountOnce<'a> {
    group: &'a Group,
    worker: usize,
    status: u16,
    by: AnsweredBy,
}

impl Drop for CountOnce<'_> {
    fn drop(&mut self) {
        self.group.traffic[self.worker].count_status(self.status, self.by);
    }
}

/// The group that the client's cookie holds, or one by weight. Turns are spread evenly rather than
/// drawn, so that the first ten requests already show the weights.
fn choose_group<'a>(forward: &'a Forward, head: &Parts) -> Option<&'a Arc<Group>> {
    if let [(only, weight)] = &forward.groups[..] {
        return (*weight > 0).then_some(only);
    }
    let alive = || forward.groups.iter().filter(|(_, weight)| *weight > 0);
    if let Some(lasts_ms) = forward.stickiness_ms
        && let Some(token) = sticky::read(&head.headers, sticky::GROUP_COOKIE, lasts_ms)
        && let Some((group, _)) =
            alive().find(|(group, _)| fingerprint(group.id.as_bytes()) == token)
    {
        return Some(group);
    }
    let total: u64 = alive().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 {
        return None;
    }
    let turn = forward.turn.fetch_add(1, Ordering::Relaxed) as u64;
    let mut left = turn.wrapping_mul(even_step(total)) % total;
    for (group, weight) in alive() {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return Some(group),
        }
    }
    None
}

/// A step without a common divisor with the total visits every number once per round; one near the
/// golden section visits them well mixed.
fn even_step(total: u64) -> u64 {
    fn divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    (total * 5 / 8..=total)
        .chain([1])
        .find(|step| *step > 0 && divisor(*step, total) == 1)
        .unwrap_or(1)
}

/// A group as a balancer forwards to it.
struct Place<'a> {
    frontend: &'a Frontend,
    group: &'a Arc<Group>,
}

/// Offers the request to one target after the other until one takes it. A request of which
/// something may have been sent is not offered again.
async fn offer_around(
    mut outgoing: Outgoing,
    client: &Rc<Client>,
    place: Place<'_>,
    wanted: Option<u64>,
    accessing: &mut Option<Accessing>,
) -> (Response<ResponseBody>, Option<Arc<Target>>) {
    let Place { frontend, group } = place;
    let mut tried: Vec<u64> = Vec::new();
    let mut timed_out = false;
    let mut next = wanted.and_then(|token| group.by_token(token));
    while tried.len() < ATTEMPTS_MAX {
        let Some(target) = next
            .take()
            .or_else(|| group.pick(&tried, || client.worker.random()))
        else {
            break;
        };
        tried.push(target.id);
        let Some(in_flight) = InFlight::begin(group, &target) else {
            continue;
        };
        let traffic = &group.traffic[client.worker.index];
        if let Some(accessing) = accessing {
            accessing.offered_to(&group.id, target.address);
        }
        let started = Instant::now();
        let exchange = Exchange {
            client,
            target: &target,
            origin: &frontend.origin,
            idle_timeout: frontend.idle_timeout,
            has_others: tried.len() < ATTEMPTS_MAX && group.has_others(&tried),
        };
        let failure = match exchange.run(outgoing).await {
            Ok(answered) => {
                let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                traffic.count_response_time(took);
                if let Some(accessing) = accessing {
                    let status = answered.response.status().as_u16();
                    accessing.answered_by_target(status, started.elapsed());
                }
                return (pass_on(answered, in_flight), Some(target));
            }
            Err(failure) => failure,
        };
        if !matches!(failure, Failure::Client | Failure::ClientTimedOut) {
            traffic.connection_errors.fetch_add(1, Ordering::Relaxed);
        }
        match failure {
            Failure::NotSent { request, error } => {
                timed_out = error.kind() == std::io::ErrorKind::TimedOut;
                outgoing = *request;
            }
            failure => return (failed(&failure), Some(target)),
        }
    }
    let response = match (tried.is_empty(), timed_out) {
        (true, _) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the target group has no targets",
        ),
        (false, true) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "no target took a connection in time",
        ),
        (false, false) => plain(StatusCode::BAD_GATEWAY, "no target could be reached"),
    };
    (response, None)
}

/// What is left of the request is not waited for.
fn closing(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let close = HeaderValue::from_static("close");
    response
        .headers_mut()
        .insert(http::header::CONNECTION, close);
    response
}

fn failed(failure: &Failure) -> Response<ResponseBody> {
    match failure {
        Failure::Client => plain(StatusCode::BAD_REQUEST, "the request's body is malformed"),
        Failure::ClientTimedOut => closing(plain(
            StatusCode::REQUEST_TIMEOUT,
            "the client did not send the whole request in time",
        )),
        Failure::TimedOut => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "the target did not answer in time",
        ),
        Failure::Broken | Failure::NotSent { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "the target closed the connection or answered with something that is not HTTP",
        ),
    }
}

/// A target's answer on its way to the client.
fn pass_on(answered: super::exchange::Answered, in_flight: InFlight) -> Response<ResponseBody> {
    let (mut head, incoming): (response::Parts, Incoming) = answered.response.into_parts();
    let upgrade = remove_hop_by_hop(&mut head.headers);
    head.version = http::Version::HTTP_11;
    let mut in_flight = Some(in_flight);
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(tunnel), Some(protocol)) = (answered.tunnel, upgrade) else {
            return plain(
                StatusCode::BAD_GATEWAY,
                "the target changes the protocol unasked",
            );
        };
        tunnel::announce(&mut head.headers, protocol);
        tunnel.start(in_flight.take());
    }
    let body = TargetBody {
        incoming,
        lease: answered.lease,
        in_flight,
        under_way: None,
        accessing: None,
    };
    Response::from_parts(head, ResponseBody::Target(body))
}
