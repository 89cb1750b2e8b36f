//! What is going on when something is killed, and what has to be true of it afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::{ApiError, Docker, Machine, Output, Pushed, digest_of, eventually, stack_input};
use serde_json::{Value, json};

use super::victims::Killed;
use crate::ground::{TEMPLATE, text, web_image};

const LOST: &str = "The supervisor of the task was lost.";
/// An image of docker's.
const PAGE: &str = "page";
/// Of a layer that is pushed: long enough to be killed under.
const LAYER_BYTES: usize = 2 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Create,
    Push,
    Update,
    Exec,
    Scale,
    DockerBuild,
    CodeBuild,
    Run,
    Delete,
}

impl Work {
    /// Within what time something is killed: what it takes here, and a little more.
    pub fn takes_ms(self) -> usize {
        match self {
            Self::Create | Self::Update => 1500,
            Self::Scale | Self::Delete => 900,
            Self::DockerBuild => 1000,
            Self::CodeBuild => 3000,
            Self::Exec | Self::Run => 600,
            Self::Push => 250,
        }
    }
}

pub struct World {
    pub machine: Machine,
    docker: Option<Docker>,
    has_codebuild: bool,
    /// Two versions of the page.
    images: [String; 2],
    password: String,
    /// Counts works: names and contents that were not there before.
    number: usize,
    /// Tasks that were lost before.
    lost: BTreeSet<String>,
}

/// What was answered to who asked: nothing, when the daemon was killed before.
type Answered = Result<Value, ApiError>;

fn was_cut_short(answered: &Answered) -> bool {
    match answered {
        Ok(_) => false,
        Err(error) if error.status == 0 => true,
        Err(error) => panic!("{error:?}"),
    }
}

impl World {
    pub fn new() -> Self {
        let machine = Machine::start();
        let images = [web_image(&machine, "first"), web_image(&machine, "second")];
        let docker = Docker::of(&machine);
        if let Some(docker) = &docker {
            let built = docker.run_in(build_folder(0).path(), &["build", "-t", PAGE, "."]);
            assert_eq!(built.code, 0, "{built:?}");
        }
        let has_codebuild = docker.is_some() && make_project(&machine);
        Self {
            password: machine.registry_password(),
            images,
            docker,
            has_codebuild,
            number: 0,
            lost: BTreeSet::new(),
            machine,
        }
    }

    /// One round, in which everything that is made is removed.
    pub fn works(&self) -> Vec<Work> {
        let all = [
            Work::Create,
            Work::Push,
            Work::Update,
            Work::Exec,
            Work::Scale,
            Work::DockerBuild,
            Work::CodeBuild,
            Work::Run,
            Work::Delete,
        ];
        let can = |it: &Work| match it {
            Work::Exec | Work::DockerBuild | Work::Run => self.docker.is_some(),
            Work::CodeBuild => self.has_codebuild,
            _ => true,
        };
        all.into_iter().filter(can).collect()
    }

    /// Does something while something else happens, and looks what has come of it.
    pub fn do_meanwhile(
        &mut self,
        work: Work,
        meanwhile: impl FnOnce(&Machine) -> Killed,
    ) -> Killed {
        self.number += 1;
        match work {
            Work::Create => self.create(meanwhile),
            Work::Update => self.update(meanwhile),
            Work::Delete => self.delete(meanwhile),
            Work::Scale => self.scale(meanwhile),
            Work::Push => self.push(meanwhile),
            Work::DockerBuild => self.docker_build(meanwhile),
            Work::CodeBuild => self.codebuild(meanwhile),
            Work::Exec => self.exec(meanwhile),
            Work::Run => self.run(meanwhile),
        }
    }

    fn create(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let parameters = [("Name", "web"), ("Image", self.images[0].as_str())];
        let input = stack_input("web", TEMPLATE, &parameters);
        let create = || {
            self.machine
                .call("cloudformation", "CreateStack", input.clone())
        };
        let (answered, killed) = beside(create, || meanwhile(&self.machine));
        if was_cut_short(&answered) && self.stack().is_err() {
            create().unwrap();
        }
        self.assert_online("CREATE_COMPLETE", "first");
        killed
    }

    fn update(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let parameters = [("Name", "web"), ("Image", self.images[1].as_str())];
        let input = stack_input("web", TEMPLATE, &parameters);
        let update = || {
            self.machine
                .call("cloudformation", "UpdateStack", input.clone())
        };
        let (answered, killed) = beside(update, || meanwhile(&self.machine));
        if was_cut_short(&answered) && self.status() == "CREATE_COMPLETE" {
            update().unwrap();
        }
        self.assert_online("UPDATE_COMPLETE", "second");
        killed
    }

    fn delete(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let id = text(&self.stack().unwrap()["StackId"]);
        let input = json!({ "StackName": id });
        let delete = || {
            self.machine
                .call("cloudformation", "DeleteStack", input.clone())
        };
        let (answered, killed) = beside(delete, || meanwhile(&self.machine));
        if was_cut_short(&answered) && self.status() == "UPDATE_COMPLETE" {
            delete().unwrap();
        }
        let stack = self.machine.settled_stack(&id);
        let events = self.machine.stack_events(&id);
        assert_eq!(stack["StackStatus"], "DELETE_COMPLETE", "{events}");
        killed
    }

    fn scale(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let count = 1 + (self.service()["desiredCount"].as_u64().unwrap() + 2) % 4;
        let input = json!({ "cluster": "web", "service": "web", "desiredCount": count });
        let scale = || self.machine.call("ecs", "UpdateService", input.clone());
        let (answered, killed) = beside(scale, || meanwhile(&self.machine));
        if was_cut_short(&answered) {
            scale().unwrap();
        }
        self.assert_service(count);
        killed
    }

    fn push(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let tag = format!("pushed{}", self.number);
        let image = Pushed::layer(noise(self.number, LAYER_BYTES), json!({}));
        let push = || image.try_push(&self.machine, &self.password, "web", &tag);
        let (pushed, killed) = beside(push, || meanwhile(&self.machine));
        if pushed.is_err() {
            push().unwrap();
        }
        let input = json!({ "repositoryName": "web", "imageIds": [{ "imageTag": tag }] });
        let described = self.machine.ask("ecr", "DescribeImages", input);
        let digest = digest_of(&image.manifest);
        assert_eq!(described["imageDetails"][0]["imageDigest"], digest.as_str());
        for (kind, name, wanted) in [
            ("manifests", tag.clone(), &image.manifest),
            ("blobs", digest_of(&image.layer), &image.layer),
            ("blobs", digest_of(&image.config), &image.config),
        ] {
            let path = format!("web/{kind}/{name}");
            let answer = self.machine.registry("GET", &path, &[], &[]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(answer.body == *wanted, "{path} is not what was pushed");
        }
        killed
    }

    fn docker_build(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let docker = self.docker();
        let name = format!("built{}", self.number);
        let folder = build_folder(self.number);
        let build = || docker.run_in(folder.path(), &["build", "-t", &name, "."]);
        let (built, killed) = beside(build, || meanwhile(&self.machine));
        if built.code != 0 {
            assert!(killed.daemons + killed.supervisors > 0, "{built:?}");
            let again = build();
            assert_eq!(again.code, 0, "{built:?} {again:?}");
        }
        let ran = docker.run(&["run", "--rm", &name, "check"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        docker.ask(&["rmi", &name]);
        killed
    }

    fn codebuild(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let input = json!({ "projectName": "torment" });
        let start = || self.machine.call("codebuild", "StartBuild", input.clone());
        let (answered, killed) = beside(start, || meanwhile(&self.machine));
        let answered = match was_cut_short(&answered) {
            true => start().unwrap(),
            false => answered.unwrap(),
        };
        let id = text(&answered["build"]["id"]);
        let build = eventually("the build is over", || {
            let input = json!({ "ids": [id] });
            let found = self.machine.ask("codebuild", "BatchGetBuilds", input);
            let build = found["builds"][0].clone();
            match build["buildComplete"] == true {
                true => Ok(build),
                false => Err(build.to_string()),
            }
        });
        let (_, stream) = id.split_once(':').unwrap();
        let input = json!({ "logGroupName": "/aws/codebuild/torment", "logStreamName": stream });
        let events = self.machine.call("logs", "GetLogEvents", input);
        let has_ended = events.is_ok_and(|it| it.to_string().contains("\"ended\""));
        match build["buildStatus"] == "SUCCEEDED" {
            true => assert!(has_ended, "{build:#}"),
            // Builds outlive the daemon and the edge.
            false => assert!(killed.supervisors > 0, "{build:#}"),
        }
        // Whatever was started unheard ends, too.
        eventually("no build is under way", || {
            let input = json!({ "projectName": "torment" });
            let listed = self.machine.ask("codebuild", "ListBuildsForProject", input);
            let input = json!({ "ids": listed["ids"] });
            let found = self.machine.ask("codebuild", "BatchGetBuilds", input);
            let mut builds = found["builds"].as_array().into_iter().flatten();
            match builds.find(|it| it["buildComplete"] != true) {
                None => Ok(()),
                Some(build) => Err(build.to_string()),
            }
        });
        killed
    }

    fn exec(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let docker = self.docker();
        docker.ask(&["run", "-d", "--name", "one", PAGE]);
        let check = || docker.run(&["exec", "one", "/probe", "crash"]);
        let several = || (0..6).map(|_| check()).collect::<Vec<Output>>();
        let (checked, killed) = beside(several, || meanwhile(&self.machine));
        // What is answered is what it ended with: a code that only it has.
        let failed = checked.iter().filter(|it| it.code != 3).count();
        assert!(failed == 0 || killed.all() > 0, "{checked:?}");
        eventually("a command runs in the container", || {
            let again = check();
            if (again.code, again.stdout.trim()) == (3, "crashing") {
                return Ok(());
            }
            assert!(killed.supervisors > 0, "the container ended: {again:?}");
            // Its end may be seen a moment after it.
            let started = docker.run(&["start", "one"]);
            Err(format!("{again:?} {started:?}"))
        });
        docker.ask(&["rm", "-f", "one"]);
        assert_eq!(docker.ask(&["ps", "-aq"]), "");
        killed
    }

    /// Containers that are started, one after the other.
    fn run(&self, meanwhile: impl FnOnce(&Machine) -> Killed) -> Killed {
        let docker = self.docker();
        let run = |name: &str| docker.run(&["run", "-d", "--name", name, PAGE]);
        let several = || ["a", "b", "c"].map(run);
        let (ran, killed) = beside(several, || meanwhile(&self.machine));
        for (name, ran) in ["a", "b", "c"].iter().zip(ran) {
            let state = ["inspect", "-f", "{{.State.Running}}", name];
            let is_running = docker.run(&state).stdout.trim() == "true";
            // What was answered is there, unless its supervisor was killed since.
            assert!(
                ran.code != 0 || is_running || killed.supervisors > 0,
                "{name}: {ran:?}"
            );
            docker.run(&["rm", "-f", name]);
        }
        assert_eq!(docker.ask(&["ps", "-aq"]), "");
        killed
    }

    fn docker(&self) -> &Docker {
        let docker = self.docker.as_ref();
        docker.expect("works with docker are left out without it")
    }

    fn stack(&self) -> Answered {
        let input = json!({ "StackName": "web" });
        let described = self.machine.call("cloudformation", "DescribeStacks", input);
        described.map(|it| it["Stacks"][0].clone())
    }

    fn status(&self) -> String {
        let stack = self.stack();
        stack.map_or_else(|_| String::new(), |it| text(&it["StackStatus"]))
    }

    fn service(&self) -> Value {
        let input = json!({ "cluster": "web", "services": ["web"] });
        self.machine.ask("ecs", "DescribeServices", input)["services"][0].clone()
    }

    #[track_caller]
    fn assert_service(&self, count: u64) {
        eventually(&format!("{count} tasks run"), || {
            let service = self.service();
            let is_there = service["runningCount"] == count
                && service["desiredCount"] == count
                && service["pendingCount"] == 0;
            match is_there && self.machine.count_processes("/probe serve") as u64 == count {
                true => Ok(()),
                false => Err(service.to_string()),
            }
        });
    }

    #[track_caller]
    fn assert_online(&self, status: &str, page: &str) {
        let stack = self.machine.settled_stack("web");
        let events = self.machine.stack_events("web");
        assert_eq!(stack["StackStatus"], status, "{events}");
        let outputs = stack["Outputs"].as_array().into_iter().flatten();
        let url = outputs.clone().find(|it| it["OutputKey"] == "Url");
        let url = text(&url.expect("the stack has a URL")["OutputValue"]);
        // Supervisors may have been killed a moment ago.
        eventually("the page answers", || match self.machine.page(&url) {
            Ok(it) if it.status == 200 && it.text() == page => Ok(()),
            other => Err(format!("{other:?}")),
        });
        self.assert_service(self.service()["desiredCount"].as_u64().unwrap());
    }

    /// No task is said to have lost its supervisor that was not killed.
    #[track_caller]
    pub fn assert_lost_no_more_than(&mut self, killed: usize) {
        let input = json!({ "cluster": "web", "desiredStatus": "STOPPED" });
        let stopped = self.machine.ask("ecs", "ListTasks", input);
        if stopped["taskArns"].as_array().is_none_or(Vec::is_empty) {
            return;
        }
        let input = json!({ "cluster": "web", "tasks": stopped["taskArns"] });
        let described = self.machine.ask("ecs", "DescribeTasks", input);
        let tasks = described["tasks"].as_array().into_iter().flatten();
        let lost = tasks.filter(|it| it["stoppedReason"] == LOST);
        let lost: Vec<&Value> = lost
            .filter(|it| self.lost.insert(text(&it["taskArn"])))
            .collect();
        assert!(lost.len() <= killed, "{killed} were killed: {lost:#?}");
    }
}

fn beside<T: Send>(
    work: impl FnOnce() -> T + Send,
    meanwhile: impl FnOnce() -> Killed,
) -> (T, Killed) {
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        let killed = meanwhile();
        let done = worker.join();
        (done.expect("the work does not panic"), killed)
    })
}

/// Bytes that were not there before, the same for the same number.
fn noise(number: usize, count: usize) -> Vec<u8> {
    let mut state = number as u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Steps of each kind, none of which is found in a cache.
fn build_folder(number: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), folder.path().join("probe")).unwrap();
    fs::write(folder.path().join("noise"), noise(number, LAYER_BYTES / 8)).unwrap();
    let dockerfile = "FROM scratch\nCOPY probe /probe\nCOPY noise /noise\nRUN [\"/probe\", \"check\"]\nWORKDIR /work\nCOPY noise /other\nRUN [\"/probe\", \"check\"]\nENTRYPOINT [\"/probe\"]\nCMD [\"serve\", \"page\"]\n";
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    folder
}

/// A project of CodeBuild's. False, said loudly, without a build environment.
fn make_project(machine: &Machine) -> bool {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("target/test-images/build-environment.tar");
    if !Path::new(&file).exists() {
        eprintln!("SKIPPED: no build environment; bin/test-setup makes it");
        return false;
    }
    let file = file.display().to_string();
    machine.neargate(&["image", "import", &file, "aws/codebuild/environment:latest"]);
    let trust = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": "codebuild.amazonaws.com" } }] });
    let role = json!({ "RoleName": "builder", "AssumeRolePolicyDocument": trust.to_string() });
    machine.ask("iam", "CreateRole", role);
    let buildspec =
        "version: 0.2\nphases:\n  build: { commands: [echo begun, sleep 1, echo ended] }\n";
    let project = json!({
        "name": "torment",
        "source": { "type": "NO_SOURCE", "buildspec": buildspec },
        "artifacts": { "type": "NO_ARTIFACTS" },
        "environment": { "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL" },
        "serviceRole": "builder",
    });
    machine.ask("codebuild", "CreateProject", project);
    true
}
