//! The door, as those who do not sign find it: websites, what everybody may read, and questions of
//! browsers. What is signed is tested with the real clients (`crates/e2e`).

mod ground;

use ground::{Ground, REGION};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use std::sync::Arc;

struct House {
    ground: Ground,
    door: s3::Door,
}

impl House {
    async fn new(properties: Json) -> Self {
        let ground = Ground::new();
        let kind = ground.cloud.resource_type("AWS::S3::Bucket").unwrap();
        let request = testkit::request("s", "B", properties);
        kind.create(&ground.cx(), &request).await.unwrap();
        let door = s3::Door::new(ground.cloud.clone(), Arc::new(|_, _| None));
        Self { ground, door }
    }

    async fn let_read(&self, resource: &str) {
        let policy = json!({"Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resource
        }]});
        let input = shapes::s3::PutBucketPolicyInput {
            bucket: "site".into(),
            policy: policy.to_string(),
        };
        self.ground.cx().call(input).await.unwrap();
    }

    async fn ask(&self, request: Request<s3::Body>) -> (Response<()>, String) {
        let visit = s3::Visit {
            origin: Arc::new(cloud::Origin::Internal),
            request_id: "0123456789ABCDEF".into(),
            believe: Arc::new(|| {}),
        };
        let (head, body) = self.door.handle(request, visit).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            Response::from_parts(head, ()),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        let host = format!("site.s3-website.{REGION}.localhost:4566");
        let (head, body) = self.ask(request("GET", &host, path)).await;
        let place = head.headers().get("location");
        let place = place.map(|it| it.to_str().unwrap().to_owned());
        (head.status(), place.unwrap_or(body))
    }
}

fn request(method: &str, host: &str, path: &str) -> Request<s3::Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host);
    request.body(s3::Body::empty()).unwrap()
}

fn open_site() -> Json {
    json!({
        "BucketName": "site",
        "PublicAccessBlockConfiguration": {"BlockPublicPolicy": "false"},
        "WebsiteConfiguration": {
            "IndexDocument": "index.html",
            "ErrorDocument": "error.html",
            "RoutingRules": [{
                "RoutingRuleCondition": {"KeyPrefixEquals": "old/"},
                "RedirectRule": {"ReplaceKeyPrefixWith": "new/", "HttpRedirectCode": "302"}
            }]
        }
    })
}

#[tokio::test]
async fn a_website_shows_what_everybody_may_read() {
    let house = House::new(open_site()).await;
    for (key, body) in [
        ("index.html", "home"),
        ("docs/index.html", "docs"),
        ("error.html", "sorry"),
        ("secret/key", "secret"),
    ] {
        house.ground.put("site", key, body).await;
    }
    // Nothing, while nobody lets anybody.
    assert_eq!(house.page("/").await.0, StatusCode::FORBIDDEN);
    house.let_read("arn:aws:s3:::site/*.html").await;
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    assert_eq!(house.page("/").await, ok("home"));
    assert_eq!(house.page("/index.html?x=1").await, ok("home"));
    assert_eq!(house.page("/docs/").await, ok("docs"));
    assert_eq!(
        house.page("/docs").await,
        (StatusCode::FOUND, "/docs/".into())
    );
    assert_eq!(house.page("/nothing").await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        house.page("/secret/key").await,
        (StatusCode::FORBIDDEN, "sorry".into())
    );
    let (status, place) = house.page("/old/page.html").await;
    let expected = format!("http://site.s3-website.{REGION}.localhost:4566/new/page.html");
    assert_eq!((status, place), (StatusCode::FOUND, expected));
    let host = format!("site.s3-website.{REGION}.localhost:4566");
    let (head, body) = house.ask(request("PUT", &host, "/index.html")).await;
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(body.contains("<li>Method: PUT</li>"), "{body}");
    assert!(body.contains("<li>ResourceType: OBJECT</li>"), "{body}");
    assert_eq!(head.headers()["server"], "AmazonS3");
    assert_eq!(head.headers()["x-amz-error-code"], "MethodNotAllowed");
    // A page of its own that nobody may read, or that is not there, is told of, too.
    house.ground.delete("site", "error.html").await;
    let (_, page) = house.page("/secret/key").await;
    assert!(page.contains("Retrieve a Custom Error Document"), "{page}");
}

#[tokio::test]
async fn what_is_not_a_website_says_so() {
    let house = House::new(json!({"BucketName": "site"})).await;
    let (status, body) = house.page("/").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("NoSuchWebsiteConfiguration"), "{body}");
    assert!(body.contains("<li>BucketName: site</li>"), "{body}");
    assert!(
        body.contains("<li>RequestId: 0123456789ABCDEF</li>"),
        "{body}"
    );
    let host = format!("nobody.s3-website.{REGION}.localhost:4566");
    let (head, body) = house.ask(request("GET", &host, "/")).await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert!(body.contains("NoSuchBucket"), "{body}");
}

#[tokio::test]
async fn unsigned_requests_get_what_everybody_may_have_and_nothing_else() {
    let house = House::new(open_site()).await;
    house.ground.put("site", "page.html", "page").await;
    house.ground.put("site", "data", "data").await;
    house.let_read("arn:aws:s3:::site/*.html").await;
    for (method, host, path, expected) in [
        ("GET", "site.s3.amazonaws.com", "/page.html", 200),
        ("GET", "s3.eu-west-1.amazonaws.com", "/site/page.html", 200),
        ("GET", "127.0.0.1:4566", "/site/page.html", 200),
        ("HEAD", "127.0.0.1:4566", "/site/page.html", 200),
        ("GET", "127.0.0.1:4566", "/site/data", 403),
        ("GET", "127.0.0.1:4566", "/site/absent.html", 403),
        ("GET", "127.0.0.1:4566", "/site", 403),
        ("DELETE", "127.0.0.1:4566", "/site/page.html", 403),
        ("PUT", "127.0.0.1:4566", "/site/new.html", 403),
        ("GET", "127.0.0.1:4566", "/site/page.html?acl", 403),
        ("GET", "127.0.0.1:4566", "/", 403),
    ] {
        let (head, body) = house.ask(request(method, host, path)).await;
        assert_eq!(
            head.status().as_u16(),
            expected,
            "{method} {host}{path}: {body}"
        );
    }
    assert_eq!(house.ground.get("site", "page.html").await.unwrap(), "page");
}

#[tokio::test]
async fn browsers_are_told_which_origins_may() {
    let mut site = open_site();
    site["CorsConfiguration"] = json!({"CorsRules": [{
        "AllowedMethods": ["GET"], "AllowedOrigins": ["https://app.example"], "MaxAge": 60
    }]});
    let house = House::new(site).await;
    house.ground.put("site", "page.html", "page").await;
    house.let_read("arn:aws:s3:::site/*").await;
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
    ] {
        let mut ask = request("OPTIONS", "127.0.0.1:4566", "/site/page.html");
        ask.headers_mut().insert("origin", origin.parse().unwrap());
        let method = "access-control-request-method";
        ask.headers_mut().insert(method, "GET".parse().unwrap());
        let (head, _) = house.ask(ask).await;
        assert_eq!(head.status() == StatusCode::OK, allowed, "{origin}");
        let mut get = request("GET", "127.0.0.1:4566", "/site/page.html");
        get.headers_mut().insert("origin", origin.parse().unwrap());
        let (head, body) = house.ask(get).await;
        assert_eq!(body, "page");
        let told = head.headers().get("access-control-allow-origin");
        assert_eq!(
            told.map(|it| it.to_str().unwrap()),
            allowed.then_some(origin)
        );
    }
}
