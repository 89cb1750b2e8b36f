//! Questions of browsers that come before a request from another origin (User Guide, "Using cross-origin
//! resource sharing"; answers recorded of AWS).

mod ground;

use ground::shop::{Shop, Told, get};
use ground::signing::{HOST, ask};

async fn question(shop: &Shop, path: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = http::Request::builder()
        .method("OPTIONS")
        .uri(path)
        .header("host", HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    shop.send(request.body(s3::Body::empty()).unwrap()).await
}

const ORIGIN: (&str, &str) = ("origin", "http://a.example");
const METHOD: (&str, &str) = ("access-control-request-method", "GET");

fn rules(inside: &str) -> ground::signing::Ask {
    let text = format!("<CORSConfiguration><CORSRule>{inside}</CORSRule></CORSConfiguration>");
    ask("PUT", "/bucket", &text).query("cors", "")
}

#[tokio::test]
async fn a_question_is_refused_by_what_it_lacks() {
    let shop = Shop::new().await;
    question(&shop, "/bucket/k", &[METHOD])
        .await
        .refuses(400, "BadRequest", &[]);
    question(&shop, "/bucket/k", &[ORIGIN])
        .await
        .refuses(400, "BadRequest", &[]);
    let off = [
        (
            "Message",
            "CORSResponse: CORS is not enabled for this bucket.",
        ),
        ("Method", "GET"),
        ("ResourceType", "OBJECT"),
    ];
    question(&shop, "/bucket/k", &[ORIGIN, METHOD])
        .await
        .refuses(403, "AccessForbidden", &off);
    let allowed = "<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>http://a.example</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>";
    shop.done(rules(allowed)).await;
    let told = question(&shop, "/bucket", &[ORIGIN, METHOD]).await;
    told.refuses(403, "AccessForbidden", &[("ResourceType", "BUCKET")]);
    let put = ("access-control-request-method", "PUT");
    let header = ("access-control-request-headers", "X-Amz-Date");
    let told = question(&shop, "/bucket/k", &[ORIGIN, put, header]).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(
        told.header("access-control-allow-headers"),
        Some("x-amz-date")
    );
    assert_eq!(told.header("server"), Some("AmazonS3"));
    assert!(told.header("x-amz-id-2").is_some());
}

#[tokio::test]
async fn rules_have_one_star_at_most() {
    let shop = Shop::new().await;
    let get_from = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>a</AllowedOrigin>";
    for (inside, named) in [
        (
            "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*.*</AllowedOrigin>".to_owned(),
            "AllowedOrigin",
        ),
        (
            format!("{get_from}<AllowedHeader>*-*</AllowedHeader>"),
            "AllowedHeader",
        ),
        (
            format!("{get_from}<ExposeHeader>*</ExposeHeader>"),
            "ExposeHeader",
        ),
        (
            "<AllowedMethod>FOO</AllowedMethod><AllowedOrigin>a</AllowedOrigin>".to_owned(),
            "Found",
        ),
    ] {
        let told = shop.tell(rules(&inside)).await;
        told.refuses(400, "InvalidRequest", &[]);
        let message = told.element("Message").unwrap();
        assert!(message.starts_with(named), "{message}");
    }
    shop.tell(get("/bucket").query("cors", ""))
        .await
        .refuses(404, "NoSuchCORSConfiguration", &[]);
}
