//! Builds that run: in real containers of the build environment that `bin/build-environment` makes,
//! started and looked at with AWS's own client.

mod docker;
mod sources;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;

use e2e::{Aws, Machine, eventually};
use serde_json::{Value, json};

/// Lets the environment stand for AWS's images. False, said loudly, where it was not made.
fn has_environment(machine: &Machine) -> bool {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("target/test-images/build-environment.tar");
    if !file.exists() {
        eprintln!("SKIPPED: no build environment; bin/test-setup makes it");
        return false;
    }
    let file = file.display().to_string();
    machine.neargate(&["image", "import", &file, "aws/codebuild/environment:latest"]);
    true
}

struct Bench<'a> {
    machine: &'a Machine,
    aws: Aws,
}

impl<'a> Bench<'a> {
    fn new(machine: &'a Machine) -> Option<Self> {
        let aws = Aws::of(machine)?;
        if !has_environment(machine) {
            return None;
        }
        let trust = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "Service": "codebuild.amazonaws.com" } }] });
        let role = json!({ "RoleName": "builder", "AssumeRolePolicyDocument": trust.to_string() });
        machine.ask("iam", "CreateRole", role);
        machine.ask("s3", "CreateBucket", json!({ "Bucket": "builds" }));
        Some(Self { machine, aws })
    }

    /// Makes a project of this buildspec and starts a build of it: its id.
    #[track_caller]
    fn start(&self, name: &str, buildspec: &str, more: Value) -> String {
        let mut project = json!({
            "name": name,
            "source": { "type": "NO_SOURCE", "buildspec": buildspec },
            "artifacts": { "type": "NO_ARTIFACTS" },
            "environment": { "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL" },
            "serviceRole": "builder",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            project[key] = value.clone();
        }
        let project = project.to_string();
        self.aws
            .ask(&["codebuild", "create-project", "--cli-input-json", &project]);
        let started = self
            .aws
            .ask(&["codebuild", "start-build", "--project-name", name]);
        started["build"]["id"].as_str().unwrap().to_owned()
    }

    fn build(&self, id: &str) -> Value {
        let found = self
            .machine
            .ask("codebuild", "BatchGetBuilds", json!({ "ids": [id] }));
        found["builds"][0].clone()
    }

    #[track_caller]
    fn until_printed(&self, id: &str, line: &str) {
        eventually(&format!("`{line}` is printed"), || {
            let printed = self.printed(id);
            match printed.iter().any(|it| it == line) {
                true => Ok(()),
                false => Err(format!("{printed:#?} {:#}", self.build(id))),
            }
        });
    }

    #[track_caller]
    fn over(&self, id: &str) -> Value {
        eventually(&format!("the build {id} is over"), || {
            let build = self.build(id);
            match build["buildComplete"] == true {
                true => Ok(build),
                false => Err(build.to_string()),
            }
        })
    }

    fn printed(&self, id: &str) -> Vec<String> {
        let (project, stream) = id.split_once(':').unwrap();
        let input = json!({ "logGroupName": format!("/aws/codebuild/{project}"),
            "logStreamName": stream, "startFromHead": true });
        let found = self.machine.call("logs", "GetLogEvents", input);
        let events = found.map(|it| it["events"].clone()).unwrap_or_default();
        let events = events.as_array().cloned().unwrap_or_default();
        let text = |it: &Value| it["message"].as_str().unwrap_or_default().to_owned();
        events.iter().map(text).collect()
    }
}

fn phase<'a>(build: &'a Value, name: &str) -> &'a Value {
    let phases = build["phases"].as_array().unwrap();
    let found = phases.iter().find(|it| it["phaseType"] == name);
    found.unwrap_or_else(|| panic!("no phase {name}: {build:#}"))
}

const GOOD: &str = "
version: 0.2
env:
  parameter-store: { TOKEN: /token }
  exported-variables: [TAG]
phases:
  install: { commands: [docker --version, git --version] }
  pre_build:
    commands:
      - TAG=v1
      - say() { echo \"$1 $TAG\"; }
      - aws sts get-caller-identity
  build:
    commands:
      - say hello
      - echo the token is $TOKEN
      - mkdir out && cd out && echo made > made.txt
artifacts: { files: out/** }
";

const BAD: &str = "
version: 0.2
phases:
  build: { commands: [echo before, make, echo after], finally: [echo cleaned] }
";

const SLOW: &str = "
version: 0.2
phases:
  build: { commands: [echo begun, sleep 4, echo ended] }
";

/// What listens on the machine, and the machine's addresses: of its loopback, and of a network if it
/// is in one.
fn listen() -> (TcpListener, Vec<SocketAddr>) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut addresses = vec![Ipv4Addr::LOCALHOST];
    // Nothing is sent: the kernel is asked which address it would send from.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    match socket.connect("192.0.2.77:9").map(|()| socket.local_addr()) {
        Ok(Ok(SocketAddr::V4(own))) => addresses.push(*own.ip()),
        _ => eprintln!("SKIPPED: the machine is in no network"),
    }
    let addresses = addresses.into_iter().map(|it| (it, port).into());
    (listener, addresses.collect())
}

/// A build that tries to get at those addresses, from its container and from a RUN step.
fn hostile(addresses: &[SocketAddr]) -> String {
    let tries: Vec<String> = addresses
        .iter()
        .map(|it| {
            format!(
                "if timeout 1 bash -c '</dev/tcp/{}/{}'; then echo reached {it}; else echo apart from {it}; fi",
                it.ip(),
                it.port()
            )
        })
        .collect();
    let tries = tries.join("; ");
    format!(
        "version: 0.2
phases:
  build:
    commands:
      - |
        {tries}
      - |
        printf '%s\\n' 'FROM aws/codebuild/environment:latest' {} > Dockerfile
      - docker build . | sed -n 's/^\\(apart\\|reached\\)/step \\1/p'
      - if docker build --network host .; then echo host; else echo no host; fi
      - aws sts get-caller-identity --query Arn --output text
      - curl -s -o /dev/null -w 'other %{{http_code}}\\n' http://169.254.170.2/v2/credentials/other
",
        quoted(&format!("RUN {tries}"))
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn a_build_reaches_nothing_of_the_machine_and_has_its_roles_identity() {
    let machine = Machine::start();
    let Some(bench) = Bench::new(&machine) else {
        return;
    };
    let (_listener, addresses) = listen();
    for address in &addresses {
        TcpStream::connect(address).unwrap();
    }
    let privileged = json!({ "environment": { "type": "LINUX_CONTAINER", "privilegedMode": true,
        "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL" } });
    let id = bench.start("hostile", &hostile(&addresses), privileged);
    let build = bench.over(&id);
    let printed = bench.printed(&id);
    assert_eq!(build["buildStatus"], "SUCCEEDED", "{build:#} {printed:#?}");
    let has = |line: &str| printed.iter().any(|it| it == line);
    for address in &addresses {
        assert!(has(&format!("apart from {address}")), "{printed:#?}");
        assert!(has(&format!("step apart from {address}")), "{printed:#?}");
        assert!(!has(&format!("reached {address}")), "{printed:#?}");
        assert!(!has(&format!("step reached {address}")), "{printed:#?}");
    }
    assert!(has("no host") && has("other 404"), "{printed:#?}");
    let role = "assumed-role/builder/AWSCodeBuild-";
    assert!(printed.iter().any(|it| it.contains(role)), "{printed:#?}");
    let (_, uuid) = id.split_once(':').unwrap();
    let interface = machine.state.join(format!("run/netns/codebuild-{uuid}"));
    assert!(!interface.exists(), "the build's interface is left");
}

#[test]
fn builds_run_fail_with_a_reason_stop_and_outlive_the_daemon() {
    let machine = Machine::start();
    let Some(bench) = Bench::new(&machine) else {
        return;
    };
    let token = json!({ "Name": "/token", "Value": "sesame-1234", "Type": "SecureString" });
    machine.ask("ssm", "PutParameter", token);
    let artifacts = json!({ "artifacts": { "type": "S3", "location": "builds", "name": "good.zip",
        "packaging": "ZIP" } });
    let good = bench.start("good", GOOD, artifacts);
    let bad = bench.start("bad", BAD, json!({}));
    let endless = SLOW.replace("sleep 4", "sleep 1000");
    let endless = bench.start("endless", &endless, json!({}));
    let slow = bench.start("slow", SLOW, json!({}));

    // It runs on while no daemon does.
    bench.until_printed(&slow, "begun");
    bench.until_printed(&endless, "begun");
    machine.kill_daemon();
    machine.serve();

    let build = bench.over(&good);
    let printed = bench.printed(&good);
    assert_eq!(build["buildStatus"], "SUCCEEDED", "{build:#} {printed:#?}");
    for line in ["hello v1", "the token is ***"] {
        assert!(printed.iter().any(|it| it == line), "{line}: {printed:#?}");
    }
    let role = "assumed-role/builder/AWSCodeBuild-";
    assert!(printed.iter().any(|it| it.contains(role)), "{printed:#?}");
    assert_eq!(build["exportedEnvironmentVariables"][0]["value"], "v1");
    let object = json!({ "Bucket": "builds", "Key": "good.zip" });
    let object = machine.ask("s3", "GetObject", object);
    assert!(object["ContentLength"].as_i64() > Some(100), "{object}");

    let build = bench.over(&bad);
    assert_eq!(build["buildStatus"], "FAILED", "{build:#}");
    let context = &phase(&build, "BUILD")["contexts"][0];
    assert_eq!(
        context["statusCode"], "COMMAND_EXECUTION_ERROR",
        "{build:#}"
    );
    assert_eq!(
        context["message"],
        "Error while executing command: make. Reason: exit status 2"
    );
    let printed = bench.printed(&bad);
    assert!(printed.iter().any(|it| it == "cleaned"), "{printed:#?}");
    assert!(!printed.iter().any(|it| it == "after"), "{printed:#?}");

    bench
        .aws
        .ask(&["codebuild", "stop-build", "--id", &endless]);
    let build = bench.over(&endless);
    assert_eq!(build["buildStatus"], "STOPPED", "{build:#}");
    assert_eq!(phase(&build, "BUILD")["phaseStatus"], "STOPPED");

    let build = bench.over(&slow);
    assert_eq!(build["buildStatus"], "SUCCEEDED", "{build:#}");
    bench.until_printed(&slow, "ended");
    machine.assert_no_processes_of_tasks();
    let left = std::fs::read_dir(machine.state.join("workspaces")).unwrap();
    assert_eq!(left.count(), 0, "folders of builds are left");
}
