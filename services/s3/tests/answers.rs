//! What S3 answers, to the detail: status, elements of the documents that refuse, and heads
//! (API reference, "Error Responses"; answers recorded of AWS).

mod ground;

use ground::REGION;
use ground::shop::{Shop, complete, copy, get};
use ground::signing::{Ask, ask};

#[tokio::test]
async fn a_refusal_says_about_what() {
    let shop = Shop::new().await;
    shop.done(ask("PUT", "/bucket/k", "x")).await;
    let bucket = [("BucketName", "bucket")];
    let upload = ("uploadId", "dummy");
    for (ask, status, code, details) in [
        (
            get("/nothing"),
            404,
            "NoSuchBucket",
            &[("BucketName", "nothing")][..],
        ),
        (
            get("/bucket").query("cors", ""),
            404,
            "NoSuchCORSConfiguration",
            &bucket,
        ),
        (
            get("/bucket").query("tagging", ""),
            404,
            "NoSuchTagSet",
            &bucket,
        ),
        (
            get("/bucket").query("policy", ""),
            404,
            "NoSuchBucketPolicy",
            &bucket,
        ),
        (
            get("/bucket").query("website", ""),
            404,
            "NoSuchWebsiteConfiguration",
            &bucket,
        ),
        (
            get("/bucket").query("lifecycle", ""),
            404,
            "NoSuchLifecycleConfiguration",
            &bucket,
        ),
        (ask("DELETE", "/bucket", ""), 409, "BucketNotEmpty", &bucket),
        (
            ask("PUT", "/b1", ""),
            400,
            "InvalidBucketName",
            &[("BucketName", "b1")],
        ),
        (
            get("/bucket/no&pe"),
            404,
            "NoSuchKey",
            &[("Key", "no&amp;pe")],
        ),
        (
            get("/bucket/k").header("if-match", "\"0\""),
            412,
            "PreconditionFailed",
            &[("Condition", "If-Match")],
        ),
        (
            ask("PUT", "/bucket/k", "y").header("if-none-match", "*"),
            412,
            "PreconditionFailed",
            &[("Condition", "If-None-Match")],
        ),
        (
            ask("DELETE", "/bucket/k", "").query(upload.0, upload.1),
            404,
            "NoSuchUpload",
            &[("UploadId", "dummy")],
        ),
        (
            get("/bucket/k").header("range", "bytes=5-9"),
            416,
            "InvalidRange",
            &[("ActualObjectSize", "1"), ("RangeRequested", "bytes=5-9")],
        ),
        (
            get("/bucket").query("encoding-type", "odd"),
            400,
            "InvalidArgument",
            &[("ArgumentName", "encoding-type"), ("ArgumentValue", "odd")],
        ),
        (
            get("/bucket/k").header("x-amz-expected-bucket-owner", "abcd"),
            400,
            "InvalidBucketOwnerAWSAccountID",
            &[],
        ),
        (
            ask("PUT", "/other", "").header("x-amz-object-ownership", "Odd"),
            400,
            "InvalidArgument",
            &[
                ("ArgumentName", "x-amz-object-ownership"),
                ("ArgumentValue", "Odd"),
            ],
        ),
    ] {
        shop.tell(ask).await.refuses(status, code, details);
    }
    let regional = ask("PUT", "/other", "").header("x-amz-bucket-namespace", "account-regional");
    shop.tell(regional)
        .await
        .refuses(501, "NotImplemented", &[]);
    let mut forged = get("/bucket");
    forged.secret = "another";
    let told = shop.tell(forged).await;
    told.refuses(403, "SignatureDoesNotMatch", &[("AWSAccessKeyId", "OWNER")]);
    // What was signed is shown, as it is and byte for byte.
    let text = told.element("StringToSign").unwrap();
    assert!(text.starts_with("AWS4-HMAC-SHA256&#10;"), "{text}");
    let bytes = told.element("StringToSignBytes").unwrap();
    assert!(bytes.starts_with("41 57 53 34 2d 48 4d"), "{bytes}");
    let canonical = told.element("CanonicalRequest").unwrap();
    assert!(
        canonical.starts_with("GET&#10;/bucket&#10;&#10;host:"),
        "{canonical}"
    );
    assert_eq!(told.element("SignatureProvided").unwrap().len(), 64);
    assert!(told.element("CanonicalRequestBytes").is_some());
    let stranger = get("/bucket").by("STRANGER", "secret");
    let details = [("AWSAccessKeyId", "STRANGER")];
    shop.tell(stranger)
        .await
        .refuses(403, "InvalidAccessKeyId", &details);
    let mut late = get("/bucket/k");
    late.time = "20200101T000000Z".into();
    let details = [
        ("Message", "Request has expired"),
        ("X-Amz-Expires", "60"),
        ("Expires", "2020-01-01T00:01:00Z"),
    ];
    shop.send(late.presigned("60"))
        .await
        .refuses(403, "AccessDenied", &details);
    assert_eq!(shop.ground.get("bucket", "k").await.unwrap(), "x");
}

#[tokio::test]
async fn every_answer_is_s3s() {
    let shop = Shop::new().await;
    let put = shop.done(ask("PUT", "/bucket/k", "x")).await;
    for told in [
        put,
        shop.done(get("/bucket/k")).await,
        shop.done(ask("HEAD", "/bucket/k", "")).await,
    ] {
        assert_eq!(told.header("server"), Some("AmazonS3"));
        assert_eq!(told.header("x-amz-server-side-encryption"), Some("AES256"));
        assert!(told.header("x-amz-id-2").is_some());
    }
    let listed = shop.done(get("/bucket").query("list-type", "2")).await;
    let time = listed.element("LastModified").unwrap();
    assert!(time.ends_with(".000Z"), "{time}");
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let tagged = shop
        .done(ask("PUT", "/bucket", tags).query("tagging", ""))
        .await;
    assert_eq!(tagged.status, 204);
}

#[tokio::test]
async fn a_head_of_a_part_is_partial() {
    let shop = Shop::new().await;
    shop.done(ask("PUT", "/bucket/k", "abc")).await;
    let head = || ask("HEAD", "/bucket/k", "");
    for (ask, status, range) in [
        (head(), 200, None),
        (
            head().header("range", "bytes=0-9"),
            206,
            Some("bytes 0-2/3"),
        ),
        (head().header("range", "bytes=-1"), 206, Some("bytes 2-2/3")),
        (head().query("partNumber", "1"), 206, Some("bytes 0-2/3")),
        (head().query("partNumber", "2"), 416, None),
        // What is no range is none.
        (head().header("range", "bytes=1-0"), 200, None),
        (get("/bucket/k").header("range", "bytes=1-0"), 200, None),
        (get("/bucket/k").header("range", "bytes=0-0,2-2"), 200, None),
    ] {
        let told = shop.tell(ask).await;
        assert_eq!((told.status, told.header("content-range")), (status, range));
    }
}

#[tokio::test]
async fn conditions_of_a_presigned_query_bind() {
    let shop = Shop::new().await;
    let once = || {
        ask("PUT", "/bucket/k", "x")
            .query("If-None-Match", "*")
            .presigned("60")
    };
    assert_eq!(shop.send(once()).await.status, 200);
    shop.send(once())
        .await
        .refuses(412, "PreconditionFailed", &[]);
    let same = ask("PUT", "/bucket/k", "y")
        .query("If-Match", "0123")
        .presigned("60");
    shop.send(same)
        .await
        .refuses(412, "PreconditionFailed", &[]);
    assert_eq!(shop.ground.get("bucket", "k").await.unwrap(), "x");
}

#[tokio::test]
async fn a_copy_heeds_its_destination_and_says_its_versions() {
    let shop = Shop::new().await;
    shop.done(ask("PUT", "/bucket/a b", "x")).await;
    // Some clients write a space as forms do.
    shop.done(copy("/bucket/c", "bucket/a+b")).await;
    let again = copy("/bucket/c", "bucket/a%20b").header("if-none-match", "*");
    shop.tell(again)
        .await
        .refuses(412, "PreconditionFailed", &[]);
    let other = copy("/bucket/c", "bucket/a%20b").header("if-match", "\"0\"");
    shop.tell(other)
        .await
        .refuses(412, "PreconditionFailed", &[]);
    let future = "Fri, 01 Jan 2100 00:00:00 GMT";
    let since = "x-amz-copy-source-if-modified-since";
    shop.done(copy("/bucket/d", "bucket/c").header(since, future))
        .await;

    let itself = || copy("/bucket/c", "bucket/c");
    shop.tell(itself())
        .await
        .refuses(400, "InvalidRequest", &[]);
    shop.done(itself().header("x-amz-storage-class", "STANDARD"))
        .await;
    let unmet = itself().header("x-amz-copy-source-if-match", "\"0\"");
    shop.tell(unmet)
        .await
        .refuses(412, "PreconditionFailed", &[]);

    let state = |it: &str| {
        format!("<VersioningConfiguration><Status>{it}</Status></VersioningConfiguration>")
    };
    let suspended = ask("PUT", "/bucket", &state("Suspended")).query("versioning", "");
    shop.done(suspended).await;
    let head = shop.done(ask("HEAD", "/bucket/c", "")).await;
    assert_eq!(head.header("x-amz-version-id"), Some("null"));
    let copied = shop.done(copy("/bucket/e", "bucket/c")).await;
    assert_eq!(copied.header("x-amz-version-id"), Some("null"));
    let put = shop.done(ask("PUT", "/bucket/f", "1")).await;
    assert_eq!(put.header("x-amz-version-id"), None);

    shop.done(ask("PUT", "/bucket", &state("Enabled")).query("versioning", ""))
        .await;
    let put = shop.done(ask("PUT", "/bucket/g", "1")).await;
    let version = put.header("x-amz-version-id").unwrap();
    let copied = shop.done(copy("/bucket/h", "bucket/g")).await;
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(version));
    let marker = shop.done(ask("DELETE", "/bucket/g", "")).await;
    let marker = marker.header("x-amz-version-id").unwrap();
    let of_marker = copy("/bucket/i", &format!("bucket/g?versionId={marker}"));
    shop.tell(of_marker)
        .await
        .refuses(400, "InvalidRequest", &[]);
    let unknown = get("/bucket/h").query("versionId", &"0".repeat(32));
    let zeros = "0".repeat(32);
    let details = [("Key", "h"), ("VersionId", zeros.as_str())];
    shop.tell(unknown)
        .await
        .refuses(404, "NoSuchVersion", &details);
}

#[tokio::test]
async fn a_completion_is_checked_and_may_be_repeated() {
    let shop = Shop::new().await;
    let (upload, etag) = shop.upload().await;
    let large = ask("PUT", "/bucket/m", "x")
        .query("uploadId", &upload)
        .query("partNumber", "10001");
    let details = [("ArgumentName", "partNumber"), ("ArgumentValue", "10001")];
    shop.tell(large)
        .await
        .refuses(400, "InvalidArgument", &details);
    let none = ask(
        "POST",
        "/bucket/m",
        "<CompleteMultipartUpload></CompleteMultipartUpload>",
    );
    shop.tell(none.query("uploadId", &upload))
        .await
        .refuses(400, "MalformedXML", &[]);
    let size = complete(&upload, &etag).header("x-amz-mp-object-size", "10");
    shop.tell(size).await.refuses(400, "InvalidRequest", &[]);
    let wrong = complete(&upload, "\"0\"");
    shop.tell(wrong)
        .await
        .refuses(400, "InvalidPart", &[("PartNumber", "1")]);
    let source = "bytes=0-100";
    shop.done(ask("PUT", "/bucket/s", "0123456789")).await;
    let beyond = copy("/bucket/m", "bucket/s")
        .query("uploadId", &upload)
        .query("partNumber", "2");
    let beyond = beyond.header("x-amz-copy-source-range", source);
    shop.tell(beyond).await.refuses(400, "InvalidArgument", &[]);

    let first = shop.done(complete(&upload, &etag)).await;
    let again = shop.done(complete(&upload, &etag)).await;
    assert_eq!(first.element("ETag"), again.element("ETag"));
    // The condition was met when it was completed.
    shop.done(complete(&upload, &etag).header("if-none-match", "*"))
        .await;
    shop.done(ask("PUT", "/bucket/m", "other")).await;
    shop.tell(complete(&upload, &etag))
        .await
        .refuses(404, "NoSuchUpload", &[]);
}

#[tokio::test]
async fn a_composite_completion_names_every_checksum() {
    let shop = Shop::new().await;
    let begin = ask("POST", "/bucket/m", "").query("uploads", "");
    let begun = shop
        .done(begin.header("x-amz-checksum-algorithm", "SHA256"))
        .await;
    let id = begun.element("UploadId").unwrap();
    let part = ask("PUT", "/bucket/m", "x")
        .query("uploadId", id)
        .query("partNumber", "1");
    let part = shop.done(part).await;
    let told = shop.tell(complete(id, part.header("etag").unwrap())).await;
    told.refuses(400, "InvalidRequest", &[]);
    assert!(
        told.element("Message")
            .unwrap()
            .ends_with("It was missing for part 1 in the request.")
    );
}

#[tokio::test]
async fn a_region_is_named_as_s3_names_it() {
    let shop = Shop::new().await;
    let make = |bucket: &str, place: &str| {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>{place}</LocationConstraint></CreateBucketConfiguration>"
        );
        ask("PUT", bucket, &body)
    };
    assert_eq!(REGION, "eu-west-1");
    for place in ["us-east-1", "foo", "aws-global", "eu-east-1"] {
        let details = [("LocationConstraint", place)];
        let told = shop.tell(make("/odd", place)).await;
        told.refuses(400, "InvalidLocationConstraint", &details);
    }
    shop.done(make("/old", "EU")).await;
    let told = shop.done(get("/old").query("location", "")).await;
    assert!(
        told.body.ends_with(">EU</LocationConstraint>"),
        "{}",
        told.body
    );
    let told = shop
        .tell(get("/").query("bucket-region", "eu-east-1"))
        .await;
    told.refuses(400, "InvalidArgument", &[]);
}

#[tokio::test]
async fn a_marker_within_a_prefix_passes_all_of_it() {
    let shop = Shop::new().await;
    for key in ["a/b/1", "a/b/2", "a/c"] {
        shop.done(ask("PUT", &format!("/bucket/{key}"), "")).await;
    }
    let list = |path: Ask| path.query("delimiter", "/").query("prefix", "a/");
    let told = shop
        .done(list(get("/bucket")).query("marker", "a/b/1"))
        .await;
    assert!(!told.body.contains("<CommonPrefixes>"), "{}", told.body);
    assert_eq!(told.element("Key"), Some("a/c"));
    let versions = list(get("/bucket").query("versions", "")).query("key-marker", "a/b/1");
    let told = shop.done(versions).await;
    assert!(!told.body.contains("<CommonPrefixes>"), "{}", told.body);
}

#[tokio::test]
async fn a_lifecycle_says_from_which_size_on() {
    let shop = Shop::new().await;
    let rule = |inside: &str| {
        let text = format!(
            "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status>{inside}</Rule></LifecycleConfiguration>"
        );
        ask("PUT", "/bucket", &text).query("lifecycle", "")
    };
    let size = "x-amz-transition-default-minimum-object-size";
    let days = "<Filter></Filter><Expiration><Days>1</Days></Expiration>";
    let put = shop.done(rule(days)).await;
    assert_eq!(put.header(size), Some("all_storage_classes_128K"));
    shop.done(rule(days).header(size, "varies_by_storage_class"))
        .await;
    let told = shop.done(get("/bucket").query("lifecycle", "")).await;
    assert_eq!(told.header(size), Some("varies_by_storage_class"));
    let odd = rule(days).header(size, "value");
    shop.tell(odd).await.refuses(400, "InvalidRequest", &[]);
    let nowhere = rule("<Expiration><Days>1</Days></Expiration>");
    shop.tell(nowhere).await.refuses(400, "MalformedXML", &[]);
    let kept = "<Filter></Filter><Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>";
    shop.done(rule(kept)).await;
    let told = shop.done(get("/bucket").query("lifecycle", "")).await;
    assert_eq!(told.element("ExpiredObjectDeleteMarker"), Some("false"));
}

/// What XML cannot say: every answer is a document that a parser reads, whatever is asked for and whatever keys
/// there are.
#[tokio::test]
async fn an_answer_is_xml_whatever_it_repeats() {
    let shop = Shop::new().await;
    let hostile: String = ('\0'..'\u{20}')
        .chain("<&>\"\u{fffe}\u{ffff}\u{7f}]]>".chars())
        .collect();
    let key = &hostile[1..];
    let path = format!("/bucket/{key}");
    shop.done(ask("PUT", &path, "x")).await;
    let upload = ask("POST", &path, "").query("uploads", "");
    let begun = shop.done(upload).await;
    let id = begun.element("UploadId").unwrap().to_owned();
    let list = |query: &[(&str, &str)]| {
        let query = query.iter();
        query.fold(get("/bucket"), |ask, (name, value)| ask.query(name, value))
    };
    let all = [
        get("/").query("prefix", key),
        get("/")
            .query("prefix", "b")
            .query("continuation-token", key),
        list(&[("prefix", key)]),
        list(&[("delimiter", "\u{3}")]),
        list(&[("delimiter", key), ("marker", "\u{1}")]),
        list(&[
            ("list-type", "2"),
            ("delimiter", "\r"),
            ("start-after", "\u{1}"),
        ]),
        list(&[("list-type", "2"), ("continuation-token", key)]),
        list(&[("list-type", "2"), ("encoding-type", key)]),
        list(&[("versions", ""), ("prefix", key), ("delimiter", "\u{7}")]),
        list(&[
            ("versions", ""),
            ("key-marker", key),
            ("version-id-marker", key),
        ]),
        list(&[("versions", ""), ("key-marker", "\u{1}")]),
        list(&[("uploads", ""), ("prefix", key), ("delimiter", key)]),
        list(&[("uploads", ""), ("key-marker", "\u{1}\u{2}")]),
        list(&[
            ("uploads", ""),
            ("key-marker", key),
            ("upload-id-marker", key),
        ]),
        list(&[(key, "")]),
        get(&path).query("uploadId", &id),
        get(&path).query("uploadId", key),
        get(&path).query("versionId", key),
        get(&path).query("tagging", ""),
        get(&path).query("acl", ""),
        get(&format!("{path}none")),
        ask("PUT", "/bucket", &format!("<Tagging>{}</Tagging>", key)).query("tagging", ""),
        ask("DELETE", &path, "").query("versionId", key),
        copy("/bucket/copied", "bucket/none%01"),
    ];
    for asked in all {
        let query = format!("{} {:?}", asked.method, asked.query);
        let told = shop.tell(asked).await;
        let body = told.body.clone();
        if told.status == 204 {
            continue;
        }
        assert!(body.starts_with("<?xml"), "{query}: {body:?}");
        let wrong = body.chars().find(|it| *it == '\r' || !wire::is_xml(*it));
        assert_eq!(wrong, None, "{query}: {body:?}");
    }
    // Whoever has such keys asks for them as in addresses.
    let coded = shop.done(list(&[("encoding-type", "url")])).await;
    assert!(coded.body.contains("%01%02%03"), "{}", coded.body);
}
