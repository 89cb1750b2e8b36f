//! The operations over a machine that is not there.

use std::ops::Deref;

use engine::GitSource;
use serde_json::json;
use shapes::codecommit::*;

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([codecommit::service()]).run())
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> &'static str {
        self.err(input).await.code
    }

    async fn create(&self) -> RepositoryMetadata {
        let made = self.call(create("web")).await;
        made.repository_metadata.unwrap()
    }

    async fn get(&self, name: &str) -> RepositoryMetadata {
        let input = GetRepositoryInput {
            repository_name: name.into(),
        };
        self.call(input).await.repository_metadata.unwrap()
    }
}

fn create(name: &str) -> CreateRepositoryInput {
    CreateRepositoryInput {
        repository_name: name.into(),
        ..Default::default()
    }
}

fn put(path: &str, text: &str, parent: Option<&str>) -> PutFileInput {
    PutFileInput {
        repository_name: "web".into(),
        branch_name: "main".into(),
        file_content: wire::Blob(text.into()),
        file_path: path.into(),
        parent_commit_id: parent.map(str::to_owned),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_repository_is_made_renamed_and_deleted_with_its_contents() {
    let world = World::new();
    let made = world.create().await;
    assert_eq!(
        made.arn.unwrap(),
        "arn:aws:codecommit:us-east-1:000000000000:web"
    );
    let url = made.clone_url_http.unwrap();
    assert_eq!(url, "http://127.0.0.1:4566/v1/repos/web");
    assert_eq!(made.default_branch, None);
    assert_eq!(
        world.refused(create("web")).await,
        "RepositoryNameExistsException"
    );
    assert_eq!(
        world.refused(create("web.git")).await,
        "InvalidRepositoryNameException"
    );

    let id = made.repository_id.unwrap();
    let source = GitSource::Hosted(id.clone());
    let commit = world.sim.git.push(&source, "trunk", &[("a", "1")]);
    assert_eq!(world.get("web").await.default_branch.unwrap(), "trunk");
    let rename = UpdateRepositoryNameInput {
        old_name: "web".into(),
        new_name: "site".into(),
    };
    world.call(rename).await;
    assert_eq!(world.get("site").await.repository_id.unwrap(), id);
    let found = codecommit::find_by_path(&world.cloud, "localhost", "site").unwrap();
    assert_eq!(
        (found.id.as_str(), found.region.as_str()),
        (id.as_str(), "us-east-1")
    );
    assert_eq!(
        codecommit::find_by_path(&world.cloud, "localhost", "web"),
        None
    );
    let in_region = |region: &str| {
        let host = format!("git-codecommit.{region}.amazonaws.com.localhost:4566");
        codecommit::find_by_path(&world.cloud, &host, "site").is_some()
    };
    assert!(in_region("us-east-1") && !in_region("eu-west-1"));
    let branch = GetBranchInput {
        repository_name: Some("site".into()),
        branch_name: Some("trunk".into()),
    };
    let branch = world.call(branch).await.branch.unwrap();
    assert_eq!(branch.commit_id.unwrap(), commit.id);

    let delete = || DeleteRepositoryInput {
        repository_name: "site".into(),
    };
    assert_eq!(world.call(delete()).await.repository_id, Some(id));
    assert_eq!(world.call(delete()).await.repository_id, None);
    let mut tries = 0..100;
    while engine::Git::branches(&*world.sim.git, &source)
        .await
        .is_ok()
    {
        tries.next().expect("the contents go in time");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn commits_are_made_by_the_api() {
    let world = World::new();
    world.create().await;
    let first = world.call(put("src/a", "1", None)).await;
    assert_eq!(
        world.refused(put("src/a", "2", None)).await,
        "ParentCommitIdRequiredException"
    );
    assert_eq!(
        world
            .refused(put("src/a", "1", Some(&first.commit_id)))
            .await,
        "SameFileContentException"
    );
    assert_eq!(
        world.refused(put("src", "1", Some(&first.commit_id))).await,
        "FileNameConflictsWithDirectoryNameException"
    );
    assert_eq!(
        world
            .refused(put("src/a/b", "1", Some(&first.commit_id)))
            .await,
        "DirectoryNameConflictsWithFileNameException"
    );
    let commit = CreateCommitInput {
        repository_name: "web".into(),
        branch_name: "main".into(),
        parent_commit_id: Some(first.commit_id.clone()),
        author_name: Some("Ann".into()),
        commit_message: Some("Move".into()),
        put_files: Some(vec![PutFileEntry {
            file_path: "b".into(),
            source_file: Some(SourceFileSpecifier {
                file_path: "src/a".into(),
                is_move: Some(true),
            }),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let second = world.call(commit.clone()).await;
    let paths = |files: &Option<Vec<FileMetadata>>| {
        let files = files.iter().flatten();
        let paths = files.filter_map(|it| it.absolute_path.clone());
        paths.collect::<Vec<_>>()
    };
    assert_eq!(paths(&second.files_added), ["b"]);
    assert_eq!(paths(&second.files_deleted), ["src/a"]);
    assert_eq!(
        world.refused(commit).await,
        "ParentCommitIdOutdatedException"
    );

    let file = |path: &str, specifier: Option<&str>| GetFileInput {
        repository_name: "web".into(),
        commit_specifier: specifier.map(str::to_owned),
        file_path: path.into(),
    };
    assert_eq!(world.call(file("/b", None)).await.file_content.0, b"1");
    let old = world.call(file("src/a", Some(&first.commit_id))).await;
    assert_eq!(old.file_content.0, b"1");
    let missing = world.refused(file("src/a", None)).await;
    assert_eq!(missing, "FileDoesNotExistException");

    let commit = GetCommitInput {
        repository_name: "web".into(),
        commit_id: second.commit_id.clone().unwrap(),
    };
    let commit = world.call(commit).await.commit;
    assert_eq!(commit.message.unwrap(), "Move");
    assert_eq!(commit.parents.unwrap().concat(), first.commit_id);
    let folder = GetFolderInput {
        repository_name: "web".into(),
        folder_path: "/".into(),
        commit_specifier: Some(first.commit_id.clone()),
    };
    let folder = world.call(folder).await;
    let relative = folder.sub_folders.unwrap()[0].relative_path.clone();
    assert_eq!(relative.unwrap(), "src");
    let differences = GetDifferencesInput {
        repository_name: "web".into(),
        before_commit_specifier: Some(first.commit_id.clone()),
        after_commit_specifier: "main".into(),
        max_results: Some(1),
        ..Default::default()
    };
    let page = world.call(differences.clone()).await;
    let change = |page: &GetDifferencesOutput| page.differences.as_ref().unwrap()[0].change_type;
    assert_eq!(change(&page), Some(ChangeTypeEnum::A));
    let differences = GetDifferencesInput {
        next_token: page.next_token,
        ..differences
    };
    let page = world.call(differences).await;
    assert_eq!(
        (change(&page), page.next_token),
        (Some(ChangeTypeEnum::D), None)
    );
}

#[tokio::test]
async fn branches_are_made_and_the_default_one_is_kept() {
    let world = World::new();
    world.create().await;
    let first = world.call(put("a", "1", None)).await;
    let branch = |name: &str| CreateBranchInput {
        repository_name: "web".into(),
        branch_name: name.into(),
        commit_id: first.commit_id.clone(),
    };
    world.call(branch("dev")).await;
    assert_eq!(
        world.refused(branch("dev")).await,
        "BranchNameExistsException"
    );
    let delete = |name: &str| DeleteBranchInput {
        repository_name: "web".into(),
        branch_name: name.into(),
    };
    let refused = world.refused(delete("main")).await;
    assert_eq!(refused, "DefaultBranchCannotBeDeletedException");
    let default = |name: &str| UpdateDefaultBranchInput {
        repository_name: "web".into(),
        default_branch_name: name.into(),
    };
    assert_eq!(
        world.refused(default("other")).await,
        "BranchDoesNotExistException"
    );
    world.call(default("dev")).await;
    assert!(world.call(delete("main")).await.deleted_branch.is_some());
    let list = ListBranchesInput {
        repository_name: "web".into(),
        ..Default::default()
    };
    assert_eq!(world.call(list).await.branches.unwrap(), ["dev"]);
}

#[tokio::test]
async fn a_stacks_repository_is_made_once_and_follows_its_template() {
    let world = World::new();
    let kind = world
        .cloud
        .resource_type("AWS::CodeCommit::Repository")
        .unwrap();
    let mut request = testkit::request("stack", "Code", json!({ "RepositoryName": "web" }));
    let made = kind.create(&world.cx, &request).await.unwrap();
    assert_eq!(kind.create(&world.cx, &request).await.unwrap(), made);
    let old = request.properties.clone();
    request.properties = json!({ "RepositoryName": "site", "RepositoryDescription": "All" });
    kind.update(&world.cx, &made.physical_id, &old, &request)
        .await
        .unwrap();
    let name = kind
        .attribute(&world.cx, &made.physical_id, "CloneUrlHttp")
        .await;
    assert_eq!(name.unwrap(), "http://127.0.0.1:4566/v1/repos/site");
    let shown = world.get("site").await;
    assert_eq!(shown.repository_description.unwrap(), "All");
    for _ in 0..2 {
        kind.delete(&world.cx, &made.physical_id, &old)
            .await
            .unwrap();
    }
    assert_eq!(
        codecommit::find_by_path(&world.cloud, "localhost", "site"),
        None
    );
}
