//! Docker within builds: each has one of its own, and it ends with the build.

use std::path::{Path, PathBuf};

use e2e::{Docker, Machine, eventually};
use serde_json::json;

use super::Bench;

const HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// Takes names that others use, pushes, and leaves a container, a volume and a network behind.
const BUSY: &str = "
version: 0.2
phases:
  build:
    commands:
      - if touch /codebuild/docker/x || rm /codebuild/docker/docker.sock; then echo writable; else echo read-only; fi
      - echo $(docker images -q | wc -l) images, $(docker ps -aq | wc -l) containers
      - echo evil > f && printf 'FROM scratch\\nCOPY f /f\\nCMD [\"/f\"]\\n' > Dockerfile
      - docker build -t public.ecr.aws/docker/library/nginx:latest -t aws/codebuild/standard:7.0 -t HOST/app .
      - aws ecr get-login-password | docker login -u AWS --password-stdin HOST
      - docker push HOST/app
      - docker volume create kept && docker network create own
      - docker run -d --name inner --network own -v kept:/kept aws/codebuild/environment:latest sleep 600
      - echo begun
      - sleep 600
";

const WAITING: &str = "
version: 0.2
phases:
  build: { commands: [echo begun, sleep 600] }
";

fn privileged() -> serde_json::Value {
    json!({ "environment": { "type": "LINUX_CONTAINER", "privilegedMode": true,
        "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL" } })
}

fn uuid(id: &str) -> &str {
    id.split_once(':').unwrap().1
}

/// Docker's client at a build's socket, as the build itself has it.
struct Inside<'a> {
    docker: &'a Docker,
    at: String,
}

impl<'a> Inside<'a> {
    fn new(docker: &'a Docker, machine: &Machine, id: &str) -> Self {
        let folder = machine.state.join("run/docker-builds").join(uuid(id));
        let at = format!("unix://{}", folder.join("docker.sock").display());
        Self { docker, at }
    }

    fn with<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        ["-H", &self.at]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect()
    }

    #[track_caller]
    fn ask(&self, arguments: &[&str]) -> String {
        self.docker.ask(&self.with(arguments))
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        self.docker.refused(&self.with(arguments))
    }
}

/// Whatever of a build is on disk.
fn left(machine: &Machine, id: &str) -> Vec<PathBuf> {
    let state = Path::new(&machine.state);
    let mut all = vec![
        state.join("docker-builds").join(uuid(id)),
        state.join("run/docker-builds").join(uuid(id)),
    ];
    all.retain(|it| it.exists());
    let hosts = state.join("images/repositories").read_dir().unwrap();
    let hosts = hosts.map(|it| it.unwrap().path());
    all.extend(hosts.filter(|it| it.to_string_lossy().contains(uuid(id))));
    all
}

#[test]
fn builds_are_strangers_to_each_other_and_to_the_owner() {
    let machine = Machine::start();
    let (Some(bench), Some(docker)) = (Bench::new(&machine), Docker::of(&machine)) else {
        return;
    };
    bench
        .aws
        .ask(&["ecr", "create-repository", "--repository-name", "app"]);
    let permission =
        json!({ "Statement": [{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }] });
    machine.ask(
        "iam",
        "PutRolePolicy",
        json!({ "RoleName": "builder", "PolicyName": "push",
        "PolicyDocument": permission.to_string() }),
    );
    docker.ask(&["tag", "aws/codebuild/environment:latest", "owners:1"]);
    let busy = bench.start("busy", &BUSY.replace("HOST", HOST), privileged());
    bench.until_printed(&busy, "begun");
    let printed = bench.printed(&busy);
    for line in ["read-only", "0 images, 0 containers", "Login Succeeded"] {
        assert!(printed.iter().any(|it| it == line), "{line}: {printed:#?}");
    }

    // What it has tagged stands for nothing: the image of this build is still the imported one.
    let waiting = bench.start("waiting", WAITING, privileged());
    bench.until_printed(&waiting, "begun");
    let (one, two) = (
        Inside::new(&docker, &machine, &busy),
        Inside::new(&docker, &machine, &waiting),
    );
    assert_eq!(one.ask(&["ps", "--format", "{{.Names}}"]), "inner");
    // What its containers use counts as the build's own.
    let inner = one.ask(&["inspect", "--format", "{{.State.Pid}}", "inner"]);
    let groups = std::fs::read_to_string(format!("/proc/{inner}/cgroup")).unwrap();
    let of_build = format!("/{}/", uuid(&busy));
    for controller in ["memory", "pids"] {
        let own = |it: &&str| it.contains(controller) || it.starts_with("0::/neargate");
        let group = groups.lines().find(own).unwrap_or_default();
        assert!(group.contains(&of_build), "{controller}: {groups}");
    }
    for listing in [
        &["ps", "-aq"][..],
        &["images", "-q"],
        &["volume", "ls", "-q"],
        &["network", "ls", "-q", "--filter", "name=own"],
        &["events", "--since", "1h", "--until", "0s"],
    ] {
        assert_eq!(two.ask(listing), "", "{listing:?}");
        let owners = docker.ask(listing);
        assert!(
            !owners.contains("inner") && !owners.contains("kept"),
            "{owners}"
        );
    }
    let id = one.ask(&["inspect", "-f", "{{.Id}}", "inner"]);
    for words in [
        &["inspect", "inner"][..],
        &["exec", &id, "true"],
        &["logs", &id],
        &["rm", &id],
        &["cp", "inner:/etc/passwd", "-"],
        &["commit", &id],
        &["run", "--network", "own", "owners:1"],
        &["create", "--volumes-from", "inner", "owners:1"],
        &["create", "--network", "container:inner", "owners:1"],
        &["save", "public.ecr.aws/docker/library/nginx:latest"],
        &["push", &format!("{HOST}/app")],
    ] {
        two.refused(words);
    }
    assert!(!docker.ask(&["images"]).contains("nginx"));
    assert!(docker.refused(&["rm", &id]).contains("No such container"));
    let pushed = bench
        .aws
        .ask(&["ecr", "describe-images", "--repository-name", "app"]);
    assert_eq!(
        pushed["imageDetails"].as_array().unwrap().len(),
        1,
        "{pushed}"
    );
    // Without a login it is not read, whatever way is taken.
    assert!(
        two.refused(&["pull", &format!("{HOST}/app")])
            .contains("no basic auth")
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {HOST}/app\n"),
    )
    .unwrap();
    let context = folder.path().display().to_string();
    assert!(
        two.refused(&["build", &context])
            .contains("pull access denied")
    );
    std::fs::write(folder.path().join("Dockerfile"), "FROM owners:1\n").unwrap();
    two.refused(&["build", &context]);
    the_machine_is_not_to_be_had(&one);

    // The daemon dies: what runs goes on, and is its build's again.
    machine.kill_daemon();
    machine.serve();
    eventually("the socket is served again", || {
        let output =
            docker.run(&one.with(&["inspect", "-f", "{{.Id}} {{.State.Running}}", "inner"]));
        match output.stdout.trim() == format!("{id} true") {
            true => Ok(()),
            false => Err(format!("{output:?}")),
        }
    });
    assert_eq!(one.ask(&["volume", "ls", "-q"]), "kept");
    assert!(one.ask(&["images"]).contains("nginx"));

    // Builds end, one of them while no daemon has served it since: nothing of them is left.
    assert!(!left(&machine, &busy).is_empty());
    for id in [&busy, &waiting] {
        machine.ask("codebuild", "StopBuild", json!({ "id": id }));
        if *id == busy {
            machine.kill_daemon();
            machine.serve();
        }
        bench.over(id);
        assert_eq!(left(&machine, id), Vec::<PathBuf>::new());
    }
    machine.assert_no_processes_of_tasks();
    assert!(docker.ask(&["images"]).contains("owners"));
}

fn the_machine_is_not_to_be_had(inside: &Inside<'_>) {
    const IMAGE: &str = "aws/codebuild/environment:latest";
    for (arguments, word) in [
        (&["-v", "/etc:/mnt"][..], "mounting the host path `/etc`"),
        (&["--privileged"], "more power than usual"),
        (&["--network", "host"], "the host's network"),
        (&["-p", "8080:8080"], "publishing ports"),
        (&["--pid", "host"], "`PidMode`"),
    ] {
        let words: Vec<&str> = ["create"]
            .iter()
            .chain(arguments)
            .chain(&[IMAGE])
            .copied()
            .collect();
        let refused = inside.refused(&words);
        assert!(refused.contains(word), "{arguments:?}: {refused}");
    }
    // Nor more of it than a share.
    for number in 0..99 {
        inside.ask(&["create", "--name", &format!("c{number}"), IMAGE, "true"]);
    }
    let refused = inside.refused(&["create", IMAGE, "true"]);
    assert!(
        refused.contains("there are 100 containers already"),
        "{refused}"
    );
}
