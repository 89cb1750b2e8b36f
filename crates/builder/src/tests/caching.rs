use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engine::BuildEvent;

use super::World;

const DOCKERFILE: &str = "FROM scratch
ARG version=1
WORKDIR /app
COPY package .
RUN write app/installed modules
COPY src ./src
LABEL about=it
CMD [\"run\"]
";

fn world() -> World {
    World::with(&[("package", "{}"), ("src/main", "main"), ("src/lib/a", "a")])
}

#[tokio::test]
async fn a_build_that_changes_nothing_makes_nothing() {
    let world = world();
    std::thread::sleep(Duration::from_millis(80));
    let first = world.build(DOCKERFILE).await.unwrap();
    let made = world.images.layers_put.load(Ordering::SeqCst);
    let prepared = world.images.prepared.load(Ordering::SeqCst);
    let second = world.build(DOCKERFILE).await.unwrap();
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        world.build(DOCKERFILE).await.unwrap();
        best = best.min(started.elapsed());
    }
    assert_eq!(first.built.digest, second.built.digest);
    assert_eq!((first.built.steps, first.built.cached_steps), (4, 0));
    assert_eq!((second.built.steps, second.built.cached_steps), (4, 4));
    assert_eq!(world.images.layers_put.load(Ordering::SeqCst), made);
    assert_eq!(world.images.prepared.load(Ordering::SeqCst), prepared);
    let cached: Vec<usize> = second
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Cached { number } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(cached, [3, 4, 5, 6]);
    assert!(best < Duration::from_millis(50), "took {best:?}");
}

/// How many of the four steps are still cached after a change.
async fn check(change: impl FnOnce(&World), dockerfile: &str, cached: usize) {
    let world = world();
    world.build(DOCKERFILE).await.unwrap();
    change(&world);
    let outcome = world.build(dockerfile).await.unwrap();
    assert_eq!(outcome.built.cached_steps, cached, "{dockerfile}");
}

#[tokio::test]
async fn what_makes_a_step_run_again() {
    let nothing = |_: &World| {};
    check(nothing, DOCKERFILE, 4).await;
    check(|w| w.put("src/main", "changed"), DOCKERFILE, 3).await;
    check(|w| w.put("src/new", "file"), DOCKERFILE, 3).await;
    check(|w| w.put("other", "not copied"), DOCKERFILE, 4).await;
    check(|w| w.put("package", "{1}"), DOCKERFILE, 1).await;
    // Touched, with the same content.
    check(|w| w.put("package", "{}"), DOCKERFILE, 4).await;
    let executable = |w: &World| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(w.context().join("src/main"), mode).unwrap();
    };
    check(executable, DOCKERFILE, 3).await;
    check(nothing, &DOCKERFILE.replace("about=it", "about=that"), 4).await;
    check(
        nothing,
        &DOCKERFILE.replace("WORKDIR", "# why\nworkdir "),
        4,
    )
    .await;
    check(nothing, &DOCKERFILE.replace("modules", "others"), 2).await;
    // An ARG counts for RUN, and changes nothing for COPY: the same files stay the same layer.
    check(nothing, &DOCKERFILE.replace("version=1", "version=2"), 3).await;
    check(nothing, &DOCKERFILE.replace("RUN", "ENV a=1\nRUN"), 3).await;
    check(nothing, &DOCKERFILE.replace("RUN", "USER 5\nRUN"), 3).await;
    check(nothing, &DOCKERFILE.replace("./src\n", "./source\n"), 3).await;
    check(
        nothing,
        &DOCKERFILE.replace("COPY src", "COPY --chown=1 src"),
        3,
    )
    .await;
}

#[tokio::test]
async fn no_cache_runs_everything() {
    let world = world();
    world.build(DOCKERFILE).await.unwrap();
    let again = world
        .build_as(DOCKERFILE, |request| request.no_cache = true)
        .await
        .unwrap();
    assert_eq!(again.built.cached_steps, 0);
    assert_eq!(world.steps.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn layers_that_the_store_dropped_are_made_again() {
    let world = world();
    world.build(DOCKERFILE).await.unwrap();
    world.images.forget_layers();
    let again = world.build(DOCKERFILE).await.unwrap();
    assert_eq!(again.built.cached_steps, 0);
    assert_eq!(again.layers.len(), 4);
}

#[tokio::test]
async fn the_cache_outlives_the_builder_and_a_broken_file() {
    let mut world = world();
    world.build(DOCKERFILE).await.unwrap();
    let root = world.folder.path().join("builder");
    std::fs::write(root.join("scratch/left-over"), "of a crash").unwrap();
    let mut digests = std::fs::read(root.join("digests")).unwrap_or_default();
    digests.extend(b"torn");
    std::fs::write(root.join("digests"), digests).unwrap();
    world.builder =
        crate::Builder::open(root.clone(), world.images.clone(), world.steps.clone()).unwrap();
    world.assert_clean();
    assert_eq!(world.build(DOCKERFILE).await.unwrap().built.cached_steps, 4);

    for entry in root.join("steps").read_dir().unwrap() {
        std::fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_eq!(world.build(DOCKERFILE).await.unwrap().built.cached_steps, 0);
}

#[tokio::test]
async fn a_changed_stage_with_the_same_result_changes_nothing_after_it() {
    let world = world();
    let dockerfile =
        "FROM scratch AS build\nRUN write out O\nFROM scratch\nCOPY --from=build /out /\n";
    world.build(dockerfile).await.unwrap();
    let again = dockerfile.replace("write out O", "print x && write out O");
    let outcome = world.build(&again).await.unwrap();
    assert_eq!(outcome.built.cached_steps, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_side_by_side_agree() {
    let world = std::sync::Arc::new(world());
    let builds: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                let request = engine::BuildRequest {
                    context: world.context(),
                    dockerfile_text: Some("FROM scratch\nCOPY . /\n".into()),
                    ..Default::default()
                };
                let (sender, _) = tokio::sync::mpsc::channel(1);
                engine::Builds::build(&world.builder, request, sender)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut digests = std::collections::BTreeSet::new();
    for build in builds {
        digests.insert(build.await.unwrap().digest);
    }
    assert_eq!(digests.len(), 1);
    world.assert_clean();
}

/// The same instructions over the same files, whose network answers each scope differently.
#[tokio::test]
async fn no_scope_gets_what_another_has_made() {
    let world = world();
    let steps = async |cache: Option<&str>| {
        let scope = cache.map(|cache| engine::BuildScope {
            task: "build".into(),
            space: "one".into(),
            cache: cache.into(),
        });
        let outcome = world
            .build_as(DOCKERFILE, |request| request.scope = scope)
            .await;
        outcome.unwrap().built.cached_steps
    };
    assert_eq!(steps(Some("us-east-1/evil")).await, 0);
    assert_eq!(steps(Some("us-east-1/evil")).await, 4, "it has its own");
    assert_eq!(steps(Some("us-east-1/web")).await, 0);
    assert_eq!(steps(None).await, 0, "the owner's is apart, too");
    assert_eq!(steps(Some("us-east-1/web")).await, 4);

    let mounted = "FROM scratch\nRUN --mount=type=cache,target=/c write c/kept it\n";
    let folders = |root: &std::path::Path| root.read_dir().map_or(0, Iterator::count);
    let scope = engine::BuildScope {
        task: "build".into(),
        space: "one".into(),
        cache: "us-east-1/evil".into(),
    };
    world
        .build_as(mounted, |request| request.scope = Some(scope))
        .await
        .unwrap();
    assert_eq!(folders(&world.folder.path().join("builder/mounts")), 0);
    assert_eq!(folders(&world.folder.path().join("builder/scopes")), 2);
}

#[tokio::test]
async fn caches_of_scopes_that_nobody_used_for_long_go() {
    let mut world = world();
    let root = world.folder.path().join("builder");
    for number in 0..crate::limits::SCOPES_MAX + 3 {
        std::fs::create_dir(root.join(format!("scopes/{number}"))).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    world.builder =
        crate::Builder::open(root.clone(), world.images.clone(), world.steps.clone()).unwrap();
    assert!(!root.join("scopes/0").exists() && root.join("scopes/202").exists());
    assert_eq!(
        root.join("scopes").read_dir().unwrap().count(),
        crate::limits::SCOPES_MAX
    );
}

#[tokio::test]
async fn what_is_pruned_runs_again() {
    use engine::Builds;

    let world = world();
    world.build(DOCKERFILE).await.unwrap();
    let pruned = world.builder.prune(None, Some(0)).await.unwrap();
    assert_eq!(pruned, [], "nothing is so old");
    let pruned = world.builder.prune(None, None).await.unwrap();
    assert!(!pruned.is_empty() && pruned.iter().all(|it| it.bytes > 0));
    let outcome = world.build(DOCKERFILE).await.unwrap();
    assert_eq!(outcome.built.cached_steps, 0);
    let again = world.build(DOCKERFILE).await.unwrap();
    assert!(again.built.cached_steps > 0);
}
