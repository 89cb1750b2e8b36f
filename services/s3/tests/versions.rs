//! Versions and delete markers.

mod ground;

use ground::Ground;
use shapes::s3::BucketVersioningStatus::{Enabled, Suspended};

#[tokio::test]
async fn versions_are_kept_hidden_and_brought_back() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    ground.put("bucket", "key", "before").await;
    ground.versioning("bucket", Enabled).await;
    let one = ground.put("bucket", "key", "one").await.version_id.unwrap();
    let two = ground.put("bucket", "key", "two").await.version_id.unwrap();
    let read = async |version: &str| ground.get_version("bucket", "key", Some(version)).await;
    assert_eq!(read("null").await.unwrap(), "before");
    assert_eq!(read(&one).await.unwrap(), "one");
    assert_eq!(read(&two).await.unwrap(), "two");
    assert_eq!(ground.get("bucket", "key").await.unwrap(), "two");

    let marker = ground.delete("bucket", "key").await;
    assert_eq!(marker.delete_marker, Some(true));
    let marker = marker.version_id.unwrap();
    assert_eq!(
        ground.get("bucket", "key").await.unwrap_err().code,
        "NoSuchKey"
    );
    assert_eq!(read(&marker).await.unwrap_err().status, 405);
    assert_eq!(read(&two).await.unwrap(), "two");
    assert_eq!(
        ground.delete_bucket("bucket").await.unwrap_err().code,
        "BucketNotEmpty"
    );

    // Without the marker, what it hid is current again.
    let gone = ground.delete_version("bucket", "key", Some(&marker)).await;
    assert_eq!(gone.delete_marker, Some(true));
    assert_eq!(ground.get("bucket", "key").await.unwrap(), "two");
    ground.delete_version("bucket", "key", Some(&two)).await;
    assert_eq!(ground.get("bucket", "key").await.unwrap(), "one");
    assert_eq!(read(&two).await.unwrap_err().code, "NoSuchVersion");
    assert_eq!(read("nonsense").await.unwrap_err().code, "InvalidArgument");
    for version in [&one, "null"] {
        ground.delete_version("bucket", "key", Some(version)).await;
    }
    ground.contents(0).await;
    ground.delete_bucket("bucket").await.unwrap();
}

#[tokio::test]
async fn a_suspended_bucket_has_one_null_version() {
    let ground = Ground::new();
    ground.bucket("bucket").await;
    ground.put("bucket", "key", "null 1").await;
    ground.versioning("bucket", Enabled).await;
    let kept = ground
        .put("bucket", "key", "kept")
        .await
        .version_id
        .unwrap();
    ground.versioning("bucket", Suspended).await;
    // Takes the place of the first null version, and the named one stays.
    assert_eq!(ground.put("bucket", "key", "null 2").await.version_id, None);
    assert_eq!(ground.put("bucket", "key", "null 3").await.version_id, None);
    ground.contents(2).await;
    let read = async |version: &str| ground.get_version("bucket", "key", Some(version)).await;
    assert_eq!(read("null").await.unwrap(), "null 3");
    assert_eq!(read(&kept).await.unwrap(), "kept");
    // A deletion leaves a null marker in place of the null version.
    let marker = ground.delete("bucket", "key").await;
    assert_eq!(marker.version_id.as_deref(), Some("null"));
    ground.contents(1).await;
    assert_eq!(
        ground.get("bucket", "key").await.unwrap_err().code,
        "NoSuchKey"
    );
    ground.delete_version("bucket", "key", Some("null")).await;
    assert_eq!(ground.get("bucket", "key").await.unwrap(), "kept");
}
