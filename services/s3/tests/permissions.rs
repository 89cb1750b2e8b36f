//! Who may do what: everybody, users, and the owner. What is decided on is what is done.

mod ground;

use std::sync::{Arc, Mutex};

use cloud::{Caller, Cx, Error, Needs, OwnerKey};
use ground::Ground;
use ground::signing::{Ask, HOST, answer, ask};
use serde_json::{Value as Json, json};
use shapes::s3::*;

/// Refuses actions by name, and remembers what it was asked.
#[derive(Default)]
struct Refusing {
    actions: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<Needs>>,
}

impl cloud::Authority for Refusing {
    fn check(&self, _cx: &Cx, _service: &str, needs: &Needs) -> Result<(), Error> {
        self.asked.lock().unwrap().push(needs.clone());
        let refused = self.actions.lock().unwrap();
        let is_refused = |it: &&cloud::Need| {
            let arn = it.resource.as_ref().map(|it| it.arn.as_str());
            refused.iter().any(|action| {
                let (action, on) = action.split_once(' ').unwrap_or((*action, ""));
                it.action == action && arn.is_some_and(|it| it.ends_with(on))
            })
        };
        match needs.all.iter().find(is_refused) {
            Some(need) => Err(wire::codes::AccessDenied.because(format!("no {}", need.action))),
            None => Ok(()),
        }
    }
}

struct House {
    ground: Ground,
    door: s3::Door,
    authority: Arc<Refusing>,
}

impl House {
    async fn new() -> Self {
        let authority = Arc::<Refusing>::default();
        Self::deciding_by(authority.clone(), authority).await
    }

    /// With IAM's own authority.
    async fn with(mode: iam::Mode) -> Self {
        let policies = Arc::new(iam::Policies::new(mode));
        Self::deciding_by(policies, Arc::default()).await
    }

    async fn deciding_by(decides: Arc<dyn cloud::Authority>, authority: Arc<Refusing>) -> Self {
        let ground = Ground::new();
        ground.cloud.decide_by(decides);
        ground.bucket("bucket").await;
        let owner = OwnerKey::new("OWNER", "secret");
        let find_key = move |key: &str, token: Option<&str>| match key {
            "ANN" => Some(wire::Signer::new(
                "anns".to_owned(),
                Caller::User {
                    arn: "arn:aws:iam::123456789012:user/ann".into(),
                    id: "AIDAANN".into(),
                    access_key: "ANN".into(),
                },
            )),
            _ => owner.find(key, token),
        };
        let door = s3::Door::new(ground.cloud.clone(), Arc::new(find_key));
        let house = Self {
            ground,
            door,
            authority,
        };
        house.owner_sets("publicAccessBlock", OPEN).await;
        house
    }

    async fn owner_sets(&self, what: &str, document: &str) {
        let request = ask("PUT", "/bucket", document).query(what, "");
        let (status, body) = answer(&self.door, request.signed().0).await;
        assert!(status < 300, "{body}");
    }

    async fn policy(&self, statements: Json) {
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let input = PutBucketPolicyInput {
            bucket: "bucket".into(),
            policy: policy.to_string(),
        };
        self.ground.cx().call(input).await.unwrap();
    }

    /// Without a signature.
    async fn anybody(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = http::Request::builder().method(method).uri(path);
        request = request.header("host", HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&self.door, request.body(s3::Body::empty()).unwrap()).await
    }

    /// What was asked of the authority for a request of Ann's, as `action resource`.
    async fn asked_for(&self, request: Ask) -> Vec<String> {
        self.authority.asked.lock().unwrap().clear();
        let request = request.by("ANN", "anns").signed().0;
        let (status, body) = answer(&self.door, request).await;
        assert!(status < 400, "{body}");
        let asked = self.authority.asked.lock().unwrap();
        let needs = asked.iter().flat_map(|it| &it.all);
        needs
            .map(|it| {
                let arn = it.resource.as_ref().map_or("*", |it| it.arn.as_str());
                let action = it.action.trim_start_matches("s3:");
                format!("{action} {}", arn.trim_start_matches("arn:aws:s3:::"))
            })
            .collect()
    }

    /// A condition key of the last request; None when nothing is known of it.
    fn key(&self, name: &str) -> Option<Option<String>> {
        let asked = self.authority.asked.lock().unwrap();
        let need = asked.last().unwrap().all.last().unwrap().clone();
        let key = need.keys.into_iter().find(|it| it.name == name)?;
        Some(key.values.map(|it| it.join(",")))
    }
}

const OPEN: &str = "<PublicAccessBlockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><BlockPublicAcls>false</BlockPublicAcls></PublicAccessBlockConfiguration>";
const LISTS: &str = "<OwnershipControls xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";

fn everybody_may(action: &str, on: &str) -> Json {
    json!({"Effect": "Allow", "Principal": "*", "Action": action, "Resource": format!("arn:aws:s3:::{on}")})
}

#[tokio::test]
async fn anybody_reads_what_is_current_and_no_other_version() {
    let house = House::new().await;
    let ground = &house.ground;
    ground
        .versioning("bucket", BucketVersioningStatus::Enabled)
        .await;
    let old = ground.put("bucket", "k", "old").await.version_id.unwrap();
    ground.put("bucket", "k", "new").await;
    house
        .policy(json!([everybody_may("s3:GetObject", "bucket/*")]))
        .await;
    let (status, body) = house.anybody("GET", "/bucket/k", &[]).await;
    assert_eq!((status, body.as_str()), (200, "new"));
    // However the name is written, a version is asked for.
    for name in ["versionId", "version%49d", "%76ersionId"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let path = format!("/bucket/k?{name}={old}");
            let (status, body) = house.anybody(method, &path, &[]).await;
            assert_eq!(status, 403, "{method} {path}: {body}");
        }
    }
    house
        .policy(json!([everybody_may("s3:GetObject*", "bucket/*")]))
        .await;
    let path = format!("/bucket/k?version%49d={old}");
    let (status, body) = house.anybody("GET", &path, &[]).await;
    assert_eq!((status, body.as_str()), (200, "old"));
}

#[tokio::test]
async fn anybody_who_may_write_may_not_make_it_public() {
    let house = House::new().await;
    house.owner_sets("ownershipControls", LISTS).await;
    house
        .policy(json!([everybody_may("s3:PutObject", "bucket/*")]))
        .await;
    for header in [
        ("x-amz-acl", "public-read"),
        ("x-amz-tagging", "public=yes"),
    ] {
        let (status, body) = house.anybody("PUT", "/bucket/k", &[header]).await;
        assert_eq!(status, 403, "{header:?}: {body}");
    }
    // Nobody signs a hash, and it is compared all the same.
    let other = "0".repeat(64);
    let hashed = [("x-amz-content-sha256", other.as_str())];
    let (status, body) = house.anybody("PUT", "/bucket/k", &hashed).await;
    assert!(
        body.contains("XAmzContentSHA256Mismatch"),
        "{status} {body}"
    );
    house.ground.contents(0).await;
    let (status, body) = house.anybody("PUT", "/bucket/k", &[]).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_list_of_grants_is_that_of_the_version() {
    let house = House::new().await;
    let ground = &house.ground;
    house.owner_sets("ownershipControls", LISTS).await;
    ground
        .versioning("bucket", BucketVersioningStatus::Enabled)
        .await;
    let old = ground.put("bucket", "k", "old").await.version_id.unwrap();
    let public = ask("PUT", "/bucket/k", "new").header("x-amz-acl", "public-read");
    let (status, body) = answer(&house.door, public.signed().0).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(house.anybody("GET", "/bucket/k", &[]).await.0, 200);
    let path = format!("/bucket/k?versionId={old}");
    assert_eq!(house.anybody("GET", &path, &[]).await.0, 403);
}

#[tokio::test]
async fn what_a_public_object_is_taken_for_is_not_up_to_a_link() {
    let house = House::new().await;
    house.ground.put("bucket", "k", "<script>").await;
    house
        .policy(json!([everybody_may("s3:GetObject", "bucket/*")]))
        .await;
    let path = "/bucket/k?response-content-type=text/html";
    assert_eq!(house.anybody("GET", path, &[]).await.0, 400);
    let signed = ask("GET", "/bucket/k", "").query("response-content-type", "text/html");
    let (status, _) = answer(&house.door, signed.signed().0).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_user_is_asked_about_what_is_touched() {
    let house = House::new().await;
    let ground = &house.ground;
    ground
        .versioning("bucket", BucketVersioningStatus::Enabled)
        .await;
    let put = PutObjectInput {
        bucket: "bucket".into(),
        key: "a b".into(),
        tagging: Some("team=x".into()),
        ..Default::default()
    };
    let version = ground.cx().call(put).await.unwrap().version_id.unwrap();
    house
        .policy(json!([everybody_may("s3:GetObject", "bucket/*")]))
        .await;
    let get = |name: &str| ask("GET", "/bucket/a b", "").query(name, &version);
    assert_eq!(
        house.asked_for(get("versionId")).await,
        ["GetObjectVersion bucket/a b"]
    );
    assert_eq!(house.key("s3:VersionId"), Some(Some(version.clone())));
    assert_eq!(
        house.key("s3:ExistingObjectTag/team"),
        Some(Some("x".into()))
    );
    assert_eq!(house.key("s3:x-amz-acl"), Some(None));
    assert_eq!(house.key("s3:authType"), Some(Some("REST-HEADER".into())));
    let bound_by = {
        let asked = house.authority.asked.lock().unwrap();
        asked[0].all[0].resource.clone().unwrap().policy
    };
    assert!(bound_by.unwrap().contains("s3:GetObject"));
    // The source of a copy, its version, and its tags.
    let copy = ask("PUT", "/bucket/copy", "").header(
        "x-amz-copy-source",
        &format!("bucket/a%20b?versionId={version}"),
    );
    assert_eq!(
        house.asked_for(copy).await,
        [
            "PutObject bucket/copy",
            "GetObjectVersion bucket/a b",
            "GetObjectVersionTagging bucket/a b",
            "PutObjectTagging bucket/copy",
        ]
    );
    let list = ask("GET", "/bucket", "")
        .query("prefix", "a/")
        .query("max-keys", "5");
    assert_eq!(house.asked_for(list).await, ["ListBucket bucket"]);
    assert_eq!(house.key("s3:prefix"), Some(Some("a/".into())));
    assert_eq!(house.key("s3:max-keys"), Some(Some("5".into())));
    assert_eq!(house.key("s3:delimiter"), Some(None));
    let put = ask("PUT", "/bucket/new", "x").header("x-amz-tagging", "team=y");
    assert_eq!(
        house.asked_for(put).await,
        ["PutObject bucket/new", "PutObjectTagging bucket/new"]
    );
    assert_eq!(
        house.key("s3:RequestObjectTag/team"),
        Some(Some("y".into()))
    );
    assert_eq!(
        house.asked_for(ask("GET", "/", "")).await,
        ["ListAllMyBuckets *"]
    );
}

#[tokio::test]
async fn each_of_several_keys_is_asked_about() {
    let house = House::new().await;
    for key in ["a", "kept"] {
        house.ground.put("bucket", key, "x").await;
    }
    let refused = "s3:DeleteObject bucket/kept";
    house.authority.actions.lock().unwrap().push(refused);
    let body = "<Delete><Object><Key>a</Key></Object><Object><Key>kept</Key></Object></Delete>";
    let request = ask("POST", "/bucket", body)
        .query("delete", "")
        .by("ANN", "anns");
    let (status, body) = answer(&house.door, request.signed().0).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("<Code>AccessDenied</Code>"), "{body}");
    assert!(house.ground.get("bucket", "a").await.is_err());
    assert_eq!(house.ground.get("bucket", "kept").await.unwrap(), "x");
}

#[tokio::test]
async fn the_owner_is_bound_by_a_denial_and_may_take_it_back() {
    let deny = json!([{
        "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]
    }]);
    let house = House::with(iam::Mode::Enforce).await;
    house.ground.put("bucket", "k", "x").await;
    house.policy(deny.clone()).await;
    let get = || ask("GET", "/bucket/k", "").signed().0;
    let (status, body) = answer(&house.door, get()).await;
    assert_eq!(status, 403, "{body}");
    assert!(
        body.contains("explicit deny in a resource-based policy"),
        "{body}"
    );
    let of_policy = |method: &'static str| ask(method, "/bucket", "").query("policy", "");
    for method in ["GET", "DELETE"] {
        let (status, body) = answer(&house.door, of_policy(method).signed().0).await;
        assert!(status < 300, "{body}");
    }
    assert_eq!(answer(&house.door, get()).await.0, 200);
    // Where permissions are only recorded, what worked goes on working.
    let house = House::with(iam::Mode::Audit).await;
    house.ground.put("bucket", "k", "x").await;
    house.policy(deny).await;
    assert_eq!(answer(&house.door, get()).await.0, 200);
    // What is public is decided in any mode.
    assert_eq!(house.anybody("GET", "/bucket/k", &[]).await.0, 403);
}

#[tokio::test]
async fn whether_a_key_is_there_is_told_to_those_who_may_list() {
    let house = House::new().await;
    house.ground.put("bucket", "there", "x").await;
    let asked = async |method: &'static str, path: &str, query: Option<&'static str>| {
        let mut request = ask(method, path, "");
        if let Some(query) = query {
            request = request.query(query, "");
        }
        let request = request.by("ANN", "anns").signed().0;
        answer(&house.door, request).await
    };
    for (refused, status) in [(None, 404), (Some("s3:ListBucket bucket"), 403)] {
        house.authority.actions.lock().unwrap().extend(refused);
        for method in ["GET", "HEAD"] {
            assert_eq!(asked(method, "/bucket/there", None).await.0, 200);
            assert_eq!(asked(method, "/bucket/missing", None).await.0, status);
        }
        for query in ["tagging", "acl"] {
            let (found, body) = asked("GET", "/bucket/missing", Some(query)).await;
            assert_eq!(found, status, "{query}: {body}");
        }
        let copy = ask("PUT", "/bucket/new", "").header("x-amz-copy-source", "bucket/missing");
        let copy = copy.by("ANN", "anns").signed().0;
        assert_eq!(answer(&house.door, copy).await.0, status);
        // Without a bucket there is nothing to list.
        assert_eq!(asked("GET", "/nowhere/missing", None).await.0, 404);
        // What is written need not be there.
        assert_eq!(asked("DELETE", "/bucket/missing", None).await.0, 204);
    }
    let owner = ask("GET", "/bucket/missing", "").signed().0;
    assert_eq!(answer(&house.door, owner).await.0, 404);
}
