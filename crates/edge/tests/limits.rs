//! An Application Load Balancer's limits on heads, its own answers, and the names of headers.

mod support;

use std::time::Duration;

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

const KIB: usize = 1024;

async fn serving(idle_timeout_ms: u64) -> (Bench, u16, Origin) {
    Bench::serving_with(|lb, _| lb.idle_timeout_ms = idle_timeout_ms).await
}

fn get(headers: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: lb\r\n{headers}\r\n")
}

fn header_of(bytes: usize) -> String {
    format!("x-long: {}\r\n", "y".repeat(bytes - "x-long: ".len()))
}

#[tokio::test]
async fn heads_have_a_balancers_limits() {
    let (bench, port, _a) = serving(5_000).await;
    let many: String = (0..900).map(|n| format!("x-{n}: 1\r\n")).collect();
    let path = "p".repeat(16 * KIB);
    for (request, expect) in [
        (get(&many), 200),
        (get(&header_of(16 * KIB)), 200),
        (get(&header_of(16 * KIB + 1)), 400),
        (get(&header_of(15 * KIB).repeat(4)), 200),
        (get(&header_of(16 * KIB).repeat(4)), 400),
        (get(&header_of(70_000)), 400),
        // Large enough that the client still sends when it is refused.
        (get(&header_of(500 * KIB)), 400),
        (format!("GET /{path} HTTP/1.1\r\nHost: lb\r\n\r\n"), 400),
    ] {
        // On a connection that has served already, too.
        let mut stream = bench.connect(port).await;
        for again in 0..2 {
            let _ = stream.write_all(request.as_bytes()).await;
            let answer = read_answer(&mut stream).await.unwrap();
            let shown: String = request.chars().take(40).collect();
            assert_eq!(answer.status, expect, "{shown:?} {}", request.len());
            if expect == 400 {
                assert_eq!(answer.header("server").unwrap(), "awselb/2.0");
                assert_eq!(answer.header("connection").unwrap(), "close");
                assert!(
                    answer
                        .text()
                        .contains("<center><h1>400 Bad Request</h1></center>")
                );
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                assert!(rest.is_empty());
                if again == 0 {
                    stream = bench.connect(port).await;
                    stream.write_all(get("").as_bytes()).await.unwrap();
                    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_targets_head_has_32_kib() {
    let (bench, port, _a) = serving(5_000).await;
    assert_eq!(bench.get(port, "/head?30000").await.status, 200);
    let answer = bench.get(port, "/head?33000").await;
    assert_eq!(answer.status, 502);
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
        <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
    assert_eq!(answer.text(), page);
    assert_eq!(answer.header("content-type").unwrap(), "text/html");
    assert_eq!(answer.header("server").unwrap(), "awselb/2.0");
    assert!(
        reason(&answer).contains("closed the connection"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn names_keep_their_case() {
    let (bench, port, _a) = serving(5_000).await;
    let answer = bench.ask(port, &get("X-MiXeD: 1\r\naccept: b\r\n")).await;
    let text = answer.text();
    assert!(text.contains("\r\nX-MiXeD: 1\r\n"), "{text}");
    assert!(text.contains("\r\naccept: b\r\n"), "{text}");
    assert!(
        text.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"),
        "{text}"
    );
    assert!(answer.head.contains("\r\nX-CaSe: 1\r\n"), "{}", answer.head);
}

/// A client that stops in the middle of a request hears of it; one that is only silent does not.
#[tokio::test]
async fn who_stops_midway_times_out() {
    let (bench, port, _a) = serving(400).await;
    for part in [
        "GET /x HTTP/1.1\r\nHo",
        "POST /echo HTTP/1.1\r\nHost: lb\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let mut stream = bench.connect(port).await;
        stream.write_all(part.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await.unwrap();
        assert_eq!(answer.status, 408, "{part:?}");
        assert!(answer.text().contains("<h1>408 Request Time-out</h1>"));
        assert_eq!(answer.header("connection").unwrap(), "close");
    }
    let mut silent = bench.connect(port).await;
    silent.write_all(get("").as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut silent).await.unwrap().status, 200);
    sleep(Duration::from_millis(600)).await;
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
