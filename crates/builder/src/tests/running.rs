use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::{BuildEvent, RunStep, StepMount, StepSource};

use super::{Outcome, World};

async fn build(files: &[(&str, &str)], instructions: &str) -> (World, Outcome) {
    let world = World::with(files);
    let outcome = world
        .build(&format!("FROM scratch\n{instructions}\n"))
        .await
        .unwrap_or_else(|error| panic!("{instructions}: {error}"));
    (world, outcome)
}

async fn step(instructions: &str) -> RunStep {
    let (world, _) = build(&[("file", "F"), ("dir/x", "X")], instructions).await;
    world.steps.seen.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn what_a_step_is_given() {
    let simple = step("RUN write a A").await;
    assert_eq!(simple.argv, ["/bin/sh", "-c", "write a A"]);
    assert_eq!(simple.working_dir, "/");
    assert_eq!(simple.user, "");
    assert_eq!(
        simple.env,
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    );
    assert_eq!((simple.directories.len(), simple.mounts.len()), (0, 0));

    let full = step("WORKDIR /w\nENV PATH=/p e=1\nARG a=2 e=3\nUSER 5:6\nSHELL [\"/sh\"]\nRUN write a \"$e\" \\\n  \\\n  # comment\n  more").await;
    assert_eq!(full.argv, ["/sh", "write a \"$e\"     more"]);
    assert_eq!(full.working_dir, "/w");
    assert_eq!(full.user, "5:6");
    assert_eq!(full.env, ["PATH=/p", "e=1", "a=2"]);
    assert_eq!(full.directories.len(), 1);

    let exec = step("RUN [\"sh\", \"-x\", \"write a $A\"]").await;
    assert_eq!(exec.argv, ["sh", "-x", "write a $A"]);
}

#[tokio::test]
async fn heredocs() {
    let script = step("RUN <<EOF\nwrite a A\nwrite b B\nEOF").await;
    assert_eq!(script.argv[2], "write a A\nwrite b B\n");
    // Variables are the script's business, whether or not its end is quoted.
    let own = step("ARG x=1\nRUN <<EOF\nwrite a $x ${y} \\$z \\\\ $1\nEOF").await;
    assert_eq!(own.argv[2], "write a $x ${y} \\$z \\\\ $1\n");
    let indented = step("RUN <<-EOF\n\twrite a $x\n\tEOF").await;
    assert_eq!(indented.argv[2], "write a $x\n");
    let literal = step("ARG x=1\nRUN <<'EOF'\nwrite a $x\nEOF").await;
    assert_eq!(literal.argv[2], "write a $x\n");
}

#[tokio::test]
async fn a_heredoc_within_a_command_is_the_shells() {
    let world = World::new();
    world.steps.accepts_all.store(true, Ordering::SeqCst);
    let dockerfile = "FROM scratch\nRUN cat <<EOF > /x && cat <<-'E' >> /x\none $y\nEOF\n\ttwo\n\tE\nENV after=1\n";
    let outcome = world.build(dockerfile).await.unwrap();
    let step = world.steps.seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        step.argv[2],
        "cat <<EOF > /x && cat <<-'E' >> /x\none $y\nEOF\n\ttwo\n\tE\n"
    );
    assert_eq!(outcome.config.env[1..], ["after=1"]);
}

#[tokio::test]
async fn a_script_with_its_own_interpreter_is_mounted() {
    let world = World::new();
    world.steps.accepts_all.store(true, Ordering::SeqCst);
    let dockerfile = "FROM scratch\nRUN <<EOF\n#!/bin/python\nprint(1, \"$PATH\")\nEOF\n";
    world.build(dockerfile).await.unwrap();
    let step = world.steps.seen.lock().unwrap().pop().unwrap();
    assert_eq!(step.argv, ["/dev/pipes/EOF"]);
    let mount = &step.mounts[0];
    assert_eq!(
        (mount.target.to_str(), mount.read_only),
        (Some("/dev/pipes/EOF"), true)
    );
    // Another text is another step.
    world.build(dockerfile).await.unwrap();
    world
        .build(&dockerfile.replace("(1,", "(2,"))
        .await
        .unwrap();
    assert_eq!(world.steps.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_looks_like_a_heredoc_and_is_none() {
    let world = World::new();
    world.steps.accepts_all.store(true, Ordering::SeqCst);
    for command in [
        "echo \"<<EOF\"",
        "echo $((1<<2))",
        "cat <<<\"text\"",
        "echo '<<EOF'",
        "echo a<<",
    ] {
        let dockerfile = format!("FROM scratch\nRUN {command}\nENV after=1");
        let outcome = world.build(&dockerfile);
        let env = outcome.await.unwrap().config.env;
        assert_eq!(env[1..], ["after=1"], "{command}");
        let step = world.steps.seen.lock().unwrap().pop().unwrap();
        assert_eq!(step.argv[2], command);
    }
}

#[tokio::test]
async fn changes_become_a_layer() {
    let (_, outcome) = build(
        &[("file", "F"), ("dir/x", "X"), ("dir/y", "Y")],
        "COPY . /\nRUN write a A && link a b && chown a 9 && symlink c a && rm file && hide dir && write dir/n N && mkdir e && write p P && capability p",
    )
    .await;
    assert_eq!(
        outcome.layers[1],
        [
            "file 644 9:9 a = A",
            "same b = a",
            "link c -> a",
            "dir 755 0:0 dir",
            "file 644 0:0 dir/.wh..wh..opq = ",
            "file 644 0:0 dir/n = N",
            "dir 755 0:0 e",
            "file 644 0:0 .wh.file = ",
            "file 644 0:0 p = P +cap",
        ]
    );
}

#[tokio::test]
async fn a_step_that_changes_nothing_is_no_layer() {
    let (world, outcome) = build(
        &[],
        "RUN print hello && mkdir proc && mkdir dev && write etc/hosts ",
    )
    .await;
    assert_eq!(outcome.layers.len(), 0, "{:?}", outcome.layers);
    let again = world
        .build("FROM scratch\nRUN print hello && mkdir proc && mkdir dev && write etc/hosts ")
        .await
        .unwrap();
    assert_eq!(again.built.cached_steps, 1);
}

#[tokio::test]
async fn an_owner_a_mode_or_what_is_hidden_is_a_change() {
    let world = World::new();
    world
        .image("base", "FROM scratch\nRUN write etc/x X && mkdir d")
        .await;
    for (command, expected) in [
        ("mkdir d && chown d 5", &["dir 755 5:5 d"][..]),
        // Something is mounted in `/etc`, so it is looked at twice.
        ("mkdir etc && chown etc 5", &["dir 755 5:5 etc"]),
        ("mkdir etc && chmod etc 700", &["dir 700 0:0 etc"]),
        (
            "hide etc",
            &["dir 755 0:0 etc", "file 644 0:0 etc/.wh..wh..opq = "],
        ),
    ] {
        let outcome = world.build(&format!("FROM base\nRUN {command}")).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.layers.last().unwrap(), expected, "{command}");
    }
    let nothing = world.build("FROM base\nRUN mkdir etc").await.unwrap();
    assert_eq!(nothing.layers.len(), 1);
}

#[tokio::test]
async fn output_is_passed_on() {
    let (_, outcome) = build(&[], "ENV a=1\nRUN print one && print two").await;
    let lines: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Output { number, line } => Some((*number, line.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [(3, "one"), (3, "two")]);
}

#[tokio::test]
async fn a_step_is_given_hosts_shared_memory_and_proxies_in_both_forms() {
    let world = World::new();
    let hosts = vec![("10.1.2.3".to_owned(), "db".to_owned())];
    let request = |hosts: &[(String, String)]| engine::BuildRequest {
        context: world.context(),
        dockerfile_text: Some("FROM scratch\nRUN write a A".into()),
        hosts: hosts.to_vec(),
        shm_bytes: Some(1 << 20),
        args: [("http_proxy".to_owned(), "http://p".to_owned())].into(),
        ..Default::default()
    };
    let build = async |request| {
        let (events, _) = tokio::sync::mpsc::channel(1);
        let built = engine::Builds::build(&world.builder, request, events);
        built.await.unwrap().cached_steps
    };
    assert_eq!(build(request(&hosts)).await, 0);
    let step = world.steps.seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (step.hosts.clone(), step.shm_bytes),
        (hosts.clone(), Some(1 << 20))
    );
    for name in ["HTTP_PROXY", "http_proxy"] {
        assert!(
            step.env.contains(&format!("{name}=http://p")),
            "{:?}",
            step.env
        );
    }
    assert_eq!(build(request(&hosts)).await, 1);
    // What a name leads to may be what a command does.
    assert_eq!(build(request(&[])).await, 0);
}

#[tokio::test]
async fn a_failed_command_is_told_by_its_code() {
    let world = World::new();
    let request = engine::BuildRequest {
        context: world.context(),
        dockerfile_text: Some("FROM scratch\nRUN print no && exit 3".into()),
        ..Default::default()
    };
    let (events, mut told) = tokio::sync::mpsc::channel(100);
    let built = engine::Builds::build(&world.builder, request, events).await;
    assert!(built.is_err());
    let mut failed = None;
    while let Some(event) = told.recv().await {
        if let BuildEvent::Exited { command, code, .. } = event {
            failed = Some((command, code));
        }
    }
    let (command, code) = failed.unwrap();
    assert_eq!(command, ["/bin/sh", "-c", "print no && exit 3"]);
    assert_eq!(code, 3);
}

#[tokio::test]
async fn a_failed_command_says_what_it_said() {
    let world = World::new();
    let error = world
        .build("FROM scratch\n\nRUN print cannot do && exit 3")
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "Dockerfile:3: the command ended with exit code 3; its last output was: cannot do (in `RUN print cannot do && exit 3`)"
    );
    world.assert_clean();
    // A failure is not cached.
    world
        .build("FROM scratch\n\nRUN print cannot do && exit 3")
        .await
        .err()
        .unwrap();
    assert_eq!(world.steps.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_gone_listener_does_not_stop_a_build() {
    let world = World::new();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    drop(receiver);
    let request = engine::BuildRequest {
        context: world.context(),
        dockerfile_text: Some("FROM scratch\nRUN print a && print b && write a A".into()),
        ..Default::default()
    };
    let built = engine::Builds::build(&world.builder, request, sender)
        .await
        .unwrap();
    assert_eq!(built.steps, 1);
}

#[tokio::test]
async fn a_dropped_build_stops_and_cleans_up() {
    let world = World::new();
    let build = world.build("FROM scratch\nRUN write a A && hang");
    assert!(
        tokio::time::timeout(Duration::from_millis(200), build)
            .await
            .is_err()
    );
    assert_eq!(world.steps.dropped.load(Ordering::SeqCst), 1);
    world.assert_clean();
}

#[tokio::test]
async fn mounts() {
    let cache = step("ARG at=c\nRUN --mount=type=cache,target=/$at --mount=type=tmpfs,target=t,ro --mount=type=tmpfs,target=/u,size=10m write a A").await;
    let places: Vec<_> = cache
        .mounts
        .iter()
        .map(|mount| (mount.target.to_str().unwrap(), mount.read_only))
        .collect();
    assert_eq!(places, [("/c", false), ("/t", true), ("/u", false)]);
    let memory = |bytes_max| StepSource::Memory { bytes_max };
    assert_eq!(cache.mounts[1].source, memory(None));
    assert_eq!(cache.mounts[2].source, memory(Some(10 << 20)));
}

#[tokio::test]
async fn a_bind_mount_that_is_written_to_is_a_copy() {
    let world = World::with(&[("dir/x", "X"), ("dir/to", "-> x")]);
    let from_context = "FROM scratch\nRUN --mount=source=dir,target=/in,rw write a A\n";
    // Two layers make the folder, which no single folder of this machine shows.
    let of_stage = "FROM scratch AS s\nCOPY dir /d\nRUN write d/y Y && rm d/to\nFROM scratch\nRUN --mount=from=s,source=/d,target=/in write a A\n";
    for (dockerfile, read_only, names) in [(from_context, false, "to x"), (of_stage, true, "x y")] {
        world.steps.listings.lock().unwrap().clear();
        world.build(dockerfile).await.unwrap();
        let step = world.steps.seen.lock().unwrap().pop().unwrap();
        assert_eq!(step.mounts[0].read_only, read_only);
        assert_ne!(path(&step.mounts[0]), world.context().join("dir"));
        let listings = world.steps.listings.lock().unwrap();
        assert_eq!(listings.last().unwrap().join(" "), names, "{dockerfile}");
    }
    assert_eq!(
        std::fs::read_dir(world.context().join("dir"))
            .unwrap()
            .count(),
        2
    );
}

#[tokio::test]
async fn a_network_is_asked_for() {
    use engine::StepNetwork::{Host, None, Outward};
    assert_eq!(step("RUN write a A").await.network, Outward);
    assert_eq!(
        step("RUN --network=default write a A").await.network,
        Outward
    );
    assert_eq!(step("RUN --network=none write a A").await.network, None);
    let world = World::new();
    let dockerfile = "FROM scratch\nRUN exit 1\nRUN --network=host write a A";
    let error = world.build(dockerfile).await.err().unwrap();
    assert!(error.message.starts_with("Dockerfile:3: `--network=host` is the machine's own network, which this build was not given"), "{error}");
    assert!(world.steps.seen.lock().unwrap().is_empty());
    let dockerfile =
        "FROM scratch\nRUN --network=none write a A\nRUN write b B\nRUN --network=host write c C";
    world
        .build_as(dockerfile, |request| request.network = Host)
        .await
        .unwrap();
    let seen = world.steps.seen.lock().unwrap();
    let networks: Vec<_> = seen.iter().map(|step| step.network).collect();
    assert_eq!(networks, [None, Host, Host]);
}

#[tokio::test]
async fn secrets_and_agents_are_seen_by_the_step_alone() {
    let world = World::new();
    let give = |request: &mut engine::BuildRequest| {
        let secret = engine::BuildSecret(b"hidden".to_vec());
        request.secrets.insert("s".into(), secret);
        request
            .agents
            .insert("default".into(), "/agent.sock".into());
    };
    let dockerfile = "FROM scratch\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,target=/t,mode=0440,uid=5 --mount=type=secret,id=s,env=TOKEN --mount=type=ssh,required write a A\n";
    let first = world.build_as(dockerfile, give).await.unwrap();
    let step = world.steps.seen.lock().unwrap().pop().unwrap();
    let targets: Vec<_> = step
        .mounts
        .iter()
        .map(|it| it.target.to_str().unwrap())
        .collect();
    assert_eq!(
        targets,
        ["/run/secrets/s", "/t", "/run/buildkit/ssh_agent.0"]
    );
    assert_eq!(path(&step.mounts[2]), std::path::Path::new("/agent.sock"));
    for line in ["TOKEN=hidden", "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"] {
        assert!(step.env.contains(&line.to_owned()), "{:?}", step.env);
    }
    assert_eq!(first.layers, [["file 644 0:0 a = A"]]);
    assert!(!format!("{:?}", first.config).contains("hidden"));
    assert_eq!(
        format!("{:?}", engine::BuildSecret(b"hidden".to_vec())),
        "BuildSecret"
    );
    // Another secret is the same step, and one that is not there is not missed, unless it is required.
    assert_eq!(
        world
            .build_as(dockerfile, give)
            .await
            .unwrap()
            .built
            .cached_steps,
        1
    );
    let optional = "FROM scratch\nRUN --mount=type=secret,id=s --mount=type=ssh write b B\n";
    world.build(optional).await.unwrap();
    assert!(
        world
            .steps
            .seen
            .lock()
            .unwrap()
            .pop()
            .unwrap()
            .mounts
            .is_empty()
    );
    for (flag, missing) in [
        (
            "type=secret,id=s,required",
            "the secret `s` was not given to this build; give it with `--secret`",
        ),
        (
            "type=ssh,required=true",
            "the SSH agent `default` was not given to this build; give it with `--ssh`",
        ),
    ] {
        let dockerfile = format!("FROM scratch\nRUN exit 1\nRUN --mount={flag} true");
        let error = world.build(&dockerfile).await.err().unwrap();
        assert!(
            error
                .message
                .starts_with(&format!("Dockerfile:3: {missing}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_cache_may_be_private_or_begin_with_something() {
    let world = World::with(&[("seed/x", "X")]);
    let private = "FROM scratch AS a\nRUN --mount=type=cache,target=/c,sharing=private meet && write a A\nFROM scratch AS b\nRUN --mount=type=cache,target=/c,sharing=private meet && write b B\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n";
    world.build(private).await.unwrap();
    let seen = std::mem::take(&mut *world.steps.seen.lock().unwrap());
    assert_ne!(path(&seen[0].mounts[0]), path(&seen[1].mounts[0]));
    let seeded = "FROM scratch AS s\nCOPY seed /seed\nFROM scratch\nRUN --mount=type=cache,from=s,source=/seed,target=/c write a A\n";
    world.build(seeded).await.unwrap();
    let seen = world.steps.seen.lock().unwrap();
    assert!(path(&seen[0].mounts[0]).join("x").is_file());
}

fn path(mount: &StepMount) -> &std::path::Path {
    match &mount.source {
        StepSource::Path(path) => path,
        other => panic!("{other:?} is no path"),
    }
}

#[tokio::test]
async fn a_bind_mount_counts_for_the_cache() {
    let world = World::with(&[("dir/x", "X"), ("other", "O")]);
    let dockerfile = "FROM scratch AS tools\nRUN write bin/tool T\nFROM scratch\nRUN --mount=source=dir,target=/in --mount=from=tools,source=/bin/tool,target=/bin/tool write a A && mkdir in && write bin/tool \n";
    let first = world.build(dockerfile).await.unwrap();
    let step = world.steps.seen.lock().unwrap().pop().unwrap();
    assert_eq!(step.mounts.len(), 2);
    assert_eq!(
        std::fs::read_to_string(path(&step.mounts[0]).join("x")).unwrap(),
        "X"
    );
    assert_eq!(std::fs::read_to_string(path(&step.mounts[1])).unwrap(), "T");
    assert!(step.mounts.iter().all(|mount| mount.read_only));
    // Mount points are no part of the layer.
    assert_eq!(first.layers, [["file 644 0:0 a = A", "dir 755 0:0 bin"]]);

    world.put("other", "changed");
    assert_eq!(world.build(dockerfile).await.unwrap().built.cached_steps, 2);
    world.put("dir/x", "changed");
    assert_eq!(world.build(dockerfile).await.unwrap().built.cached_steps, 1);
}

#[tokio::test]
async fn a_cache_mount_lasts() {
    let world = World::new();
    let folder = |id: &str, run: &str| {
        format!(
            "FROM scratch\nRUN --mount=type=cache,id={id},target=/c,sharing=locked write {run} A\n"
        )
    };
    for (id, run) in [("one", "a"), ("one", "b"), ("two", "c")] {
        world.build(&folder(id, run)).await.unwrap();
    }
    let seen = world.steps.seen.lock().unwrap();
    let folders: Vec<_> = seen.iter().map(|step| path(&step.mounts[0])).collect();
    assert_eq!(folders[0], folders[1]);
    assert_ne!(folders[0], folders[2]);
    assert!(folders.iter().all(|folder| folder.is_dir()));
}
