//! Repositories that are pushed to by Git's own client, and values that tasks find in their
//! environment.

use std::path::Path;
use std::process::Command;

use e2e::{Aws, Machine, Output, eventually, run_bounded};
use serde_json::json;

use crate::ground::{Ground, probe_image, text};

/// Git, with nobody's configuration.
struct Git<'a> {
    folder: &'a Path,
    environment: Vec<(String, String)>,
}

impl Git<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]);
        command.args(arguments).current_dir(self.folder);
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        run_bounded(command)
    }

    #[track_caller]
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "git {arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// A commit with one file.
    #[track_caller]
    fn commit(&self, file: &str, content: &str) -> String {
        std::fs::write(self.folder.join(file), content).unwrap();
        self.ask(&["add", "."]);
        self.ask(&["commit", "-q", "-m", "Change"]);
        self.ask(&["rev-parse", "HEAD"])
    }
}

/// `http://user:password@…` of a repository.
fn address(machine: &Machine, user: &str, password: &str) -> String {
    let password = password.replace('+', "%2B").replace('/', "%2F");
    format!("http://{user}:{password}@{}/v1/repos/web", machine.listen)
}

#[test]
fn a_repository_is_cloned_and_pushed_to_and_its_branches_are_seen() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let made = aws.ask(&[
        "codecommit",
        "create-repository",
        "--repository-name",
        "web",
    ]);
    let url = text(&made["repositoryMetadata"]["cloneUrlHttp"]);
    assert_eq!(url, format!("http://{}/v1/repos/web", machine.listen));
    aws.ask(&["iam", "create-user", "--user-name", "ann"]);
    let service = "codecommit.amazonaws.com";
    let create = [
        "iam",
        "create-service-specific-credential",
        "--user-name",
        "ann",
    ];
    let login = aws.ask(&[&create[..], &["--service-name", service]].concat());
    let login = &login["ServiceSpecificCredential"];
    let (user, password) = (
        text(&login["ServiceUserName"]),
        text(&login["ServicePassword"]),
    );

    let folder = tempfile::tempdir().unwrap();
    let git = Git {
        folder: folder.path(),
        environment: Vec::new(),
    };
    git.ask(&["init", "-q", "-b", "main"]);
    // Larger than what Git sends in one piece, and compressed by nothing.
    let large: String = (0..400_000)
        .map(|it: u64| format!("{:x}\n", it * it))
        .collect();
    git.commit("large", &large);
    let refused = git.run(&["push", &address(&machine, &user, "wrong"), "main"]);
    assert!(
        refused.stderr.contains("Authentication failed"),
        "{refused:?}"
    );
    let refused = git.run(&["push", &url, "main"]);
    assert!(
        refused.stderr.contains("could not read Username"),
        "{refused:?}"
    );
    let branches = ["codecommit", "list-branches", "--repository-name", "web"];
    assert_eq!(aws.ask(&branches)["branches"], json!([]));

    git.ask(&["push", "-q", &address(&machine, &user, &password), "main"]);
    let second = git.commit("README", "hello\n");
    // The owner's own key does as well.
    let key = machine.key();
    let own = address(&machine, &key.id, &key.secret);
    git.ask(&["push", "-q", &own, "main"]);
    let branch = ["codecommit", "get-branch", "--repository-name", "web"];
    let branch = aws.ask(&[&branch[..], &["--branch-name", "main"]].concat());
    assert_eq!(branch["branch"]["commitId"], second.as_str(), "{branch}");
    let file = ["codecommit", "get-file", "--repository-name", "web"];
    let file = aws.ask(&[&file[..], &["--file-path", "README"]].concat());
    assert_eq!(file["fileContent"], "aGVsbG8K", "{file}");

    git.ask(&["clone", "-q", &own, "copy"]);
    let copied = std::fs::read_to_string(folder.path().join("copy/large")).unwrap();
    assert!(copied == large, "the copy differs");
    let missing = git.run(&["ls-remote", &own.replace("/web", "/other")]);
    assert!(missing.stderr.contains("not found"), "{missing:?}");
}

#[test]
fn a_user_who_may_push_may_be_kept_from_a_branch() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else { return };
    let made = aws.ask(&[
        "codecommit",
        "create-repository",
        "--repository-name",
        "web",
    ]);
    let arn = text(&made["repositoryMetadata"]["Arn"]);
    let tags = ["codecommit", "tag-resource", "--resource-arn", &arn];
    let done = aws.run(&[&tags[..], &["--tags", "team=a"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    aws.ask(&["iam", "create-user", "--user-name", "ann"]);
    // As AWS's user guide keeps developers from a branch.
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "codecommit:Git*", "Resource": arn,
         "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}}},
        {"Effect": "Deny", "Action": "codecommit:GitPush", "Resource": arn, "Condition": {
            "StringEqualsIfExists": {"codecommit:References": ["refs/heads/main"]},
            "Null": {"codecommit:References": "false"}}},
    ]});
    let put = ["iam", "put-user-policy", "--user-name", "ann"];
    let policy = policy.to_string();
    let named = ["--policy-name", "p", "--policy-document", &policy];
    let done = aws.run(&[&put[..], &named].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let key = aws.ask(&["iam", "create-access-key", "--user-name", "ann"]);
    let (user, secret) = (
        text(&key["AccessKey"]["AccessKeyId"]),
        text(&key["AccessKey"]["SecretAccessKey"]),
    );
    let folder = tempfile::tempdir().unwrap();
    let git = Git {
        folder: folder.path(),
        environment: Vec::new(),
    };
    git.ask(&["init", "-q", "-b", "main"]);
    git.commit("README", "hello\n");
    let url = address(&machine, &user, &secret);
    let refused = git.run(&["push", &url, "main"]);
    assert!(refused.stderr.contains("403"), "{refused:?}");
    git.ask(&["push", "-q", &url, "main:dev"]);
    // One of two that are pushed at once is enough.
    let refused = git.run(&["push", &url, "main:main", "main:other"]);
    assert!(refused.stderr.contains("403"), "{refused:?}");
    let there = git.ask(&["ls-remote", "--heads", &url]);
    assert!(there.ends_with("refs/heads/dev"), "{there}");
}

#[test]
fn the_aws_command_lines_credential_helper_logs_in() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    aws.ask(&[
        "codecommit",
        "create-repository",
        "--repository-name",
        "web",
    ]);
    let key = machine.key();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/aws");
    let folder = tempfile::tempdir().unwrap();
    let variables = |secret: &str| {
        [
            ("AWS_ACCESS_KEY_ID", key.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    };
    let git = |secret: &str| Git {
        folder: folder.path(),
        environment: variables(secret),
    };
    let own = git(&key.secret);
    own.ask(&["init", "-q", "-b", "main"]);
    let helper = format!("!{program} codecommit credential-helper $@");
    own.ask(&["config", "credential.helper", &helper]);
    own.ask(&["config", "credential.UseHttpPath", "true"]);
    // A host that the helper takes for AWS's, and Git's HTTP library for this machine.
    let port = machine.listen.port();
    let url =
        format!("http://git-codecommit.us-east-1.amazonaws.com.localhost:{port}/v1/repos/web");
    own.ask(&["config", "http.proxy", ""]);
    let resolve = format!(
        "git-codecommit.us-east-1.amazonaws.com.localhost:{port}:{}",
        machine.listen.ip()
    );
    own.ask(&["config", "http.curloptResolve", &resolve]);
    let commit = own.commit("README", "hello\n");
    own.ask(&["push", "-q", &url, "main"]);
    let shown = own.ask(&["ls-remote", &url, "refs/heads/main"]);
    assert!(shown.starts_with(&commit), "{shown}");
    let refused = git("another-secret").run(&["ls-remote", &url]);
    assert!(
        refused.stderr.contains("Authentication failed"),
        "{refused:?}"
    );
}

#[test]
fn a_task_finds_secrets_in_its_environment_and_nobody_else_sees_them() {
    const VALUE: &str = "hunter2-of-the-parameter";
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let put = [
        "ssm",
        "put-parameter",
        "--name",
        "/web/key",
        "--type",
        "SecureString",
    ];
    aws.ask(&[&put[..], &["--value", VALUE]].concat());
    let get = ["ssm", "get-parameter", "--name", "/web/key"];
    assert_ne!(aws.ask(&get)["Parameter"]["Value"], VALUE);
    let open = aws.ask(&[&get[..], &["--with-decryption"]].concat());
    assert_eq!(open["Parameter"]["Value"], VALUE);
    let create = [
        "secretsmanager",
        "create-secret",
        "--name",
        "db",
        "--secret-string",
    ];
    let secret = aws.ask(&[&create[..], &[r#"{"password":"s3cret-of-the-secret"}"#]].concat());
    let arn = text(&secret["ARN"]);

    let ground = Ground::new(&machine);
    let (image, group) = (probe_image(&machine), ground.group("tasks"));
    let start = |family: &str, name: &str, value_from: &str| {
        let secrets = json!({ "secrets": [{ "name": name, "valueFrom": value_from }] });
        let definition = ground.definition(family, &image, &["variable", name], secrets);
        ground.run(&definition, &ground.subnets[0], &group)
    };
    let tasks = [
        start("parameter", "KEY", "/web/key"),
        start("secret", "PASSWORD", &format!("{arn}:password::")),
    ];
    for (family, value) in [("parameter", VALUE), ("secret", "s3cret-of-the-secret")] {
        eventually("it has printed its variable", || {
            let printed = ground.printed(family);
            match printed.first() {
                Some(first) if first == value => Ok(()),
                _ => Err(format!("{printed:?}")),
            }
        });
    }
    for task in &tasks {
        let shown = ground.task_when(task, "RUNNING").to_string();
        assert!(
            !shown.contains(VALUE) && !shown.contains("s3cret-of"),
            "{shown}"
        );
    }
    let log = machine.log();
    assert!(!log.contains(VALUE) && !log.contains("s3cret-of"), "{log}");

    let stopped = ground.task_when(&start("missing", "KEY", "/web/nothing"), "STOPPED");
    let reason = text(&stopped["stoppedReason"]);
    let start = "ResourceInitializationError: unable to pull secrets or registry auth: ";
    assert!(reason.starts_with(start), "{reason}");
}

#[test]
fn a_connection_is_completed_by_its_owner() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let create = [
        "codestar-connections",
        "create-connection",
        "--provider-type",
        "GitHub",
    ];
    let made = aws.ask(&[&create[..], &["--connection-name", "hub"]].concat());
    let arn = text(&made["ConnectionArn"]);
    let status = || {
        let get = [
            "codeconnections",
            "get-connection",
            "--connection-arn",
            &arn,
        ];
        text(&aws.ask(&get)["Connection"]["ConnectionStatus"])
    };
    assert_eq!(status(), "PENDING");
    let listed = machine.neargate(&["connection", "ls"]);
    assert!(listed.stdout.contains("PENDING"), "{listed:?}");
    let done = machine.neargate(&["connection", "authorize", "hub", "--token", "hunter2"]);
    assert!(done.stdout.contains("AVAILABLE"), "{done:?}");
    assert_eq!(status(), "AVAILABLE");
    let id = arn.rsplit('/').next().unwrap();
    let secret = format!("neargate/connections/{id}");
    let refused = aws.refused(&["secretsmanager", "get-secret-value", "--secret-id", &secret]);
    assert!(refused.contains("ResourceNotFoundException"), "{refused}");
    let other = machine.run(&["connection", "authorize", "nothing"]);
    assert_ne!(other.code, 0, "{other:?}");
}
