//! What each operation needs permission for, by a repository's name and ARN.

use std::collections::BTreeMap;

use cloud::{Clock, Cloud, CloudParts, Cx, Pace, Store};
use shapes::codecommit::*;
use sim::{Recorder, key_of};

const WEB: &str = "arn:aws:codecommit:us-east-1:000000000000:web";

struct World {
    cx: Cx,
    recorder: Recorder,
    _directory: tempfile::TempDir,
}

impl World {
    /// A repository `web` of the team `a`.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cloud = Cloud::new(CloudParts {
            account: "000000000000".into(),
            default_region: "us-east-1".into(),
            store: Store::open(&directory.path().join("store.db")).unwrap(),
            engine: sim::Sim::default().engine(),
            clock: Clock::new(Pace::Fast),
            services: vec![codecommit::service()],
        });
        let cx = cloud.daemon_context("us-east-1");
        cx.call(create("web", Some(team("a")))).await.unwrap();
        let found = codecommit::find_by_path(&cloud, "localhost", "web").unwrap();
        assert_eq!((found.arn.as_str(), found.tags), (WEB, team("a")));
        Self {
            cx,
            recorder: Recorder::watch(&cloud),
            _directory: directory,
        }
    }

    async fn check<I: wire::Operation + Send + 'static>(&self, input: I, expected: &[&str]) {
        let lines = self.recorder.lines(&self.cx, input).await;
        let expected = expected.iter().map(|it| it.replace("WEB", WEB));
        assert_eq!(lines, expected.collect::<Vec<_>>(), "{}", I::NAME);
    }
}

fn team(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), name.to_owned())])
}

fn create(name: &str, tags: Option<BTreeMap<String, String>>) -> CreateRepositoryInput {
    CreateRepositoryInput {
        repository_name: name.into(),
        tags,
        ..Default::default()
    }
}

/// The input of an operation on `web`, from JSON.
fn input<I: wire::Operation>(more: serde_json::Value) -> I {
    let mut all = serde_json::json!({ "repositoryName": "web" });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    wire::from_json(all).unwrap()
}

#[tokio::test]
async fn operations_are_on_the_repositorys_record() {
    let world = World::new().await;
    macro_rules! check {
        ($($input:ident $more:tt;)*) => {
            $({
                let action = stringify!($input).strip_suffix("Input").unwrap();
                let needed = format!("codecommit:{action} WEB {{team=a}}");
                world.check(input::<$input>(serde_json::json!($more)), &[&needed]).await;
            })*
        };
    }
    check! {
        GetRepositoryInput {};
        DeleteRepositoryInput {};
        UpdateRepositoryNameInput {"oldName": "web", "newName": "other"};
        UpdateRepositoryDescriptionInput {};
        GetRepositoryTriggersInput {};
        PutRepositoryTriggersInput {"triggers": []};
        CreateBranchInput {"branchName": "main", "commitId": "1"};
        GetBranchInput {"branchName": "main"};
        ListBranchesInput {};
        DeleteBranchInput {"branchName": "main"};
        UpdateDefaultBranchInput {"defaultBranchName": "main"};
        GetCommitInput {"commitId": "1"};
        GetFileInput {"filePath": "a"};
        GetFolderInput {"folderPath": "a"};
        GetDifferencesInput {"afterCommitSpecifier": "main"};
        PutFileInput {"branchName": "main", "fileContent": "", "filePath": "a"};
        CreateCommitInput {"branchName": "main"};
        BatchGetRepositoriesInput {"repositoryNames": ["web"]};
        TagResourceInput {"resourceArn": WEB, "tags": {"team": "b"}};
        UntagResourceInput {"resourceArn": WEB, "tagKeys": ["team"]};
        ListTagsForResourceInput {"resourceArn": WEB};
    }
    world
        .check(
            ListRepositoriesInput::default(),
            &["codecommit:ListRepositories *"],
        )
        .await;
}

#[tokio::test]
async fn each_of_several_counts_and_none_is_all() {
    let world = World::new().await;
    let several = BatchGetRepositoriesInput {
        repository_names: vec!["gone".into(), "web".into()],
    };
    let needed = [
        "codecommit:BatchGetRepositories arn:aws:codecommit:us-east-1:000000000000:gone",
        "codecommit:BatchGetRepositories WEB {team=a}",
    ];
    world.check(several, &needed).await;
    let needed = "codecommit:GetBranch any arn:aws:codecommit:us-east-1:000000000000:* {?}";
    world.check(GetBranchInput::default(), &[needed]).await;
}

#[tokio::test]
async fn a_branch_is_told_as_a_reference() {
    let world = World::new().await;
    let put = serde_json::json!({"branchName": "main", "fileContent": "", "filePath": "a"});
    let needs = world
        .recorder
        .needs(&world.cx, input::<PutFileInput>(put))
        .await;
    let references = key_of(&needs.all[0], "codecommit:References");
    assert_eq!(references.unwrap(), ["refs/heads/main"]);
    let needs = world
        .recorder
        .needs(
            &world.cx,
            input::<GetRepositoryInput>(serde_json::json!({})),
        )
        .await;
    assert_eq!(key_of(&needs.all[0], "codecommit:References"), None);
}

#[tokio::test]
async fn tags_of_a_new_repository_need_the_permission_to_tag() {
    let world = World::new().await;
    let new = "arn:aws:codecommit:us-east-1:000000000000:new";
    let needed = format!("codecommit:CreateRepository {new}");
    world.check(create("new", None), &[&needed]).await;
    let tagging = format!("codecommit:TagResource {new}");
    world
        .check(create("new", Some(team("b"))), &[&needed, &tagging])
        .await;
}
