//! What is kept of requests for access logs.

mod support;

use std::time::Duration;

use engine::*;
use support::*;
use tokio::io::AsyncWriteExt;

async fn taken(bench: &Bench, count: usize) -> Vec<AccessEntry> {
    let mut all = Vec::new();
    for _ in 0..400 {
        all.extend(bench.client().take_accesses("lb").await.unwrap());
        if all.len() >= count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {} of {count} requests were kept: {all:?}", all.len());
}

#[tokio::test]
async fn every_request_is_kept_until_it_is_taken() {
    let logs = |lb: &mut Balancer, _: &mut TargetGroup| {
        lb.logs_access = true;
        let moved = Action::Redirect {
            status: 301,
            protocol: Some("HTTPS".into()),
            host: None,
            port: Some("443".into()),
            path: None,
            query: None,
        };
        lb.listeners[0].rules.insert(
            0,
            Rule {
                priority: 7,
                conditions: vec![Condition::Path(vec!["/moved".into()])],
                action: moved,
            },
        );
    };
    let (bench, port, a) = Bench::serving_with(logs).await;
    let post = "POST /echo HTTP/1.1\r\nHost: lb\r\nUser-Agent: me\r\nContent-Length: 8\r\n\r\n";
    let answer = bench.ask(port, &format!("{post}12345678")).await;
    assert_eq!(answer.text(), "12345678");
    let all = taken(&bench, 1).await;
    let [echoed] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(echoed.method, "POST");
    assert_eq!(echoed.url, format!("http://lb:{port}/echo"));
    assert_eq!(echoed.version, "HTTP/1.1");
    assert_eq!(echoed.user_agent, "me");
    assert_eq!(echoed.received_bytes, (post.len() + 8) as u64);
    let sent = answer.head.len() + answer.body.len();
    assert_eq!(echoed.sent_bytes, sent as u64, "{}", answer.head);
    assert_eq!((echoed.status, echoed.priority), (200, Some(0)));
    assert_eq!(echoed.action, "forward");
    assert_eq!(echoed.group.as_deref(), Some("web"));
    let target = echoed.target.as_ref().unwrap();
    assert_eq!((target.address, target.status), (a.address, Some(200)));
    assert!(echoed.trace.starts_with("Root=1-"), "{echoed:?}");
    assert!(echoed.request_us.is_some() && echoed.target_us.is_some());
    assert!(echoed.response_us.is_some() && echoed.ended_us >= echoed.began_us);
    assert_eq!(echoed.client.ip().to_string(), "127.0.0.1");

    // The balancer's own answer, and one that nobody waited for.
    let moved = bench.get(port, "/moved").await;
    let mut gone = bench.connect(port).await;
    let never = b"GET /never HTTP/1.1\r\nHost: lb\r\n\r\n";
    gone.write_all(never).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(gone);
    let all = taken(&bench, 2).await;
    let [own, left] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!((own.status, own.priority), (301, Some(7)));
    assert_eq!(own.action, "redirect");
    assert_eq!(own.redirect, moved.header("location"));
    assert_eq!((&own.target, own.target_us), (&None, None));
    let sent = moved.head.len() + moved.body.len();
    assert_eq!(own.sent_bytes, sent as u64, "{}", moved.head);
    assert_eq!(left.status, 460);
    assert_eq!(left.target.as_ref().unwrap().status, None);
    assert!(bench.client().take_accesses("lb").await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_kept_that_nobody_asked_for() {
    let (bench, port, _a) = Bench::serving().await;
    assert_eq!(bench.get(port, "/x").await.status, 200);
    assert!(bench.client().take_accesses("lb").await.unwrap().is_empty());
}
