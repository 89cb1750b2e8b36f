//! What other services get from S3's table.

mod ground;

use ground::Ground;
use shapes::s3::*;

#[tokio::test]
async fn an_object_is_put_got_listed_and_deleted() {
    let ground = Ground::new();
    let cx = ground.cx();
    ground.bucket("templates").await;
    for (key, body) in [
        ("a/main.yaml", "main"),
        ("a/net.yaml", "net"),
        ("b.yaml", "b"),
    ] {
        let put = ground.put("templates", key, body).await;
        assert!(put.e_tag.unwrap().starts_with('"'));
    }
    let got = cx
        .call(GetObjectInput {
            bucket: "templates".into(),
            key: "a/main.yaml".into(),
            range: Some("bytes=1-2".into()),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(got.body.unwrap().0, b"ai");
    assert_eq!(got.content_range.as_deref(), Some("bytes 1-2/4"));
    let listed = cx
        .call(ListObjectsV2Input {
            bucket: "templates".into(),
            delimiter: Some("/".into()),
            ..Default::default()
        })
        .await
        .unwrap();
    let keys: Vec<_> = listed
        .contents
        .unwrap()
        .into_iter()
        .filter_map(|it| it.key)
        .collect();
    let prefixes = listed.common_prefixes.unwrap();
    assert_eq!(keys, ["b.yaml"]);
    assert_eq!(prefixes[0].prefix.as_deref(), Some("a/"));
    let full = ground.delete_bucket("templates").await.unwrap_err();
    assert_eq!((full.code, full.status), ("BucketNotEmpty", 409));
    for key in ["a/main.yaml", "a/net.yaml", "b.yaml", "never.yaml"] {
        ground.delete("templates", key).await;
    }
    ground.delete_bucket("templates").await.unwrap();
    let gone = ground.get("templates", "b.yaml").await.unwrap_err();
    assert_eq!(gone.code, "NoSuchBucket");
}

#[tokio::test]
async fn contents_go_when_nothing_needs_them() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    ground.put("bucket", "key", "one").await;
    ground.put("bucket", "key", "two").await;
    ground.put("bucket", "other", "three").await;
    ground.contents(2).await;
    ground.delete("bucket", "key").await;
    ground.contents(1).await;
    assert_eq!(ground.get("bucket", "other").await.unwrap(), "three");
    assert_eq!(
        ground.get("bucket", "key").await.unwrap_err().code,
        "NoSuchKey"
    );
}

/// The daemon dies after a content is on disk and before its record is, or the other way round.
#[tokio::test]
async fn what_a_crash_left_is_settled_or_removed() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    ground.put("bucket", "key", "known").await;
    ground.unrecorded("unknown").await;
    assert_eq!(ground.sim.objects.ids().len(), 2);
    let ground = ground.restarted().await;
    ground.contents(1).await;
    assert_eq!(ground.get("bucket", "key").await.unwrap(), "known");
}

#[tokio::test]
async fn the_owner_of_a_bucket_cannot_make_it_again_elsewhere() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    let again = ground.create("bucket").await.unwrap_err();
    assert_eq!((again.code, again.status), ("BucketAlreadyOwnedByYou", 409));
    let bad = ground.create("Not_A_Name").await.unwrap_err();
    assert_eq!(bad.code, "InvalidBucketName");
    let other_region = ground.cx().in_region("eu-west-2");
    let elsewhere = other_region.call(CreateBucketInput {
        bucket: "other".into(),
        ..Default::default()
    });
    assert_eq!(
        elsewhere.await.unwrap_err().code,
        "IllegalLocationConstraintException"
    );
}

#[tokio::test]
async fn conditions_of_writes_hold() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    let put = |if_match: Option<String>, if_none_match: Option<&str>| PutObjectInput {
        bucket: "bucket".into(),
        key: "key".into(),
        body: Some(wire::Blob(b"x".to_vec())),
        if_match,
        if_none_match: if_none_match.map(str::to_owned),
        ..Default::default()
    };
    let cx = ground.cx();
    let absent = cx.call(put(Some("\"0\"".into()), None)).await.unwrap_err();
    assert_eq!(absent.code, "NoSuchKey");
    let first = cx.call(put(None, Some("*"))).await.unwrap();
    let second = cx.call(put(None, Some("*"))).await.unwrap_err();
    assert_eq!((second.code, second.status), ("PreconditionFailed", 412));
    cx.call(put(first.e_tag, None)).await.unwrap();
    let other = cx
        .call(put(Some("\"other\"".into()), None))
        .await
        .unwrap_err();
    assert_eq!(other.code, "PreconditionFailed");
    ground.contents(1).await;
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    let wrong = |md5: Option<&str>, crc32: Option<&str>| PutObjectInput {
        bucket: "bucket".into(),
        key: "key".into(),
        body: Some(wire::Blob(b"x".to_vec())),
        content_md5: md5.map(str::to_owned),
        checksum_crc32: crc32.map(str::to_owned),
        ..Default::default()
    };
    let cx = ground.cx();
    for (input, code) in [
        (wrong(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), None), "BadDigest"),
        (wrong(Some("nonsense"), None), "InvalidDigest"),
        (wrong(None, Some("AAAAAA==")), "BadDigest"),
    ] {
        assert_eq!(cx.call(input).await.unwrap_err().code, code);
    }
    ground.contents(0).await;
    assert_eq!(
        ground.get("bucket", "key").await.unwrap_err().code,
        "NoSuchKey"
    );
}

#[tokio::test]
async fn what_is_not_built_is_refused_by_name() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    let cx = ground.cx();
    let base = || PutObjectInput {
        bucket: "bucket".into(),
        key: "key".into(),
        ..Default::default()
    };
    let kms = PutObjectInput {
        server_side_encryption: Some(ServerSideEncryption::AwsKmsDsse),
        ..base()
    };
    let glacier = PutObjectInput {
        storage_class: Some(StorageClass::Glacier),
        ..base()
    };
    for (input, name) in [(kms, "aws:kms:dsse"), (glacier, "GLACIER")] {
        let error = cx.call(input).await.unwrap_err();
        assert_eq!(error.status, 501);
        assert!(error.message.contains(name), "{error}");
    }
}
