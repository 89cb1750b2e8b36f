//! A balancer's and a target group's attributes, as requests and targets meet them.

mod support;

use std::time::Duration;

use engine::*;
use support::*;
use tokio::io::AsyncWriteExt;

/// The headers that a target got, as it wrote them down.
async fn headers_at_target(bench: &Bench, port: u16, headers: &str) -> String {
    let request = format!("GET /x HTTP/1.1\r\n{headers}\r\n");
    let answer = bench.ask(port, &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

#[tokio::test]
async fn hosts_are_kept_or_name_the_port() {
    let (bench, port, _a) = Bench::serving().await;
    let text = headers_at_target(&bench, port, "Host: shop\r\n").await;
    assert!(
        text.contains(&format!("\r\nHost: shop:{port}\r\n")),
        "{text}"
    );
    let (bench, port, _a) = Bench::serving_with(|lb, _| lb.http.preserves_host = true).await;
    let text = headers_at_target(&bench, port, "Host: shop\r\n").await;
    assert!(text.contains("\r\nHost: shop\r\n"), "{text}");
}

#[tokio::test]
async fn invalid_header_fields_are_routed_or_dropped() {
    let headers = "Host: lb\r\nX_Under: 1\r\nX-Fine: 1\r\n";
    let (bench, port, _a) = Bench::serving().await;
    let text = headers_at_target(&bench, port, headers).await;
    assert!(text.contains("\r\nX_Under: 1\r\n"), "{text}");
    let drops = |lb: &mut Balancer, _: &mut TargetGroup| lb.http.drops_invalid_headers = true;
    let (bench, port, _a) = Bench::serving_with(drops).await;
    let text = headers_at_target(&bench, port, headers).await;
    assert!(!text.contains("X_Under"), "{text}");
    assert!(text.contains("\r\nX-Fine: 1\r\n"), "{text}");
}

#[tokio::test]
async fn forwarded_for_is_appended_kept_or_removed() {
    let headers = "Host: lb\r\nX-Forwarded-For: 1.2.3.4\r\n";
    let seen = async |mode: ForwardedFor, with_port: bool| {
        let change = |lb: &mut Balancer, _: &mut TargetGroup| {
            lb.http.forwarded_for = mode;
            lb.http.forwards_client_port = with_port;
        };
        let (bench, port, _a) = Bench::serving_with(change).await;
        let text = headers_at_target(&bench, port, headers).await;
        assert!(text.contains("\r\nX-Forwarded-Port: "), "{text}");
        header(&text, "x-forwarded-for")
    };
    let appended = seen(ForwardedFor::Append, false).await;
    assert_eq!(appended.unwrap(), "1.2.3.4, 127.0.0.1");
    let with_port = seen(ForwardedFor::Append, true).await.unwrap();
    let (_, port) = with_port.split_once("1.2.3.4, 127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().is_ok(), "{with_port}");
    let kept = seen(ForwardedFor::Preserve, true).await;
    assert_eq!(kept.unwrap(), "1.2.3.4");
    assert_eq!(seen(ForwardedFor::Remove, false).await, None);
}

#[tokio::test]
async fn headers_of_answers_are_set_and_taken_away() {
    let change = |name: &str, value: Option<&str>| HeaderChange {
        name: name.into(),
        value: value.map(str::to_owned),
    };
    let changes = |lb: &mut Balancer, _: &mut TargetGroup| {
        lb.listeners[0].headers = vec![
            change("Server", None),
            change("X-Frame-Options", Some("DENY")),
            change("Content-Length-Hint", Some("none")),
        ];
    };
    for (expected, (bench, port, _a)) in [
        (None, Bench::serving().await),
        (Some("DENY"), Bench::serving_with(changes).await),
    ] {
        let answer = bench.ask(port, "GET /x HTTP/1.1\r\nHost: lb\r\n\r\n").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-frame-options").as_deref(), expected);
        // What the balancer answers itself is an answer, too.
        let own = bench
            .ask(port, "TRACE /x HTTP/1.1\r\nHost: lb\r\n\r\n")
            .await;
        assert_eq!(own.status, 405, "{own:?}");
        assert_eq!(own.header("x-frame-options").as_deref(), expected);
        assert_eq!(own.header("server").is_none(), expected.is_some());
    }
}

/// One more request than the time is for, and then no more.
#[tokio::test]
async fn an_old_connection_is_closed_with_its_next_answer() {
    let keeps = |lb: &mut Balancer, _: &mut TargetGroup| lb.http.client_keep_alive_ms = 200;
    let (bench, port, _a) = Bench::serving_with(keeps).await;
    let mut stream = bench.connect(port).await;
    let ask = b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert_eq!(answer.header("connection"), None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.write_all(ask).await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection").unwrap(), "close");
    let _ = stream.write_all(ask).await;
    assert!(read_answer(&mut stream).await.is_none());
}

/// What would carry requests past the balancer is asked for in vain.
#[tokio::test]
async fn only_web_sockets_change_the_protocol() {
    let (bench, port, _a) = Bench::serving().await;
    let headers = "Host: lb\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    let text = headers_at_target(&bench, port, headers).await;
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(header(&text, name), None, "{text}");
    }
    // Even of a target that would agree to anything.
    let ask = "GET /ws HTTP/1.1\r\nHost: lb\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = bench.ask(port, ask).await;
    assert_eq!(answer.status, 502);
    assert!(reason(&answer).contains("unasked"), "{answer:?}");
}

#[tokio::test]
async fn the_target_with_the_fewest_requests_is_next() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let mut web = group("web", &[&a, &b]);
    web.algorithm = Algorithm::LeastOutstanding;
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    // One of them is kept busy by two, and so the other one gets all the rest.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = bench.connect(port).await;
        let ask = b"GET /never HTTP/1.1\r\nHost: lb\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        busy.push(stream);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    busy.pop();
    let mut seen = String::new();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..6 {
        seen.push_str(&bench.get(port, "/").await.text()[..1]);
    }
    assert!(matches!(seen.as_str(), "aaaaaa" | "bbbbbb"), "{seen}");
}

#[tokio::test]
async fn random_is_neither_in_turn_nor_unfair() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let mut web = group("web", &[&a, &b]);
    web.algorithm = Algorithm::Random;
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    let mut seen = String::new();
    for _ in 0..200 {
        seen.push_str(&bench.get(port, "/").await.text()[..1]);
    }
    // Fewer than 60 of 200, or never twice in a row, is less likely than one in a million.
    assert!((60..=140).contains(&seen.matches('a').count()), "{seen}");
    assert!(seen.contains("aa") && seen.contains("bb"), "{seen}");
}

/// Who joins others gets less at first; the first ones get all there is.
#[tokio::test]
async fn a_target_that_joins_is_warmed_up() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let slow = |targets: &[&Origin]| {
        let mut web = group("web", targets);
        web.slow_start_ms = 60_000;
        vec![web]
    };
    let share_of_b = async || {
        let mut seen = String::new();
        for _ in 0..40 {
            seen.push_str(&bench.get(port, "/").await.text()[..1]);
        }
        seen.matches('b').count()
    };
    bench
        .apply(plain_balancer(port), slow(&[&a, &b]))
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    assert_eq!(share_of_b().await, 20);
    bench
        .apply(plain_balancer(port), slow(&[&a]))
        .await
        .unwrap();
    bench
        .apply(plain_balancer(port), slow(&[&a, &b]))
        .await
        .unwrap();
    bench.wait_healthy("web").await;
    let share = share_of_b().await;
    assert!(share < 10, "{share}");
}

#[tokio::test]
async fn an_applications_session_stays_at_its_target() {
    let bench = Bench::start().await;
    let port = free_port();
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let mut web = group("web", &[&a, &b]);
    web.stickiness = Some(Stickiness::ByApplication {
        cookie: "session".into(),
        lasts_ms: 60_000,
    });
    bench.apply(plain_balancer(port), vec![web]).await.unwrap();
    bench.wait_healthy("web").await;
    let none = bench.get(port, "/").await;
    assert!(none.head.contains("AWSALBAPP-0=_remove_;"), "{}", none.head);
    for _ in 0..2 {
        let login = bench.get(port, "/login").await;
        let cookie = login.head.split("AWSALBAPP-0=").nth(1).unwrap();
        let cookie = cookie.split(';').next().unwrap();
        for (cookies, sticks) in [
            (format!("session=1; AWSALBAPP-0={cookie}"), true),
            (format!("AWSALBAPP-0={cookie}"), false),
            ("session=1".to_owned(), false),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: lb\r\nCookie: {cookies}\r\n\r\n");
            let mut same = 0;
            for _ in 0..4 {
                let next = bench.ask(port, &request).await;
                same += usize::from(next.text()[..1] == login.text()[..1]);
            }
            assert_eq!(same == 4, sticks, "{cookies}: {same}");
        }
    }
}
