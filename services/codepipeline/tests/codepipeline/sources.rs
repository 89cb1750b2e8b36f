//! Where executions come from, and what they take.

use engine::{EngineError, GitSource};
use serde_json::{Value as Json, json};
use shapes::codepipeline::*;

use crate::support::*;
use PipelineExecutionStatus::{Failed, Succeeded};

fn with_source(source: Json) -> Json {
    pipeline(&[("Source", vec![source]), ("Build", vec![build()])])
}

fn codecommit() -> Json {
    let configuration = json!({ "RepositoryName": "shop", "BranchName": "main" });
    let mut it = action(
        "App",
        "Source/AWS/CodeCommit",
        configuration,
        &[],
        &["Code"],
    );
    it["namespace"] = "Source".into();
    it
}

#[tokio::test(start_paused = true)]
async fn a_push_to_a_repository_kept_here_is_seen_at_once() {
    let world = World::new().await;
    let hosted = GitSource::Hosted("shop-id".into());
    world.sim.git.push(&hosted, "main", &[("a", "1")]);
    world.create(with_source(codecommit())).await;
    world.ended(1).await;
    // The next look would be a second later.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let commit = world.sim.git.push(&hosted, "main", &[("a", "2")]);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let all = world.executions().await;
    assert_eq!(all.len(), 2);
    world.ended(2).await;
    let revision = world.executions().await[0]
        .source_revisions
        .clone()
        .unwrap()
        .remove(0);
    assert_eq!(revision.revision_id, Some(commit.id));
    let source = world
        .runs()
        .await
        .into_iter()
        .find(|it| it.action_name.as_deref() == Some("App"));
    let variables = source.unwrap().output.unwrap().output_variables.unwrap();
    assert_eq!(variables["RepositoryName"], "shop");
    assert_eq!(variables["BranchName"], "main");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_polled_starts_nothing() {
    let world = World::new().await;
    let mut source = github_source();
    source["configuration"]["PollForSourceChanges"] = "false".into();
    world.create(with_source(source)).await;
    world.ended(1).await;
    world.push("main", "puts 9");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_read_fails_and_says_why() {
    for (error, code, words) in [
        (
            EngineError::invalid("the login was refused"),
            "PermissionError",
            "access token might be invalid",
        ),
        (
            EngineError::not_found("there is no such repository"),
            "ConfigurationError",
            "Could not find the repository \"acme/shop\"",
        ),
        (
            EngineError::unreachable("connection refused"),
            "SystemUnavailable",
            "connection refused",
        ),
    ] {
        let world = World::new().await;
        let url = "https://github.com/acme/shop.git";
        world.sim.git.fail(url, Some(error));
        world.create(usual()).await;
        let all = world.ended(1).await;
        assert_eq!(all[0].status, Some(Failed));
        let why = world.action("Source", "App").await.error_details.unwrap();
        assert_eq!(why.code.as_deref(), Some(code));
        assert!(why.message.as_ref().unwrap().contains(words), "{why:?}");
        world.assert_clean().await;
    }
    // And a branch that is not there.
    let world = World::new().await;
    let mut source = github_source();
    source["configuration"]["Branch"] = "nothing".into();
    world.create(with_source(source)).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world.action("Source", "App").await.error_details.unwrap();
    assert_eq!(why.code.as_deref(), Some("RevisionUnavailable"));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_there_fails_with_its_words() {
    let world = World::new().await;
    let mut pipeline = usual();
    pipeline["artifactStore"]["location"] = "nowhere".into();
    world.create(pipeline).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world.action("Source", "App").await.error_details.unwrap();
    assert!(
        why.message
            .unwrap()
            .contains("The specified bucket does not exist")
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_is_a_source_and_its_versions_start_executions() {
    let world = World::new().await;
    let put = |body: &str| {
        let input = shapes::s3::PutObjectInput {
            bucket: "releases".into(),
            key: "app.zip".into(),
            body: Some(wire::Blob(body.as_bytes().to_vec())),
            ..Default::default()
        };
        world.call(input)
    };
    put("one").await;
    let configuration = json!({ "S3Bucket": "releases", "S3ObjectKey": "app.zip" });
    let source = action("App", "Source/AWS/S3", configuration, &[], &["Code"]);
    let to = json!({ "BucketName": "site", "Extract": "false", "ObjectKey": "copy.zip" });
    let deploy = action("Copy", "Deploy/AWS/S3", to, &["Code"], &[]);
    world
        .create(pipeline(&[
            ("Source", vec![source]),
            ("Deploy", vec![deploy]),
        ]))
        .await;
    assert_eq!(
        world.ended(1).await[0].status,
        Some(Succeeded),
        "{:#?}",
        world.runs().await
    );
    assert_eq!(
        world.get::<FakeObject>("site/copy.zip").unwrap().body,
        "one"
    );
    put("two").await;
    world.ended(2).await;
    assert_eq!(
        world.get::<FakeObject>("site/copy.zip").unwrap().body,
        "two"
    );
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_bucket_without_versions_is_refused_by_the_action() {
    let world = World::new().await;
    let configuration = json!({ "S3Bucket": "plain", "S3ObjectKey": "app.zip" });
    let source = action("App", "Source/AWS/S3", configuration, &[], &["Code"]);
    let stages = [("Source", vec![source]), ("Look", vec![approval()])];
    world.create(pipeline(&stages)).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world.action("Source", "App").await.error_details.unwrap();
    assert!(why.message.unwrap().contains("versioning"));
}

#[tokio::test(start_paused = true)]
async fn files_of_an_artifact_are_put_into_a_bucket() {
    let world = World::new().await;
    world.push_files("main", &[("index.html", "<h1>"), ("css/a.css", "a")]);
    let to = json!({ "BucketName": "site", "Extract": "true", "ObjectKey": "v1" });
    let deploy = action("Site", "Deploy/AWS/S3", to, &["Code"], &[]);
    let stages = [("Source", vec![github_source()]), ("Deploy", vec![deploy])];
    world.create(pipeline(&stages)).await;
    assert_eq!(world.ended(1).await[0].status, Some(Succeeded));
    let objects: Vec<FakeObject> = world.all();
    let mut keys: Vec<_> = objects
        .iter()
        .filter(|it| it.bucket == "site")
        .map(|it| it.key.as_str())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["v1/css/a.css", "v1/index.html"]);
    world.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_given_revision_is_taken_instead_of_the_newest() {
    let world = World::new().await;
    let old = world.push("main", "puts 1");
    world.push("main", "puts 2");
    world.create(usual()).await;
    world.ended(1).await;
    let input = StartPipelineExecutionInput {
        name: "shop".into(),
        source_revisions: Some(vec![SourceRevisionOverride {
            action_name: "App".into(),
            revision_type: SourceRevisionType::CommitId,
            revision_value: old.clone(),
        }]),
        client_request_token: Some("once".into()),
        ..Default::default()
    };
    let first = world.call(input.clone()).await;
    assert_eq!(world.call(input).await, first);
    world.ended(2).await;
    assert_eq!(world.image(), format!("repo:{old}"));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.executions().await.len(), 2);
}

fn hook(filter: &str) -> PutWebhookInput {
    PutWebhookInput {
        webhook: WebhookDefinition {
            name: "hook".into(),
            target_pipeline: "shop".into(),
            target_action: "App".into(),
            filters: vec![WebhookFilterRule {
                json_path: filter.into(),
                match_equals: Some("refs/heads/{Branch}".into()),
            }],
            authentication: WebhookAuthenticationType::GithubHmac,
            authentication_configuration: WebhookAuthConfiguration {
                secret_token: Some("hush".into()),
                allowed_ip_range: None,
            },
        },
        tags: None,
    }
}

fn signature(secret: &str, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256={hex}")
}

fn deliver(world: &World, path: &str, signature: Option<&str>, body: &str) -> (u16, String) {
    let delivery = codepipeline::Delivery {
        path,
        signature_sha256: signature,
        signature_sha1: None,
        event: Some("push"),
        body: body.as_bytes(),
    };
    codepipeline::deliver(&world.cloud, &delivery)
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_sent_again_starts_nothing() {
    let machine = machine();
    let world = World::on(&machine).await;
    let mut source = github_source();
    source["configuration"]["PollForSourceChanges"] = "false".into();
    world.create(with_source(source)).await;
    world.ended(1).await;
    let made = world.call(hook("$.ref")).await.webhook.unwrap();
    let path = made.url.rsplit('/').next().unwrap().to_owned();
    let (main, next) = (
        r#"{"ref": "refs/heads/main", "after": "1"}"#,
        r#"{"ref": "refs/heads/main", "after": "2"}"#,
    );
    let send = |world: &World, body: &str| {
        let (status, text) = deliver(world, &path, Some(&signature("hush", body)), body);
        assert_eq!(status, 200, "{text}");
        text
    };
    assert!(send(&world, main).starts_with("started"));
    let again = "it was delivered before: nothing was started";
    assert_eq!(send(&world, main), again);
    assert!(send(&world, next).starts_with("started"));
    world.ended(3).await;
    drop(world);
    // The next daemon remembers it, too.
    let world = World::on(&machine).await;
    assert_eq!(send(&world, main), again);
    assert_eq!(send(&world, next), again);
    assert_eq!(world.ended(3).await.len(), 3);
    // One whose webhook is gone and made anew has another address and is a stranger to it.
    let gone = DeleteWebhookInput {
        name: "hook".into(),
    };
    world.call(gone).await;
    world.call(hook("$.ref")).await;
    assert_eq!(
        deliver(&world, &path, Some(&signature("hush", main)), main).0,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn a_delivery_with_the_right_signature_and_branch_starts_the_pipeline() {
    let world = World::new().await;
    let mut source = github_source();
    source["configuration"]["PollForSourceChanges"] = "false".into();
    world.create(with_source(source)).await;
    world.ended(1).await;
    let made = world.call(hook("$.ref")).await.webhook.unwrap();
    assert!(!format!("{made:?}").contains("hush"));
    let path = made.url.rsplit('/').next().unwrap().to_owned();
    let deliver = |signature: Option<&str>, body: &str| deliver(&world, &path, signature, body).0;
    let (main, other) = (
        r#"{"ref": "refs/heads/main"}"#,
        r#"{"ref": "refs/heads/other"}"#,
    );
    assert_eq!(deliver(None, main), 403);
    assert_eq!(deliver(Some(&signature("wrong", main)), main), 403);
    assert_eq!(deliver(Some(&signature("hush", other)), main), 403);
    assert_eq!(deliver(Some(&signature("hush", other)), other), 200);
    assert_eq!(deliver(Some(&signature("hush", "no")), "no"), 400);
    assert_eq!(world.executions().await.len(), 1);
    assert_eq!(deliver(Some(&signature("hush", main)), main), 200);
    let all = world.ended(2).await;
    let trigger = all[0].trigger.clone().unwrap();
    assert_eq!(trigger.trigger_type, Some(TriggerType::Webhook));
}

#[tokio::test(start_paused = true)]
async fn a_registered_webhook_is_served_by_looking() {
    let world = World::new().await;
    let mut source = github_source();
    source["configuration"]["PollForSourceChanges"] = "false".into();
    world.create(with_source(source)).await;
    world.ended(1).await;
    world.call(hook("$.ref")).await;
    let register = || RegisterWebhookWithThirdPartyInput {
        webhook_name: Some("hook".into()),
    };
    world.call(register()).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    world.push("main", "puts 7");
    let all = world.ended(2).await;
    let trigger = all[0].trigger.clone().unwrap();
    assert_eq!(trigger.trigger_type, Some(TriggerType::Webhook));
    world.call(hook("$.head_commit.author")).await;
    let refused = world.err(register()).await;
    assert!(
        refused.is(errors::InvalidWebhookFilterPatternException),
        "{refused}"
    );
}

fn connection(arn: &str) -> Json {
    let configuration = json!({
        "ConnectionArn": arn, "FullRepositoryId": "acme/shop", "BranchName": "main",
    });
    let mut it = action(
        "App",
        "Source/AWS/CodeStarSourceConnection",
        configuration,
        &[],
        &["Code"],
    );
    it["namespace"] = "Source".into();
    it
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_complete_fails_and_says_what_completes_it() {
    let world = World::new().await;
    world.create(with_source(connection("arn:c/pending"))).await;
    assert_eq!(world.ended(1).await[0].status, Some(Failed));
    let why = world.action("Source", "App").await.error_details.unwrap();
    assert_eq!(why.code.as_deref(), Some("PermissionError"));
    assert!(
        why.message
            .unwrap()
            .contains("neargate connection authorize arn:c/pending")
    );
}

#[tokio::test(start_paused = true)]
async fn triggers_choose_branches_and_paths() {
    let world = World::new().await;
    world.push("feature/old", "puts 0");
    let mut pipeline = with_source(connection("arn:c/1"));
    pipeline["pipelineType"] = "V2".into();
    pipeline["triggers"] = json!([{
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {"sourceActionName": "App", "push": [{
            "branches": {"includes": ["main", "feature/*"]},
            "filePaths": {"includes": ["src/**"], "excludes": ["**/*.md"]},
        }]},
    }]);
    world.create(pipeline).await;
    world.ended(1).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let mut expected = 1;
    // What a push leaves out it deletes.
    let kept = [("app.rb", "puts 1"), ("src/a.rb", "new")];
    for (branch, path, starts) in [
        ("main", "src/a.rb", true),
        ("main", "README.md", false),
        ("feature/new", "src/b.rb", true),
        ("hotfix", "src/c.rb", false),
    ] {
        let commit = world.push_files(branch, &[kept[0], kept[1], (path, "new")]);
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        expected += usize::from(starts);
        let all = world.ended(expected).await;
        if starts {
            let revision = all[0].source_revisions.clone().unwrap().remove(0);
            assert_eq!(revision.revision_id, Some(commit), "{branch} {path}");
            let trigger = all[0].trigger.clone().unwrap();
            assert_eq!(trigger.trigger_type, Some(TriggerType::WebhookV2));
            let runs = world.runs().await;
            let source = runs
                .iter()
                .find(|it| it.action_name.as_deref() == Some("App"));
            let output = source.unwrap().output.clone().unwrap();
            assert_eq!(output.output_variables.unwrap()["BranchName"], branch);
        }
    }
}
