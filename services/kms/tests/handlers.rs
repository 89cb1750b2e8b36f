//! The operations over a machine that is not there.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use cloud::{Caller, Cx, ResourceRequest};
use serde_json::json;
use shapes::kms::*;

const ACCOUNT: &str = "000000000000";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

fn world() -> testkit::World {
    testkit::world([kms::service(), iam::service()]).run()
}

impl World {
    fn new() -> Self {
        Self(world())
    }

    /// With policies that are enforced.
    fn guarded() -> Self {
        Self(world().decided_by(iam::Policies::new(iam::Mode::Enforce)))
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> &'static str {
        self.err(input).await.code
    }

    async fn key(&self) -> KeyMetadata {
        let made = self.call(CreateKeyInput::default()).await;
        made.key_metadata.unwrap()
    }

    async fn state(&self, id: &str) -> Option<KeyState> {
        self.describe(id).await.key_state
    }

    async fn describe(&self, id: &str) -> KeyMetadata {
        let input = DescribeKeyInput {
            key_id: id.into(),
            ..Default::default()
        };
        self.call(input).await.key_metadata.unwrap()
    }

    async fn encrypted(&self, id: &str, context: Option<(&str, &str)>) -> wire::Blob {
        self.call(encrypt(id, context))
            .await
            .ciphertext_blob
            .unwrap()
    }

    /// A user with a policy of her own.
    async fn user(&self, name: &str, actions: serde_json::Value) -> Cx {
        let made = self
            .call(shapes::iam::CreateUserInput {
                user_name: name.into(),
                ..Default::default()
            })
            .await;
        let user = made.user.unwrap();
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        self.call(shapes::iam::PutUserPolicyInput {
            user_name: name.into(),
            policy_name: "own".into(),
            policy_document: document.to_string(),
        })
        .await;
        self.cx.acting_as(Caller::User {
            arn: user.arn,
            id: user.user_id,
            access_key: "AKIA".into(),
        })
    }
}

fn pairs(context: Option<(&str, &str)>) -> Option<BTreeMap<String, String>> {
    context.map(|(name, value)| BTreeMap::from([(name.into(), value.into())]))
}

fn encrypt(id: &str, context: Option<(&str, &str)>) -> EncryptInput {
    EncryptInput {
        key_id: id.into(),
        plaintext: wire::Blob(b"secret".to_vec()),
        encryption_context: pairs(context),
        ..Default::default()
    }
}

fn decrypt(blob: &wire::Blob, context: Option<(&str, &str)>) -> DecryptInput {
    DecryptInput {
        ciphertext_blob: Some(blob.clone()),
        encryption_context: pairs(context),
        ..Default::default()
    }
}

fn alias(name: &str, id: &str) -> CreateAliasInput {
    CreateAliasInput {
        alias_name: name.into(),
        target_key_id: id.into(),
    }
}

#[tokio::test]
async fn a_key_encrypts_by_any_of_its_names_and_decrypts_what_it_encrypted() {
    let world = World::new();
    let key = world.key().await;
    let arn = key.arn.unwrap();
    assert_eq!(
        arn,
        format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/{}", key.key_id)
    );
    assert_eq!(key.current_key_material_id.unwrap().len(), 64);
    world.call(alias("alias/web", &key.key_id)).await;
    let alias_arn = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/web");
    for id in [key.key_id.as_str(), &arn, "alias/web", &alias_arn] {
        let blob = world.encrypted(id, Some(("a", "b"))).await;
        let opened = world.call(decrypt(&blob, Some(("a", "b")))).await;
        assert_eq!(opened.plaintext.unwrap().0, b"secret");
        assert_eq!(opened.key_id.as_ref(), Some(&arn));
        let other = decrypt(&blob, Some(("a", "c")));
        assert_eq!(world.refused(other).await, "InvalidCiphertextException");
    }
    let other = world.key().await;
    let blob = world.encrypted("alias/web", None).await;
    let by_another = DecryptInput {
        key_id: Some(other.key_id.clone()),
        ..decrypt(&blob, None)
    };
    assert_eq!(world.refused(by_another).await, "IncorrectKeyException");
    let garbage = decrypt(&wire::Blob(vec![1, 2, 3]), None);
    assert_eq!(world.refused(garbage).await, "InvalidCiphertextException");
    let moved = world
        .call(ReEncryptInput {
            ciphertext_blob: Some(blob),
            destination_key_id: other.key_id.clone(),
            destination_encryption_context: pairs(Some(("x", "y"))),
            ..Default::default()
        })
        .await;
    assert_eq!(moved.source_key_id, Some(arn));
    let opened = world
        .call(decrypt(&moved.ciphertext_blob.unwrap(), Some(("x", "y"))))
        .await;
    assert_eq!(opened.key_id, other.arn);
    let dry = EncryptInput {
        dry_run: Some(true),
        ..encrypt("alias/web", None)
    };
    assert_eq!(world.refused(dry).await, "DryRunOperationException");
}

#[tokio::test]
async fn what_is_no_key_is_told_apart() {
    let world = World::new();
    let describe = |id: &str| DescribeKeyInput {
        key_id: id.into(),
        ..Default::default()
    };
    for (id, message) in [
        ("nothing", "Invalid keyId 'nothing'".to_owned()),
        (
            "00000000-0000-4000-a000-000000000000",
            format!(
                "Key 'arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-4000-a000-000000000000' does not exist"
            ),
        ),
        (
            "alias/none",
            format!("Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/none is not found."),
        ),
        (
            "arn:aws:kms:eu-west-1:000000000000:key/x",
            "Invalid arn eu-west-1".to_owned(),
        ),
    ] {
        let error = world.cx.call(describe(id)).await.unwrap_err();
        assert_eq!((error.code, error.message), ("NotFoundException", message));
    }
    let spec = CreateKeyInput {
        key_spec: Some(KeySpec::Rsa2048),
        ..Default::default()
    };
    let error = world.cx.call(spec).await.unwrap_err();
    assert_eq!(error.code, "UnsupportedOperationException");
    assert!(error.message.contains("KeySpec RSA_2048"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_key_does_nothing_and_a_deleted_one_is_gone_with_its_window() {
    let world = World::new();
    let id = world.key().await.key_id;
    world.call(alias("alias/web", &id)).await;
    let blob = world.encrypted(&id, None).await;
    world.call(DisableKeyInput { key_id: id.clone() }).await;
    assert_eq!(world.state(&id).await, Some(KeyState::Disabled));
    let error = world.cx.call(decrypt(&blob, None)).await.unwrap_err();
    assert_eq!(error.code, "DisabledException");
    assert!(error.message.ends_with(" is disabled."), "{error:?}");
    world.call(EnableKeyInput { key_id: id.clone() }).await;
    world.call(decrypt(&blob, None)).await;
    let schedule = |days| ScheduleKeyDeletionInput {
        key_id: id.clone(),
        pending_window_in_days: Some(days),
    };
    assert_eq!(world.refused(schedule(6)).await, "ValidationException");
    let scheduled = world.call(schedule(7)).await;
    assert_eq!(scheduled.key_state, Some(KeyState::PendingDeletion));
    for refused in [
        world.refused(schedule(7)).await,
        world.refused(decrypt(&blob, None)).await,
        world.refused(EnableKeyInput { key_id: id.clone() }).await,
    ] {
        assert_eq!(refused, "KMSInvalidStateException");
    }
    let cancel = || CancelKeyDeletionInput { key_id: id.clone() };
    world.call(cancel()).await;
    assert_eq!(world.state(&id).await, Some(KeyState::Disabled));
    assert_eq!(world.refused(cancel()).await, "KMSInvalidStateException");
    world.call(schedule(7)).await;
    tokio::time::sleep(DAY * 6).await;
    world.state(&id).await;
    tokio::time::sleep(DAY * 2).await;
    let describe = DescribeKeyInput {
        key_id: id.clone(),
        ..Default::default()
    };
    assert_eq!(world.refused(describe).await, "NotFoundException");
    let aliases = world.call(ListAliasesInput::default()).await;
    let mut aliases = aliases.aliases.unwrap().into_iter();
    assert!(aliases.all(|it| it.target_key_id.is_none()));
    // Who has lost the key has lost what it encrypted.
    assert_eq!(
        world.refused(decrypt(&blob, None)).await,
        "AccessDeniedException"
    );
}

#[tokio::test(start_paused = true)]
async fn rotated_keys_open_what_they_sealed_before() {
    let world = World::new();
    let key = world.key().await;
    let id = key.key_id;
    let first = world.encrypted(&id, None).await;
    world
        .call(RotateKeyOnDemandInput { key_id: id.clone() })
        .await;
    world
        .call(EnableKeyRotationInput {
            key_id: id.clone(),
            rotation_period_in_days: Some(90),
        })
        .await;
    let status = || GetKeyRotationStatusInput { key_id: id.clone() };
    let shown = world.call(status()).await;
    assert_eq!(shown.key_rotation_enabled, Some(true));
    assert_eq!(shown.rotation_period_in_days, Some(90));
    let rotations = || ListKeyRotationsInput {
        key_id: id.clone(),
        ..Default::default()
    };
    tokio::time::sleep(DAY * 91).await;
    let done = world.call(rotations()).await.rotations.unwrap();
    assert_eq!(done.len(), 2);
    assert_eq!(done[0].rotation_type, Some(RotationType::OnDemand));
    assert_eq!(done[1].rotation_type, Some(RotationType::Automatic));
    let second = world.encrypted(&id, None).await;
    let opened = [&first, &second].map(|it| world.call(decrypt(it, None)));
    let mut materials = Vec::new();
    for one in opened {
        let one = one.await;
        assert_eq!(one.plaintext.unwrap().0, b"secret");
        materials.push(one.key_material_id);
    }
    assert_eq!(materials[0], key.current_key_material_id);
    assert_eq!(materials[1], done[1].key_material_id);
}

#[tokio::test]
async fn aliases_move_and_reserved_ones_are_awss() {
    let world = World::new();
    let (one, two) = (world.key().await.key_id, world.key().await.key_id);
    world.call(alias("alias/web", &one)).await;
    assert_eq!(
        world.refused(alias("alias/web", &two)).await,
        "AlreadyExistsException"
    );
    for (name, code) in [
        ("web", "ValidationException"),
        ("alias/a:b", "ValidationException"),
        ("alias/aws/mine", "NotAuthorizedException"),
    ] {
        assert_eq!(world.refused(alias(name, &one)).await, code, "{name}");
    }
    world
        .call(UpdateAliasInput {
            alias_name: "alias/web".into(),
            target_key_id: two.clone(),
        })
        .await;
    assert_eq!(world.describe("alias/web").await.key_id, two);
    let of = |id: &str| ListAliasesInput {
        key_id: Some(id.into()),
        ..Default::default()
    };
    assert_eq!(world.call(of(&one)).await.aliases.unwrap().len(), 0);
    assert_eq!(world.call(of(&two)).await.aliases.unwrap().len(), 1);
    for name in ["alias/b", "alias/c"] {
        world.call(alias(name, &one)).await;
    }
    let mut names = Vec::new();
    let mut marker = None;
    loop {
        let page = world
            .call(ListAliasesInput {
                limit: Some(2),
                marker,
                ..Default::default()
            })
            .await;
        names.extend(
            page.aliases
                .unwrap()
                .into_iter()
                .filter_map(|it| it.alias_name),
        );
        marker = page.next_marker;
        if page.truncated != Some(true) {
            break;
        }
    }
    // The predefined ones are there before their keys are.
    assert!(names.is_sorted() && names.contains(&"alias/aws/s3".to_owned()));
    names.retain(|it| !it.starts_with("alias/aws/"));
    assert_eq!(names, ["alias/b", "alias/c", "alias/web"]);
    // A predefined one stands for a key as soon as somebody asks for it, the same ever after.
    let managed = world.describe("alias/aws/s3").await;
    assert_eq!(managed.key_manager, Some(KeyManagerType::Aws));
    assert_eq!(world.describe("alias/aws/s3").await.key_id, managed.key_id);
    let schedule = ScheduleKeyDeletionInput {
        key_id: managed.key_id,
        ..Default::default()
    };
    assert_eq!(world.refused(schedule).await, "AccessDeniedException");
}

#[tokio::test]
async fn data_keys_are_what_their_ciphertexts_hold() {
    let world = World::new();
    let id = world.key().await.key_id;
    let made = world
        .call(GenerateDataKeyInput {
            key_id: id.clone(),
            key_spec: Some(DataKeySpec::Aes256),
            encryption_context: pairs(Some(("a", "b"))),
            ..Default::default()
        })
        .await;
    let plaintext = made.plaintext.unwrap().0;
    assert_eq!(plaintext.len(), 32);
    let blob = made.ciphertext_blob.unwrap();
    let opened = world.call(decrypt(&blob, Some(("a", "b")))).await;
    assert_eq!(opened.plaintext.unwrap().0, plaintext);
    let both = GenerateDataKeyWithoutPlaintextInput {
        key_id: id.clone(),
        key_spec: Some(DataKeySpec::Aes128),
        number_of_bytes: Some(3),
        ..Default::default()
    };
    assert_eq!(world.refused(both).await, "ValidationException");
    let random = GenerateRandomInput {
        number_of_bytes: Some(24),
    };
    assert_eq!(world.call(random).await.plaintext.unwrap().0.len(), 24);
}

#[tokio::test]
async fn a_keys_policy_decides_over_users_and_leaves_it_to_their_own_only_where_it_says_so() {
    let world = World::guarded();
    let ann = world.user("ann", json!("kms:*")).await;
    let bob = world.user("bob", json!("kms:List*")).await;
    let id = world.key().await.key_id;
    // The usual policy: those of the users decide.
    let blob = ann.call(encrypt(&id, None)).await.unwrap();
    let blob = blob.ciphertext_blob.unwrap();
    let refused = bob.call(decrypt(&blob, None)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    assert!(
        refused
            .message
            .contains("no identity-based policy allows the kms:Decrypt action"),
        "{refused:?}"
    );
    // One that names Bob alone, for what is of one stage: Ann's own policy is worth nothing.
    let put = |statements: serde_json::Value, bypass| PutKeyPolicyInput {
        key_id: id.clone(),
        policy: json!({"Version": "2012-10-17", "Statement": statements}).to_string(),
        bypass_policy_lockout_safety_check: Some(bypass),
        ..Default::default()
    };
    let bobs = json!([{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:user/bob")},
        "Action": ["kms:Encrypt", "kms:Decrypt"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:stage": "test"}},
    }]);
    let locked = world.cx.call(put(bobs.clone(), false)).await.unwrap_err();
    assert_eq!(locked.code, "MalformedPolicyDocumentException");
    assert_eq!(
        locked.message,
        "The new key policy will not allow you to update the key policy in the future."
    );
    world.call(put(bobs, true)).await;
    let refused = ann.call(decrypt(&blob, None)).await.unwrap_err();
    assert!(
        refused
            .message
            .contains("no resource-based policy allows the kms:Decrypt action"),
        "{refused:?}"
    );
    let refused = bob.call(encrypt(&id, None)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    let stage = Some(("stage", "test"));
    let blob = bob.call(encrypt(&id, stage)).await.unwrap();
    let blob = blob.ciphertext_blob.unwrap();
    bob.call(decrypt(&blob, stage)).await.unwrap();
    // Not even the owner gets in where the policy names somebody else.
    let owner = world.cx.acting_as(testkit::owner());
    let refused = owner.call(decrypt(&blob, stage)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    // A key that AWS manages is used by way of its service alone.
    let refused = ann.call(encrypt("alias/aws/s3", None)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
    let through = ann.clone().via("s3.amazonaws.com");
    let blob = through.call(encrypt("alias/aws/s3", None)).await.unwrap();
    let blob = blob.ciphertext_blob.unwrap();
    through.call(decrypt(&blob, None)).await.unwrap();
    let refused = ann.call(decrypt(&blob, None)).await.unwrap_err();
    assert_eq!(refused.code, "AccessDeniedException");
}

#[tokio::test]
async fn malformed_policies_are_refused_and_the_usual_one_is_awss() {
    let world = World::new();
    let key = world.key().await;
    let get = GetKeyPolicyInput {
        key_id: key.key_id.clone(),
        policy_name: None,
    };
    let shown = world.call(get).await.policy.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["Id"], "key-default-1");
    for policy in [
        "no json",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/nobody"},"Action":"kms:*","Resource":"*"}]}"#,
    ] {
        let input = CreateKeyInput {
            policy: Some(policy.into()),
            ..Default::default()
        };
        let code = world.refused(input).await;
        assert_eq!(code, "MalformedPolicyDocumentException", "{policy}");
    }
}

#[tokio::test]
async fn tags_are_kept_and_those_of_aws_are_not_anybodys() {
    let world = World::new();
    let id = world.key().await.key_id;
    let tag = |key: &str| TagResourceInput {
        key_id: id.clone(),
        tags: vec![Tag {
            tag_key: key.into(),
            tag_value: "v".into(),
        }],
    };
    world.call(tag("a")).await;
    world.call(tag("b")).await;
    let list = ListResourceTagsInput {
        key_id: id.clone(),
        limit: Some(1),
        ..Default::default()
    };
    let page = world.call(list.clone()).await;
    assert_eq!(page.next_marker.as_deref(), Some("a"));
    let rest = ListResourceTagsInput {
        marker: page.next_marker,
        ..list
    };
    let page = world.call(rest).await;
    assert_eq!(page.tags.unwrap()[0].tag_key, "b");
    assert_eq!(page.truncated, Some(false));
}

fn request(kind: &str, properties: serde_json::Value) -> ResourceRequest {
    ResourceRequest {
        token: format!("token-{kind}"),
        tags: BTreeMap::from([("aws:cloudformation:stack-name".into(), "web".into())]),
        ..testkit::request("web", "Thing", properties)
    }
}

#[tokio::test]
async fn a_stacks_key_and_alias_are_made_changed_and_deleted() {
    let world = World::new();
    let kind = world.cloud.resource_type("AWS::KMS::Key").unwrap();
    let old = json!({"Description": "one", "EnableKeyRotation": true});
    let made = kind
        .create(&world.cx, &request("key", old.clone()))
        .await
        .unwrap();
    let again = kind
        .create(&world.cx, &request("key", old.clone()))
        .await
        .unwrap();
    assert_eq!(made, again);
    let id = made.physical_id;
    assert_eq!(
        world.describe(&id).await.description.as_deref(),
        Some("one")
    );
    let new = json!({"Description": "two", "Enabled": false, "PendingWindowInDays": 7,
        "Tags": [{"Key": "a", "Value": "b"}]});
    let change = request("key", new.clone());
    kind.update(&world.cx, &id, &old, &change).await.unwrap();
    let shown = world.describe(&id).await;
    assert_eq!(shown.description.as_deref(), Some("two"));
    assert_eq!(shown.key_state, Some(KeyState::Disabled));
    let status = GetKeyRotationStatusInput { key_id: id.clone() };
    assert_eq!(world.call(status).await.key_rotation_enabled, Some(false));
    let back = request("key", old.clone());
    kind.update(&world.cx, &id, &new, &back).await.unwrap();
    assert_eq!(world.state(&id).await, Some(KeyState::Enabled));

    let alias = world.cloud.resource_type("AWS::KMS::Alias").unwrap();
    let properties = json!({"AliasName": "alias/web", "TargetKeyId": id});
    let ask = request("alias", properties.clone());
    for _ in 0..2 {
        let made = alias.create(&world.cx, &ask).await.unwrap();
        assert_eq!(made.physical_id, "alias/web");
    }
    for _ in 0..2 {
        alias
            .delete(&world.cx, "alias/web", &properties)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        kind.delete(&world.cx, &id, &new).await.unwrap();
    }
    assert_eq!(world.state(&id).await, Some(KeyState::PendingDeletion));
    let refused = kind.refuse(&json!({"KeySpec": "RSA_2048"})).unwrap_err();
    assert!(refused.contains("RSA_2048"), "{refused}");
}
