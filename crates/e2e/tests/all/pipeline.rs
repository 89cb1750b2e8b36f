//! Pipelines, from a push to a deployment: with repositories that are kept here, real tasks behind a
//! load balancer, and AWS's own command line where people decide.

use std::path::Path;
use std::process::Command;

use e2e::{Aws, Machine, eventually, eventually_within, run_bounded};
use serde_json::{Value, json};
use std::time::Duration;

use crate::ground::{Ground, text, web_image};

const BUCKET: &str = "pipeline-artifacts";
/// A first push, a deployment of one task, and a slow machine.
const DEPLOYMENT: Duration = Duration::from_secs(60);

/// A repository, a bucket and a role.
fn prepare(machine: &Machine) {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": "codepipeline.amazonaws.com" },
    }] });
    let role = json!({ "RoleName": "pipeline", "AssumeRolePolicyDocument": trust.to_string() });
    machine.ask("iam", "CreateRole", role);
    machine.ask("s3", "CreateBucket", json!({ "Bucket": BUCKET }));
    let repository = json!({ "repositoryName": "shop" });
    machine.ask("codecommit", "CreateRepository", repository);
}

fn action(name: &str, kind: [&str; 3], configuration: Value, input: bool) -> Value {
    let [category, owner, provider] = kind;
    let id = json!({ "category": category, "owner": owner, "provider": provider, "version": "1" });
    let artifacts = |used: bool| match used {
        true => json!([{ "name": "Code" }]),
        false => json!([]),
    };
    json!({
        "name": name, "actionTypeId": id, "configuration": configuration,
        "inputArtifacts": artifacts(input), "outputArtifacts": artifacts(category == "Source"),
    })
}

fn source() -> Value {
    let configuration = json!({ "RepositoryName": "shop", "BranchName": "main" });
    action(
        "Code",
        ["Source", "AWS", "CodeCommit"],
        configuration,
        false,
    )
}

fn pipeline(stages: &[(&str, Value)]) -> Value {
    let stage = |(name, action): &(&str, Value)| json!({ "name": name, "actions": [action] });
    json!({ "pipeline": {
        "name": "shop",
        "roleArn": "arn:aws:iam::000000000000:role/pipeline",
        "artifactStore": { "type": "S3", "location": BUCKET },
        "stages": stages.iter().map(stage).collect::<Vec<_>>(),
    } })
}

fn executions(machine: &Machine) -> Vec<Value> {
    let input = json!({ "pipelineName": "shop" });
    let answer = machine.ask("codepipeline", "ListPipelineExecutions", input);
    answer["pipelineExecutionSummaries"]
        .as_array()
        .unwrap()
        .clone()
}

/// Why actions failed, for a test that fails.
fn runs(machine: &Machine) -> String {
    let input = json!({ "pipelineName": "shop" });
    machine
        .ask("codepipeline", "ListActionExecutions", input)
        .to_string()
}

#[track_caller]
fn status_when(machine: &Machine, count: usize, status: &str) {
    let what = format!("execution {count} is {status}");
    eventually_within(DEPLOYMENT, &what, || {
        let all = executions(machine);
        match all.len() == count && all[0]["status"] == status {
            true => Ok(()),
            false => Err(format!("{all:?}\n{}", runs(machine))),
        }
    });
}

/// A working copy of the repository, pushed over HTTP by Git itself.
struct Copy<'a> {
    machine: &'a Machine,
    folder: tempfile::TempDir,
}

impl<'a> Copy<'a> {
    fn new(machine: &'a Machine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = Self { machine, folder };
        copy.git(&["init", "--quiet", "--initial-branch", "main"]);
        let key = machine.key();
        let encoded = |text: &str| {
            text.replace('%', "%25")
                .replace('/', "%2F")
                .replace('+', "%2B")
        };
        let url = format!(
            "http://{}:{}@{}/v1/repos/shop",
            encoded(&key.id),
            encoded(&key.secret),
            machine.listen
        );
        copy.git(&["remote", "add", "origin", &url]);
        copy
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Shop", "-c", "user.email=shop@example.com"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        let output = run_bounded(command);
        assert_eq!(output.code, 0, "{output:?}\n{}", self.machine.log());
        output.stdout
    }

    /// Pushes a file: the new commit.
    fn push(&self, file: &str, content: &str) -> String {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        std::fs::write(path, content).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "Change the shop"]);
        self.git(&["push", "--quiet", "origin", "main"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }
}

/// A service of one task behind a load balancer: the balancer's host.
fn web_service(ground: &Ground, image: &str) -> String {
    let group = ground.group("tasks");
    ground.open_port(&group, 8080);
    let balancer = ground.balancer("shop", 80);
    let ports = json!({ "portMappings": [{ "containerPort": 8080 }] });
    let definition = ground.definition("shop", image, &[], ports);
    let input = json!({
        "cluster": "test", "serviceName": "shop", "taskDefinition": definition,
        "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": ground.placed(&ground.subnets[0], &group),
        "loadBalancers": [{
            "targetGroupArn": balancer.target_group, "containerName": "main", "containerPort": 8080,
        }],
    });
    ground.machine.ask("ecs", "CreateService", input);
    balancer.host
}

fn images(container: &str, image: &str) -> String {
    json!([{ "name": container, "imageUri": image }]).to_string()
}

#[test]
fn a_push_is_deployed_and_what_is_wrong_with_it_is_said() {
    let machine = Machine::start();
    prepare(&machine);
    let ground = Ground::new(&machine);
    let (first, second) = (web_image(&machine, "first"), web_image(&machine, "second"));
    let host = web_service(&ground, &first);
    let answers = |wanted: &str| {
        eventually_within(
            DEPLOYMENT,
            &format!("the page says {wanted}"),
            || match machine.page(&format!("http://{host}/")) {
                Ok(page) if page.text() == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            },
        );
    };
    answers("first");
    let copy = Copy::new(&machine);
    copy.push("imagedefinitions.json", &images("main", &first));
    let configuration = json!({
        "ClusterName": "test",
        "ServiceName": "arn:aws:ecs:us-east-1:000000000000:service/test/shop",
    });
    let deploy = action("Service", ["Deploy", "AWS", "ECS"], configuration, true);
    let declared = pipeline(&[("Source", source()), ("Deploy", deploy)]);
    machine.ask("codepipeline", "CreatePipeline", declared);
    status_when(&machine, 1, "Succeeded");

    let commit = copy.push("imagedefinitions.json", &images("main", &second));
    status_when(&machine, 2, "Succeeded");
    // It has succeeded because the service runs it, and so it answers.
    answers("second");
    let last = &executions(&machine)[0];
    assert_eq!(last["sourceRevisions"][0]["revisionId"], commit);
    assert_eq!(
        last["sourceRevisions"][0]["revisionSummary"],
        "Change the shop"
    );
    assert_eq!(last["trigger"]["triggerType"], "PollForSourceChanges");
    // The artifact is a real archive of the commit in the bucket.
    let objects = machine.ask("s3", "ListObjectsV2", json!({ "Bucket": BUCKET }));
    assert_eq!(
        objects["Contents"].as_array().map(Vec::len),
        Some(2),
        "{objects}"
    );

    copy.push("imagedefinitions.json", &images("nobody", &first));
    status_when(&machine, 3, "Failed");
    let said = runs(&machine);
    assert!(
        said.contains("The AWS ECS container nobody does not exist"),
        "{said}"
    );
    copy.git(&["rm", "--quiet", "imagedefinitions.json"]);
    copy.push("README.md", "Nothing to deploy");
    status_when(&machine, 4, "Failed");
    let said = runs(&machine);
    assert!(
        said.contains("Did not find the image definition file"),
        "{said}"
    );
    answers("second");
}

#[test]
fn people_approve_hold_back_and_retry_with_the_command_line() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    prepare(&machine);
    machine.ask("s3", "CreateBucket", json!({ "Bucket": "pipeline-site" }));
    let copy = Copy::new(&machine);
    copy.push("index.html", "one");
    let look = action("Look", ["Approval", "AWS", "Manual"], json!({}), false);
    let to = json!({ "BucketName": "pipeline-site", "Extract": "true" });
    let deploy = action("Site", ["Deploy", "AWS", "S3"], to, true);
    let stages = [("Source", source()), ("Approve", look), ("Deploy", deploy)];
    let declared = pipeline(&stages).to_string();
    let codepipeline = |arguments: &[&str]| {
        let all: Vec<&str> = ["codepipeline"].iter().chain(arguments).copied().collect();
        aws.ask(&all)
    };
    codepipeline(&["create-pipeline", "--cli-input-json", &declared]);
    let token = || {
        eventually("somebody is asked", || {
            let input = json!({ "name": "shop" });
            let state = machine.ask("codepipeline", "GetPipelineState", input);
            let run = &state["stageStates"][1]["actionStates"][0]["latestExecution"];
            match run["token"].as_str() {
                Some(token) => Ok(token.to_owned()),
                None => Err(state.to_string()),
            }
        })
    };
    let answer = |result: &str| {
        codepipeline(&[
            "put-approval-result",
            "--pipeline-name",
            "shop",
            "--stage-name",
            "Approve",
            "--action-name",
            "Look",
            "--token",
            &token(),
            "--result",
            &format!("summary=Looked,status={result}"),
        ])
    };
    let page = || {
        let key = json!({ "Bucket": "pipeline-site", "Key": "index.html" });
        machine.call("s3", "HeadObject", key).is_ok()
    };
    answer("Rejected");
    status_when(&machine, 1, "Failed");
    assert!(!page(), "it was deployed although it was rejected");
    let first = text(&executions(&machine)[0]["pipelineExecutionId"]);
    codepipeline(&[
        "retry-stage-execution",
        "--pipeline-name",
        "shop",
        "--stage-name",
        "Approve",
        "--pipeline-execution-id",
        &first,
        "--retry-mode",
        "FAILED_ACTIONS",
    ]);
    let transition = [
        "--pipeline-name",
        "shop",
        "--stage-name",
        "Deploy",
        "--transition-type",
        "Inbound",
    ];
    let disable = ["disable-stage-transition", "--reason", "Not today"];
    codepipeline(&[&disable[..], &transition[..]].concat());
    answer("Approved");

    // A newer execution takes the place of the one that is held back.
    let waits = |id: &str| {
        eventually("an execution waits before the stage", || {
            let input = json!({ "name": "shop" });
            let state = machine.ask("codepipeline", "GetPipelineState", input);
            match state["stageStates"][2]["inboundExecution"]["pipelineExecutionId"] == id {
                true => Ok(()),
                false => Err(state.to_string()),
            }
        });
    };
    waits(&first);
    assert!(
        !page(),
        "it was deployed although nothing may enter the stage"
    );
    copy.push("index.html", "two");
    let second = eventually("the push is seen", || {
        let all = executions(&machine);
        match all.len() {
            2 => Ok(text(&all[0]["pipelineExecutionId"])),
            _ => Err(format!("{all:?}")),
        }
    });
    answer("Approved");
    waits(&second);
    assert_eq!(executions(&machine)[1]["status"], "Superseded");
    codepipeline(&[&["enable-stage-transition"], &transition[..]].concat());
    status_when(&machine, 2, "Succeeded");
    assert!(page());

    let third = codepipeline(&["start-pipeline-execution", "--name", "shop"]);
    token();
    let stop = ["--pipeline-name", "shop", "--pipeline-execution-id"];
    let id = text(&third["pipelineExecutionId"]);
    codepipeline(&[&["stop-pipeline-execution", "--abandon"], &stop[..], &[&id]].concat());
    status_when(&machine, 3, "Stopped");
}
