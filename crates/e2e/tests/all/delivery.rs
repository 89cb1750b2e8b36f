//! Continuous delivery, typed as on AWS: an image is built, tried and pushed, one stack of nested
//! templates makes everything, and from then on a push to the branch goes live.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::{Load, Machine, Output, eventually_within, in_own_network, run_bounded};

const TOKEN: &str = "ghp_0123456789abcdef0123456789abcdef0123";
const GITHUB_PORT: u16 = 8929;
const BUCKET: &str = "delivery-000000000000";
const STACK: &str = "delivery";

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What the walk needs and a machine may lack, said loudly.
fn is_missing_something() -> bool {
    let made = [
        "target/test-images/ruby.tar",
        "target/test-images/build-environment.tar",
        ".venv/bin/aws",
    ];
    let missing: Vec<_> = made.iter().filter(|it| !root().join(it).exists()).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: {missing:?} are not there; bin/test-setup makes them");
    }
    let docker = Command::new("docker").arg("--version").output().is_ok();
    if !docker {
        eprintln!("SKIPPED: there is no docker command line");
    }
    !missing.is_empty() || !docker
}

/// A user at a shell, in a folder of their own.
struct User<'a> {
    machine: &'a Machine,
    home: PathBuf,
}

impl User<'_> {
    /// Types a line after `eval "$(neargate env)"`.
    fn try_to(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .arg("-euc")
            .arg(format!("eval \"$(neargate env)\"\n{line}"))
            .current_dir(&self.home)
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:{}:{path}",
                    self.home.join("bin").display(),
                    root().join(".venv/bin").display()
                ),
            )
            .env("HOME", &self.home)
            .env("AWS_PAGER", "");
        run_bounded(command)
    }

    /// A line that must work: what it printed.
    #[track_caller]
    fn types(&self, line: &str) -> String {
        let output = self.try_to(line);
        assert_eq!(
            output.code,
            0,
            "$ {line}\n{}{}\nthe daemon's log:\n{}",
            output.stdout,
            output.stderr,
            self.machine.log()
        );
        eprintln!("{:>6.2} s  $ {line}", output.took.as_secs_f64());
        output.stdout
    }
}

/// `neargate` on the PATH that leads to this test's daemon.
fn home_of(machine: &Machine, place: &Path) -> PathBuf {
    let home = place.join("home");
    std::fs::create_dir_all(home.join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\nexec {} {} \"$@\"\n",
        e2e::neargate().display(),
        machine.arguments().join(" ")
    );
    let program = home.join("bin/neargate");
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    home
}

struct GitHub(Child);

impl GitHub {
    fn serve(folder: &Path) -> Self {
        let script = root().join("crates/e2e/fixtures/github.py");
        let child = Command::new("python3")
            .arg(script)
            .arg(folder)
            .arg(GITHUB_PORT.to_string())
            .arg(TOKEN)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn edition(page: &str) -> &'static str {
    match page.trim() {
        "Hello World!" => "first",
        "Hello Harbour!" => "second",
        _ => "other",
    }
}

/// What the examples say to AWS is what AWS understands.
#[test]
fn the_examples_are_valid_on_aws() {
    let lint = root().join(".venv/bin/cfn-lint");
    if !lint.exists() {
        eprintln!("SKIPPED: there is no cfn-lint; bin/test-setup installs it");
        return;
    }
    let folder = root().join("examples/delivery");
    let mut command = Command::new(lint);
    command.arg(folder.join("main.yaml"));
    let mut count = 1;
    for entry in std::fs::read_dir(folder.join("templates")).unwrap() {
        command.arg(entry.unwrap().path());
        count += 1;
    }
    let output = run_bounded(command);
    assert_eq!(
        (count, output.code, output.stdout.as_str()),
        (6, 0, ""),
        "{output:?}"
    );
}

#[test]
fn a_push_to_the_branch_goes_live() {
    if is_missing_something() {
        return;
    }
    in_own_network("delivery::a_push_to_the_branch_goes_live", walk);
}

fn walk() {
    let place = tempfile::tempdir().unwrap();
    let github = format!("http://127.0.0.1:{GITHUB_PORT}");
    let machine = Machine::alone(&["--github", &github]);
    machine.serve();
    let user = User {
        machine: &machine,
        home: home_of(&machine, place.path()),
    };
    let images = root().join("target/test-images");
    let images = images.display();
    user.types(&format!(
        "neargate image import {images}/ruby.tar ruby:3.3-slim"
    ));
    user.types(&format!(
        "neargate image import {images}/build-environment.tar aws/codebuild/environment:latest"
    ));
    let examples = root().join("examples");
    user.types(&format!(
        "cp -r {0}/sinatra app && cp -r {0}/delivery/. .",
        examples.display()
    ));

    try_the_application(&user);
    push_the_image(&user);
    let _github = put_the_code_on_github(&user, place.path());
    let url = create_the_stack(&user);
    what_was_promised_is_there(&user, &url);
    pushes_go_live(&user, &url);
    delete_the_stack(&user, &url);
}

fn try_the_application(user: &User) {
    user.types("cd app && docker build . -t rea");
    user.types("docker run -d -p80:9292 --name rea rea");
    eventually_within(Duration::from_secs(30), "the container answers", || {
        let page = user.try_to("curl --silent --show-error --max-time 5 localhost");
        match page.stdout.trim() {
            "Hello World!" => Ok(()),
            _ => Err(format!("{page:?}")),
        }
    });
    assert!(
        user.types("docker logs rea 2>&1")
            .contains("starting as app")
    );
    user.types("docker stop rea");
    assert_ne!(user.try_to("curl --silent --max-time 5 localhost").code, 0);
}

fn push_the_image(user: &User) {
    let uri = user.types(
        "aws ecr create-repository --repository-name hello-world \
         --query repository.repositoryUri --output text",
    );
    let uri = uri.trim();
    assert_eq!(
        uri,
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/hello-world"
    );
    let refused = user.try_to(&format!("docker tag rea {uri} && docker push {uri}"));
    assert_ne!(refused.code, 0, "a push without a login works: {refused:?}");
    user.types("eval $(aws ecr get-login --no-include-email)");
    user.types(&format!("docker tag rea {uri} && docker push {uri}"));
    let tags = user.types(
        "aws ecr list-images --repository-name hello-world \
         --query 'imageIds[].imageTag' --output text",
    );
    assert_eq!(tags.trim(), "latest");
    user.types(&format!("aws s3 mb s3://{BUCKET}"));
    user.types(&format!(
        "aws s3 cp --recursive templates/ s3://{BUCKET}/templates"
    ));
}

fn put_the_code_on_github(user: &User, place: &Path) -> GitHub {
    let bare = place.join("github/harbour/app.git");
    user.types(&format!(
        "git init --quiet --bare --initial-branch main {}",
        bare.display()
    ));
    user.types(&format!(
        "cd app && git init --quiet --initial-branch main \
         && git config user.name Harbour && git config user.email harbour@example.com \
         && git add . && git commit --quiet -m 'The first edition' \
         && git remote add origin {} && git push --quiet --set-upstream origin main",
        bare.display()
    ));
    GitHub::serve(&place.join("github"))
}

fn create_the_stack(user: &User) -> String {
    let began = Instant::now();
    user.types(&format!(
        "aws cloudformation create-stack --stack-name {STACK} --template-body file://main.yaml \
         --capabilities CAPABILITY_IAM --parameters \
         ParameterKey=TemplateBucket,ParameterValue={BUCKET} \
         ParameterKey=RepositoryName,ParameterValue=hello-world \
         ParameterKey=GitHubOwner,ParameterValue=harbour \
         ParameterKey=GitHubRepository,ParameterValue=app \
         ParameterKey=GitHubToken,ParameterValue={TOKEN}"
    ));
    let waited = user.try_to(&format!(
        "aws cloudformation wait stack-create-complete --stack-name {STACK}"
    ));
    assert_eq!(
        waited.code,
        0,
        "{waited:?}\n{}\n{}",
        user.types(&format!(
            "aws cloudformation describe-stack-events --stack-name {STACK} --query \
             'StackEvents[?ResourceStatusReason].[LogicalResourceId,ResourceStatus,ResourceStatusReason]'"
        )),
        user.machine.log()
    );
    eprintln!("created in {:.2} s", began.elapsed().as_secs_f64());
    let described = user.types(&format!(
        "aws cloudformation describe-stacks --stack-name {STACK} | grep -A 2 ServiceUrl"
    ));
    let url = described.split('"').find(|it| it.starts_with("http://"));
    let url = url
        .unwrap_or_else(|| panic!("no URL in {described}"))
        .to_owned();
    let page = user.machine.page(&url).unwrap();
    assert_eq!((page.status, edition(&page.text())), (200, "first"));
    url
}

/// Each part of the stack has its effect.
fn what_was_promised_is_there(user: &User, url: &str) {
    let names = user.types(
        "aws cloudformation list-stacks --stack-status-filter CREATE_COMPLETE \
         --query 'StackSummaries[].StackName' --output text",
    );
    assert_eq!(names.split_whitespace().count(), 6, "{names}");
    let secrets = user.types(&format!(
        "aws cloudformation describe-stacks; \
         aws codepipeline get-pipeline --name \"$(aws cloudformation describe-stacks \
         --stack-name {STACK} --query 'Stacks[0].Outputs[?OutputKey==`PipelineName`].OutputValue' \
         --output text)\"; aws cloudformation describe-stack-events --stack-name {STACK}"
    ));
    assert!(!secrets.contains(TOKEN), "the token is shown: {secrets}");
    // Two tasks run.
    let cluster = user.types("aws ecs list-clusters --query 'clusterArns[0]' --output text");
    let addresses = user.types(&format!(
        "aws ecs describe-tasks --cluster {0} --tasks $(aws ecs list-tasks --cluster {0} \
         --query 'taskArns' --output text) --query \
         'tasks[?lastStatus==`RUNNING`].containers[0].networkInterfaces[0].privateIpv4Address' \
         --output text",
        cluster.trim()
    ));
    assert_eq!(addresses.split_whitespace().count(), 2, "{addresses}");
    assert_eq!(user.machine.page(url).unwrap().status, 200);
    // The service scales by its processor time.
    let targets = user.types(
        "aws application-autoscaling describe-scaling-policies --service-namespace ecs \
         --query 'ScalingPolicies[].Alarms[].AlarmName' --output text",
    );
    assert_eq!(targets.split_whitespace().count(), 2, "{targets}");
}

fn pushes_go_live(user: &User, url: &str) {
    // The pipeline's first execution began with the stack: what it deploys is what is there already.
    eventually_within(
        Duration::from_secs(180),
        "the first execution ends",
        || match last_execution(user).as_str() {
            "Succeeded" => Ok(()),
            "Failed" => panic!("it failed: {}", details(user)),
            other => Err(other.to_owned()),
        },
    );
    let host = url.trim_start_matches("http://");
    let load = Load::start(user.machine.edge_port(80), host, "/", edition);
    user.types("cd app && sed -i 's/World/Harbour/' app.rb && git commit --quiet -am 'Second'");
    user.types("cd app && git push --quiet");
    let pushed = Instant::now();
    eventually_within(Duration::from_secs(180), "the push is live", || {
        if last_execution(user) == "Failed" {
            panic!("it failed: {}", details(user));
        }
        match edition(&user.machine.page(url).unwrap().text()) {
            "second" => Ok(()),
            other => Err(format!("{other}: {}", last_execution(user))),
        }
    });
    eprintln!("live in {:.2} s", pushed.elapsed().as_secs_f64());
    eventually_within(
        Duration::from_secs(120),
        "the deployment ends",
        || match last_execution(user).as_str() {
            "Succeeded" => Ok(()),
            "Failed" => panic!("it failed: {}", details(user)),
            other => Err(other.to_owned()),
        },
    );
    for _ in 0..20 {
        assert_eq!(edition(&user.machine.page(url).unwrap().text()), "second");
    }
    let tally = load.stop();
    tally.assert_none_failed();
    assert!(!tally.seen.contains_key("other"), "{tally:?}");
    let images = user.types(
        "aws ecr list-images --repository-name hello-world \
         --query 'imageIds[?imageTag!=`latest`].imageTag' --output text",
    );
    let commit = user.types("cd app && git rev-parse --short=8 HEAD");
    assert!(images.contains(commit.trim()), "{images} lacks {commit}");
}

fn pipeline_name(user: &User) -> String {
    user.types("aws codepipeline list-pipelines --query 'pipelines[0].name' --output text")
        .trim()
        .to_owned()
}

fn last_execution(user: &User) -> String {
    let name = pipeline_name(user);
    let status = user.types(&format!(
        "aws codepipeline list-pipeline-executions --pipeline-name {name} \
         --query 'pipelineExecutionSummaries[0].status' --output text"
    ));
    status.trim().to_owned()
}

/// Why it failed, as a user would look it up.
fn details(user: &User) -> String {
    let name = pipeline_name(user);
    user.types(&format!(
        "aws codepipeline list-action-executions --pipeline-name {name}; \
         for group in $(aws logs describe-log-groups --log-group-name-prefix /aws/codebuild \
         --query 'logGroups[].logGroupName' --output text); do \
         aws logs filter-log-events --log-group-name $group --query 'events[].message' --output text; done"
    ))
}

fn delete_the_stack(user: &User, url: &str) {
    user.types(&format!(
        "aws cloudformation delete-stack --stack-name {STACK}"
    ));
    user.types(&format!(
        "aws cloudformation wait stack-delete-complete --stack-name {STACK}"
    ));
    assert!(user.machine.page(url).is_err(), "the page still answers");
    let left = user.types("neargate leftovers --json");
    let left: Vec<serde_json::Value> = serde_json::from_str(&left).unwrap();
    let of = |kind: &str| {
        let those = left.iter().filter(|it| it["kind"] == kind);
        those
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(of("S3 bucket").contains(&BUCKET.to_owned()), "{left:?}");
    assert_eq!(of("S3 bucket").len(), 2, "the artifacts are kept: {left:?}");
    assert_eq!(of("ECR repository"), ["hello-world"]);
    assert!(!of("log group").is_empty(), "{left:?}");
    assert!(!of("task definition").is_empty(), "{left:?}");
    // What it says removes it does.
    for it in &left {
        user.types(it["command"].as_str().unwrap());
    }
    let inactive = user.types("neargate leftovers --json");
    let inactive: Vec<serde_json::Value> = serde_json::from_str(&inactive).unwrap();
    for it in &inactive {
        assert_eq!(it["kind"], "task definition", "{inactive:?}");
        user.types(it["command"].as_str().unwrap());
    }
    assert_eq!(user.types("neargate leftovers").trim(), "Nothing is left.");
}
