use std::sync::atomic::Ordering;

use engine::{BuildEvent, Fault};

use super::{Outcome, World};

fn steps(outcome: &Outcome) -> Vec<String> {
    outcome
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Step {
                number,
                total,
                text,
                ..
            } => Some(format!("{number}/{total} {text}")),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn only_what_the_target_needs_is_built() {
    let world = World::with(&[("a", "A")]);
    let dockerfile = "FROM scratch AS unused\nRUN exit 1\nFROM scratch AS build\nCOPY a /out/\nFROM scratch\nCOPY --from=build /out /in\n";
    let outcome = world.build(dockerfile).await.unwrap();
    assert_eq!(
        outcome.layers,
        [["dir 755 0:0 in", "file 644 0:0 in/a = A"]]
    );
    assert_eq!(
        steps(&outcome),
        [
            "1/4 [build 1/2] FROM scratch AS build",
            "2/4 [build 2/2] COPY a /out/",
            "3/4 [stage-2 1/2] FROM scratch",
            "4/4 [stage-2 2/2] COPY --from=build /out /in",
        ]
    );
    assert!(world.steps.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_target_may_be_named() {
    let world = World::with(&[("a", "A")]);
    let dockerfile = "FROM scratch AS One\nCOPY a /1\nFROM one AS two\nRUN exit 1\n";
    let target =
        |name: &'static str| move |r: &mut engine::BuildRequest| r.target = Some(name.into());
    for name in ["one", "ONE", "0"] {
        let outcome = world.build_as(dockerfile, target(name)).await.unwrap();
        assert_eq!(outcome.layers, [["file 644 0:0 1 = A"]]);
    }
    let error = world
        .build_as(dockerfile, target("three"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.message, "`Dockerfile` has no stage `three` to build");
}

#[tokio::test]
async fn a_stage_stands_on_another() {
    let world = World::with(&[("a", "A"), ("b", "B")]);
    let outcome = world
        .build("ARG from=base\nFROM scratch AS base\nENV x=1\nARG y=2\nCOPY a /a\nFROM ${from}\nCOPY b /b\nENV z=$x$y\n")
        .await
        .unwrap();
    assert_eq!(
        outcome.layers,
        [["file 644 0:0 a = A"], ["file 644 0:0 b = B"]]
    );
    // Variables of ENV and of ARG are inherited.
    assert_eq!(outcome.config.env[1..], ["x=1", "z=12"]);
}

#[tokio::test]
async fn a_stage_by_number_and_an_image_as_source() {
    let world = World::with(&[("a", "A")]);
    world.image("tool", "FROM scratch\nCOPY a /bin/tool").await;
    let outcome = world
        .build("FROM scratch\nCOPY a /x\nFROM scratch\nCOPY --from=0 /x /y\nCOPY --from=tool /bin/tool /z\n")
        .await
        .unwrap();
    assert_eq!(
        outcome.layers,
        [["file 644 0:0 y = A"], ["file 644 0:0 z = A"]]
    );
}

#[tokio::test]
async fn a_copy_sees_a_stage_as_its_container_would() {
    let world = World::with(&[
        ("a", "A"),
        ("dir/x", "X"),
        ("dir/y", "Y"),
        ("dir/sub/z", "Z"),
    ]);
    let dockerfile = "FROM scratch AS build
COPY dir /d
RUN rm d/x && write d/y new && hide d/sub && write d/sub/n N && write cap C && chown cap 9 && capability cap
FROM scratch
COPY --from=build / /
";
    let outcome = world.build(dockerfile).await.unwrap();
    assert_eq!(
        outcome.layers,
        [[
            "file 644 9:9 cap = C +cap",
            "dir 755 0:0 d",
            "dir 755 0:0 d/sub",
            "file 644 0:0 d/sub/n = N",
            "file 644 0:0 d/y = new",
        ]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn independent_stages_run_at_the_same_time() {
    let world = World::new();
    let dockerfile = "FROM scratch AS a\nRUN meet && write a A\nFROM scratch AS b\nRUN meet && write b B\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    let outcome = world.build(dockerfile).await.unwrap();
    assert_eq!(
        outcome.layers,
        [["file 644 0:0 a = A"], ["file 644 0:0 b = B"]]
    );
}

#[tokio::test]
async fn a_stage_that_two_need_is_built_once() {
    let world = World::new();
    let dockerfile = "FROM scratch AS base\nRUN write x X\nFROM base AS a\nRUN write a A\nFROM base AS b\nRUN write b B\nFROM scratch\nCOPY --from=a / /a\nCOPY --from=b / /b\n";
    world
        .build_as(dockerfile, |r| r.no_cache = true)
        .await
        .unwrap();
    assert_eq!(world.steps.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_an_image_wants_is_done_by_who_builds_on_it() {
    let world = World::with(&[("a", "A")]);
    let base = "FROM scratch\nARG v\nONBUILD COPY a /$v\nONBUILD ENV from=base\nONBUILD run <<EOF\nwrite b B\nEOF\nENV v=dir/\n";
    world.image("base", base).await;
    let image = world.build(base).await.unwrap();
    let triggers = ["COPY a /$v", "ENV from=base", "run <<EOF\nwrite b B\nEOF"];
    assert_eq!(image.config.on_build, triggers);
    assert!(image.layers.is_empty());
    let outcome = world.build("FROM base\nENV own=$from\n").await.unwrap();
    assert_eq!(
        outcome.layers,
        [
            &["dir 755 0:0 dir", "file 644 0:0 dir/a = A"][..],
            &["file 644 0:0 b = B"]
        ]
    );
    assert_eq!(outcome.config.env[1..], ["v=dir/", "from=base", "own=base"]);
    assert!(outcome.config.on_build.is_empty());
    // The steps of what is done first are told with the FROM, and the second time found.
    let told = steps(&outcome);
    assert_eq!(told[1], "1/2 [stage-0 1/2] ONBUILD COPY a /$v");
    assert_eq!(
        world.build("FROM base").await.unwrap().built.cached_steps,
        2
    );
    // A stage is an image, and the images that it copies from are found when they are needed.
    let staged = "FROM scratch AS tool\nCOPY a /t\nFROM scratch AS base\nONBUILD COPY --from=tool /t /u\nFROM base\n";
    let outcome = world.build(staged).await.unwrap();
    assert_eq!(outcome.layers, [["file 644 0:0 u = A"]]);
    let failing = "FROM scratch AS base\nONBUILD RUN exit 3\nFROM base\n";
    let error = world.build(failing).await.err().unwrap();
    assert!(
        error.message.starts_with(
            "Dockerfile:3: the command ended with exit code 3 (in `ONBUILD RUN exit 3`)"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn platforms() {
    let world = World::new();
    for platform in ["linux/amd64", "$BUILDPLATFORM", "${TARGETPLATFORM}"] {
        world
            .build(&format!("FROM --platform={platform} scratch"))
            .await
            .unwrap();
    }
    let error = world
        .build("FROM --platform=linux/arm64 scratch")
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "Dockerfile:1: the platform `linux/arm64` cannot be built here; this machine is `linux/amd64` (in `FROM --platform=linux/arm64 scratch`)"
    );
}

#[tokio::test]
async fn a_missing_image_says_so_with_its_fault() {
    let world = World::new();
    let error = world.build("\nFROM none:1").await.err().unwrap();
    assert_eq!(error.fault, Fault::NotFound);
    assert_eq!(
        error.message,
        "Dockerfile:2: there is no image `docker.io/library/none:1` (in `FROM none:1`)"
    );
}

#[tokio::test]
async fn all_names_stand_for_the_image() {
    let world = World::new();
    let names = ["one:1", "two:2", "three:3"].map(|name| name.parse().unwrap());
    let outcome = world
        .build_as("FROM scratch\nENV a=1", |request| {
            request.names = names.to_vec()
        })
        .await
        .unwrap();
    let known = world.images.names.lock().unwrap();
    assert_eq!(known.len(), 3);
    assert!(known.values().all(|digest| *digest == outcome.built.digest));
    let histories = world.images.histories.lock().unwrap();
    assert_eq!(histories[&outcome.built.digest], ["ENV a=1"]);
    assert_eq!(world.images.layers_put.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn steps_are_counted_as_buildkit_counts() {
    let world = World::with(&[("a", "A")]);
    world.image("base", "FROM scratch\nCOPY a /").await;
    let counted = async |dockerfile: &str| -> Vec<String> {
        let outcome = world.build(dockerfile).await.unwrap();
        let events = outcome.events.iter();
        let counted = events.filter_map(|event| match event {
            BuildEvent::Step { counted, .. } => counted.clone(),
            _ => None,
        });
        counted.collect()
    };
    assert_eq!(
        counted("FROM base\nENV a=b\nCOPY a /b\nWORKDIR /w\nCMD x\n").await,
        [
            "[1/3] FROM docker.io/library/base:latest",
            "[2/3] COPY a /b",
            "[3/3] WORKDIR /w"
        ]
    );
    world.image("parent", "FROM base\nONBUILD COPY a /c").await;
    assert_eq!(
        counted("FROM parent\nCOPY a /b\n").await,
        [
            "[1/2] FROM docker.io/library/parent:latest",
            "[1/2] ONBUILD COPY a /c",
            "[2/2] COPY a /b"
        ]
    );
    assert_eq!(
        counted("FROM scratch AS one\nCOPY a /\nFROM one\nLABEL a=b\nCOPY a /b\n").await,
        ["[one 1/1] COPY a /", "[stage-1 1/1] COPY a /b"]
    );
}

#[tokio::test]
async fn what_a_build_asks_for_is_foreseen() {
    use engine::Builds;
    let world = World::new();
    let request = engine::BuildRequest {
        context: world.context(),
        dockerfile_text: Some(
            "ARG V=1\nFROM unused AS no\nFROM base:$V AS b\nRUN --mount=type=secret,id=s --mount=type=ssh --mount=from=tools,target=/t x\nFROM b\nCOPY --from=other /a /\n".into(),
        ),
        args: [("V".to_owned(), "2".to_owned())].into(),
        ..engine::BuildRequest::default()
    };
    let foreseen = world.builder.foresee(&request).await.unwrap();
    let images: Vec<String> = foreseen.images.iter().map(|it| it.to_string()).collect();
    assert_eq!(
        images,
        [
            "docker.io/library/base:2",
            "docker.io/library/other:latest",
            "docker.io/library/tools:latest"
        ]
    );
    assert!(foreseen.secrets.iter().eq(["s"]) && foreseen.agents.iter().eq(["default"]));
}
