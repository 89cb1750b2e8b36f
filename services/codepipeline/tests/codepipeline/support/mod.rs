//! A cloud with CodePipeline, a simulated machine, and fakes of the services that it calls.

mod fakes;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use engine::GitSource;
use serde_json::{Value as Json, json};
use shapes::codepipeline::*;
use testkit::SimMachine;

pub use fakes::{
    FakeBuild, FakeChangeSet, FakeDefinition, FakeDistrust, FakeObject, FakeRecipe, FakeService,
    FakeStack,
};

pub const ROLE: &str = "arn:aws:iam::000000000000:role/pipeline";

/// A machine with a commit in the repository at GitHub.
pub fn machine() -> SimMachine {
    let mut sim = sim::Sim::default();
    sim.git = Arc::new(sim::SimGit::new(sim.workspaces.clone()));
    sim.git.push(&github(), "main", &[("app.rb", "puts 1")]);
    SimMachine::new(sim)
}

pub fn github() -> GitSource {
    GitSource::Remote {
        url: "https://github.com/acme/shop.git".into(),
        login: None,
    }
}

pub struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    pub async fn new() -> Self {
        Self::on(&machine()).await
    }

    pub async fn on(machine: &SimMachine) -> Self {
        let world = testkit::world([
            codepipeline::service(),
            fakes::s3(),
            fakes::iam(),
            fakes::codecommit(),
            fakes::codebuild(),
            fakes::ecs(),
            fakes::codeconnections(),
            fakes::cloudformation(),
        ]);
        let mut world = Self(world.on(machine).at_rest());
        if world.get::<FakeService>("web").is_none() {
            world.first_life();
        }
        world.0.run();
        world
    }

    fn first_life(&self) {
        self.put(&FakeDefinition {
            arn: "web:0".into(),
            image: "repo:old".into(),
            made_by: Some("somebody".into()),
        });
        self.put(&FakeService {
            definition: "web:0".into(),
            deployment: "ecs-svc/0".into(),
            works: true,
            updates: 0,
        });
        self.recipe(|_| ());
    }

    /// A push to the repository at GitHub.
    pub fn push(&self, branch: &str, content: &str) -> String {
        self.push_files(branch, &[("app.rb", content)])
    }

    pub fn push_files(&self, branch: &str, files: &[(&str, &str)]) -> String {
        self.sim.git.push(&github(), branch, files).id
    }

    pub fn get<R: cloud::Record>(&self, key: &str) -> Option<R> {
        self.cx.read(|tx| tx.get(key)).unwrap()
    }
    pub fn all<R: cloud::Record>(&self) -> Vec<R> {
        self.cx.read(|tx| tx.list("")).unwrap()
    }
    pub fn put<R: cloud::Record>(&self, record: &R) {
        self.cx.write(|tx| tx.put(record)).unwrap();
    }

    /// Changes what builds do.
    pub fn recipe(&self, change: impl FnOnce(&mut FakeRecipe)) {
        let mut recipe = self.get("recipe").unwrap_or_else(|| FakeRecipe {
            files: BTreeMap::from([(
                "imagedefinitions.json".into(),
                r#"[{"name": "app", "imageUri": "repo:COMMIT"}]"#.into(),
            )]),
            succeeds: true,
            hold: false,
        });
        change(&mut recipe);
        self.put(&recipe);
    }

    pub fn service(&self) -> FakeService {
        self.get("web").unwrap()
    }

    /// The image that the service runs.
    pub fn image(&self) -> String {
        let definition: FakeDefinition = self.get(&self.service().definition).unwrap();
        definition.image
    }

    pub async fn create(&self, pipeline: Json) {
        let pipeline = wire::lenient(pipeline).unwrap();
        self.call(CreatePipelineInput {
            pipeline,
            tags: None,
        })
        .await;
    }

    pub async fn executions(&self) -> Vec<PipelineExecutionSummary> {
        let input = ListPipelineExecutionsInput {
            pipeline_name: "shop".into(),
            ..Default::default()
        };
        self.call(input).await.pipeline_execution_summaries.unwrap()
    }

    pub async fn status(&self, id: &str) -> PipelineExecutionStatus {
        let all = self.executions().await;
        let found = all
            .into_iter()
            .find(|it| it.pipeline_execution_id.as_deref() == Some(id));
        found.unwrap().status.unwrap()
    }

    /// Waits until there are so many executions and all of them have ended.
    pub async fn ended(&self, count: usize) -> Vec<PipelineExecutionSummary> {
        let over = |it: &PipelineExecutionSummary| {
            !matches!(
                it.status,
                Some(PipelineExecutionStatus::InProgress | PipelineExecutionStatus::Stopping)
            )
        };
        self.until(async |world| {
            let all = world.executions().await;
            (all.len() == count && all.iter().all(over)).then_some(all)
        })
        .await
    }

    /// Time runs by itself when nothing else happens.
    pub async fn until<T>(&self, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        match testkit::wait(async || look(self).await).await {
            Some(found) => found,
            None => panic!("it never came to it: {:#?}", self.state().await),
        }
    }

    pub async fn state(&self) -> Vec<StageState> {
        let name = "shop".into();
        let answer = self.call(GetPipelineStateInput { name }).await;
        answer.stage_states.unwrap()
    }

    /// The latest run of an action.
    pub async fn action(&self, stage: &str, action: &str) -> ActionExecution {
        let stages = self.state().await;
        let stage = stages
            .into_iter()
            .find(|it| it.stage_name.as_deref() == Some(stage));
        let actions = stage.unwrap().action_states.unwrap();
        let found = actions
            .into_iter()
            .find(|it| it.action_name.as_deref() == Some(action));
        found.unwrap().latest_execution.unwrap_or_default()
    }

    pub async fn runs(&self) -> Vec<ActionExecutionDetail> {
        let input = ListActionExecutionsInput {
            pipeline_name: "shop".into(),
            ..Default::default()
        };
        self.call(input).await.action_execution_details.unwrap()
    }

    pub async fn start(&self) -> String {
        let input = StartPipelineExecutionInput {
            name: "shop".into(),
            ..Default::default()
        };
        self.call(input).await.pipeline_execution_id.unwrap()
    }

    pub async fn assert_clean(&self) {
        let left = self.cx.engine().workspaces.list().await.unwrap();
        assert!(left.is_empty(), "workspaces are left: {left:?}");
    }
}

pub fn action(
    name: &str,
    kind: &str,
    configuration: Json,
    inputs: &[&str],
    outputs: &[&str],
) -> Json {
    let parts: Vec<&str> = kind.split('/').collect();
    let artifacts =
        |names: &[&str]| -> Vec<Json> { names.iter().map(|it| json!({ "name": it })).collect() };
    json!({
        "name": name,
        "actionTypeId": {
            "category": parts[0], "owner": parts[1], "provider": parts[2], "version": "1",
        },
        "configuration": configuration,
        "inputArtifacts": artifacts(inputs),
        "outputArtifacts": artifacts(outputs),
    })
}

pub fn github_source() -> Json {
    let configuration = json!({
        "Owner": "acme", "Repo": "shop", "Branch": "main", "OAuthToken": "secret-token",
    });
    let mut it = action(
        "App",
        "Source/ThirdParty/GitHub",
        configuration,
        &[],
        &["Code"],
    );
    it["namespace"] = "Source".into();
    it
}

pub fn build() -> Json {
    let configuration = json!({
        "ProjectName": "image",
        "EnvironmentVariables": r##"[{"name": "COMMIT", "value": "#{Source.CommitId}"}]"##,
    });
    action(
        "Image",
        "Build/AWS/CodeBuild",
        configuration,
        &["Code"],
        &["Image"],
    )
}

pub fn deploy() -> Json {
    let configuration = json!({ "ClusterName": "shop", "ServiceName": "web" });
    action("Service", "Deploy/AWS/ECS", configuration, &["Image"], &[])
}

pub fn approval() -> Json {
    let configuration = json!({ "CustomData": "Look at it" });
    action("Look", "Approval/AWS/Manual", configuration, &[], &[])
}

pub fn pipeline(stages: &[(&str, Vec<Json>)]) -> Json {
    let stages: Vec<Json> = stages
        .iter()
        .map(|(name, actions)| json!({ "name": name, "actions": actions }))
        .collect();
    json!({
        "name": "shop",
        "roleArn": ROLE,
        "artifactStore": { "type": "S3", "location": "artifacts" },
        "stages": stages,
    })
}

/// Source, build, deploy.
pub fn usual() -> Json {
    pipeline(&[
        ("Source", vec![github_source()]),
        ("Build", vec![build()]),
        ("Deploy", vec![deploy()]),
    ])
}
