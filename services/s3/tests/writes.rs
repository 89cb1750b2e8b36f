//! Writes: what is recorded of them, on which conditions they are done, and what their checksums say
//! (API reference of `PutObject` and `CompleteMultipartUpload`; answers recorded of AWS).

mod ground;

use bytes::Bytes;
use ground::shop::{Shop, Told, complete, copy, get};
use ground::signing::{Ask, ask};
use s3s::dto::StreamingBlob;

fn put(body: &str) -> Ask {
    ask("PUT", "/bucket/k", body)
}

#[tokio::test]
async fn a_head_is_read_as_s3_reads_it() {
    let shop = Shop::new().await;
    let first = shop.done(put("x")).await;
    let etag = first.header("etag").unwrap().to_owned();
    // A quote may be missing, or both.
    for half in [&etag[1..], etag.trim_matches('"'), &etag[..etag.len() - 1]] {
        shop.done(put("x").header("if-match", half)).await;
    }
    let unread = put("y").header("x-amz-meta-bad", "=?UTF-8?B?=GGG?=");
    shop.done(unread.header("expires", "soon")).await;
    let head = shop.done(ask("HEAD", "/bucket/k", "")).await;
    assert_eq!(head.header("x-amz-meta-bad"), Some("=?UTF-8?B?=GGG?="));
    assert_eq!(head.header("expires"), Some("soon"));
    let since = get("/bucket/k").header("if-modified-since", "yesterday");
    shop.done(since).await;
    let begun = shop
        .done(ask("POST", "/bucket/m", "").query("uploads", ""))
        .await;
    let id = begun.element("UploadId").unwrap();
    let parts = get("/bucket/m").query("uploadId", id);
    shop.done(parts.query("part-number-marker", "")).await;
    let odd = get("/bucket").query("max-keys", "many");
    let details = [("ArgumentName", "max-keys"), ("ArgumentValue", "many")];
    shop.tell(odd)
        .await
        .refuses(400, "InvalidArgument", &details);
    let nowhere = copy("/bucket/c", "bucket");
    let details = [("ArgumentName", "x-amz-copy-source")];
    shop.tell(nowhere)
        .await
        .refuses(400, "InvalidArgument", &details);
    let listed = shop.done(get("/bucket").query("list-type", "2")).await;
    assert_eq!(listed.header("x-amz-bucket-region"), Some("eu-west-1"));
}

/// What a client moves into the query of a presigned request are headers, and are signed.
#[tokio::test]
async fn headers_in_a_presigned_query_are_headers() {
    let shop = Shop::new().await;
    let moved = put("x").query("x-amz-meta-a", "b").presigned("60");
    assert_eq!(shop.send(moved).await.status, 200);
    let head = shop.done(ask("HEAD", "/bucket/k", "")).await;
    assert_eq!(head.header("x-amz-meta-a"), Some("b"));
}

#[tokio::test]
async fn a_bucket_is_made_with_its_tags() {
    let shop = Shop::new().await;
    let make = |name: &str, key: &str| {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint><Tags><Tag><Key>{key}</Key><Value>1</Value></Tag></Tags></CreateBucketConfiguration>"
        );
        ask("PUT", name, &body)
    };
    shop.done(make("/tagged", "a")).await;
    let tags = shop.done(get("/tagged").query("tagging", "")).await;
    assert_eq!(
        (tags.element("Key"), tags.element("Value")),
        (Some("a"), Some("1"))
    );
    let system = shop.tell(make("/other", "aws:a")).await;
    system.refuses(400, "InvalidTag", &[("TagKey", "aws:a")]);
    shop.tell(get("/other"))
        .await
        .refuses(404, "NoSuchBucket", &[]);
}

#[tokio::test]
async fn tags_are_checked() {
    let shop = Shop::new().await;
    shop.done(put("x")).await;
    let set = |tags: &[(&str, &str)]| {
        let tags: String = tags
            .iter()
            .map(|it| format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", it.0, it.1))
            .collect();
        let text = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
        ask("PUT", "/bucket/k", &text).query("tagging", "")
    };
    shop.done(set(&[("a b", "ü:/=+-@")])).await;
    for (tags, message) in [
        (
            vec![("a", "1"), ("a", "2")],
            "Cannot provide multiple Tags with the same key",
        ),
        (
            vec![("aws:a", "1")],
            "Your TagKey cannot be prefixed with aws:",
        ),
        (vec![("a?", "1")], "The TagKey you have provided is invalid"),
        (
            vec![("a", "1?")],
            "The TagValue you have provided is invalid",
        ),
    ] {
        let told = shop.tell(set(&tags)).await;
        told.refuses(
            400,
            "InvalidTag",
            &[("Message", message), ("TagKey", tags[0].0)],
        );
    }
    let header = put("x").header("x-amz-tagging", "a=1&a=2");
    let details = [
        ("ArgumentName", "x-amz-tagging"),
        ("ArgumentValue", "a=1&amp;a=2"),
    ];
    shop.tell(header)
        .await
        .refuses(400, "InvalidArgument", &details);
}

#[tokio::test]
async fn a_storage_class_is_recorded() {
    let shop = Shop::new().await;
    let class = "x-amz-storage-class";
    shop.done(put("x").header(class, "STANDARD_IA")).await;
    let head = shop.done(ask("HEAD", "/bucket/k", "")).await;
    assert_eq!(head.header(class), Some("STANDARD_IA"));
    let listed = shop.done(get("/bucket")).await;
    assert_eq!(listed.element("StorageClass"), Some("STANDARD_IA"));
    shop.done(copy("/bucket/k", "bucket/k").header(class, "ONEZONE_IA"))
        .await;
    let got = shop.done(get("/bucket/k")).await;
    assert_eq!(got.header(class), Some("ONEZONE_IA"));
    shop.done(copy("/bucket/c", "bucket/k")).await;
    let head = shop.done(ask("HEAD", "/bucket/c", "")).await;
    assert_eq!(head.header(class), None);
    let begun = ask("POST", "/bucket/m", "").query("uploads", "");
    shop.done(begun.header(class, "GLACIER_IR")).await;
    let listed = shop.done(get("/bucket").query("uploads", "")).await;
    assert_eq!(listed.element("StorageClass"), Some("GLACIER_IR"));
    let details = [("StorageClassRequested", "COLD")];
    shop.tell(put("x").header(class, "COLD"))
        .await
        .refuses(400, "InvalidStorageClass", &details);
    shop.tell(put("x").header(class, "GLACIER"))
        .await
        .refuses(501, "NotImplemented", &[]);
}

#[tokio::test]
async fn a_write_has_one_condition_of_two() {
    let shop = Shop::new().await;
    let some = |more: &[(&str, &str)]| more.iter().fold(put("x"), |ask, it| ask.header(it.0, it.1));
    for (headers, header) in [
        (vec![("if-match", "*")], "If-Match"),
        (vec![("if-none-match", "\"0\"")], "If-None-Match"),
        (
            vec![("if-match", "\"0\""), ("if-none-match", "*")],
            "If-Match,If-None-Match",
        ),
    ] {
        let told = shop.tell(some(&headers)).await;
        told.refuses(501, "NotImplemented", &[("Header", header)]);
        assert!(told.element("additionalMessage").is_some());
    }
    shop.ground.contents(0).await;
}

/// What the condition is about was changed while the parts were uploaded, and changed back.
#[tokio::test]
async fn a_completion_notices_what_happened_since_it_began() {
    let shop = Shop::new().await;
    let path = || ask("PUT", "/bucket/m", "one");
    let before = shop.done(path()).await;
    let before = before.header("etag").unwrap().to_owned();
    let (upload, etag) = shop.upload().await;
    shop.done(ask("DELETE", "/bucket/m", "")).await;
    let absent = complete(&upload, &etag).header("if-none-match", "*");
    let details = [("Condition", "If-None-Match"), ("Key", "m")];
    shop.tell(absent)
        .await
        .refuses(409, "ConditionalRequestConflict", &details);
    let same = || complete(&upload, &etag).header("if-match", &before);
    shop.tell(same()).await.refuses(404, "NoSuchKey", &[]);
    shop.done(path()).await;
    let details = [("Condition", "If-Match"), ("Key", "m")];
    shop.tell(same())
        .await
        .refuses(409, "ConditionalRequestConflict", &details);
    let (upload, etag) = shop.upload().await;
    shop.done(complete(&upload, &etag).header("if-match", &before))
        .await;
}

#[tokio::test]
async fn a_checksum_is_one_and_is_right() {
    let shop = Shop::new().await;
    let crc32 = ("x-amz-checksum-crc32", "AAAAAA==");
    let sha1 = ("x-amz-checksum-sha1", "AAAA");
    for (headers, code) in [
        (vec![crc32], "BadDigest"),
        (vec![sha1], "InvalidRequest"),
        (
            vec![crc32, ("x-amz-checksum-crc32c", "AAAAAA==")],
            "InvalidRequest",
        ),
        (
            vec![("x-amz-sdk-checksum-algorithm", "CRC32")],
            "InvalidRequest",
        ),
        (vec![("content-md5", "AAAA")], "InvalidDigest"),
    ] {
        let asked = headers
            .iter()
            .fold(put("x"), |ask, it| ask.header(it.0, it.1));
        shop.tell(asked).await.refuses(400, code, &[]);
    }
    let begin = |algorithm: &str, kind: Option<&str>| {
        let begin = ask("POST", "/bucket/m", "").query("uploads", "");
        let begin = match algorithm {
            "" => begin,
            algorithm => begin.header("x-amz-checksum-algorithm", algorithm),
        };
        match kind {
            Some(kind) => begin.header("x-amz-checksum-type", kind),
            None => begin,
        }
    };
    for (algorithm, kind) in [
        ("MD4", None),
        ("", Some("COMPOSITE")),
        ("SHA1", Some("FULL_OBJECT")),
        ("CRC64NVME", Some("COMPOSITE")),
        ("CRC32", Some("ODD")),
    ] {
        let told = shop.tell(begin(algorithm, kind)).await;
        told.refuses(400, "InvalidRequest", &[]);
    }
}

/// Clients send a checksum of each part by default, and S3 has its own of the whole.
#[tokio::test]
async fn an_upload_without_an_algorithm_has_s3s_own_checksum() {
    let shop = Shop::new().await;
    let begun = shop
        .done(ask("POST", "/bucket/m", "").query("uploads", ""))
        .await;
    let id = begun.element("UploadId").unwrap();
    let part = ask("PUT", "/bucket/m", "123456789")
        .query("uploadId", id)
        .query("partNumber", "1");
    let part = shop
        .done(part.header("x-amz-checksum-crc32", "y/Q5Jg=="))
        .await;
    assert_eq!(part.header("x-amz-checksum-crc32"), Some("y/Q5Jg=="));
    let parts = shop.done(get("/bucket/m").query("uploadId", id)).await;
    assert_eq!(parts.element("ChecksumAlgorithm"), None);
    let done = shop.done(complete(id, part.header("etag").unwrap())).await;
    let whole = |told: &Told| told.element("ChecksumCRC64NVME").map(str::to_owned);
    assert_eq!(whole(&done).as_deref(), Some("rosUhgp5mIg="));
    assert_eq!(done.element("ChecksumType"), Some("FULL_OBJECT"));
    let attributes = get("/bucket/m").query("attributes", "");
    let attributes = attributes.header("x-amz-object-attributes", "Checksum,ObjectParts");
    let told = shop.done(attributes).await;
    assert_eq!(whole(&told).as_deref(), Some("rosUhgp5mIg="));
    assert!(told.element("PartNumber").is_none(), "{}", told.body);
}

#[tokio::test]
async fn parts_with_checksums_are_told_of() {
    let shop = Shop::new().await;
    let begin = ask("POST", "/bucket/m", "").query("uploads", "");
    let begun = shop
        .done(begin.header("x-amz-checksum-algorithm", "CRC32"))
        .await;
    let id = begun.element("UploadId").unwrap();
    let part = ask("PUT", "/bucket/m", "123456789")
        .query("uploadId", id)
        .query("partNumber", "1");
    let part = shop.done(part).await;
    let text = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></CompleteMultipartUpload>",
        part.header("etag").unwrap()
    );
    let done = ask("POST", "/bucket/m", &text).query("uploadId", id);
    let other = done.clone().header("x-amz-checksum-type", "FULL_OBJECT");
    shop.tell(other).await.refuses(400, "InvalidRequest", &[]);
    shop.done(done).await;
    let attributes = get("/bucket/m").query("attributes", "");
    let told = shop
        .done(attributes.header("x-amz-object-attributes", "ObjectParts"))
        .await;
    assert_eq!(told.element("PartNumber"), Some("1"));
    assert_eq!(told.element("ChecksumCRC32"), Some("y/Q5Jg=="));
}

#[tokio::test]
async fn what_is_said_of_a_thing_is_checked() {
    let shop = Shop::new().await;
    shop.done(put("0123456789")).await;
    let attributes = |names: &str| {
        let ask = get("/bucket/k").query("attributes", "");
        ask.header("x-amz-object-attributes", names)
    };
    shop.tell(attributes("Odd"))
        .await
        .refuses(400, "InvalidArgument", &[]);
    let (upload, _) = shop.upload().await;
    for range in ["bytes=0-", "bytes=-1", "0-0", "bytes=5-1", "bytes=0-10"] {
        let part = copy("/bucket/m", "bucket/k")
            .query("uploadId", &upload)
            .query("partNumber", "1");
        let part = part.header("x-amz-copy-source-range", range);
        let details = [
            ("ArgumentName", "x-amz-copy-source-range"),
            ("ArgumentValue", range),
        ];
        shop.tell(part)
            .await
            .refuses(400, "InvalidArgument", &details);
    }
    let long = format!("/bucket/{}", "a".repeat(1025));
    let details = [("Size", "1025"), ("MaxSizeAllowed", "1024")];
    shop.tell(get(&long))
        .await
        .refuses(400, "KeyTooLongError", &details);
    let nothing = ask("PUT", "/bucket", "<VersioningConfiguration/>").query("versioning", "");
    shop.tell(nothing)
        .await
        .refuses(400, "IllegalVersioningConfigurationException", &[]);
    let website = |inside: &str| {
        let text = format!("<WebsiteConfiguration>{inside}</WebsiteConfiguration>");
        ask("PUT", "/bucket", &text).query("website", "")
    };
    let index = "<IndexDocument><Suffix>i</Suffix></IndexDocument>";
    let rule =
        |it: &str| format!("{index}<RoutingRules><RoutingRule>{it}</RoutingRule></RoutingRules>");
    for (inside, code) in [
        ("<ErrorDocument><Key>e</Key></ErrorDocument>".to_owned(), "InvalidArgument"),
        ("<RedirectAllRequestsTo><HostName>h</HostName><Protocol>odd</Protocol></RedirectAllRequestsTo>".to_owned(), "InvalidRequest"),
        (rule("<Condition/><Redirect><HostName>h</HostName></Redirect>"), "InvalidRequest"),
        (format!("{index}<RoutingRules/>"), "MalformedXML"),
    ] {
        shop.tell(website(&inside)).await.refuses(400, code, &[]);
    }
}

#[tokio::test]
async fn an_object_says_when_its_rule_deletes_it() {
    let shop = Shop::new().await;
    let rule = "<LifecycleConfiguration><Rule><ID>a b</ID><Status>Enabled</Status><Filter><Prefix>k</Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    shop.done(ask("PUT", "/bucket", rule).query("lifecycle", ""))
        .await;
    let told = shop.done(put("x")).await;
    let expiration = told.header("x-amz-expiration").unwrap().to_owned();
    assert!(expiration.starts_with("expiry-date=\""), "{expiration}");
    assert!(
        expiration.ends_with(" 00:00:00 GMT\", rule-id=\"a%20b\""),
        "{expiration}"
    );
    let head = shop.done(ask("HEAD", "/bucket/k", "")).await;
    assert_eq!(head.header("x-amz-expiration"), Some(expiration.as_str()));
    let other = shop.done(ask("PUT", "/bucket/other", "x")).await;
    assert_eq!(other.header("x-amz-expiration"), None);
}

/// As a body comes over a connection: in pieces, so that nobody knows its length before it ends.
fn in_pieces(ask: &Ask) -> http::Request<s3::Body> {
    let (head, body) = ask.signed().0.into_parts();
    let bytes = body.bytes().unwrap_or_default();
    let pieces: Vec<_> = (bytes.chunks(64 * 1024))
        .map(|it| Ok::<_, std::io::Error>(Bytes::copy_from_slice(it)))
        .collect();
    let body = StreamingBlob::wrap(futures_util::stream::iter(pieces));
    http::Request::from_parts(head, s3::Body::from(body))
}

#[tokio::test]
async fn a_document_that_is_too_long_is_refused_and_an_object_is_not() {
    let shop = Shop::new().await;
    let long = " ".repeat(5 * 1024 * 1024);
    for ask in [
        ask("POST", "/bucket", &long).query("delete", ""),
        ask("PUT", "/bucket", &long).query("tagging", ""),
        ask("PUT", "/other", &long),
    ] {
        let told = shop.send(in_pieces(&ask)).await;
        told.refuses(400, "MaxMessageLengthExceeded", &[]);
    }
    let object = in_pieces(&ask("PUT", "/bucket/k", &long));
    assert_eq!(shop.send(object).await.status, 200);
}
