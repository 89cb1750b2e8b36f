//! Which balancer and which rule a request meets, who is let in, and what hostile clients get.

mod support;

use engine::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn rule(condition: Condition, action: Action) -> Rule {
    Rule {
        priority: 1,
        conditions: vec![condition],
        action,
    }
}

fn fixed(status: u16, body: &str) -> Action {
    Action::Fixed {
        status,
        content_type: "text/x-test".into(),
        body: body.into(),
    }
}

async fn ask_host(bench: &Bench, port: u16, host: &str) -> Answer {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    bench.ask(port, &request).await
}

#[tokio::test]
async fn rules_are_met_in_order() {
    let bench = Bench::start().await;
    let port = free_port();
    let a = Origin::start("a").await;
    let redirect = Action::Redirect {
        status: 301,
        protocol: None,
        host: Some("new.#{host}".into()),
        port: Some("99".into()),
        path: Some("/moved/#{path}".into()),
        query: None,
    };
    let path = |pattern: &str| Condition::Path(vec![pattern.into()]);
    let mut rules = vec![
        rule(path("/old/*"), redirect),
        rule(path("/a*"), forward(&[("web", 1)])),
        rule(Condition::Method(vec!["PUT".into()]), fixed(201, "put")),
    ];
    rules.extend(always(fixed(418, "teapot")));
    let balancers = vec![balancer("lb", port, rules)];
    bench
        .apply(balancers, vec![group("web", &[&a])])
        .await
        .unwrap();
    let moved = bench.get(port, "/old/x?y=1").await;
    assert_eq!(moved.status, 301);
    assert_eq!(
        moved.header("location").unwrap(),
        "http://new.lb:99/moved/old/x?y=1"
    );
    assert!(bench.get(port, "/abc").await.text().starts_with("a /abc"));
    let fixed = bench.get(port, "/else").await;
    assert_eq!((fixed.status, fixed.text()), (418, "teapot".into()));
    assert_eq!(fixed.header("content-type").unwrap(), "text/x-test");
    let put = bench
        .ask(
            port,
            "PUT / HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    assert_eq!(put.text(), "put");
}

#[tokio::test]
async fn balancers_of_one_port_are_told_apart_by_host() {
    let bench = Bench::start().await;
    let port = free_port();
    let one = balancer("one", port, always(fixed(200, "one")));
    let two = balancer("two", port, always(fixed(200, "two")));
    bench.apply(vec![one.clone()], vec![]).await.unwrap();
    assert_eq!(ask_host(&bench, port, "anything").await.text(), "one");
    bench.apply(vec![one, two], vec![]).await.unwrap();
    assert_eq!(
        ask_host(&bench, port, "TWO.elb.localhost:81").await.text(),
        "two"
    );
    assert_eq!(
        ask_host(&bench, port, "one.elb.localhost").await.text(),
        "one"
    );
    let lost = ask_host(&bench, port, "three").await;
    assert_eq!(lost.status, 503);
    assert!(
        reason(&lost).contains("one.elb.localhost, two.elb.localhost"),
        "{lost:?}"
    );
    bench.apply(vec![], vec![]).await.unwrap();
    // What is acknowledged is so.
    let refused = tokio::net::TcpStream::connect((bench.address, port)).await;
    assert!(refused.is_err(), "the port is still open");
}

/// An application's own domain leads to the balancer that has a rule for it.
#[tokio::test]
async fn a_host_of_a_rule_finds_its_balancer() {
    let bench = Bench::start().await;
    let port = free_port();
    let domain = Condition::Host(vec!["*.example.com".into()]);
    let mut rules = vec![rule(domain, fixed(200, "shop"))];
    rules.extend(always(fixed(418, "teapot")));
    let balancers = vec![
        balancer("one", port, always(fixed(200, "one"))),
        balancer("two", port, rules),
    ];
    bench.apply(balancers, vec![]).await.unwrap();
    let answer = ask_host(&bench, port, "shop.Example.com").await;
    assert_eq!(answer.text(), "shop");
    assert_eq!(
        ask_host(&bench, port, "one.elb.localhost").await.text(),
        "one"
    );
    assert_eq!(ask_host(&bench, port, "example.org").await.status, 503);
}

#[tokio::test]
async fn weights_and_sticky_cookies() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let mut weighted = vec![balancer(
        "lb",
        port,
        always(forward(&[("one", 3), ("two", 1)])),
    )];
    let groups = || vec![group("one", &[&a]), group("two", &[&b])];
    bench.apply(weighted.clone(), groups()).await.unwrap();
    let mut seen = String::new();
    for _ in 0..8 {
        seen.push_str(&bench.get(port, "/").await.text()[..1]);
    }
    assert_eq!(seen.matches('a').count(), 6, "{seen}");

    // Sticky to a group: the second request with the cookie stays where the first one went.
    let Action::Forward { stickiness_ms, .. } = &mut weighted[0].listeners[0].rules[0].action
    else {
        unreachable!()
    };
    *stickiness_ms = Some(60_000);
    bench.apply(weighted, groups()).await.unwrap();
    check_sticky(&bench, port, "AWSALBTG=").await;

    // Sticky to a target of one group.
    let mut both = group("web", &[&a, &b]);
    both.stickiness = Some(Stickiness::ByBalancer { lasts_ms: 60_000 });
    bench.apply(plain_balancer(port), vec![both]).await.unwrap();
    bench.wait_healthy("web").await;
    check_sticky(&bench, port, "AWSALB=").await;
}

async fn check_sticky(bench: &Bench, port: u16, name: &str) {
    for _ in 0..3 {
        let first = bench.get(port, "/").await;
        let cookie = first.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap();
        assert!(cookie.starts_with(name), "{cookie}");
        for _ in 0..4 {
            let request = format!("GET / HTTP/1.1\r\nHost: lb\r\nCookie: x=1; {cookie}\r\n\r\n");
            let next = bench.ask(port, &request).await;
            assert_eq!(next.text()[..1], first.text()[..1]);
        }
    }
}

#[tokio::test]
async fn who_is_not_let_in_gets_no_answer() {
    let bench = Bench::start().await;
    let port = free_port();
    let mut closed = balancer("lb", port, always(fixed(200, "in")));
    let allow = |range: &str, from: u16| {
        vec![GroupRule {
            protocol: Protocol::Tcp { from, to: from },
            peer: Peer::Range(range.parse().unwrap()),
        }]
    };
    for (ingress, expect) in [
        (vec![], false),
        (allow("10.0.0.0/8", port), false),
        (allow("0.0.0.0/0", port + 1), false),
        (allow("127.0.0.0/8", port), true),
        (allow("0.0.0.0/0", port), true),
    ] {
        closed.ingress = ingress.clone();
        bench.apply(vec![closed.clone()], vec![]).await.unwrap();
        let mut stream = bench.connect(port).await;
        let request = b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n";
        let _ = stream.write_all(request).await;
        let answered = read_answer(&mut stream).await.is_some();
        assert_eq!(answered, expect, "{ingress:?}");
    }
    // A connection that was let in is closed when the rule goes.
    let mut stream = bench.connect(port).await;
    let request = b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().text(), "in");
    closed.ingress = vec![];
    bench.apply(vec![closed], vec![]).await.unwrap();
    stream.write_all(request).await.unwrap();
    assert!(read_answer(&mut stream).await.is_none());
}

#[tokio::test]
async fn a_taken_port_is_a_conflict_and_the_rest_serves() {
    let bench = Bench::start().await;
    let (taken, free) = (free_port(), free_port());
    let other = tokio::net::TcpListener::bind((bench.address, taken))
        .await
        .unwrap();
    let balancers = || {
        vec![
            balancer("one", taken, always(fixed(200, "one"))),
            balancer("two", free, always(fixed(200, "two"))),
        ]
    };
    let error = bench.apply(balancers(), vec![]).await.unwrap_err();
    assert_eq!(error.fault, Fault::Conflict);
    assert!(error.message.contains(&taken.to_string()), "{error}");
    assert!(
        error.message.contains(&bench.address.to_string()),
        "{error}"
    );
    assert_eq!(bench.get(free, "/").await.text(), "two");
    drop(other);
    bench.apply(balancers(), vec![]).await.unwrap();
    assert_eq!(bench.get(taken, "/").await.text(), "one");
}

#[tokio::test]
async fn wrong_snapshots_are_refused() {
    let bench = Bench::start().await;
    let port = free_port();
    bench
        .apply(plain_balancer(port), vec![group("web", &[])])
        .await
        .unwrap();
    let unknown = bench.apply(plain_balancer(port), vec![]).await.unwrap_err();
    assert_eq!(unknown.fault, Fault::Invalid);
    assert!(unknown.message.contains("`web`"), "{unknown}");
    let old = Snapshot {
        generation: 0,
        ..Snapshot::default()
    };
    let error = bench.client().apply(old).await.unwrap_err();
    assert_eq!(error.fault, Fault::Conflict);
    assert_eq!(bench.get(port, "/").await.status, 503);
    let nobody = bench.client().health("nobody").await.unwrap_err();
    assert_eq!(nobody.fault, Fault::NotFound);
}

/// A port that is given up is free at once, for this balancer's successor or another program.
#[tokio::test]
async fn ports_come_and_go() {
    let bench = Bench::start().await;
    let port = free_port();
    for turn in 0..30 {
        let name = format!("lb-{turn}");
        let one = balancer(&name, port, always(fixed(200, &name)));
        bench.apply(vec![one], vec![]).await.unwrap();
        assert_eq!(bench.get(port, "/").await.text(), name);
        bench.apply(vec![], vec![]).await.unwrap();
        let other = tokio::net::TcpListener::bind((bench.address, port)).await;
        drop(other.unwrap());
    }
}

/// What a client sends, and the status that the first answer has.
#[tokio::test]
async fn hostile_requests_are_refused() {
    let (bench, port, _a) = Bench::serving().await;
    let long = "x".repeat(200 * 1024);
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let head = "HTTP/1.1\r\nHost: lb\r\n";
    for (request, expect) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET / {head}Host: other\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        (
            format!("GET / {head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            400,
        ),
        (format!("GET / {head}Content-Length: -1\r\n\r\n"), 400),
        (format!("GET / {head}Content-Length: +1\r\n\r\nx"), 400),
        (
            format!("POST / {head}Transfer-Encoding: chunked, gzip\r\n\r\n"),
            400,
        ),
        (
            format!("POST / {head}Transfer-Encoding: xchunked\r\n\r\n"),
            400,
        ),
        (
            "POST / HTTP/1.0\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        (
            format!("POST /echo {head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            400,
        ),
        (format!("GET / {head}x : 1\r\n\r\n"), 400),
        (format!("GET / {head} folded: 1\r\n\r\n"), 400),
        (format!("GET / {head}x: {long}\r\n\r\n"), 400),
        (format!("GET / {head}{many}\r\n"), 200),
        (format!("CONNECT lb:80 {head}\r\n"), 405),
        (format!("TRACE / {head}\r\n"), 405),
    ] {
        let mut stream = bench.connect(port).await;
        // A client that is refused in the middle of its head may find the connection closed.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = read_answer(&mut stream).await;
        let shown: String = request.chars().take(120).collect();
        let answer = answer.unwrap_or_else(|| panic!("no answer to {shown:?}"));
        assert_eq!(answer.status, expect, "{shown:?}: {}", answer.text());
    }
    assert_eq!(bench.get(port, "/").await.status, 200);
}

/// Both lengths at once: the body is what its chunks say, and what follows it is a request of its
/// own on both sides, never a part hidden from the balancer.
#[tokio::test]
async fn a_request_cannot_hide_in_another() {
    let (bench, port, _a) = Bench::serving().await;
    let request = "POST /echo HTTP/1.1\r\nHost: lb\r\nContent-Length: 4\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = bench.ask(port, request).await;
    assert!(answer.status == 400 || answer.text() == "abc", "{answer:?}");
}

#[tokio::test]
async fn old_clients_and_absolute_addresses() {
    let (bench, port, _a) = Bench::serving().await;
    let mut old = bench.connect(port).await;
    old.write_all(b"GET /x HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("a /x\nGET /x HTTP/1.1"), "{answer}");
    assert!(
        answer.contains(&format!("Host: lb.elb.localhost:{port}\r\n")),
        "{answer}"
    );
    let absolute = "GET http://other:8/x?y HTTP/1.1\r\nHost: lb\r\n\r\n";
    let text = bench.ask(port, absolute).await.text();
    assert!(
        text.contains("GET /x?y HTTP/1.1") && text.contains("Host: other:8"),
        "{text}"
    );
    let mut head = bench.connect(port).await;
    let request = "HEAD /x HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n";
    head.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    head.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}
