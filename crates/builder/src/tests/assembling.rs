use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::World;

#[tokio::test]
async fn makes_a_layer_of_each_entry() {
    let world = World::with(&[
        ("site/index.html", "<h1>"),
        ("site/img/a.svg", "<svg>"),
        ("site/latest", "-> index.html"),
        ("server", "ELF"),
    ]);
    let server = world.context().join("server");
    std::fs::set_permissions(&server, PermissionsExt::from_mode(0o700)).unwrap();
    let built = world
        .assemble(&[("server", "/bin/server"), ("site", "/srv/www")])
        .await
        .unwrap();
    let outcome = world.outcome(built, Vec::new());
    assert_eq!(
        outcome.layers,
        [
            vec!["dir 755 0:0 bin", "file 755 0:0 bin/server = ELF"],
            vec![
                "dir 755 0:0 srv",
                "dir 755 0:0 srv/www",
                "dir 755 0:0 srv/www/img",
                "file 644 0:0 srv/www/img/a.svg = <svg>",
                "file 644 0:0 srv/www/index.html = <h1>",
                "link srv/www/latest -> index.html",
            ],
        ]
    );
    assert_eq!((outcome.built.steps, outcome.built.cached_steps), (2, 0));
}

#[tokio::test]
async fn the_second_time_reads_and_writes_nothing() {
    let world = World::new();
    world.put("big", &"x".repeat(8 * 1024 * 1024));
    world.put("site/index.html", "one");
    // Only files that have lain still for a moment are remembered.
    std::thread::sleep(Duration::from_millis(80));
    let files = [("big", "/big"), ("site", "/srv")];
    let first = world.assemble(&files).await.unwrap();
    let mut second = None;
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        second = Some(world.assemble(&files).await.unwrap());
        best = best.min(started.elapsed());
    }
    let second = second.unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!(second.cached_steps, 2);
    assert!(best < Duration::from_millis(20), "took {best:?}");

    world.put("site/index.html", "two");
    let third = world.assemble(&files).await.unwrap();
    assert_ne!(first.digest, third.digest);
    assert_eq!(third.cached_steps, 1);
    world.assert_clean();
}

#[tokio::test]
async fn the_same_content_elsewhere_is_the_same_layer() {
    let world = World::with(&[("a/x", "text"), ("b/x", "text")]);
    let first = world.assemble(&[("a", "/srv")]).await.unwrap();
    let second = world.assemble(&[("b", "/srv")]).await.unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!(second.cached_steps, 1);
}

#[tokio::test]
async fn says_what_is_missing() {
    let world = World::new();
    let error = world.assemble(&[("nothing", "/srv")]).await.unwrap_err();
    assert_eq!(error.fault, engine::Fault::NotFound);
    assert!(error.message.contains("nothing"), "{error}");
}
