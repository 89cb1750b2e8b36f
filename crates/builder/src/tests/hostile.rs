use std::time::{Duration, Instant};

use super::World;

/// A context beside which lies a secret.
fn world(files: &[(&str, &str)]) -> World {
    let world = World::with(files);
    std::fs::write(world.folder.path().join("secret"), "SECRET").unwrap();
    std::fs::create_dir(world.folder.path().join("secrets")).unwrap();
    std::fs::write(world.folder.path().join("secrets/key"), "SECRET").unwrap();
    world
}

#[tokio::test]
async fn links_lead_nowhere_outside_the_context() {
    let absolute = world(&[]);
    let secret = absolute.folder.path().join("secret");
    for (target, path) in [
        ("../secret".to_owned(), "link"),
        ("../../../../../../../../etc/hostname".to_owned(), "link"),
        (secret.display().to_string(), "link"),
        ("/etc/hostname".to_owned(), "link"),
        ("../secrets".to_owned(), "link/key"),
        ("/proc/self/root".to_owned(), "link/etc/hostname"),
    ] {
        let world = world(&[("link", &format!("-> {target}"))]);
        let error = world
            .build(&format!("FROM scratch\nCOPY {path} /x"))
            .await
            .err();
        let error = error.unwrap_or_else(|| panic!("{target} was followed"));
        assert!(
            error
                .message
                .contains(&format!("`{path}` is not in the context")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn links_below_a_folder_are_copied_as_links() {
    let world = world(&[("d/link", "-> ../../secret"), ("d/dir", "-> /etc")]);
    let outcome = world.build("FROM scratch\nCOPY d /d").await.unwrap();
    assert_eq!(
        outcome.layers,
        [[
            "dir 755 0:0 d",
            "link d/dir -> /etc",
            "link d/link -> ../../secret"
        ]]
    );
}

#[tokio::test]
async fn links_of_the_image_lead_nowhere_outside_the_image() {
    let world = world(&[("a", "A")]);
    let host = world.folder.path().display().to_string();
    let base = format!(
        "FROM scratch\nRUN symlink up ../../../../.. && symlink host {host} && symlink etc/passwd {host}/secret"
    );
    world
        .image(
            "evil",
            &base.replace("symlink etc/passwd", "mkdir etc && symlink etc/passwd"),
        )
        .await;
    let outcome = world
        .build("FROM evil\nCOPY a /up/x/\nCOPY a /host/y")
        .await
        .unwrap();
    assert_eq!(outcome.layers[1], ["dir 755 0:0 x", "file 644 0:0 x/a = A"]);
    let last = outcome.layers[2].last().unwrap();
    assert_eq!(*last, format!("file 644 0:0 {}/y = A", &host[1..]));
    assert!(!world.folder.path().join("y").exists());
    // The machine's own file, which the link leads to, knows `app` as somebody.
    let outcome = world.build("FROM evil\nCOPY --chown=app a /").await;
    assert_eq!(outcome.unwrap().layers[1], ["file 644 0:0 a = A"]);
    let error = world
        .build(&format!("FROM scratch\nCOPY --from=evil {host}/secret /"))
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("is not in `evil`"), "{error}");
    let error = world
        .build("FROM scratch\nCOPY --from=evil /host/secret /")
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("is not in `evil`"), "{error}");
}

#[tokio::test]
async fn special_files_and_deletion_marks_are_refused() {
    let special = world(&[]);
    let path = special.context().join("fifo");
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let error = special.build("FROM scratch\nCOPY . /").await.err().unwrap();
    assert!(
        error
            .message
            .contains("`fifo` is neither a file, a folder nor a link"),
        "{error}"
    );

    let marked = world(&[("d/.wh.etc", "")]);
    let error = marked.build("FROM scratch\nCOPY d /").await.err().unwrap();
    assert!(
        error.message.contains("`d/.wh.etc` cannot be copied"),
        "{error}"
    );
    let error = World::new()
        .build("FROM scratch\nCOPY <<.wh.etc /d/\nx\n.wh.etc\n")
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("means a deletion"), "{error}");
    let error = World::new()
        .build("FROM scratch\nCOPY <<EOF /d/.wh.etc\nx\nEOF\n")
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("means a deletion"), "{error}");
    let error = World::new()
        .build("FROM scratch\nRUN write .wh.etc x")
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("means a deletion"), "{error}");
}

#[tokio::test]
async fn patterns_cannot_make_a_build_slow() {
    let name = "a".repeat(200);
    let world = world(&[
        (&name, "A"),
        (".dockerignore", &format!("{}b\n", "*a".repeat(2000))),
    ]);
    let started = Instant::now();
    let pattern = format!("{}b", "*a".repeat(1000));
    let outcome = world
        .build(&format!("FROM scratch\nCOPY {pattern} /x/"))
        .await
        .unwrap();
    assert!(outcome.layers.is_empty());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "took {took:?}");
}

#[tokio::test]
async fn variables_cannot_grow_without_end() {
    let doubling = format!(
        "FROM scratch\nENV a=aaaaaaaaaa\n{}",
        "ENV a=$a$a\n".repeat(100)
    );
    let error = World::new().build(&doubling).await.err().unwrap();
    assert!(error.message.contains("grows by more than"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_copied_is_noticed() {
    use crate::layer::{Attributes, LayerWriter};
    let world = world(&[("a", "new content")]);
    let mut layer = LayerWriter::create(&world.context()).unwrap();
    let open = || std::fs::File::open(world.context().join("a")).unwrap();
    let path = std::path::Path::new("a");
    let attributes = Attributes::root(0o644);
    let digest = crate::digests::sha256(b"old content");
    let error = layer
        .file(path, &attributes, 11, open(), Some(&digest))
        .unwrap_err();
    assert_eq!(error.fault, engine::Fault::Conflict);
    assert!(layer.file(path, &attributes, 99, open(), None).is_err());
}

#[tokio::test]
async fn a_dockerfile_that_is_a_link_tells_no_secret() {
    for name in ["Dockerfile", ".dockerignore"] {
        let world = world(&[(name, "-> ../secret")]);
        let build = world.build_as("FROM scratch", |request| {
            if name == "Dockerfile" {
                request.dockerfile_text = None;
            }
        });
        match build.await {
            Ok(outcome) => assert_eq!((name, outcome.layers.len()), (".dockerignore", 0)),
            Err(error) => assert!(!error.chain().contains("SECRET"), "{error}"),
        }
    }
    let binary = world(&[]);
    std::fs::write(binary.context().join("Dockerfile"), [0xff, 0xfe]).unwrap();
    let error = binary
        .build_as("", |r| r.dockerfile_text = None)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.message,
        "`Dockerfile` is not a text file of at most 1048576 bytes"
    );
}
