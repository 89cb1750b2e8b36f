//! The operations over a machine that is not there.

use std::ops::Deref;

use serde_json::json;
use shapes::ecr::*;

const HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// Lets everybody of the account pull.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}"#;

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([ecr::service()]).run())
    }

    async fn tags(&self) -> Vec<String> {
        let input = ListImagesInput {
            repository_name: "web".into(),
            ..Default::default()
        };
        let ids = self.call(input).await.image_ids.unwrap();
        let mut tags: Vec<_> = ids.into_iter().filter_map(|it| it.image_tag).collect();
        tags.sort();
        tags
    }

    fn in_engine(&self) -> engine::Repository {
        engine::Repository {
            host: HOST.into(),
            path: "web".into(),
        }
    }
}

fn create() -> CreateRepositoryInput {
    CreateRepositoryInput {
        repository_name: "web".into(),
        ..Default::default()
    }
}

fn by_tag(tag: &str) -> ImageIdentifier {
    ImageIdentifier {
        image_tag: Some(tag.into()),
        image_digest: None,
    }
}

#[tokio::test]
async fn a_repository_lives_in_the_engine_too() {
    let world = World::new();
    let images = world.sim.engine().images;
    assert!(images.manifests(&world.in_engine()).await.is_err());
    let made = world.call(create()).await.repository.unwrap();
    assert_eq!(made.repository_uri, Some(format!("{HOST}/web")));
    assert_eq!(
        made.repository_arn.as_deref(),
        Some("arn:aws:ecr:us-east-1:000000000000:repository/web")
    );
    assert!(images.manifests(&world.in_engine()).await.is_ok());
    assert_eq!(
        world.refused(create()).await,
        (
            "RepositoryAlreadyExistsException",
            "The repository with name 'web' already exists in the registry with id '000000000000'"
                .to_owned()
        )
    );
    world.sim.images.add(&format!("{HOST}/web:1"));
    let delete = DeleteRepositoryInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(delete.clone()).await.0,
        "RepositoryNotEmptyException"
    );
    let force = DeleteRepositoryInput {
        force: Some(true),
        ..delete.clone()
    };
    world.call(force).await;
    assert!(images.manifests(&world.in_engine()).await.is_err());
    assert_eq!(
        world.refused(delete).await,
        (
            "RepositoryNotFoundException",
            "The repository with name 'web' does not exist in the registry with id '000000000000'"
                .to_owned()
        )
    );
    world.call(create()).await;
    assert_eq!(world.tags().await, [] as [&str; 0]);
}

#[tokio::test]
async fn what_the_registry_cannot_keep_is_refused() {
    let world = World::new();
    let encrypted = CreateRepositoryInput {
        encryption_configuration: Some(EncryptionConfiguration {
            encryption_type: EncryptionType::Kms,
            kms_key: None,
        }),
        ..create()
    };
    assert_eq!(
        world.refused(encrypted).await.1,
        "the encryption type KMS is not supported by neargate"
    );
    world.call(create()).await;
    let address = |digest: &str| GetDownloadUrlForLayerInput {
        repository_name: "web".into(),
        layer_digest: digest.into(),
        ..Default::default()
    };
    let nothing = address(&format!("sha256:{}", "a".repeat(64)));
    assert_eq!(world.refused(nothing).await.0, "LayersNotFoundException");
}

#[tokio::test]
async fn who_asks_for_some_images_does_not_pay_for_all() {
    let world = World::new();
    world.call(create()).await;
    world.sim.images.add(&format!("{HOST}/web:1"));
    world.sim.images.add(&format!("{HOST}/web:2"));
    let before = world.sim.images.listings();
    let describe = DescribeImagesInput {
        repository_name: "web".into(),
        image_ids: Some(vec![by_tag("2"), by_tag("2"), by_tag("1")]),
        ..Default::default()
    };
    let details = world.call(describe).await.image_details.unwrap();
    assert_eq!(details.len(), 2);
    let get = BatchGetImageInput {
        repository_name: "web".into(),
        image_ids: vec![by_tag("1"), by_tag("not a tag")],
        ..Default::default()
    };
    let got = world.call(get).await;
    assert_eq!(got.images.unwrap().len(), 1);
    assert_eq!(got.failures.unwrap().len(), 1);
    let delete = BatchDeleteImageInput {
        repository_name: "web".into(),
        image_ids: vec![by_tag("1")],
        ..Default::default()
    };
    world.call(delete).await;
    assert_eq!(world.sim.images.listings(), before);
}

#[tokio::test]
async fn images_are_listed_fetched_and_deleted() {
    let world = World::new();
    world.call(create()).await;
    world.sim.images.add(&format!("{HOST}/web:1"));
    world.sim.images.add(&format!("{HOST}/web:2"));
    assert_eq!(world.tags().await, ["1", "2"]);
    let describe = |id| DescribeImagesInput {
        repository_name: "web".into(),
        image_ids: Some(vec![id]),
        ..Default::default()
    };
    let found = world
        .call(describe(by_tag("1")))
        .await
        .image_details
        .unwrap();
    assert_eq!(found[0].image_tags, Some(vec!["1".to_owned()]));
    assert_eq!(
        world.refused(describe(by_tag("9"))).await,
        (
            "ImageNotFoundException",
            "The image with imageId {imageDigest:'null', imageTag:'9'} does not exist within the repository with name 'web' in the registry with id '000000000000'".to_owned()
        )
    );
    let get = BatchGetImageInput {
        repository_name: "web".into(),
        image_ids: vec![by_tag("1"), by_tag("9"), ImageIdentifier::default()],
        ..Default::default()
    };
    let output = world.call(get).await;
    assert_eq!(output.images.unwrap().len(), 1);
    let codes: Vec<_> = output
        .failures
        .unwrap()
        .into_iter()
        .map(|it| it.failure_code)
        .collect();
    assert_eq!(
        codes,
        [
            Some(ImageFailureCode::ImageNotFound),
            Some(ImageFailureCode::MissingDigestAndTag)
        ]
    );
    let put = PutImageInput {
        repository_name: "web".into(),
        image_manifest: r#"{"mediaType":"application/x"}"#.into(),
        image_tag: Some("3".into()),
        ..Default::default()
    };
    let image = world.call(put.clone()).await.image.unwrap();
    assert_eq!(
        image.image_manifest_media_type.as_deref(),
        Some("application/x")
    );
    let wrong = PutImageInput {
        image_digest: Some(format!("sha256:{}", "0".repeat(64))),
        ..put
    };
    assert_eq!(
        world.refused(wrong).await.0,
        "ImageDigestDoesNotMatchException"
    );
    let delete = BatchDeleteImageInput {
        repository_name: "web".into(),
        image_ids: vec![by_tag("1"), by_tag("9")],
        ..Default::default()
    };
    let output = world.call(delete).await;
    assert_eq!(output.image_ids.unwrap().len(), 1);
    assert_eq!(output.failures.unwrap().len(), 1);
    assert_eq!(world.tags().await, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn tokens_open_the_registry_for_twelve_hours() {
    let world = World::new();
    let as_owner = world.cx.with_caller(testkit::owner());
    let output = as_owner
        .call(GetAuthorizationTokenInput::default())
        .await
        .unwrap();
    let data = &output.authorization_data.unwrap()[0];
    assert_eq!(data.proxy_endpoint, Some(format!("https://{HOST}")));
    let decoded = decode(data.authorization_token.as_deref().unwrap());
    let password = decoded.strip_prefix("AWS:").unwrap();
    let holder = |token: &str| ecr::token_holder(&world.cloud, token);
    assert_eq!(holder(password), Some(ecr::TokenHolder::Owner));
    assert_eq!(holder(&password[1..]), None);
    assert_eq!(ecr::token_holder(&World::new().cloud, password), None);
    tokio::time::advance(std::time::Duration::from_secs(12 * 60 * 60 - 5)).await;
    assert!(holder(password).is_some());
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert_eq!(holder(password), None);
}

fn decode(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn policies_and_tags_are_kept() {
    let world = World::new();
    world.call(create()).await;
    let get = GetRepositoryPolicyInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(get.clone()).await.0,
        "RepositoryPolicyNotFoundException"
    );
    let set = |text: &str| SetRepositoryPolicyInput {
        repository_name: "web".into(),
        policy_text: text.into(),
        ..Default::default()
    };
    // What says nothing that can be decided on would keep everybody out.
    for text in [
        "{",
        r#"{"Statement":[]}"#,
        r#"{"Statement":{"Effect":"Alow","Principal":"*","Action":"ecr:*"}}"#,
    ] {
        let refused = world.refused(set(text)).await;
        assert_eq!(refused.0, "InvalidParameterException", "{text}");
    }
    world.call(set(POLICY)).await;
    assert_eq!(world.call(get).await.policy_text.as_deref(), Some(POLICY));
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/web".to_owned();
    let tag = |key: &str| Tag {
        key: key.into(),
        value: "v".into(),
    };
    world
        .call(TagResourceInput {
            resource_arn: arn.clone(),
            tags: vec![tag("a"), tag("b")],
        })
        .await;
    world
        .call(UntagResourceInput {
            resource_arn: arn.clone(),
            tag_keys: vec!["a".into()],
        })
        .await;
    let tags = world
        .call(ListTagsForResourceInput { resource_arn: arn })
        .await
        .tags;
    assert_eq!(tags, Some(vec![tag("b")]));
}

#[tokio::test]
async fn a_stack_makes_changes_and_deletes_a_repository() {
    let world = World::new();
    let kind = world.cloud.resource_type("AWS::ECR::Repository").unwrap();
    let properties = json!({
        "ImageScanningConfiguration": {"ScanOnPush": "true"},
        "RepositoryPolicyText": {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}]},
        "LifecyclePolicy": {"LifecyclePolicyText": r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}}]}"#},
    });
    let mut request = testkit::request("Web", "Images", properties);
    let made = kind.create(&world.cx, &request).await.unwrap();
    assert!(
        made.physical_id.starts_with("web-images-"),
        "{}",
        made.physical_id
    );
    assert_eq!(kind.create(&world.cx, &request).await.unwrap(), made);
    let uri = kind
        .attribute(&world.cx, &made.physical_id, "RepositoryUri")
        .await
        .unwrap();
    assert_eq!(uri, format!("{HOST}/{}", made.physical_id));
    let old = std::mem::replace(&mut request.properties, json!({}));
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    let all = world
        .call(DescribeRepositoriesInput::default())
        .await
        .repositories
        .unwrap();
    let scanning = all[0].image_scanning_configuration.as_ref().unwrap();
    assert_eq!(scanning.scan_on_push, Some(false));
    world
        .sim
        .images
        .add(&format!("{HOST}/{}:1", made.physical_id));
    assert!(
        kind.delete(&world.cx, &made.physical_id, &json!({}))
            .await
            .is_err()
    );
    for _ in 0..2 {
        let properties = json!({"EmptyOnDelete": true});
        kind.delete(&world.cx, &made.physical_id, &properties)
            .await
            .unwrap();
    }
    assert_eq!(
        world
            .call(DescribeRepositoriesInput::default())
            .await
            .repositories,
        Some(vec![])
    );
}

#[tokio::test]
async fn images_expire_by_the_lifecycle_policy() {
    let world = World::new();
    world.call(create()).await;
    for tag in ["1", "2", "3"] {
        world.sim.images.add(&format!("{HOST}/web:{tag}"));
    }
    let put = |rules: serde_json::Value| PutLifecyclePolicyInput {
        repository_name: "web".into(),
        lifecycle_policy_text: json!({ "rules": rules }).to_string(),
        ..Default::default()
    };
    let get = || GetLifecyclePolicyInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    let (code, _) = world.refused(get()).await;
    assert_eq!(code, "LifecyclePolicyNotFoundException");
    let (code, _) = world.refused(put(json!([]))).await;
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(world.tags().await.len(), 3);
    let selection =
        json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    let rule = json!([{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]);
    world.call(put(rule)).await;
    let begin = std::time::Instant::now();
    while world.tags().await.len() > 1 {
        assert!(begin.elapsed().as_secs() < 10, "{:?}", world.tags().await);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    while world.call(get()).await.last_evaluated_at.is_none() {
        assert!(begin.elapsed().as_secs() < 10, "it was never looked at");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let gone = DeleteLifecyclePolicyInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    world.call(gone).await;
    world.refused(get()).await;
}

#[tokio::test]
async fn a_repository_brings_its_tags_and_its_policy() {
    let world = World::new();
    let tag = Tag {
        key: "team".into(),
        value: "a".into(),
    };
    let tagged = CreateRepositoryInput {
        tags: Some(vec![tag]),
        ..create()
    };
    world.call(tagged.clone()).await;
    let text = POLICY;
    world
        .call(SetRepositoryPolicyInput {
            repository_name: "web".into(),
            policy_text: text.into(),
            ..Default::default()
        })
        .await;
    let recorder = testkit::Recorder::watch(&world.cloud);
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/web";
    let list = ListImagesInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    let needs = recorder.needs(&world.cx, list).await;
    assert_eq!(
        testkit::told(&needs.all[0]),
        format!("ecr:ListImages {arn} {{team=a}}")
    );
    let touched = needs.all[0].resource.as_ref().unwrap();
    assert_eq!(touched.policy.as_deref(), Some(text));
    let untag = UntagResourceInput {
        resource_arn: arn.into(),
        tag_keys: vec!["team".into()],
    };
    let lines = recorder.lines(&world.cx, untag).await;
    assert_eq!(lines, [format!("ecr:UntagResource {arn} {{team=a}}")]);
    let all = recorder
        .lines(&world.cx, DescribeRepositoriesInput::default())
        .await;
    let any = "arn:aws:ecr:us-east-1:000000000000:repository/*";
    let all = all.join(" ");
    assert!(
        all.contains(&format!("ecr:DescribeRepositories any {any}")),
        "{all}"
    );
    let other = CreateRepositoryInput {
        repository_name: "other".into(),
        ..tagged
    };
    let lines = recorder.lines(&world.cx, other).await;
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/other";
    assert_eq!(
        lines,
        [
            format!("ecr:CreateRepository {arn}"),
            format!("ecr:TagResource {arn}"),
        ]
    );
}

fn manifest(config: &str) -> PutImageInput {
    PutImageInput {
        repository_name: "web".into(),
        image_manifest: json!({
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": format!("sha256:{}", "f".repeat(64))}],
        })
        .to_string(),
        image_manifest_media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
        image_tag: Some("v1".into()),
        ..Default::default()
    }
}

#[tokio::test]
async fn tags_that_never_move_do_not() {
    let world = World::new();
    let wildcard = |filter: &str| ImageTagMutabilityExclusionFilter {
        filter_type: ImageTagMutabilityExclusionFilterType::Wildcard,
        filter: filter.into(),
    };
    let made = |mutability, filters| CreateRepositoryInput {
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: filters,
        ..create()
    };
    for wrong in [
        made(ImageTagMutability::ImmutableWithExclusion, None),
        made(ImageTagMutability::Immutable, Some(vec![wildcard("a*")])),
        made(
            ImageTagMutability::MutableWithExclusion,
            Some(vec![wildcard("*a*b*")]),
        ),
    ] {
        assert_eq!(world.refused(wrong).await.0, "InvalidParameterException");
    }
    let kept = world
        .call(made(ImageTagMutability::Immutable, None))
        .await
        .repository
        .unwrap();
    assert_eq!(
        kept.image_tag_mutability,
        Some(ImageTagMutability::Immutable)
    );
    let blobs = ["a", "b"].map(sim::digest_of);
    for blob in &blobs {
        world.sim.images.add_blob(&world.in_engine(), blob, 1);
    }
    let push = |at: usize| manifest(blobs[at].as_str());
    world.call(push(0)).await;
    assert_eq!(
        world.refused(push(1)).await,
        (
            "ImageTagAlreadyExistsException",
            "The image tag 'v1' already exists in the 'web' repository and cannot be overwritten because the tag is immutable.".to_owned()
        )
    );
    let change = PutImageTagMutabilityInput {
        repository_name: "web".into(),
        image_tag_mutability: ImageTagMutability::ImmutableWithExclusion,
        image_tag_mutability_exclusion_filters: Some(vec![wildcard("v*")]),
        ..Default::default()
    };
    world.call(change).await;
    world.call(push(1)).await;
    let all = world
        .call(DescribeRepositoriesInput::default())
        .await
        .repositories
        .unwrap();
    assert_eq!(
        all[0].image_tag_mutability_exclusion_filters,
        Some(vec![wildcard("v*")])
    );
}

#[tokio::test]
async fn an_image_is_put_when_all_of_it_is_there() {
    let world = World::new();
    world.call(create()).await;
    let nothing = format!("sha256:{}", "1".repeat(64));
    let (code, why) = world.refused(manifest(&nothing)).await;
    assert_eq!(code, "LayersNotFoundException");
    assert_eq!(
        why,
        format!(
            "Layers with digests '[{nothing}]' required for pushing image into repository with name 'web' in the registry with id '000000000000' do not exist"
        )
    );
    let list = PutImageInput {
        image_manifest: json!({"manifests": [{"digest": nothing}]}).to_string(),
        ..manifest(&nothing)
    };
    assert_eq!(
        world.refused(list).await.0,
        "ReferencedImagesNotFoundException"
    );

    let begun = InitiateLayerUploadInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    let id = world.call(begun).await.upload_id.unwrap();
    // As the model wants it back.
    assert_eq!(
        id.split('-').map(str::len).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12]
    );
    let part = |first: i64, text: &str| UploadLayerPartInput {
        repository_name: "web".into(),
        upload_id: id.clone(),
        part_first_byte: first,
        part_last_byte: first + text.len() as i64 - 1,
        layer_part_blob: wire::Blob(text.as_bytes().to_vec()),
        ..Default::default()
    };
    let complete = |digest: &str| CompleteLayerUploadInput {
        repository_name: "web".into(),
        upload_id: id.clone(),
        layer_digests: vec![digest.to_owned()],
        ..Default::default()
    };
    assert_eq!(world.call(part(0, "con")).await.last_byte_received, Some(2));
    let error = world.cx.call(part(9, "x")).await.unwrap_err();
    assert_eq!(error.code, "InvalidLayerPartException");
    let last = error
        .members
        .iter()
        .find(|it| it.0 == "lastValidByteReceived");
    assert_eq!(last.unwrap().1, wire::Node::Int(2));
    world.call(part(3, "fig")).await;
    let digest = sim::digest_of("config").to_string();
    world.call(complete(&digest)).await;
    assert_eq!(
        world.refused(complete(&digest)).await.0,
        "LayerAlreadyExistsException"
    );
    assert_eq!(
        world.refused(complete(&nothing)).await.0,
        "UploadNotFoundException"
    );
    world.call(manifest(&digest)).await;
    let input = DescribeImagesInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    let shown = &world.call(input).await.image_details.unwrap()[0];
    assert_eq!(
        shown.artifact_media_type.as_deref(),
        Some("application/vnd.oci.image.config.v1+json")
    );
    assert_eq!(shown.image_scan_status, None);
}

#[tokio::test]
async fn there_is_no_scanner_and_a_preview_says_what_would_expire() {
    let world = World::new();
    let scanned = CreateRepositoryInput {
        image_scanning_configuration: Some(ImageScanningConfiguration {
            scan_on_push: Some(true),
        }),
        ..create()
    };
    world.call(scanned).await;
    for tag in ["1", "2"] {
        world.sim.images.add(&format!("{HOST}/web:{tag}"));
    }
    let findings = || DescribeImageScanFindingsInput {
        repository_name: "web".into(),
        image_id: by_tag("1"),
        ..Default::default()
    };
    let told = world.call(findings()).await.image_scan_status.unwrap();
    assert_eq!(told.status, Some(ScanStatus::Failed));
    let off = PutImageScanningConfigurationInput {
        repository_name: "web".into(),
        image_scanning_configuration: ImageScanningConfiguration {
            scan_on_push: Some(false),
        },
        ..Default::default()
    };
    world.call(off).await;
    assert_eq!(world.refused(findings()).await.0, "ScanNotFoundException");
    let start = StartImageScanInput {
        repository_name: "web".into(),
        image_id: by_tag("1"),
        ..Default::default()
    };
    assert!(
        world
            .refused(start)
            .await
            .1
            .contains("not supported by neargate")
    );

    let get = || GetLifecyclePolicyPreviewInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    assert_eq!(
        world.refused(get()).await.0,
        "LifecyclePolicyPreviewNotFoundException"
    );
    let selection =
        json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    let rules = json!([{"rulePriority": 7, "selection": selection, "action": {"type": "expire"}}]);
    let start = StartLifecyclePolicyPreviewInput {
        repository_name: "web".into(),
        lifecycle_policy_text: Some(json!({ "rules": rules }).to_string()),
        ..Default::default()
    };
    world.call(start).await;
    let shown = world.call(get()).await;
    assert_eq!(shown.summary.unwrap().expiring_image_total_count, Some(1));
    assert_eq!(
        shown.preview_results.unwrap()[0].applied_rule_priority,
        Some(7)
    );
    assert_eq!(world.tags().await.len(), 2, "nothing expires by it");
}
