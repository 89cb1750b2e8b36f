//! Lists of grants: canned ones, those of headers and documents, and what they let everybody do (User
//! Guide, "Access control list (ACL) overview").

mod ground;

use ground::shop::{Shop, Told, get};
use ground::signing::{Ask, HOST, ask};

const ALL: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

async fn open_shop() -> Shop {
    let shop = Shop::new().await;
    for setting in ["ownershipControls", "publicAccessBlock"] {
        let off = ask("DELETE", "/bucket", "").query(setting, "");
        shop.done(off).await;
    }
    shop
}

fn acl(path: &str, name: &str) -> Ask {
    ask("PUT", path, "")
        .query("acl", "")
        .header("x-amz-acl", name)
}

async fn list(shop: &Shop, path: &str) -> Vec<String> {
    let told = shop.done(get(path).query("acl", "")).await;
    let grants = told.body.split("<Grant>").skip(1);
    let of = |grant: &str, name: &str| {
        let (_, rest) = grant.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let shown = grants.map(|it| {
        let group = of(it, "URI").map(|it| it.rsplit('/').next().unwrap().to_owned());
        let who = group.unwrap_or("owner".into());
        format!("{who} {}", of(it, "Permission").unwrap())
    });
    shown.collect()
}

async fn unsigned(shop: &Shop, method: &str, path: &str, body: &'static str) -> Told {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", HOST)
        .header("content-length", body.len());
    shop.send(request.body(s3::Body::from(body.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn canned_lists_are_grants() {
    let shop = open_shop().await;
    for (name, grants) in [
        ("private", vec!["owner FULL_CONTROL"]),
        ("public-read", vec!["owner FULL_CONTROL", "AllUsers READ"]),
        (
            "public-read-write",
            vec!["owner FULL_CONTROL", "AllUsers READ", "AllUsers WRITE"],
        ),
        (
            "authenticated-read",
            vec!["owner FULL_CONTROL", "AuthenticatedUsers READ"],
        ),
        (
            "log-delivery-write",
            vec![
                "owner FULL_CONTROL",
                "LogDelivery WRITE",
                "LogDelivery READ_ACP",
            ],
        ),
    ] {
        shop.done(acl("/bucket", name)).await;
        assert_eq!(list(&shop, "/bucket").await, grants, "{name}");
    }
    shop.tell(acl("/bucket", "odd")).await.refuses(
        400,
        "InvalidArgument",
        &[("ArgumentName", "x-amz-acl")],
    );
    let put = ask("PUT", "/bucket/k", "x");
    shop.done(put.header("x-amz-acl", "bucket-owner-full-control"))
        .await;
    assert_eq!(list(&shop, "/bucket/k").await, ["owner FULL_CONTROL"]);
}

#[tokio::test]
async fn headers_and_documents_grant() {
    let shop = open_shop().await;
    let group = format!("uri=\"{ALL}\"");
    let put = ask("PUT", "/bucket/k", "x").header("x-amz-grant-read", &group);
    shop.done(put).await;
    assert_eq!(list(&shop, "/bucket/k").await, ["AllUsers READ"]);
    assert_eq!(unsigned(&shop, "GET", "/bucket/k", "").await.body, "x");
    let told = shop.done(get("/bucket").query("acl", "")).await;
    let owner = told.element("ID").unwrap();
    let document = |id: &str, right: &str, uri: &str| {
        let text = format!(
            r#"<AccessControlPolicy><Owner><ID>{id}</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>{uri}</URI></Grantee><Permission>{right}</Permission></Grant></AccessControlList></AccessControlPolicy>"#
        );
        ask("PUT", "/bucket", &text).query("acl", "")
    };
    shop.done(document(owner, "WRITE", ALL)).await;
    assert_eq!(list(&shop, "/bucket").await, ["AllUsers WRITE"]);
    let none = || ask("PUT", "/bucket", "").query("acl", "");
    for (ask, code, details) in [
        (
            document("0", "READ", ALL),
            "InvalidArgument",
            ("ArgumentName", "CanonicalUser/ID"),
        ),
        (
            document(owner, "ODD", ALL),
            "MalformedACLError",
            ("Code", "MalformedACLError"),
        ),
        (
            document(owner, "READ", "http://odd"),
            "InvalidArgument",
            ("ArgumentName", "Group/URI"),
        ),
        (
            none(),
            "MissingSecurityHeader",
            ("MissingHeaderName", "x-amz-acl"),
        ),
        (
            none().header("x-amz-grant-read", "id=\"0\""),
            "InvalidArgument",
            ("ArgumentName", "id"),
        ),
        (
            none().header("x-amz-grant-read", "who=\"0\""),
            "InvalidArgument",
            ("ArgumentName", "x-amz-grant-read"),
        ),
        (
            acl("/bucket", "private").header("x-amz-grant-read", &group),
            "InvalidRequest",
            ("Code", "InvalidRequest"),
        ),
        (
            document(owner, "READ", ALL).header("x-amz-acl", "private"),
            "UnexpectedContent",
            ("Code", "UnexpectedContent"),
        ),
    ] {
        shop.tell(ask).await.refuses(400, code, &[details]);
    }
    assert_eq!(list(&shop, "/bucket").await, ["AllUsers WRITE"]);
}

#[tokio::test]
async fn everybody_may_what_is_granted_to_everybody() {
    let shop = open_shop().await;
    shop.done(ask("PUT", "/bucket/k", "x")).await;
    let denied = async |method: &str, path: &str| {
        let told = unsigned(&shop, method, path, "y").await;
        told.refuses(403, "AccessDenied", &[]);
    };
    denied("PUT", "/bucket/k").await;
    shop.done(acl("/bucket", "public-read-write")).await;
    assert_eq!(unsigned(&shop, "PUT", "/bucket/n", "y").await.status, 200);
    assert_eq!(unsigned(&shop, "GET", "/bucket", "").await.status, 200);
    // The bucket's list says nothing of who may read its objects.
    denied("GET", "/bucket/k").await;
    denied("GET", "/bucket?acl").await;
    assert_eq!(unsigned(&shop, "DELETE", "/bucket/n", "").await.status, 204);
    // Lists that are off, or ignored, grant nothing.
    let block = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    shop.done(ask("PUT", "/bucket", block).query("publicAccessBlock", ""))
        .await;
    denied("PUT", "/bucket/n").await;
    shop.done(acl("/bucket", "private")).await;
    let rules = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
    shop.done(ask("PUT", "/bucket", rules).query("ownershipControls", ""))
        .await;
    for name in ["private", "public-read"] {
        let told = shop.tell(acl("/bucket", name)).await;
        told.refuses(400, "AccessControlListNotSupported", &[]);
    }
}
