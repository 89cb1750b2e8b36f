//! The operations over a machine that is not there.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloud::{Clock, Cx, Pace};
use serde_json::json;
use shapes::secretsmanager::*;

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self::by(Clock::new(Pace::Fast))
    }

    fn by(clock: Clock) -> Self {
        Self(
            testkit::world([secretsmanager::service(), kms::service()])
                .by(clock)
                .run(),
        )
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> &'static str {
        self.err(input).await.code
    }

    async fn get(&self, id: &str, stage: Option<&str>) -> GetSecretValueOutput {
        self.call(get(id, stage)).await
    }

    async fn text(&self, id: &str) -> String {
        self.get(id, None).await.secret_string.unwrap()
    }
}

fn create(name: &str, value: &str) -> CreateSecretInput {
    CreateSecretInput {
        name: name.into(),
        secret_string: Some(value.into()),
        ..Default::default()
    }
}

fn get(id: &str, stage: Option<&str>) -> GetSecretValueInput {
    GetSecretValueInput {
        secret_id: id.into(),
        version_stage: stage.map(str::to_owned),
        ..Default::default()
    }
}

fn put(id: &str, value: &str) -> PutSecretValueInput {
    PutSecretValueInput {
        secret_id: id.into(),
        secret_string: Some(value.into()),
        ..Default::default()
    }
}

#[tokio::test]
async fn versions_follow_each_other_and_keep_their_labels() {
    let world = World::new();
    let made = world.call(create("web/db", "one")).await;
    let arn = made.arn.unwrap();
    let (rest, suffix) = arn.rsplit_once('-').unwrap();
    assert_eq!(
        rest,
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:web/db"
    );
    assert_eq!(suffix.len(), 6);
    for id in ["web/db", arn.as_str(), rest] {
        assert_eq!(world.text(id).await, "one");
    }
    assert_eq!(
        world.refused(create("web/db", "x")).await,
        "ResourceExistsException"
    );
    let second = world.call(put("web/db", "two")).await;
    assert_eq!(world.text("web/db").await, "two");
    let previous = world.get("web/db", Some("AWSPREVIOUS")).await;
    assert_eq!(previous.secret_string.as_deref(), Some("one"));
    assert_eq!(previous.version_id, made.version_id);
    assert_eq!(
        world.refused(get("web/db", Some("OTHER"))).await,
        "ResourceNotFoundException"
    );
    let pending = PutSecretValueInput {
        version_stages: Some(vec!["PENDING".into()]),
        ..put("web/db", "three")
    };
    let third = world.call(pending).await.version_id;
    assert_eq!(world.text("web/db").await, "two");
    let stage = |from: Option<String>| UpdateSecretVersionStageInput {
        secret_id: "web/db".into(),
        version_stage: "AWSCURRENT".into(),
        remove_from_version_id: from,
        move_to_version_id: third.clone(),
    };
    assert_eq!(
        world.refused(stage(None)).await,
        "InvalidParameterException"
    );
    world.call(stage(second.version_id.clone())).await;
    assert_eq!(world.text("web/db").await, "three");
    let previous = world.get("web/db", Some("AWSPREVIOUS")).await;
    assert_eq!(previous.version_id, second.version_id);
    let list = |include_deprecated| ListSecretVersionIdsInput {
        secret_id: "web/db".into(),
        include_deprecated: Some(include_deprecated),
        ..Default::default()
    };
    assert_eq!(world.call(list(false)).await.versions.unwrap().len(), 2);
    assert_eq!(world.call(list(true)).await.versions.unwrap().len(), 3);
}

#[tokio::test]
async fn a_token_names_a_version() {
    let world = World::new();
    let token = "12345678901234567890123456789012";
    let make = || CreateSecretInput {
        client_request_token: Some(token.into()),
        ..create("a", "one")
    };
    let made = world.call(make()).await;
    assert_eq!(made.version_id.as_deref(), Some(token));
    assert_eq!(world.call(make()).await, made);
    let again = |value: &str| PutSecretValueInput {
        client_request_token: Some(token.into()),
        ..put("a", value)
    };
    world.call(again("one")).await;
    assert_eq!(world.refused(again("two")).await, "ResourceExistsException");
}

#[tokio::test]
async fn a_deleted_secret_can_be_restored_or_is_gone_at_once() {
    let world = World::new();
    world.call(create("a", "one")).await;
    let delete = |days, force| DeleteSecretInput {
        secret_id: "a".into(),
        recovery_window_in_days: days,
        force_delete_without_recovery: force,
    };
    let bad = world.refused(delete(Some(6), None)).await;
    assert_eq!(bad, "InvalidParameterException");
    world.call(delete(Some(7), None)).await;
    assert_eq!(
        world.refused(get("a", None)).await,
        "InvalidRequestException"
    );
    assert_eq!(
        world.refused(create("a", "x")).await,
        "InvalidRequestException"
    );
    let describe = || DescribeSecretInput {
        secret_id: "a".into(),
    };
    assert!(world.call(describe()).await.deleted_date.is_some());
    let list = |deleted| ListSecretsInput {
        include_planned_deletion: Some(deleted),
        ..Default::default()
    };
    assert!(
        world
            .call(list(false))
            .await
            .secret_list
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.call(list(true)).await.secret_list.unwrap().len(), 1);
    let restore = RestoreSecretInput {
        secret_id: "a".into(),
    };
    world.call(restore).await;
    assert_eq!(world.text("a").await, "one");
    world.call(delete(None, Some(true))).await;
    assert_eq!(world.refused(describe()).await, "ResourceNotFoundException");
    world.call(create("a", "new")).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_goes_when_its_window_closes() {
    let world = World::new();
    world.call(create("a", "one")).await;
    let delete = DeleteSecretInput {
        secret_id: "a".into(),
        recovery_window_in_days: Some(7),
        ..Default::default()
    };
    world.call(delete).await;
    let describe = || DescribeSecretInput {
        secret_id: "a".into(),
    };
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    tokio::time::sleep(day * 6).await;
    world.call(describe()).await;
    tokio::time::sleep(day * 2).await;
    assert_eq!(world.refused(describe()).await, "ResourceNotFoundException");
}

/// The date that was told is a date: neither a machine that slept nor one whose clock was set back keeps to
/// the time that was left when it was told.
#[tokio::test(start_paused = true)]
async fn a_deleted_secret_goes_at_its_date_whatever_becomes_of_the_clock() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let off = Arc::new(AtomicI64::new(0));
    let (machine, read) = (std::time::Instant::now(), off.clone());
    let wall = move || machine.elapsed().as_millis() as i64 + read.load(Ordering::Relaxed);
    let world = World::by(Clock::by(Pace::Fast, Arc::new(wall)));
    let follows = world.cloud.clone();
    let following = tokio::spawn(async move { follows.follow_clock().await });
    world.call(create("a", "one")).await;
    world.call(create("b", "two")).await;
    let delete = |id: &str, days| DeleteSecretInput {
        secret_id: id.into(),
        recovery_window_in_days: Some(days),
        ..Default::default()
    };
    world.call(delete("a", 7)).await;
    world.call(delete("b", 30)).await;
    let describe = |id: &str| DescribeSecretInput {
        secret_id: id.into(),
    };
    let set = async |days: i64| {
        off.store(days * DAY_MS, Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    };
    // Set back, it is there for longer; the time that was left when it was told means nothing.
    set(-3).await;
    following.abort();
    tokio::time::sleep(std::time::Duration::from_secs(9 * 24 * 60 * 60)).await;
    world.call(describe("a")).await;
    off.store(0, Ordering::Relaxed);
    world.cloud.look_at_clock();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let gone = world.refused(describe("a")).await;
    assert_eq!(gone, "ResourceNotFoundException");
    world.call(describe("b")).await;
    // And forward: it goes at once.
    off.store(31 * DAY_MS, Ordering::Relaxed);
    world.cloud.look_at_clock();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let gone = world.refused(describe("b")).await;
    assert_eq!(gone, "ResourceNotFoundException");
}

#[tokio::test]
async fn secrets_are_found_by_filters_and_values_are_not_printed() {
    let world = World::new();
    for (name, tag) in [("web/a", "team"), ("web/b", "other"), ("api", "team")] {
        let input = CreateSecretInput {
            tags: Some(vec![Tag {
                key: Some(tag.into()),
                value: Some("x".into()),
            }]),
            description: Some(format!("The key of {name}")),
            ..create(name, "hunter2")
        };
        world.call(input).await;
    }
    let check = async |key, value: &str, expected: &[&str]| {
        let input = ListSecretsInput {
            filters: Some(vec![Filter {
                key: Some(key),
                values: Some(vec![value.into()]),
            }]),
            sort_by: Some(SortByType::Name),
            ..Default::default()
        };
        let found = world.call(input).await.secret_list.unwrap();
        let names: Vec<_> = found.into_iter().filter_map(|it| it.name).collect();
        assert_eq!(names, expected, "{value}");
    };
    check(FilterNameStringType::Name, "web", &["web/a", "web/b"]).await;
    check(FilterNameStringType::Name, "!web", &["api"]).await;
    check(FilterNameStringType::TagKey, "team", &["api", "web/a"]).await;
    check(FilterNameStringType::All, "key API", &["api"]).await;
    let batch = BatchGetSecretValueInput {
        secret_id_list: Some(vec!["api".into(), "nothing".into()]),
        ..Default::default()
    };
    let batch = world.call(batch).await;
    assert_eq!(batch.secret_values.as_ref().unwrap().len(), 1);
    let error = &batch.errors.as_ref().unwrap()[0];
    assert_eq!(
        error.error_code.as_deref(),
        Some("ResourceNotFoundException")
    );
    assert!(!format!("{batch:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_stacks_secret_is_generated_once() {
    let world = World::new();
    let kind = world
        .cloud
        .resource_type("AWS::SecretsManager::Secret")
        .unwrap();
    let properties = json!({ "GenerateSecretString": {
        "SecretStringTemplate": "{\"username\": \"admin\"}",
        "GenerateStringKey": "password",
        "PasswordLength": "20",
    }});
    let mut request = testkit::request("stack", "Database", properties);
    let made = kind.create(&world.cx, &request).await.unwrap();
    assert_eq!(kind.create(&world.cx, &request).await.unwrap(), made);
    let value = world.text(&made.physical_id).await;
    let json: serde_json::Value = serde_json::from_str(&value).unwrap();
    assert_eq!(json["username"], "admin");
    assert_eq!(json["password"].as_str().unwrap().len(), 20);

    let old = request.properties.clone();
    request.token = "second".into();
    request.properties["Description"] = json!("The database");
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    assert_eq!(world.text(&made.physical_id).await, value);
    let old = request.properties.clone();
    request.token = "third".into();
    request.properties["GenerateSecretString"]["PasswordLength"] = json!(24);
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    let changed = world.text(&made.physical_id).await;
    assert_ne!(changed, value);
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    assert_eq!(world.text(&made.physical_id).await, changed);
    for _ in 0..2 {
        kind.delete(&world.cx, &made.physical_id, &old)
            .await
            .unwrap();
    }
    assert_eq!(
        world.refused(get(&made.physical_id, None)).await,
        "ResourceNotFoundException"
    );
}

/// Lets nobody get the value of `hidden`.
struct Guard;

impl cloud::Authority for Guard {
    fn check(&self, _cx: &Cx, _service: &str, needs: &cloud::Needs) -> Result<(), cloud::Error> {
        let touches_it = |need: &cloud::Need| {
            let touched = need.resource.as_ref();
            need.action == "secretsmanager:GetSecretValue"
                && touched.is_some_and(|it| it.arn.contains("hidden"))
        };
        match needs.all.iter().any(touches_it) {
            true => Err(wire::codes::AccessDenied.because("not for you")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn several_values_at_once_need_what_each_needs_alone() {
    let world = World::new();
    world.call(create("open", "1")).await;
    world.call(create("hidden", "2")).await;
    world.cloud.decide_by(Arc::new(Guard));
    let role = world.cx.acting_as(cloud::Caller::AssumedRole {
        role_arn: "arn:aws:iam::000000000000:role/r".into(),
        role_id: None,
        session_name: "s".into(),
        access_key: String::new(),
    });
    let input = BatchGetSecretValueInput {
        secret_id_list: Some(vec!["open".into(), "hidden".into()]),
        ..Default::default()
    };
    let answer = role.call(input).await.unwrap();
    let values = answer.secret_values.unwrap();
    assert_eq!(values.len(), 1);
    assert_eq!(values[0].secret_string.as_deref(), Some("1"));
    assert_eq!(
        answer.errors.unwrap()[0].secret_id.as_deref(),
        Some("hidden")
    );
}

#[tokio::test]
async fn a_secret_is_one_resource_however_it_is_spelled() {
    let world = World::new();
    let made = CreateSecretInput {
        tags: Some(vec![Tag {
            key: Some("team".into()),
            value: Some("a".into()),
        }]),
        ..create("app/db", "1")
    };
    let arn = world.call(made.clone()).await.arn.unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}"#;
    world
        .call(PutResourcePolicyInput {
            secret_id: "app/db".into(),
            resource_policy: policy.into(),
        })
        .await;
    let recorder = testkit::Recorder::watch(&world.cloud);
    let partial = &arn[..arn.len() - 7];
    for id in ["app/db", partial, &arn] {
        let needs = recorder
            .needs(&world.cx, get(id, Some("AWSPREVIOUS")))
            .await;
        let need = &needs.all[0];
        assert_eq!(
            testkit::told(need),
            format!("secretsmanager:GetSecretValue {arn} {{team=a}}"),
            "{id}"
        );
        let touched = need.resource.as_ref().unwrap();
        assert_eq!(touched.policy.as_deref(), Some(policy));
        for (key, value) in [
            ("secretsmanager:SecretId", &arn[..]),
            ("secretsmanager:VersionStage", "AWSPREVIOUS"),
        ] {
            assert_eq!(testkit::key_of(need, key), Some(&[value.to_owned()][..]));
        }
        let version = testkit::key_of(need, "secretsmanager:VersionId");
        assert_eq!(version, Some(&[][..]));
    }
    // One that is not there is any of its name, and one of another region only what is written.
    let lines = recorder.lines(&world.cx, get("other", None)).await;
    let any = "arn:aws:secretsmanager:us-east-1:000000000000:secret:other-??????";
    assert_eq!(lines, [format!("secretsmanager:GetSecretValue any {any}")]);
    let foreign = arn.replace("us-east-1", "eu-west-1");
    let lines = recorder.lines(&world.cx, get(&foreign, None)).await;
    assert_eq!(lines, [format!("secretsmanager:GetSecretValue {foreign}")]);
    let lines = recorder
        .lines(
            &world.cx,
            CreateSecretInput {
                name: "other".into(),
                ..made
            },
        )
        .await;
    assert_eq!(
        lines,
        [
            format!("secretsmanager:CreateSecret any {any}"),
            format!("secretsmanager:TagResource any {any}"),
        ]
    );
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_reading_is_noted_by_the_day() {
    let world = World::new();
    let empty = CreateSecretInput {
        name: "empty".into(),
        ..Default::default()
    };
    world.call(empty).await;
    let describe = |id: &str| DescribeSecretInput {
        secret_id: id.into(),
    };
    let told = world.call(describe("empty")).await;
    assert_eq!((told.tags, told.version_ids_to_stages), (None, None));
    assert_eq!(told.last_accessed_date, None);
    let made = world.call(create("a", "one")).await;
    world.text("a").await;
    let told = world.call(describe("a")).await;
    let day = told.last_accessed_date.unwrap().0;
    assert_eq!(day % 86_400.0, 0.0, "{day}");
    let list = ListSecretVersionIdsInput {
        secret_id: "a".into(),
        ..Default::default()
    };
    let version = &world.call(list).await.versions.unwrap()[0];
    assert_eq!(
        version.kms_key_ids.as_deref(),
        Some(&["DefaultEncryptionKey".to_owned()][..])
    );
    assert_eq!(version.last_accessed_date.unwrap().0, day);
    // A stage that is at another version, or at none, is not at this one.
    let wrong = GetSecretValueInput {
        version_id: made.version_id,
        ..get("a", Some("AWSPREVIOUS"))
    };
    let error = world.cx.call(wrong).await.unwrap_err();
    assert_eq!(error.code, "InvalidRequestException");
}

#[tokio::test]
async fn a_version_that_was_current_waits_for_nothing() {
    let world = World::new();
    let first = world.call(create("a", "1")).await.version_id;
    let pending = PutSecretValueInput {
        version_stages: Some(vec!["AWSPENDING".into()]),
        ..put("a", "2")
    };
    let second = world.call(pending).await.version_id;
    let moved = UpdateSecretVersionStageInput {
        secret_id: "a".into(),
        version_stage: "AWSCURRENT".into(),
        remove_from_version_id: first,
        move_to_version_id: second.clone(),
    };
    world.call(moved).await;
    world.call(put("a", "3")).await;
    let previous = world.get("a", Some("AWSPREVIOUS")).await;
    assert_eq!(previous.version_id, second);
    assert_eq!(previous.version_stages.unwrap(), ["AWSPREVIOUS"]);
}

#[tokio::test]
async fn clients_name_versions_and_a_secret_that_is_gone_can_be_deleted() {
    let world = World::new();
    let client = world.client(cloud::Caller::Daemon, testkit::from_outside());
    let error = client.call(create("a", "one")).await.unwrap_err();
    assert_eq!(error.code, "InvalidRequestException");
    assert_eq!(
        error.message,
        "You must provide a ClientRequestToken value. We recommend a UUID-type value."
    );
    let delete = |id: &str| DeleteSecretInput {
        secret_id: id.into(),
        force_delete_without_recovery: Some(true),
        ..Default::default()
    };
    let gone = world.call(delete("none")).await;
    let arn = gone.arn.unwrap();
    assert!(
        arn.starts_with("arn:aws:secretsmanager:us-east-1:000000000000:secret:none-"),
        "{arn}"
    );
    assert_eq!(
        world.refused(delete(" Inv *?!]Name\\-")).await,
        "ValidationException"
    );
}

#[tokio::test]
async fn every_word_that_is_looked_for_begins_a_word_of_the_description() {
    let world = World::new();
    for (name, description) in [
        ("s1", "a secret"),
        ("s2", "An secret"),
        ("s3", "asecret"),
        ("s4", "thesecret"),
    ] {
        let input = CreateSecretInput {
            description: Some(description.into()),
            ..create(name, "x")
        };
        world.call(input).await;
    }
    let input = ListSecretsInput {
        filters: Some(vec![Filter {
            key: Some(FilterNameStringType::Description),
            values: Some(vec!["a secret".into()]),
        }]),
        ..Default::default()
    };
    let found = world.call(input).await.secret_list.unwrap();
    let mut names: Vec<_> = found.into_iter().filter_map(|it| it.name).collect();
    names.sort();
    assert_eq!(names, ["s1", "s2"]);
    let nothing = ListSecretsInput {
        filters: Some(vec![Filter {
            key: Some(FilterNameStringType::Name),
            values: None,
        }]),
        ..Default::default()
    };
    let error = world.cx.call(nothing).await.unwrap_err();
    assert_eq!(error.message, "Invalid filter values for key: name");
}

#[tokio::test]
async fn a_key_of_ones_own_encrypts_values_and_a_change_of_it_encrypts_them_anew() {
    let world = World::new();
    let key = async || {
        let made = world.call(shapes::kms::CreateKeyInput::default()).await;
        made.key_metadata.unwrap().key_id
    };
    let (one, two) = (key().await, key().await);
    let long = "x".repeat(60_000);
    let made = CreateSecretInput {
        kms_key_id: Some(one.clone()),
        client_request_token: Some("0".repeat(32)),
        ..create("own", &long)
    };
    let first = world.call(made).await;
    assert_eq!(world.text("own").await, long);
    // The same again is the same version, and another value under its name is not.
    let again = |value: &str| PutSecretValueInput {
        client_request_token: Some("0".repeat(32)),
        ..put("own", value)
    };
    assert_eq!(world.call(again(&long)).await.version_id, first.version_id);
    assert_eq!(
        world.refused(again("other")).await,
        "ResourceExistsException"
    );
    let disable = |key_id: &str| shapes::kms::DisableKeyInput {
        key_id: key_id.into(),
    };
    let moved = UpdateSecretInput {
        secret_id: "own".into(),
        kms_key_id: Some(two.clone()),
        ..Default::default()
    };
    world.call(moved).await;
    world.call(disable(&one)).await;
    assert_eq!(world.text("own").await, long);
    let describe = DescribeSecretInput {
        secret_id: "own".into(),
    };
    assert_eq!(world.call(describe).await.kms_key_id, Some(two.clone()));
    world.call(disable(&two)).await;
    assert_eq!(world.refused(get("own", None)).await, "DecryptionFailure");
    assert_eq!(world.refused(put("own", "x")).await, "EncryptionFailure");
}

/// KMS, where somebody gives the secret another key while it is asked.
async fn data_key_while_the_key_changes(
    cx: Cx,
    _: shapes::kms::GenerateDataKeyInput,
) -> Result<shapes::kms::GenerateDataKeyOutput, cloud::Error> {
    let change = UpdateSecretInput {
        secret_id: "own".into(),
        kms_key_id: Some("two".into()),
        ..Default::default()
    };
    cx.call(change).await?;
    Ok(shapes::kms::GenerateDataKeyOutput {
        ciphertext_blob: Some(wire::Blob(vec![0; 32])),
        plaintext: Some(wire::Blob(vec![0; 32])),
        ..Default::default()
    })
}

#[tokio::test]
async fn who_names_no_key_does_not_undo_that_somebody_else_did() {
    let kms = cloud::Service::new(&shapes::kms::MODEL)
        .on(data_key_while_the_key_changes, testkit::not_asked());
    let world = testkit::world([secretsmanager::service(), kms]).run();
    let made = CreateSecretInput {
        name: "own".into(),
        kms_key_id: Some("one".into()),
        ..Default::default()
    };
    world.call(made).await;
    let update = UpdateSecretInput {
        secret_id: "own".into(),
        secret_string: Some("x".into()),
        ..Default::default()
    };
    world.call(update).await;
    let describe = DescribeSecretInput {
        secret_id: "own".into(),
    };
    let shown = world.call(describe).await;
    assert_eq!(shown.kms_key_id.as_deref(), Some("two"));
}
