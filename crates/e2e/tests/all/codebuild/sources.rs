//! Builds of repositories: one that is kept here, and one of a Git host. Their projects, the host's
//! token and the group of their reports come from a stack.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

use e2e::{Machine, eventually, run_bounded};
use serde_json::{Value, json};

use super::Bench;

const TOKEN: &str = "ghp_0123456789abcdef0123456789abcdef0123";

/// The Git host, as long as it is held.
struct GitHub(Child);

impl Drop for GitHub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path, port: u16) -> GitHub {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/github.py");
    let mut command = Command::new("python3");
    let child = command.arg(script).arg(folder).arg(port.to_string());
    let github = GitHub(child.arg(TOKEN).spawn().unwrap());
    eventually("the Git host answers", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|it| it.to_string())
    });
    github
}

/// Makes `me/web.git` with a branch `next`, and returns its commit.
#[track_caller]
fn make_repository(folder: &Path) -> String {
    let script = "
        git init -q --bare -b main me/web.git && git clone -q me/web.git work 2>/dev/null && cd work
        git checkout -q -b main && echo first > page.txt && git add . && git commit -q -m First
        git checkout -q -b next && echo second > page.txt && git commit -q -a -m Second
        git push -q origin main next && git rev-parse HEAD";
    let mut command = Command::new("sh");
    command.arg("-euc").arg(script).current_dir(folder);
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Ann"),
        ("GIT_AUTHOR_EMAIL", "ann@example.com"),
        ("GIT_COMMITTER_NAME", "Ann"),
        ("GIT_COMMITTER_EMAIL", "ann@example.com"),
    ] {
        command.env(name, value);
    }
    let output = run_bounded(command);
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout.trim().to_owned()
}

/// In the repository that is kept here. It clones itself once more from within, in its role's name.
const OURS: &str = "
version: 0.2
phases:
  install:
    commands: ['cat /var/kept/of-before || echo nothing kept']
  build:
    commands:
      - cat page.txt && git log -1 --format='commit %H'
      - helper='!aws codecommit credential-helper --ignore-host-check $@'
      - git -c credential.helper=\"$helper\" -c credential.UseHttpPath=true clone $CODEBUILD_SOURCE_REPO_URL /again
      - cat /again/page.txt | sed 's/^/again /'
      - mkdir -p /var/kept && echo kept from $CODEBUILD_BUILD_NUMBER > /var/kept/of-before
      - |
        echo '<testsuite><testcase name=\"a\" classname=\"C\" time=\"0.5\"/>' > tests.xml
        echo '<testcase name=\"b\"><failure message=\"broken\"/></testcase></testsuite>' >> tests.xml
reports:
  tests: { files: [tests.xml], file-format: JUNITXML }
cache: { paths: ['/var/kept/**/*'] }
";

const THEIRS: &str = "
version: 0.2
phases:
  build:
    commands: [cat page.txt, 'git log --format=\"commit %s\"', 'echo at $CODEBUILD_RESOLVED_SOURCE_VERSION']
";

fn project(name: &str, source: Value, more: Value) -> Value {
    let mut properties = json!({
        "Name": name,
        "ServiceRole": "builder",
        "Source": source,
        "Artifacts": { "Type": "NO_ARTIFACTS" },
        "Environment": { "Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL",
            "Image": "aws/codebuild/standard:7.0" },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        properties[key] = value.clone();
    }
    json!({ "Type": "AWS::CodeBuild::Project", "Properties": properties })
}

fn template(url: &str) -> String {
    let more = json!({
        "Cache": { "Type": "LOCAL", "Modes": ["LOCAL_CUSTOM_CACHE"] },
        "LogsConfig": { "CloudWatchLogs": { "Status": "ENABLED" },
            "S3Logs": { "Status": "ENABLED", "Location": "builds/logs" } },
    });
    let source = json!({ "Type": "CODECOMMIT", "Location": url });
    let mut ours = project("ours", source, more);
    ours["DependsOn"] = json!("Group");
    let source = json!({ "Type": "GITHUB", "Location": "https://github.com/me/web.git",
        "BuildSpec": THEIRS });
    let mut theirs = project("theirs", source, json!({ "SourceVersion": "next" }));
    theirs["DependsOn"] = json!("Token");
    let token = json!({ "Type": "AWS::CodeBuild::SourceCredential", "Properties": {
        "AuthType": "PERSONAL_ACCESS_TOKEN", "ServerType": "GITHUB", "Token": TOKEN } });
    let group = json!({ "Type": "AWS::CodeBuild::ReportGroup", "Properties": {
        "Name": "ours-tests", "Type": "TEST", "DeleteReports": true,
        "ExportConfig": { "ExportConfigType": "NO_EXPORT" } } });
    let resources = json!({ "Ours": ours, "Theirs": theirs, "Token": token, "Group": group });
    json!({ "Resources": resources }).to_string()
}

#[track_caller]
fn stack_until(machine: &Machine, status: &str) {
    eventually(&format!("the stack is {status}"), || {
        let found = machine.call(
            "cloudformation",
            "DescribeStackEvents",
            json!({ "StackName": "git" }),
        );
        let events = found.map_err(|it| format!("{it:?}"))?["StackEvents"].clone();
        match events[0]["ResourceStatus"] == status
            && events[0]["ResourceType"] == "AWS::CloudFormation::Stack"
        {
            true => Ok(()),
            false => Err(format!("{events:#}")),
        }
    });
}

#[test]
fn repositories_are_built_with_reports_a_local_cache_and_a_log_in_s3() {
    let place = tempfile::tempdir().unwrap();
    let commit = make_repository(place.path());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let _github = serve(place.path(), port);
    let machine = Machine::idle_with(&["--github", &format!("http://127.0.0.1:{port}")]);
    machine.serve();
    let Some(bench) = Bench::new(&machine) else {
        return;
    };
    let aws = |arguments: &str| bench.aws.ask(&arguments.split(' ').collect::<Vec<_>>());
    let made = aws("codecommit create-repository --repository-name ours");
    let url = made["repositoryMetadata"]["cloneUrlHttp"].as_str().unwrap();
    std::fs::write(place.path().join("page.txt"), "ours\n").unwrap();
    std::fs::write(place.path().join("buildspec.yml"), OURS).unwrap();
    let mut parent = String::new();
    for file in ["page.txt", "buildspec.yml"] {
        let content = place.path().join(file).display().to_string();
        let put = format!(
            "codecommit put-file --repository-name ours --branch-name main --file-path {file} \
             --file-content fileb://{content}{parent}"
        );
        let head = aws(&put)["commitId"].as_str().unwrap().to_owned();
        parent = format!(" --parent-commit-id {head}");
    }
    let head = parent.rsplit(' ').next().unwrap().to_owned();
    let file = place.path().join("stack.json");
    std::fs::write(&file, template(url)).unwrap();
    let body = format!("file://{}", file.display());
    aws(&format!(
        "cloudformation create-stack --stack-name git --template-body {body}"
    ));
    stack_until(&machine, "CREATE_COMPLETE");

    let start = |name: &str| {
        let started = aws(&format!("codebuild start-build --project-name {name}"));
        started["build"]["id"].as_str().unwrap().to_owned()
    };
    let (ours, theirs) = (start("ours"), start("theirs"));
    let finish = |id: &str, lines: &[String]| {
        let build = bench.over(id);
        let printed = bench.printed(id);
        assert_eq!(build["buildStatus"], "SUCCEEDED", "{build:#} {printed:#?}");
        for line in lines {
            assert!(printed.contains(line), "{line}: {printed:#?}");
        }
        build
    };
    let build = finish(
        &theirs,
        &["second", "commit Second", "commit First"].map(str::to_owned),
    );
    assert_eq!(build["resolvedSourceVersion"], *commit);
    let lines = [
        "nothing kept".to_owned(),
        "ours".into(),
        format!("commit {head}"),
        "again ours".into(),
    ];
    let build = finish(&ours, &lines);
    assert_eq!(build["resolvedSourceVersion"], *head);

    // The log is in S3, as the build says.
    let arn = build["logs"]["s3LogsArn"].as_str().unwrap();
    let (bucket, key) = arn
        .trim_start_matches("arn:aws:s3:::")
        .split_once('/')
        .unwrap();
    let log = place.path().join("log.gz").display().to_string();
    aws(&format!(
        "s3api get-object --bucket {bucket} --key {key} {log}"
    ));
    let mut unpack = Command::new("gzip");
    unpack.arg("-dc").arg(&log);
    let log = run_bounded(unpack).stdout;
    assert!(log.lines().any(|it| it == "again ours"), "{log}");

    // The report is in the stack's group.
    let report = build["reportArns"][0].as_str().unwrap();
    assert!(report.contains(":report/ours-tests:"), "{report}");
    let cases = aws(&format!(
        "codebuild describe-test-cases --report-arn {report}"
    ));
    let cases = cases["testCases"].as_array().unwrap().clone();
    let of = |name: &str| {
        let found = cases.iter().find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("{cases:#?}"))["status"].clone()
    };
    assert_eq!((of("a"), of("b")), (json!("SUCCEEDED"), json!("FAILED")));

    // The next build finds what this one kept.
    finish(&start("ours"), &["kept from 1".to_owned()]);
    aws("cloudformation delete-stack --stack-name git");
    stack_until_gone(&machine);
    let left = aws("codebuild list-source-credentials");
    assert_eq!(left["sourceCredentialsInfos"], json!([]));
    let left = aws("codebuild list-report-groups");
    assert_eq!(left["reportGroups"], json!([]));
    eventually("the local cache goes with its project", || {
        let left = std::fs::read_dir(machine.state.join("workspaces")).unwrap();
        match left.count() {
            0 => Ok(()),
            count => Err(format!("{count} folders")),
        }
    });
}

#[track_caller]
fn stack_until_gone(machine: &Machine) {
    eventually("the stack is gone", || {
        let asked = json!({ "StackName": "git" });
        match machine.call("cloudformation", "DescribeStacks", asked) {
            Ok(found) => Err(found.to_string()),
            Err(_) => Ok(()),
        }
    });
}
