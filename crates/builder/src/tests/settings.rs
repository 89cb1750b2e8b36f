use engine::{HealthCheck, ImageConfig};

use super::World;

async fn config(dockerfile: &str) -> ImageConfig {
    let world = World::new();
    match world.build(dockerfile).await {
        Ok(outcome) => outcome.config,
        Err(error) => panic!("{dockerfile}: {error}"),
    }
}

async fn error(dockerfile: &str) -> String {
    match World::new().build(dockerfile).await {
        Ok(_) => panic!("{dockerfile} was built"),
        Err(error) => error.message,
    }
}

async fn check(instructions: &str, expected: ImageConfig) {
    let actual = config(&format!("FROM scratch\n{instructions}\n")).await;
    assert_eq!(actual, expected, "{instructions}");
}

/// What every image built on nothing says.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn empty() -> ImageConfig {
    with_env(&[])
}

fn with_env(lines: &[&str]) -> ImageConfig {
    ImageConfig {
        env: texts(&[&[PATH], lines].concat()),
        working_dir: "/".to_owned(),
        ..ImageConfig::default()
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn environment() {
    let env = with_env;
    check(
        "ENV a=1 b=\"2 3\" c='4 5' d=6\\ 7",
        env(&["a=1", "b=2 3", "c=4 5", "d=6 7"]),
    )
    .await;
    check("ENV a 1 b=2", env(&["a=1 b=2"])).await;
    check("ENV a=1\nENV a=2 b=$a", env(&["a=2", "b=1"])).await;
    check("ENV a=1 \\\n  # why\n\n  b=2", env(&["a=1", "b=2"])).await;
    check("ENV path=$path:/x", env(&["path=:/x"])).await;
    check("# escape is a comment here\nENV a=`b", env(&["a=`b"])).await;
    assert!(
        error("FROM scratch\nENV a")
            .await
            .contains("`a` has no value")
    );
    assert!(
        error("FROM scratch\nENV a=1 b")
            .await
            .contains("`b` is not of the form")
    );
    assert!(
        error("FROM scratch\nENV")
            .await
            .contains("ENV needs an argument")
    );
}

#[tokio::test]
async fn an_image_without_a_path_gets_one() {
    let world = World::new();
    world
        .image("own", "FROM scratch\nENV PATH=/own\nWORKDIR /w")
        .await;
    let outcome = world.build("FROM own\nENV a=$1b$PATH").await.unwrap();
    assert_eq!(outcome.config.env, ["PATH=/own", "a=b/own"]);
    assert_eq!(outcome.config.working_dir, "/w");
}

#[tokio::test]
async fn arguments() {
    let env = with_env;
    check("ARG a=1\nENV b=$a", env(&["b=1"])).await;
    check("ARG a\nENV b=${a:-none}", env(&["b=none"])).await;
    check("ARG a=1 c=$a\nENV b=$c", env(&["b=1"])).await;
    // ENV goes before ARG, whatever the order.
    check("ENV a=env\nARG a=arg\nENV b=$a", env(&["a=env", "b=env"])).await;
    check(
        "ARG TARGETARCH TARGETOS TARGETPLATFORM\nENV b=$TARGETOS-$TARGETARCH-$TARGETPLATFORM",
        env(&["b=linux-amd64-linux/amd64"]),
    )
    .await;
    check("ENV b=$TARGETARCH", env(&["b="])).await;
    let world = World::new();
    let outcome = world
        .build_as(
            "ARG g=1\nARG h=$g$g\nFROM scratch\nARG g\nARG h\nARG x=0\nENV r=$g-$h-$x-$y",
            |request| {
                request.args.insert("g".into(), "7".into());
                request.args.insert("x".into(), "8".into());
                request.args.insert("y".into(), "never declared".into());
            },
        )
        .await
        .unwrap();
    assert_eq!(outcome.config.env, [PATH, "r=7-77-8-"]);
    assert!(
        error("FROM scratch\nARG 1a=2")
            .await
            .contains("`1a` cannot be the name of an ARG")
    );
}

#[tokio::test]
async fn commands() {
    let shell = |text: &str| texts(&["/bin/sh", "-c", text]);
    check(
        "CMD [\"a\", \"b c\"]",
        ImageConfig {
            cmd: texts(&["a", "b c"]),
            ..empty()
        },
    )
    .await;
    check(
        "CMD a  $b",
        ImageConfig {
            cmd: shell("a  $b"),
            ..empty()
        },
    )
    .await;
    check(
        "CMD [a]",
        ImageConfig {
            cmd: shell("[a]"),
            ..empty()
        },
    )
    .await;
    check("CMD a\nCMD []", empty()).await;
    check(
        "ENTRYPOINT a \\\n b",
        ImageConfig {
            entrypoint: shell("a  b"),
            ..empty()
        },
    )
    .await;
    check(
        "CMD [\"c\"]\nENTRYPOINT [\"e\"]",
        ImageConfig {
            cmd: texts(&["c"]),
            entrypoint: texts(&["e"]),
            ..empty()
        },
    )
    .await;
    check(
        "SHELL [\"/bin/bash\", \"-ec\"]\nCMD x",
        ImageConfig {
            shell: texts(&["/bin/bash", "-ec"]),
            cmd: texts(&["/bin/bash", "-ec", "x"]),
            ..empty()
        },
    )
    .await;
    // An entry point takes away the command that the image below brought.
    let two = "FROM scratch AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"e\"]";
    assert_eq!(
        config(two).await,
        ImageConfig {
            entrypoint: texts(&["e"]),
            ..empty()
        }
    );
    assert!(
        error("FROM scratch\nSHELL /bin/sh")
            .await
            .contains("SHELL takes a JSON array")
    );
    assert!(
        error("FROM scratch\nENTRYPOINT")
            .await
            .contains("ENTRYPOINT needs an argument")
    );
}

#[tokio::test]
async fn labels() {
    let labels = |pairs: &[(&str, &str)]| ImageConfig {
        labels: pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..empty()
    };
    check(
        "LABEL a=1 \"b c\"=\"2 3\"",
        labels(&[("a", "1"), ("b c", "2 3")]),
    )
    .await;
    check(
        "ENV v=9\nLABEL a=$v\nENV v=8",
        ImageConfig {
            env: with_env(&["v=8"]).env,
            ..labels(&[("a", "9")])
        },
    )
    .await;
    check("LABEL a one two", labels(&[("a", "one two")])).await;
    check(
        "MAINTAINER Some One <a@b.c>",
        ImageConfig {
            author: Some("Some One <a@b.c>".into()),
            ..empty()
        },
    )
    .await;
    let world = World::new();
    let outcome = world
        .build_as("FROM scratch\nLABEL a=1 b=2", |request| {
            request.labels.insert("b".into(), "3".into());
        })
        .await
        .unwrap();
    assert_eq!(outcome.config, labels(&[("a", "1"), ("b", "3")]));
}

#[tokio::test]
async fn ports_volumes_users_and_signals() {
    let ports = |ports: &[&str]| ImageConfig {
        exposed_ports: texts(ports),
        ..empty()
    };
    check(
        "EXPOSE 80 443/tcp 53/UDP 80",
        ports(&["80/tcp", "443/tcp", "53/udp"]),
    )
    .await;
    check("ARG p=\"1 2\"\nEXPOSE $p", ports(&["1/tcp", "2/tcp"])).await;
    check(
        "EXPOSE 8000-8002",
        ports(&["8000/tcp", "8001/tcp", "8002/tcp"]),
    )
    .await;
    check(
        "VOLUME /a /b\nVOLUME [\"/c d\", \"/a\"]",
        ImageConfig {
            volumes: texts(&["/a", "/b", "/c d"]),
            ..empty()
        },
    )
    .await;
    check(
        "ARG u=app\nUSER $u:staff",
        ImageConfig {
            user: "app:staff".into(),
            ..empty()
        },
    )
    .await;
    for signal in ["SIGQUIT", "TERM", "9", "SIGRTMIN+3"] {
        check(
            &format!("STOPSIGNAL {signal}"),
            ImageConfig {
                stop_signal: Some(signal.into()),
                ..empty()
            },
        )
        .await;
    }
    for (line, message) in [
        ("EXPOSE 0", "`0` is not a port"),
        ("EXPOSE 70000", "`70000` is not a port"),
        ("EXPOSE 80/icmp", "`80/icmp` is not a port"),
        ("EXPOSE 1-65535", "`1-65535` is more than 1024 ports"),
        ("STOPSIGNAL SIGNONE", "`SIGNONE` is not a signal"),
        ("USER $nobody", "the USER is empty here"),
        ("WORKDIR $nowhere", "the WORKDIR is empty here"),
    ] {
        let text = error(&format!("FROM scratch\n{line}")).await;
        assert!(
            text.starts_with("Dockerfile:2: ") && text.contains(message),
            "{text}"
        );
    }
}

#[tokio::test]
async fn health_checks() {
    let check_command = |command: &[&str]| HealthCheck {
        command: texts(command),
        // What is not said is left to whoever runs it.
        ..HealthCheck::default()
    };
    let with = |check: HealthCheck| ImageConfig {
        healthcheck: Some(check),
        ..empty()
    };
    check(
        "HEALTHCHECK CMD curl -f x",
        with(check_command(&["CMD-SHELL", "curl -f x"])),
    )
    .await;
    check(
        "HEALTHCHECK CMD [\"a\", \"b\"]",
        with(check_command(&["CMD", "a", "b"])),
    )
    .await;
    let changed = HealthCheck {
        interval_ms: 90_000,
        timeout_ms: 500,
        start_period_ms: 1_500,
        start_interval_ms: 250,
        retries: 5,
        ..check_command(&["CMD", "a"])
    };
    check("HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1.5s --start-interval=250ms --retries=5 \\\n CMD [\"a\"]", with(changed)).await;
    check(
        "HEALTHCHECK CMD a\nHEALTHCHECK NONE",
        with(HealthCheck {
            command: texts(&["NONE"]),
            ..HealthCheck::default()
        }),
    )
    .await;
    for (line, message) in [
        (
            "HEALTHCHECK",
            "HEALTHCHECK takes `CMD` and a command, or `NONE`",
        ),
        ("HEALTHCHECK CMD", "HEALTHCHECK CMD needs a command"),
        (
            "HEALTHCHECK --interval=soon CMD a",
            "`soon` is not a duration",
        ),
        (
            "HEALTHCHECK --interval=999999999h CMD a",
            "is not a duration",
        ),
        (
            "HEALTHCHECK --retries=0 CMD a",
            "`--retries=0` is not a number above 0",
        ),
        (
            "HEALTHCHECK --colour=red CMD a",
            "`--colour=red` is not supported on HEALTHCHECK",
        ),
    ] {
        let text = error(&format!("FROM scratch\n{line}")).await;
        assert!(text.contains(message), "{text}");
    }
}

#[tokio::test]
async fn the_escape_directive() {
    let config =
        config("# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nENV a=c:\\x `\n b=2").await;
    assert_eq!(config.env, [PATH, "a=c:\\x", "b=2"]);
    assert!(
        error("#escape=x\nFROM scratch")
            .await
            .starts_with("Dockerfile:1: `x` cannot be the escape character")
    );
    assert!(
        error("#escape=`\n#escape=`\nFROM scratch")
            .await
            .starts_with("Dockerfile:2: the directive `escape`")
    );
}

#[tokio::test]
async fn a_working_folder_is_said_as_it_is_written() {
    for (instructions, expected) in [
        ("WORKDIR /a/b/", "/a/b/"),
        ("WORKDIR /a//b/../c", "/a//b/../c"),
        ("WORKDIR /a/\nWORKDIR b", "/a/b"),
        ("WORKDIR /a\nWORKDIR b/../c/", "/a/c"),
        ("WORKDIR /a/b/.", "/a/b/."),
        ("WORKDIR /a/\nWORKDIR .", "/a"),
        ("WORKDIR a\nWORKDIR ../../..", "/"),
    ] {
        let config = config(&format!("FROM scratch\n{instructions}\n")).await;
        assert_eq!(config.working_dir, expected, "{instructions}");
    }
    // Whom the image does not know works as root.
    config("FROM scratch\nWORKDIR /x\nUSER nobody-knows\nWORKDIR y\n").await;
}
