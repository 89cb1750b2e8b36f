//! Who is let in, asked of the whole console over a cloud of some services.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cloud::{ClientOrigin, Origin};
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{Method, Request, StatusCode};
use shapes::ecs::CreateClusterInput;
use testkit::World;

use super::*;

const HOST: &str = "127.0.0.1:4566";

/// A program that has nothing to lend.
struct Nothing;

impl Lent for Nothing {
    fn machine(&self) -> MachineFacts {
        MachineFacts::default()
    }
    fn fetch<'a>(&'a self, _: &'a str) -> Fetching<'a> {
        Box::pin(async { Err("nobody answers".to_owned()) })
    }
    fn least_policy(&self, _: &str) -> Option<String> {
        None
    }
}

struct Scene {
    world: World,
    console: Console,
}

/// A request of a browser.
struct Asking<'a> {
    method: Method,
    target: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    from: &'a str,
}

impl<'a> Asking<'a> {
    fn get(target: &'a str) -> Self {
        Self {
            method: Method::GET,
            target,
            headers: vec![("host", HOST)],
            from: "127.0.0.1",
        }
    }

    fn post(target: &'a str) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(target)
        }
    }

    fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.retain(|it| it.0 != name);
        self.headers.push((name, value));
        self
    }

    fn from(self, from: &'a str) -> Self {
        Self { from, ..self }
    }
}

impl Scene {
    async fn new() -> Self {
        let world = testkit::world([
            application_autoscaling::service(),
            ecs::service(),
            ec2::service(),
            elbv2::service(),
            cloudformation::service(),
            cloudwatch_logs::service(),
            cloudwatch::service(),
            codebuild::service(),
            codepipeline::service(),
            ecr::service(),
        ])
        .run();
        let console = Console::new(world.cloud.clone(), Nothing);
        Self { world, console }
    }

    async fn ask(&self, asking: Asking<'_>) -> (StatusCode, http::HeaderMap, String) {
        let mut request = Request::builder().method(asking.method).uri(asking.target);
        for (name, value) in asking.headers {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let address: IpAddr = asking.from.parse().unwrap();
        let origin = Arc::new(Origin::Client(ClientOrigin {
            address: Some(address),
            ..testkit::from_outside()
        }));
        let reply = match self.console.admit(&head, &origin) {
            Ok(admitted) => {
                self.console
                    .serve(admitted, &head, b"count=1", origin)
                    .await
            }
            Err(reply) => *reply,
        };
        let text = match reply.content {
            Content::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap_or_default(),
            Content::Stream(mut parts) => {
                let first = parts.recv().await.unwrap_or_else(Bytes::new);
                String::from_utf8(first.to_vec()).unwrap()
            }
        };
        (reply.status, reply.headers, text)
    }

    /// The cookie of a browser that was let in.
    async fn enter(&self, can_write: bool) -> String {
        let link = self
            .console
            .invite(testkit::owner(), testkit::REGION, can_write);
        let (status, headers, _) = self.ask(Asking::get(&link)).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert_eq!(headers[LOCATION], PATH);
        let cookie = headers[SET_COOKIE].to_str().unwrap().to_owned();
        for part in [
            "; HttpOnly",
            "; SameSite=Strict",
            "; Path=/_neargate/console/",
        ] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn who_holds_the_cookie_looks_and_nobody_else() {
    let scene = Scene::new().await;
    let cookie = scene.enter(false).await;
    let home = || Asking::get(PATH).with(COOKIE.as_str(), &cookie);
    let (status, headers, text) = scene.ask(home()).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.contains("Nothing runs yet"), "{text}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert!(
        headers
            .keys()
            .all(|it| !it.as_str().starts_with("access-control"))
    );
    // The browser's own requests, by the names that this machine has.
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("origin", "http://127.0.0.1:4566"),
        ("host", "127.0.0.9:4566"),
    ] {
        assert_eq!(
            scene.ask(home().with(name, value)).await.0,
            StatusCode::OK,
            "{value}"
        );
    }
    let refused = [
        ("no cookie", Asking::get(PATH)),
        (
            "another cookie",
            Asking::get(PATH).with("cookie", "neargate-console-4566=0"),
        ),
        ("a foreign name", home().with("host", "evil.example:4566")),
        (
            "a foreign name that begins well",
            home().with("host", "127.0.0.1.evil.example:4566"),
        ),
        ("another page", home().with("origin", "http://evil.example")),
        (
            "another page of this machine",
            home().with("origin", "http://127.0.0.1:3000"),
        ),
        ("a page without an origin", home().with("origin", "null")),
        (
            "a link of another page",
            home().with("sec-fetch-site", "cross-site"),
        ),
        (
            "another port's page",
            home().with("sec-fetch-site", "same-site"),
        ),
        ("another machine", home().from("192.0.2.7")),
        (
            "a stream without a cookie",
            Asking::get("/_neargate/console/?format=stream"),
        ),
        (
            "a file without a cookie",
            Asking::get("/_neargate/console/files/0/htmx.js"),
        ),
        ("an unknown link", Asking::get("/_neargate/console/in/0")),
        (
            "a command",
            Asking {
                method: Method::DELETE,
                ..home()
            },
        ),
    ];
    for (what, asking) in refused {
        let (status, headers, text) = scene.ask(asking).await;
        assert!(
            [401, 403].contains(&status.as_u16()),
            "{what}: {status} {text}"
        );
        assert!(
            !text.contains("<html") && !headers.contains_key(SET_COOKIE),
            "{what}: {text}"
        );
    }
}

#[tokio::test]
async fn a_link_works_once() {
    let scene = Scene::new().await;
    let link = scene
        .console
        .invite(testkit::owner(), testkit::REGION, false);
    // A page that is not the console's cannot use it up.
    let foreign = Asking::get(&link).with("host", "evil.example");
    assert_eq!(scene.ask(foreign).await.0, StatusCode::FORBIDDEN);
    assert_eq!(scene.ask(Asking::get(&link)).await.0, StatusCode::SEE_OTHER);
    let (status, headers, text) = scene.ask(Asking::get(&link)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(
        text.contains("has been used") && !headers.contains_key(SET_COOKIE),
        "{text}"
    );
    // Another run of the daemon knows neither.
    let cookie = scene.enter(true).await;
    let other = Scene::new().await;
    let home = Asking::get(PATH).with("cookie", &cookie);
    assert_eq!(other.ask(home).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nothing_changes_without_the_right_and_the_header() {
    let scene = Scene::new().await;
    let create = CreateClusterInput {
        cluster_name: Some("main".into()),
        ..Default::default()
    };
    scene.world.call(create).await;
    let (looking, writing) = (scene.enter(false).await, scene.enter(true).await);
    let act = "/_neargate/console/services/main/web/force";
    let post = |cookie| Asking::post(act).with("cookie", cookie);
    let refused = [
        post(&looking).with("x-neargate-console", "act"),
        post(&writing),
        post(&writing)
            .with("x-neargate-console", "act")
            .with("origin", "http://evil.example"),
        Asking::post(act).with("x-neargate-console", "act"),
    ];
    for asking in refused {
        let (status, _, text) = scene.ask(asking).await;
        assert!([401, 403].contains(&status.as_u16()), "{status} {text}");
    }
    // It comes as far as the operation, which says that there is no such service.
    let acting = post(&writing).with("x-neargate-console", "act");
    let (status, _, text) = scene.ask(acting).await;
    assert!(
        status == StatusCode::BAD_REQUEST && text.contains("ServiceNotFound"),
        "{status} {text}"
    );
    let unknown = Asking::post("/_neargate/console/stacks/web/delete").with("cookie", &writing);
    let (status, _, _) = scene.ask(unknown.with("x-neargate-console", "act")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_view_is_a_page_and_data() {
    let scene = Scene::new().await;
    let cookie = scene.enter(false).await;
    let create = CreateClusterInput {
        cluster_name: Some("main".into()),
        ..Default::default()
    };
    scene.world.call(create).await;
    let views = [
        "",
        "why",
        "services",
        "stacks",
        "logs",
        "network",
        "balancers",
        "pipelines",
        "images",
        "calls",
        "machine",
        "find?q=main",
    ];
    for view in views {
        let target = format!("{PATH}{view}");
        let (status, _, text) = scene
            .ask(Asking::get(&target).with("cookie", &cookie))
            .await;
        assert_eq!(status, StatusCode::OK, "{view}: {text}");
        assert!(
            text.starts_with("<!DOCTYPE html>") && text.contains("<h1>"),
            "{view}: {text}"
        );
        let data = Asking::get(&target)
            .with("cookie", &cookie)
            .with("accept", "application/json");
        let (status, headers, text) = scene.ask(data).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (StatusCode::OK, &"application/json".parse().unwrap()),
            "{view}"
        );
        assert!(
            serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            "{view}: {text}"
        );
    }
    let gone = [
        "services/main/none",
        "services/main/none/metrics",
        "services/main/none/deployment",
        "tasks/main/none",
        "stacks/none",
        "network/none",
        "balancers/none",
        "pipelines/none",
        "nothing",
    ];
    for gone in gone {
        let target = format!("{PATH}{gone}");
        let (status, _, text) = scene
            .ask(Asking::get(&target).with("cookie", &cookie))
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{gone}: {text}");
    }
}

#[tokio::test]
async fn a_stream_sends_the_page_and_again_when_it_has_changed() {
    let scene = Scene::new().await;
    let cookie = scene.enter(false).await;
    let stream = Asking::get("/_neargate/console/services?format=stream").with("cookie", &cookie);
    let (status, headers, first) = scene.ask(stream).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/event-stream");
    assert!(
        first.starts_with(": ") || first.starts_with("data: "),
        "{first}"
    );
    // Nobody looks any more, so nothing is looked at.
    testkit::until("the look has ended", || scene.console.looks.is_idle()).await;
}
