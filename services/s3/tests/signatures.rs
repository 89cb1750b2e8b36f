//! What a signature has to cover, and what becomes of a body that is not the one that was signed.

mod ground;

use std::sync::Arc;

use cloud::OwnerKey;
use ground::Ground;
use ground::signing::{
    Ask, UNSIGNED, answer, answer_from, ask, base64, client, form, hmac_sha1, sha256, tampered,
    unsigned_form,
};

const KEY: &str = "/bucket/k";

struct House {
    ground: Ground,
    door: s3::Door,
}

impl House {
    async fn new() -> Self {
        let ground = Ground::new();
        ground.bucket("bucket").await;
        let door = ground.owners_door();
        Self { ground, door }
    }

    async fn ask(&self, request: http::Request<s3::Body>) -> (u16, String) {
        answer(&self.door, request).await
    }

    /// It is refused with this code, and nothing is stored.
    async fn refused(&self, request: http::Request<s3::Body>, code: &str) {
        let (status, body) = self.ask(request).await;
        assert!(status >= 400, "{code}: {status} {body}");
        assert!(
            body.contains(&format!("<Code>{code}</Code>")),
            "{code}: {body}"
        );
        let kept = self.ground.get("bucket", "k").await;
        assert_eq!(kept.unwrap_err().code, "NoSuchKey", "{code}");
        self.ground.contents(0).await;
    }

    async fn stored(&self, request: http::Request<s3::Body>, expected: &str) {
        let (status, body) = self.ask(request).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(self.ground.get("bucket", "k").await.unwrap(), expected);
    }
}

fn put(body: &str) -> Ask {
    ask("PUT", KEY, body)
}

#[tokio::test]
async fn what_is_signed_is_done() {
    let house = House::new().await;
    house.stored(put("one").signed().0, "one").await;
    let named = put("two").header("x-amz-meta-a", "1");
    house.stored(named.signed().0, "two").await;
    house.stored(put("three").presigned("60"), "three").await;
    let open = put("four").hashed(UNSIGNED);
    house.stored(open.signed().0, "four").await;
    house
        .stored(put("").in_chunks(&["fi", "ve"], None), "five")
        .await;
    let trailer = Some(("x-amz-checksum-crc32", "NSRBwg=="));
    house.stored(put("").in_chunks(&["a"], None), "a").await;
    let request = put("").in_chunks(&["ab", "c"], trailer);
    house.stored(request, "abc").await;
}

#[tokio::test]
async fn a_header_that_is_not_signed_changes_nothing() {
    let house = House::new().await;
    for (name, value) in [
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-a", "b"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-copy-source", "bucket/other"),
        ("x-amz-security-token", "t"),
        ("x-amz-website-redirect-location", "/x"),
    ] {
        let added = put("body").open(name, value);
        let chunked = added.in_chunks(&["body"], None);
        for request in [added.signed().0, added.presigned("60"), chunked] {
            let (status, body) = house.ask(request).await;
            assert_eq!(status, 403, "{name}: {body}");
            assert!(
                body.contains("There were headers present in the request which were not signed"),
                "{body}"
            );
            let named = format!("<HeadersNotSigned>{name}</HeadersNotSigned>");
            assert!(body.contains(&named), "{body}");
        }
    }
    house.ground.contents(0).await;
}

#[tokio::test]
async fn a_presigned_request_ends_and_is_whole() {
    let house = House::new().await;
    let error = "AuthorizationQueryParametersError";
    house.refused(put("x").presigned("604801"), error).await;
    let mut early = put("x");
    early.time = "20991231T000000Z".into();
    let (status, body) = house.ask(early.presigned("60")).await;
    assert_eq!(status, 403, "{body}");
    let mut late = put("x");
    late.time = "20200101T000000Z".into();
    house
        .refused(late.presigned("604800"), "AccessDenied")
        .await;
    // What is in the query is signed, whatever it is.
    let request = put("x").presigned("60");
    let uri = format!("{}&x-amz-acl=public-read", request.uri());
    let (mut head, body) = request.into_parts();
    head.uri = uri.parse().unwrap();
    let changed = http::Request::from_parts(head, body);
    house.refused(changed, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn a_body_that_is_not_the_one_that_was_signed_is_not_stored() {
    let house = House::new().await;
    let request = tampered(put("body").signed().0, |_| "tidy".into()).await;
    house.refused(request, "XAmzContentSHA256Mismatch").await;
    let hashed = put("body").header("x-amz-content-sha256", &sha256(b"other"));
    let request = hashed.presigned("60");
    house.refused(request, "XAmzContentSHA256Mismatch").await;
}

/// Clients move the header of the hash into the query when they presign, and sign over the hash.
#[tokio::test]
async fn a_presigned_request_that_tells_its_bodys_hash_takes_no_other_body() {
    let house = House::new().await;
    let hash = sha256(b"body");
    let told = |body: &str, hash: &str| put(body).query("X-Amz-Content-Sha256", hash);
    let mismatch = "XAmzContentSHA256Mismatch";
    let other = told("other", &hash);
    house
        .refused(other.presigned_over("60", &hash), mismatch)
        .await;
    house.refused(other.presigned("60"), mismatch).await;
    let wrong = told("body", &hash).presigned_over("60", &sha256(b"other"));
    house.refused(wrong, "SignatureDoesNotMatch").await;
    let stranger = told("body", &hash).by("OWNER", "guessed");
    let stranger = stranger.presigned_over("60", &hash);
    house.refused(stranger, "SignatureDoesNotMatch").await;
    let word = told("body", "anything").presigned_over("60", "anything");
    house.refused(word, "InvalidArgument").await;
    let twice = told("body", &hash).query("x-amz-content-sha256", &sha256(b"other"));
    house
        .refused(twice.presigned_over("60", &hash), "InvalidRequest")
        .await;
    let right = told("body", &hash).presigned_over("60", &hash);
    house.stored(right, "body").await;
    let open = told("open", UNSIGNED).presigned("60");
    house.stored(open, "open").await;
}

#[tokio::test]
async fn chunks_are_verified_one_by_one() {
    let house = House::new().await;
    let chunks = || put("").in_chunks(&["hello ", "world"], None);
    let request = tampered(chunks(), |body| body.replace("world", "w0rld")).await;
    house.refused(request, "SignatureDoesNotMatch").await;
    // The first two chunks change places.
    let request = tampered(chunks(), |body| {
        let parts: Vec<&str> = body.split_inclusive("\r\n").collect();
        let (one, two) = (parts[..2].concat(), parts[2..4].concat());
        format!("{two}{one}{}", parts[4..].concat())
    });
    house.refused(request.await, "SignatureDoesNotMatch").await;
    // The body ends after its first chunk, with or without a last one.
    for keep_last in [false, true] {
        let request = tampered(chunks(), |body| {
            let parts: Vec<&str> = body.split_inclusive("\r\n").collect();
            let last = if keep_last {
                parts[4..].concat()
            } else {
                String::new()
            };
            format!("{}{last}", parts[..2].concat())
        });
        let code = if keep_last {
            "SignatureDoesNotMatch"
        } else {
            "IncompleteBody"
        };
        house.refused(request.await, code).await;
    }
    // All that was announced is there, and the end is not.
    let request = tampered(chunks(), |body| {
        let parts: Vec<&str> = body.split_inclusive("\r\n").collect();
        parts[..4].concat()
    });
    house.refused(request.await, "IncompleteBody").await;
}

#[tokio::test]
async fn what_follows_the_chunks_is_verified_too() {
    let house = House::new().await;
    let right = ("x-amz-checksum-crc32", "NSRBwg==");
    let chunks = || put("").in_chunks(&["abc"], Some(right));
    let request = tampered(chunks(), |body| body.replace("NSRBwg", "NSRBwh")).await;
    house.refused(request, "SignatureDoesNotMatch").await;
    let cut =
        |at: &'static str| move |body: String| format!("{}\r\n", &body[..body.find(at).unwrap()]);
    for at in ["x-amz-checksum", "x-amz-trailer-signature"] {
        let request = tampered(chunks(), cut(at)).await;
        house.refused(request, "IncompleteBody").await;
    }
    // Signed as it is, and not the checksum of the body.
    let wrong = Some(("x-amz-checksum-crc32", "AAAAAA=="));
    let request = put("").in_chunks(&["abc"], wrong);
    house.refused(request, "BadDigest").await;
}

#[tokio::test]
async fn chunks_without_signatures_end_with_a_checksum() {
    let house = House::new().await;
    let open = |body: &str| {
        put(body)
            .hashed("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-decoded-content-length", "3")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .signed()
            .0
    };
    for (body, code) in [
        ("3\r\nabc\r\n0\r\n\r\n", "IncompleteBody"),
        ("3\r\nabc\r\n", "IncompleteBody"),
        (
            "3\r\nabd\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n",
            "BadDigest",
        ),
        (
            "2\r\nab\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n",
            "IncompleteBody",
        ),
    ] {
        house.refused(open(body), code).await;
    }
    let whole = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n";
    house.stored(open(whole), "abc").await;
}

#[tokio::test]
async fn a_body_that_is_not_signed_is_taken_where_nobody_can_change_it() {
    let house = House::new().await;
    let open = || put("body").hashed(UNSIGNED).signed().0;
    let far = answer_from(&house.door, open(), client("192.0.2.1")).await;
    assert_eq!(far.0, 400, "{}", far.1);
    let chunks = put("4\r\nbody\r\n0\r\nx-amz-checksum-crc32:8A/jug==\r\n\r\n")
        .hashed("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "4")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .signed()
        .0;
    let far = answer_from(&house.door, chunks, client("192.0.2.1")).await;
    assert_eq!(far.0, 400, "{}", far.1);
    house.ground.contents(0).await;
    for near in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let (status, body) = answer_from(&house.door, open(), client(near)).await;
        assert_eq!(status, 200, "{near}: {body}");
    }
    // Presigned requests leave their bodies open, as on AWS.
    let presigned = put("other").presigned("60");
    let far = answer_from(&house.door, presigned, client("192.0.2.1")).await;
    assert_eq!(far.0, 200, "{}", far.1);
}

fn post(conditions: &[&str], fields: &[(&str, &str)]) -> http::Request<s3::Body> {
    let conditions: Vec<String> = conditions.iter().map(|it| (*it).to_owned()).collect();
    form(&ask("POST", "/bucket", ""), &conditions, fields, "file")
}

#[tokio::test]
async fn a_form_is_what_its_policy_says() {
    let house = House::new().await;
    let both = [r#"{"bucket": "bucket"}"#, r#"["starts-with", "$key", "k"]"#];
    for (fields, code) in [
        (vec![("key", "k"), ("acl", "public-read")], "AccessDenied"),
        (
            vec![("key", "k"), ("x-amz-acl", "public-read")],
            "AccessDenied",
        ),
        (vec![("key", "k"), ("x-amz-meta-a", "b")], "AccessDenied"),
        (vec![("key", "other")], "AccessDenied"),
    ] {
        house.refused(post(&both, &fields), code).await;
    }
    let elsewhere = [r#"{"bucket": "other"}"#, r#"["starts-with", "$key", "k"]"#];
    let request = post(&elsewhere, &[("key", "k")]);
    house.refused(request, "AccessDenied").await;
    let changed = tampered(post(&both, &[("key", "k")]), |body| {
        let at = body.find("name=\"x-amz-signature\"").unwrap();
        let (before, after) = body.split_at(at);
        let digit = after.find("\r\n\r\n").unwrap() + 4;
        let other = if &after[digit..=digit] == "0" {
            "1"
        } else {
            "0"
        };
        format!("{before}{}{other}{}", &after[..digit], &after[digit + 1..])
    });
    house.refused(changed.await, "SignatureDoesNotMatch").await;
    // A policy that is for no bucket is for none.
    let anywhere = post(&[r#"["starts-with", "$key", "k"]"#], &[("key", "k")]);
    house.refused(anywhere, "AccessDenied").await;
    let wrong = [
        ("key", "k"),
        ("AWSAccessKeyId", "OWNER"),
        ("signature", "x"),
    ];
    let (status, body) = house.ask(unsigned_form("/bucket", &wrong, "file")).await;
    assert_eq!(status, 400, "{body}");
    let added = old_form(&both, &[("key", "k"), ("x-amz-acl", "public-read")]);
    house.refused(added, "AccessDenied").await;
    // Nobody's forms are not taken.
    let nobodys = unsigned_form("/bucket", &[("key", "k")], "file");
    house.refused(nobodys, "AccessDenied").await;
    let ignored = [("key", "k"), ("x-ignore-me", "1"), ("submit", "go")];
    let (status, body) = house.ask(post(&both, &ignored)).await;
    assert_eq!(status, 204, "{body}");
    assert_eq!(house.ground.get("bucket", "k").await.unwrap(), "file");
    let (status, body) = house.ask(old_form(&both, &[("key", "k2")])).await;
    assert_eq!(status, 204, "{body}");
}

/// Signed by version 2, as `boto3` does by default.
fn old_form(conditions: &[&str], fields: &[(&str, &str)]) -> http::Request<s3::Body> {
    let policy = format!(
        r#"{{"expiration": "2099-01-01T00:00:00.000Z", "conditions": [{}]}}"#,
        conditions.join(", ")
    );
    let policy = base64(policy.as_bytes());
    let signature = base64(&hmac_sha1("secret", &policy));
    let mut fields = fields.to_vec();
    fields.extend([
        ("AWSAccessKeyId", "OWNER"),
        ("policy", policy.as_str()),
        ("signature", signature.as_str()),
    ]);
    unsigned_form("/bucket", &fields, "file")
}

#[tokio::test]
async fn a_session_posts_a_form_with_the_token_that_its_policy_names() {
    let house = House::new().await;
    let owner = OwnerKey::new("OWNER", "secret");
    let find_key = move |key: &str, token: Option<&str>| match token {
        Some("the token") => owner.find(key, None),
        _ => None,
    };
    let door = s3::Door::new(house.ground.cloud.clone(), Arc::new(find_key));
    let conditions = [
        r#"{"bucket": "bucket"}"#,
        r#"{"key": "k"}"#,
        r#"{"x-amz-security-token": "the token"}"#,
    ];
    let token = ("x-amz-security-token", "the token");
    let large = "x".repeat(200_000);
    let named: Vec<String> = conditions.iter().map(|it| (*it).to_owned()).collect();
    let asked = ask("POST", "/bucket", "");
    // Not in the policy, wrong, or in a header, which nothing covers.
    let open = form(&asked, &named[..2], &[("key", "k"), token], &large);
    assert_eq!(answer(&door, open).await.0, 403);
    let wrong = [("key", "k"), ("x-amz-security-token", "another")];
    assert_eq!(
        answer(&door, form(&asked, &named, &wrong, &large)).await.0,
        403
    );
    let mut beside = form(&asked, &named[..2], &[("key", "k")], &large);
    beside
        .headers_mut()
        .insert(token.0, token.1.parse().unwrap());
    assert_eq!(answer(&door, beside).await.0, 403);
    house.ground.contents(0).await;
    let (status, body) = answer(&door, form(&asked, &named, &[("key", "k"), token], &large)).await;
    assert_eq!(status, 204, "{body}");
    assert_eq!(house.ground.get("bucket", "k").await.unwrap(), large);
}

#[tokio::test]
async fn a_session_presigns_with_its_token() {
    let house = House::new().await;
    house.ground.put("bucket", "k", "body").await;
    let owner = OwnerKey::new("OWNER", "secret");
    let find_key = move |key: &str, token: Option<&str>| match token {
        Some("the token") => owner.find(key, None),
        _ => None,
    };
    let door = s3::Door::new(house.ground.cloud.clone(), Arc::new(find_key));
    let get = || ask("GET", KEY, "");
    let named = get().query("X-Amz-Security-Token", "the token");
    let (status, body) = answer(&door, named.presigned("60")).await;
    assert_eq!((status, body.as_str()), (200, "body"));
    // One that the signature does not cover is none.
    let beside = get().open("x-amz-security-token", "the token");
    assert_eq!(answer(&door, beside.presigned("60")).await.0, 403);
    let request = get().presigned("60");
    let uri = format!("{}&X-Amz-Security-Token=the%20token", request.uri());
    let (mut head, body) = request.into_parts();
    head.uri = uri.parse().unwrap();
    let added = http::Request::from_parts(head, body);
    assert_eq!(answer(&door, added).await.0, 403);
    let later = 4_000_000_000;
    let (status, body) = answer(&door, get().presigned_old("the token", later)).await;
    assert_eq!((status, body.as_str()), (200, "body"));
    let ended = answer(&door, get().presigned_old("the token", 1)).await;
    assert_eq!(ended.0, 403);
    let request = get().presigned_old("the token", later);
    let uri = format!("{}&publicAccessBlock", request.uri());
    let (mut head, body) = request.into_parts();
    head.uri = uri.parse().unwrap();
    let added = http::Request::from_parts(head, body);
    assert_eq!(answer(&door, added).await.0, 403);
}
