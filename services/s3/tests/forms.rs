//! Forms that browsers post: what a policy says, what the file's name stands for, and how they are answered
//! (User Guide, "Browser-Based Uploads Using POST").

mod ground;

use ground::shop::{Shop, Told, get};
use ground::signing::{ask, form, tampered, unsigned_form};

const BUCKET: &str = r#"{"bucket": "bucket"}"#;
const UP: &str = r#"["starts-with", "$key", "up/"]"#;

async fn post(shop: &Shop, conditions: &[&str], fields: &[(&str, &str)]) -> Told {
    let conditions: Vec<String> = conditions.iter().map(|it| (*it).to_owned()).collect();
    let request = form(&ask("POST", "/bucket", ""), &conditions, fields, "hello");
    shop.send(request).await
}

#[tokio::test]
async fn the_name_of_the_file_is_part_of_the_key() {
    let shop = Shop::new().await;
    let told = post(&shop, &[BUCKET, UP], &[("key", "up/${filename}")]).await;
    assert_eq!(told.status, 204, "{}", told.body);
    assert_eq!(shop.ground.get("bucket", "up/f").await.unwrap(), "hello");
}

#[tokio::test]
async fn what_breaks_the_policy_is_denied_in_its_words() {
    let shop = Shop::new().await;
    let condition = |it: &str| format!("Invalid according to Policy: {it}");
    for (conditions, fields, status, code, message) in [
        (
            vec![BUCKET, UP],
            vec![("key", "other/x")],
            403,
            "AccessDenied",
            condition("Policy Condition failed: [\"starts-with\", \"$key\", \"up/\"]"),
        ),
        (
            vec![BUCKET, UP],
            vec![("key", "up/x"), ("acl", "public-read")],
            403,
            "AccessDenied",
            condition("Extra input fields: acl"),
        ),
        (
            vec![BUCKET, UP, r#"["content-length-range", 1, 3]"#],
            vec![("key", "up/x")],
            400,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size".into(),
        ),
        (
            vec![BUCKET, UP, r#"["content-length-range", 6, 9]"#],
            vec![("key", "up/x")],
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size".into(),
        ),
        (
            vec![BUCKET, UP],
            vec![],
            400,
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.".into(),
        ),
    ] {
        let told = post(&shop, &conditions, &fields).await;
        told.refuses(status, code, &[("Message", &message)]);
    }
    shop.ground.contents(0).await;
    let wrong = [
        ("key", "up/x"),
        ("AWSAccessKeyId", "OWNER"),
        ("signature", "AAAA"),
        ("policy", "e30="),
    ];
    let told = shop.send(unsigned_form("/bucket", &wrong, "x")).await;
    let details = [("AWSAccessKeyId", "OWNER"), ("StringToSign", "e30=")];
    told.refuses(403, "SignatureDoesNotMatch", &details);
    let told = shop.send(unsigned_form("/bucket", &wrong[..2], "x")).await;
    told.refuses(400, "InvalidArgument", &[("ArgumentName", "Signature")]);
    let cut = form(
        &ask("POST", "/bucket", ""),
        &[BUCKET.to_owned(), UP.to_owned()],
        &[("key", "up/x")],
        "hello",
    );
    let cut = tampered(cut, |body| body.replace("\r\n--edge--", "")).await;
    shop.send(cut)
        .await
        .refuses(400, "MalformedPOSTRequest", &[]);
    shop.ground.contents(0).await;
}

#[tokio::test]
async fn a_form_is_answered_as_it_asks() {
    let shop = Shop::new().await;
    let status = r#"["starts-with", "$success_action_status", ""]"#;
    let to = r#"["starts-with", "$success_action_redirect", ""]"#;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let none = post(&shop, &[BUCKET, UP], &[("key", "up/a b")]).await;
    assert_eq!((none.status, none.body.as_str()), (204, ""));
    assert_eq!(none.header("etag"), Some(etag));
    let place = "http://127.0.0.1:4566/bucket/up/a%20b";
    assert_eq!(none.header("location"), Some(place));
    assert!(none.header("x-amz-checksum-crc64nvme").is_some());
    let fields = [("key", "up/a b"), ("success_action_status", "201")];
    let made = post(&shop, &[BUCKET, UP, status], &fields).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.element("Location"), Some(place));
    assert_eq!(made.element("ETag"), Some(etag));
    for (place, status, location) in [
        (
            "http://a.example/b?c=d",
            303,
            "http://a.example/b?c=d&bucket=bucket&key=up%2Fx&etag=%225d41402abc4b2a76b9719d911017c592%22",
        ),
        // What is no address is as if it were not there.
        ("invalid-url", 204, "http://127.0.0.1:4566/bucket/up/x"),
    ] {
        let fields = [("key", "up/x"), ("success_action_redirect", place)];
        let told = post(&shop, &[BUCKET, UP, to], &fields).await;
        assert_eq!(
            (told.status, told.header("location")),
            (status, Some(location))
        );
    }
}

#[tokio::test]
async fn fields_are_what_is_stored_with_the_object() {
    let shop = Shop::new().await;
    let any = |field: &str| format!(r#"["starts-with", "${field}", ""]"#);
    let names = [
        "Content-Type",
        "x-amz-meta-a",
        "tagging",
        "x-amz-storage-class",
    ];
    let mut conditions = vec![BUCKET.to_owned(), UP.to_owned()];
    conditions.extend(names.map(any));
    let fields = [
        ("key", "up/x"),
        ("Content-Type", "text/css"),
        ("x-amz-meta-a", "b"),
        (
            "tagging",
            "<Tagging><TagSet><Tag><Key>t u</Key><Value>1</Value></Tag></TagSet></Tagging>",
        ),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    let request = form(&ask("POST", "/bucket", ""), &conditions, &fields, "hello");
    assert_eq!(shop.send(request).await.status, 204);
    let head = shop.done(ask("HEAD", "/bucket/up/x", "")).await;
    assert_eq!(head.header("content-type"), Some("text/css"));
    assert_eq!(head.header("x-amz-meta-a"), Some("b"));
    assert_eq!(head.header("x-amz-storage-class"), Some("STANDARD_IA"));
    let tags = shop.done(get("/bucket/up/x").query("tagging", "")).await;
    assert_eq!(tags.element("Key"), Some("t u"));
    let mut wrong = fields;
    wrong[3].1 = "<Tagging>";
    let request = form(&ask("POST", "/bucket", ""), &conditions, &wrong, "hello");
    shop.send(request).await.refuses(400, "MalformedXML", &[]);
}

/// The bucket and the key that the policy was held against are those that are written to, however the path
/// spells them.
#[tokio::test]
async fn no_part_of_a_key_hides_in_the_bucket_of_the_path() {
    let shop = Shop::new().await;
    let conditions = [r#"["starts-with", "$bucket", "buck"]"#, UP].map(str::to_owned);
    let posted = async |path: &str| {
        let request = form(
            &ask("POST", path, ""),
            &conditions,
            &[("key", "up/x")],
            "hello",
        );
        shop.send(request).await.status
    };
    for path in [
        "/bucket%2Fadmin",
        "/bucket%2F",
        "/bucket%2f..%2f",
        "/bucket%00",
    ] {
        let status = posted(path).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(posted("/b%75cket").await, 204);
    assert_eq!(shop.ground.get("bucket", "up/x").await.unwrap(), "hello");
    let keys = shop.done(get("/bucket")).await;
    assert_eq!(keys.body.matches("<Key>").count(), 1, "{}", keys.body);
}

#[tokio::test]
async fn a_form_copies_nothing() {
    let shop = Shop::new().await;
    assert_eq!(
        post(&shop, &[BUCKET, UP], &[("key", "up/x")]).await.status,
        204
    );
    let any = r#"["starts-with", "$x-amz-copy-source", ""]"#;
    let fields = [("key", "up/copy"), ("x-amz-copy-source", "/bucket/up/x")];
    let told = post(&shop, &[BUCKET, UP, any], &fields).await;
    told.refuses(400, "InvalidArgument", &[]);
    assert!(shop.ground.get("bucket", "up/copy").await.is_err());
}
