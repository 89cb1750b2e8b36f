//! Objects that a key of KMS encrypts: what is on the disk, who may read them, and what is told of them
//! (User Guide, "Using server-side encryption with AWS KMS keys"; headers as the API references have them).

mod ground;

use std::sync::Arc;

use cloud::{Caller, OwnerKey};
use ground::shop::{Shop, copy, get};
use ground::signing::{Ask, ask, base64};
use ground::{ACCOUNT, Ground, REGION};
use serde_json::json;
use shapes::kms::{CreateKeyInput, DisableKeyInput, EnableKeyInput, ScheduleKeyDeletionInput};

const HEADER: &str = "x-amz-server-side-encryption";
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
/// More than a frame of a content, and no multiple of one.
const LONG: usize = 200_001;

struct Keys {
    shop: Shop,
    key_id: String,
    arn: String,
}

impl Keys {
    async fn new() -> Self {
        let ground = Ground::with_keys();
        ground.bucket("bucket").await;
        let made = ground.cx().call(CreateKeyInput::default()).await.unwrap();
        let key = made.key_metadata.unwrap();
        let owner = OwnerKey::new("OWNER", "secret");
        let ann = Self::ann(&ground).await;
        let find_key = move |key: &str, token: Option<&str>| match key {
            "ANN" => Some(wire::Signer::new("anns".to_owned(), ann.clone())),
            _ => owner.find(key, token),
        };
        let door = s3::Door::new(ground.cloud.clone(), Arc::new(find_key));
        Self {
            shop: Shop { ground, door },
            key_id: key.key_id,
            arn: key.arn.unwrap(),
        }
    }

    /// A user who may do everything with S3.
    async fn ann(ground: &Ground) -> Caller {
        let input = shapes::iam::CreateUserInput {
            user_name: "ann".into(),
            ..Default::default()
        };
        let user = ground.cx().call(input).await.unwrap().user.unwrap();
        Self::ann_may(ground, &["s3:*"]).await;
        Caller::User {
            arn: user.arn,
            id: user.user_id,
            access_key: "ANN".into(),
        }
    }

    async fn ann_may(ground: &Ground, actions: &[&str]) {
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        let input = shapes::iam::PutUserPolicyInput {
            user_name: "ann".into(),
            policy_name: "own".into(),
            policy_document: document.to_string(),
        };
        ground.cx().call(input).await.unwrap();
    }

    /// Encrypted by the key.
    fn by_key(&self, ask: Ask) -> Ask {
        ask.header(HEADER, "aws:kms").header(KEY, &self.key_id)
    }

    fn put(&self, body: &str) -> Ask {
        self.by_key(ask("PUT", "/bucket/k", body))
    }

    async fn default(&self, key: &str, bucket_key: bool) {
        let document = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{bucket_key}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
        );
        let put = ask("PUT", "/bucket", &document).query("encryption", "");
        self.shop.done(put).await;
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        let objects = &self.shop.ground.sim.objects;
        let ids = objects.ids();
        ids.iter().filter_map(|it| objects.bytes(it)).collect()
    }
}

fn long() -> String {
    ('a'..='z').cycle().take(LONG).collect()
}

fn by_ann(ask: Ask) -> Ask {
    ask.by("ANN", "anns")
}

#[tokio::test]
async fn what_is_on_the_disk_is_read_by_who_may_decrypt_alone() {
    let keys = Keys::new().await;
    let (shop, body) = (&keys.shop, long());
    let context = base64(br#"{"team":"web"}"#);
    let told = shop.done(keys.put(&body).header(CONTEXT, &context)).await;
    assert_eq!(told.header(HEADER), Some("aws:kms"));
    assert_eq!(told.header(KEY), Some(keys.arn.as_str()));
    assert_eq!(told.header(CONTEXT), Some(context.as_str()));
    assert_eq!(told.header(BUCKET_KEY), None);
    // The entity tag is that of what nobody sees, and not of the body.
    let md5 = "\"4169aa74a39c335d8391affaf2256455\"";
    assert_ne!(told.header("etag"), Some(md5));
    let contents = keys.contents();
    assert_eq!(contents.len(), 1);
    let text = |it: &[u8]| it.windows(26).any(|it| it == b"abcdefghijklmnopqrstuvwxyz");
    assert!(!text(&contents[0]) && contents[0].len() > LONG);

    let read = shop.done(get("/bucket/k")).await;
    assert!(read.body == body);
    assert_eq!(read.header(HEADER), Some("aws:kms"));
    assert_eq!(read.header(KEY), Some(keys.arn.as_str()));
    assert_eq!(read.header("content-length"), Some("200001"));
    for (range, expected) in [
        ("bytes=0-0", &body[..1]),
        ("bytes=65535-65536", &body[65535..65537]),
        ("bytes=131072-", &body[131_072..]),
        ("bytes=-5", &body[LONG - 5..]),
    ] {
        let part = shop.done(get("/bucket/k").header("range", range)).await;
        assert_eq!(
            (part.status, part.body.as_str()),
            (206, expected),
            "{range}"
        );
    }
    let head = shop.done(ask("HEAD", "/bucket/k", "")).await;
    assert_eq!(head.header(KEY), Some(keys.arn.as_str()));
    let empty = keys.by_key(ask("PUT", "/bucket/empty", ""));
    shop.done(empty).await;
    assert_eq!(shop.done(get("/bucket/empty")).await.body, "");
}

#[tokio::test]
async fn who_may_use_the_bucket_and_not_the_key_reads_and_writes_nothing() {
    let keys = Keys::new().await;
    let shop = &keys.shop;
    let policies = Arc::new(iam::Policies::new(iam::Mode::Enforce));
    shop.ground.cloud.decide_by(policies);
    shop.done(keys.put("secret")).await;
    let refused = shop.tell(by_ann(get("/bucket/k"))).await;
    refused.refuses(403, "AccessDenied", &[]);
    let message = refused.element("Message").unwrap();
    let expected = format!(
        "User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: kms:Decrypt on resource: {} because no identity-based policy allows the kms:Decrypt action",
        keys.arn
    );
    assert_eq!(message, expected);
    // What is told of it needs no key.
    shop.done(by_ann(ask("HEAD", "/bucket/k", ""))).await;
    let refused = shop.tell(by_ann(keys.put("other"))).await;
    refused.refuses(403, "AccessDenied", &[]);
    let message = refused.element("Message").unwrap();
    assert!(message.contains("kms:GenerateDataKey"), "{message}");
    assert_eq!(shop.done(get("/bucket/k")).await.body, "secret");
    Keys::ann_may(&shop.ground, &["s3:*", "kms:Decrypt"]).await;
    assert_eq!(shop.done(by_ann(get("/bucket/k"))).await.body, "secret");
    // By the key that AWS manages who may use the bucket may use it.
    let managed = ask("PUT", "/bucket/m", "x").header(HEADER, "aws:kms");
    shop.done(by_ann(managed)).await;
    assert_eq!(shop.done(by_ann(get("/bucket/m"))).await.body, "x");
}

#[tokio::test]
async fn a_key_that_is_disabled_or_going_takes_its_objects_along() {
    let keys = Keys::new().await;
    let shop = &keys.shop;
    let cx = shop.ground.cx();
    shop.done(keys.put("secret")).await;
    let key_id = keys.key_id.clone();
    cx.call(DisableKeyInput {
        key_id: key_id.clone(),
    })
    .await
    .unwrap();
    for ask in [
        get("/bucket/k"),
        keys.put("x"),
        copy("/bucket/c", "bucket/k"),
    ] {
        let refused = shop.tell(ask).await;
        refused.refuses(400, "KMS.DisabledException", &[]);
        let message = refused.element("Message").unwrap();
        assert_eq!(message, format!("{} is disabled.", keys.arn));
    }
    let enable = EnableKeyInput {
        key_id: key_id.clone(),
    };
    cx.call(enable).await.unwrap();
    assert_eq!(shop.done(get("/bucket/k")).await.body, "secret");
    let schedule = ScheduleKeyDeletionInput {
        key_id,
        ..Default::default()
    };
    cx.call(schedule).await.unwrap();
    let refused = shop.tell(get("/bucket/k")).await;
    refused.refuses(400, "KMS.KMSInvalidStateException", &[]);
    let none = ask("PUT", "/bucket/k", "x").header(HEADER, "aws:kms");
    let none = none.header(KEY, "00000000-0000-4000-a000-000000000000");
    let refused = shop.tell(none).await;
    refused.refuses(400, "KMS.NotFoundException", &[]);
}

#[tokio::test]
async fn parts_and_copies_are_encrypted_as_the_whole_is() {
    let keys = Keys::new().await;
    let shop = &keys.shop;
    let begin = ask("POST", "/bucket/m", "").query("uploads", "");
    let begun = shop.done(keys.by_key(begin)).await;
    assert_eq!(begun.header(KEY), Some(keys.arn.as_str()));
    let id = begun.element("UploadId").unwrap().to_owned();
    let first: String = ('a'..='z').cycle().take(5 * 1024 * 1024 + 3).collect();
    let mut listed = String::new();
    for (number, body) in [("1", first.as_str()), ("2", "the end")] {
        let part = ask("PUT", "/bucket/m", body).query("uploadId", &id);
        let part = shop.done(part.query("partNumber", number)).await;
        assert_eq!(part.header(KEY), Some(keys.arn.as_str()));
        let etag = part.header("etag").unwrap();
        listed += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let listed = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
    let complete = ask("POST", "/bucket/m", &listed).query("uploadId", &id);
    let done = shop.done(complete).await;
    assert_eq!(done.header(HEADER), Some("aws:kms"));
    let whole = format!("{first}the end");
    assert!(shop.done(get("/bucket/m")).await.body == whole);
    let second = get("/bucket/m").query("partNumber", "2");
    assert_eq!(shop.done(second).await.body, "the end");
    let seam = format!("bytes={}-{}", first.len() - 2, first.len() + 2);
    let seam = shop.done(get("/bucket/m").header("range", &seam)).await;
    assert_eq!(seam.body, whole[first.len() - 2..first.len() + 3]);
    // A copy is encrypted as its own request and bucket say.
    let plain = shop.done(copy("/bucket/plain", "bucket/m")).await;
    assert_eq!(plain.header(HEADER), Some("AES256"));
    assert!(shop.done(get("/bucket/plain")).await.body == whole);
    let back = keys.by_key(copy("/bucket/back", "bucket/plain"));
    let back = shop.done(back).await;
    assert_eq!(back.header(KEY), Some(keys.arn.as_str()));
    assert!(shop.done(get("/bucket/back")).await.body == whole);
}

#[tokio::test]
async fn a_bucket_says_how_objects_are_encrypted_that_say_nothing() {
    let keys = Keys::new().await;
    let shop = &keys.shop;
    let named = format!("<KMSMasterKeyID>{}</KMSMasterKeyID>", keys.arn);
    keys.default(&named, true).await;
    let shown = shop.done(get("/bucket").query("encryption", "")).await;
    assert_eq!(shown.element("SSEAlgorithm"), Some("aws:kms"));
    assert_eq!(shown.element("KMSMasterKeyID"), Some(keys.arn.as_str()));
    assert_eq!(shown.element("BucketKeyEnabled"), Some("true"));
    let told = shop.done(ask("PUT", "/bucket/k", "secret")).await;
    assert_eq!(told.header(KEY), Some(keys.arn.as_str()));
    assert_eq!(told.header(BUCKET_KEY), Some("true"));
    let read = shop.done(get("/bucket/k")).await;
    assert_eq!(read.body, "secret");
    assert_eq!(read.header(BUCKET_KEY), Some("true"));
    let own = ask("PUT", "/bucket/own", "x").header(HEADER, "AES256");
    let told = shop.done(own).await;
    assert_eq!(told.header(HEADER), Some("AES256"));
    assert_eq!(told.header(KEY), None);
    // Without a key of one's own, by the one that AWS manages.
    keys.default("", false).await;
    let told = shop.done(ask("PUT", "/bucket/k", "secret")).await;
    let managed = told.header(KEY).unwrap();
    assert!(
        managed.starts_with(&format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/")),
        "{managed}"
    );
    assert_ne!(managed, keys.arn);
    shop.done(ask("DELETE", "/bucket", "").query("encryption", ""))
        .await;
    let told = shop.done(ask("PUT", "/bucket/k", "x")).await;
    assert_eq!(told.header(HEADER), Some("AES256"));
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() {
    let keys = Keys::new().await;
    let shop = &keys.shop;
    let details = [("ArgumentName", HEADER)];
    let alone = ask("PUT", "/bucket/k", "x").header(KEY, &keys.key_id);
    shop.tell(alone)
        .await
        .refuses(400, "InvalidArgument", &details);
    let other = ask("PUT", "/bucket/k", "x").header(HEADER, "rot13");
    shop.tell(other)
        .await
        .refuses(400, "InvalidArgument", &details);
    let twice = ask("PUT", "/bucket/k", "x").header(HEADER, "aws:kms:dsse");
    shop.tell(twice).await.refuses(501, "NotImplemented", &[]);
    // A sum of what arrived, and not of what is kept.
    let right = keys
        .put("123456789")
        .header("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==");
    shop.done(right).await;
    let wrong = keys
        .put("123456780")
        .header("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==");
    shop.tell(wrong).await.refuses(400, "BadDigest", &[]);
}
