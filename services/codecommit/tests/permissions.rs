//! What each operation needs permission for, by a repository's name and ARN.

use std::collections::BTreeMap;

use shapes::codecommit::*;
use testkit::{Watched, key_of};

const WEB: &str = "arn:aws:codecommit:us-east-1:000000000000:web";

struct World(Watched);

impl World {
    /// A repository `web` of the team `a`.
    async fn new() -> Self {
        let world = testkit::world([codecommit::service()]).at_rest();
        world.call(create("web", Some(team("a")))).await;
        let found = codecommit::find_by_path(&world.cloud, "localhost", "web").unwrap();
        assert_eq!((found.arn.as_str(), found.tags), (WEB, team("a")));
        Self(world.watched())
    }

    async fn check<I: wire::Operation>(&self, input: I, expected: &[&str]) {
        let expected = expected.iter().map(|it| it.replace("WEB", WEB));
        let expected: Vec<String> = expected.collect();
        assert_eq!(self.0.lines(input).await, expected, "{}", I::NAME);
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
    testkit::input_with(serde_json::json!({ "repositoryName": "web" }), &more)
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
    let needs = world.0.needs(input::<PutFileInput>(put)).await;
    let references = key_of(&needs.all[0], "codecommit:References");
    assert_eq!(references.unwrap(), ["refs/heads/main"]);
    let needs = world
        .0
        .needs(input::<GetRepositoryInput>(serde_json::json!({})))
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
