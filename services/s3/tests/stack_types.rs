//! The types that S3 lends to CloudFormation.

mod ground;

use cloud::{ResourceError, ResourceRequest};
use ground::Ground;
use serde_json::{Value as Json, json};
use shapes::s3::*;

fn request(logical_id: &str, properties: Json) -> ResourceRequest {
    ResourceRequest {
        update_policy: Json::Null,
        made: Default::default(),
        stack_name: "Site".into(),
        stack_id: "arn:aws:cloudformation:eu-west-1:123456789012:stack/Site/1".into(),
        logical_id: logical_id.into(),
        token: format!("token-{logical_id}"),
        properties,
        tags: [(
            "aws:cloudformation:stack-name".to_owned(),
            "Site".to_owned(),
        )]
        .into(),
    }
}

async fn make(ground: &Ground, kind: &str, properties: Json) -> Result<String, ResourceError> {
    let kind = ground.cloud.resource_type(kind).unwrap();
    let made = kind
        .create(&ground.cx(), &request("Thing", properties))
        .await?;
    Ok(made.physical_id)
}

#[tokio::test]
async fn a_bucket_is_made_changed_and_deleted() {
    let ground = Ground::new();
    let kind = ground.cloud.resource_type("AWS::S3::Bucket").unwrap();
    let cx = ground.cx();
    let first = json!({"VersioningConfiguration": {"Status": "Enabled"}});
    let name = make(&ground, "AWS::S3::Bucket", first.clone())
        .await
        .unwrap();
    assert!(name.starts_with("site-thing-"), "{name}");
    // The same again is the same bucket.
    assert_eq!(
        make(&ground, "AWS::S3::Bucket", first.clone())
            .await
            .unwrap(),
        name
    );
    let versioning = async || {
        let input = GetBucketVersioningInput {
            bucket: name.clone(),
        };
        ground.cx().call(input).await.unwrap().status
    };
    assert_eq!(versioning().await, Some(BucketVersioningStatus::Enabled));
    kind.update(&cx, &name, &first, &request("Thing", json!({})))
        .await
        .unwrap();
    assert_eq!(versioning().await, Some(BucketVersioningStatus::Suspended));
    let attribute = async |attribute: &str| {
        let value = kind
            .attribute(&ground.cx(), &name, attribute)
            .await
            .unwrap();
        value.as_str().unwrap().to_owned()
    };
    assert_eq!(attribute("Arn").await, format!("arn:aws:s3:::{name}"));
    assert_eq!(
        attribute("RegionalDomainName").await,
        format!("{name}.s3.eu-west-1.amazonaws.com")
    );
    assert_eq!(
        attribute("WebsiteURL").await,
        format!("http://{name}.s3-website.eu-west-1.localhost:4566")
    );
    ground.put(&name, "key", "body").await;
    let full = kind.delete(&cx, &name, &json!({})).await.unwrap_err();
    assert!(full.message.contains("not empty") && !full.retry, "{full}");
    ground.delete_version(&name, "key", Some("null")).await;
    kind.delete(&cx, &name, &json!({})).await.unwrap();
    kind.delete(&cx, &name, &json!({})).await.unwrap();
}

#[tokio::test]
async fn what_a_template_asks_for_in_vain_is_refused() {
    let ground = Ground::new();
    for (properties, why) in [
        (
            json!({"BucketEncryption": {"ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]}}),
            "aws:kms:dsse",
        ),
        (
            json!({"AccessControl": "PublicReadWrite"}),
            "PublicReadWrite",
        ),
        // As on AWS since April 2023.
        (
            json!({"AccessControl": "PublicRead"}),
            "does not allow ACLs",
        ),
        (
            json!({"WebsiteConfiguration": {"ErrorDocument": "e.html"}}),
            "IndexDocument",
        ),
        (json!({"BucketName": "Not_A_Name"}), "InvalidBucketName"),
    ] {
        let error = make(&ground, "AWS::S3::Bucket", properties)
            .await
            .unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
    ground.bucket("mine").await;
    let error = make(&ground, "AWS::S3::Bucket", json!({"BucketName": "mine"})).await;
    assert!(
        error
            .unwrap_err()
            .message
            .contains("BucketAlreadyOwnedByYou")
    );
}

#[tokio::test]
async fn a_policy_is_put_and_taken_away() {
    let ground = Ground::new();
    let open = json!({"PublicAccessBlockConfiguration": {"BlockPublicPolicy": false}});
    let bucket = make(&ground, "AWS::S3::Bucket", open).await.unwrap();
    let policy = |action: &str| {
        json!({"Bucket": bucket, "PolicyDocument": {"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": "*", "Action": action,
            "Resource": format!("arn:aws:s3:::{bucket}/*")}}})
    };
    let kind = "AWS::S3::BucketPolicy";
    assert_eq!(
        make(&ground, kind, policy("s3:GetObject")).await.unwrap(),
        bucket
    );
    make(&ground, kind, policy("s3:GetObject")).await.unwrap();
    let taken = make(&ground, kind, policy("s3:PutObject"))
        .await
        .unwrap_err();
    assert!(taken.message.contains("already exists"), "{taken}");
    let read = async || {
        let input = GetBucketPolicyInput {
            bucket: bucket.clone(),
        };
        ground.cx().call(input).await
    };
    assert!(
        read()
            .await
            .unwrap()
            .policy
            .unwrap()
            .contains("s3:GetObject")
    );
    let kind = ground.cloud.resource_type(kind).unwrap();
    kind.delete(&ground.cx(), &bucket, &json!({}))
        .await
        .unwrap();
    assert_eq!(read().await.unwrap_err().code, "NoSuchBucketPolicy");
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Days go by as fast as nothing is left to do in them.
#[tokio::test(start_paused = true)]
async fn what_a_lifecycle_says_is_deleted_is() {
    let ground = Ground::in_the_morning();
    let rules = json!({
        "BucketName": "aging",
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {"Rules": [
            {"Status": "Enabled", "Prefix": "tmp/", "ExpirationInDays": "1"},
            {"Status": "Disabled", "ExpirationInDays": 1},
            {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 2}}
        ]}
    });
    make(&ground, "AWS::S3::Bucket", rules).await.unwrap();
    let first = ground.put("aging", "kept", "one").await.version_id.unwrap();
    ground.put("aging", "kept", "two").await;
    ground.put("aging", "tmp/a", "a").await;
    let mut day = 0;
    let mut wait = async |days: u32| {
        day += days;
        tokio::time::sleep(DAY * days).await;
        // The reconciler has had its turn when an hour more has gone by.
        tokio::time::sleep(DAY / 12).await;
    };
    let read = async |key: &str, version: Option<&str>| {
        ground
            .get_version("aging", key, version)
            .await
            .map_err(|it| it.code)
    };
    assert_eq!(read("tmp/a", None).await.as_deref(), Ok("a"));
    wait(2).await;
    assert_eq!(read("tmp/a", None).await, Err("NoSuchKey"));
    assert_eq!(read("kept", None).await.as_deref(), Ok("two"));
    assert_eq!(read("kept", Some(&first)).await.as_deref(), Ok("one"));
    wait(2).await;
    assert_eq!(read("kept", Some(&first)).await, Err("NoSuchVersion"));
    assert_eq!(read("kept", None).await.as_deref(), Ok("two"));
    // The marker over `tmp/a` hid a version that is gone by now, and goes itself.
    wait(3).await;
    assert_eq!(ground.sim.objects.ids().len(), 1);
}

/// Lets roles make buckets, and do nothing else.
struct OnlyBuckets;

impl cloud::Authority for OnlyBuckets {
    fn check(
        &self,
        _cx: &cloud::Cx,
        _service: &str,
        needs: &cloud::Needs,
    ) -> Result<(), cloud::Error> {
        match needs.all.iter().find(|it| it.action != "s3:CreateBucket") {
            None => Ok(()),
            Some(other) => {
                let action = other.action.trim_start_matches("s3:");
                Err(wire::codes::AccessDenied.because(format!("no {action}")))
            }
        }
    }
}

#[tokio::test]
async fn a_stack_may_do_what_its_role_may() {
    let ground = Ground::new();
    ground.cloud.decide_by(std::sync::Arc::new(OnlyBuckets));
    let cx = ground.cx().acting_as(cloud::Caller::AssumedRole {
        role_arn: "arn:aws:iam::123456789012:role/stack".into(),
        role_id: None,
        session_name: "s".into(),
        access_key: String::new(),
    });
    let buckets = ground.cloud.resource_type("AWS::S3::Bucket").unwrap();
    let public = json!({"BucketName": "shop-public", "PublicAccessBlockConfiguration": {}});
    let refused = buckets.create(&cx, &request("Public", public)).await;
    let refused = refused.unwrap_err();
    assert!(
        refused.message.contains("no PutBucketPublicAccessBlock"),
        "{refused}"
    );
    let plain = json!({"BucketName": "shop-plain"});
    buckets
        .create(&cx, &request("Plain", plain.clone()))
        .await
        .unwrap();
    let policies = ground.cloud.resource_type("AWS::S3::BucketPolicy").unwrap();
    let policy = json!({"Bucket": "shop-plain", "PolicyDocument": {"Statement": []}});
    let refused = policies.create(&cx, &request("Policy", policy)).await;
    assert!(refused.unwrap_err().message.contains("no PutBucketPolicy"));
    let refused = buckets.delete(&cx, "shop-plain", &plain).await;
    assert!(refused.unwrap_err().message.contains("no DeleteBucket"));
}
