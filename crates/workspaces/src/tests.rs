//! Archives there and back, and those that mean harm.

use std::io::{Cursor, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use engine::{ByteStream, Fault, Selection, Workspaces};
use futures_util::StreamExt;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::WorkspaceStore;

async fn store() -> (WorkspaceStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = WorkspaceStore::open(directory.path().join("workspaces")).unwrap();
    store.create("w").await.unwrap();
    (store, directory)
}

fn body(bytes: Vec<u8>) -> ByteStream {
    let pieces: Vec<_> = bytes
        .chunks(100)
        .map(|it| Ok(Bytes::copy_from_slice(it)))
        .collect();
    Box::pin(futures_util::stream::iter(pieces))
}

async fn bytes(mut stream: ByteStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    all
}

fn archive(write: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> ByteStream {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    write(&mut archive);
    body(archive.finish().unwrap().into_inner())
}

fn select(files: &[&str]) -> Selection {
    Selection {
        files: files.iter().map(|it| (*it).to_owned()).collect(),
        ..Default::default()
    }
}

async fn put(store: &WorkspaceStore, names: &[&str]) {
    for name in names {
        store
            .write("w", Path::new(name), name.as_bytes())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_archive_comes_out_as_it_went_in() {
    let (store, _directory) = store().await;
    put(&store, &["a.txt", "bin/run", "deep/er/b.txt"]).await;
    let place = store.path("w").await.unwrap();
    std::fs::set_permissions(place.join("bin/run"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("../a.txt", place.join("bin/link")).unwrap();
    let packed = bytes(store.zip("w", &select(&["**/*"])).await.unwrap()).await;
    store.create("v").await.unwrap();
    store
        .unzip("v", Path::new("src"), body(packed))
        .await
        .unwrap();
    let other = store.path("v").await.unwrap().join("src");
    let read = |name: &str| std::fs::read_to_string(other.join(name)).unwrap();
    assert_eq!(read("deep/er/b.txt"), "deep/er/b.txt");
    assert_eq!(read("bin/link"), "a.txt");
    assert_eq!(
        std::fs::read_link(other.join("bin/link")).unwrap(),
        Path::new("../a.txt")
    );
    let mode = std::fs::metadata(other.join("bin/run")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    assert_eq!(store.list().await.unwrap(), ["v", "w"]);
    store.remove("v").await.unwrap();
    store.remove("v").await.unwrap();
    assert_eq!(store.path("v").await.unwrap_err().fault, Fault::NotFound);
}

#[tokio::test]
async fn patterns_choose_as_buildspecs_mean_them() {
    let (store, _directory) = store().await;
    put(
        &store,
        &[
            "a.json",
            "out/a.js",
            "out/sub/b.js",
            "out/.hidden",
            "outer/c.js",
        ],
    )
    .await;
    let all = |selection: Selection| {
        let store = &store;
        async move { store.matching("w", &selection).await.unwrap() }
    };
    assert_eq!(all(select(&["out/*"])).await, ["out/.hidden", "out/a.js"]);
    assert_eq!(
        all(select(&["./out/**/*", "a.json", "nothing.json"])).await,
        ["a.json", "out/.hidden", "out/a.js", "out/sub/b.js"]
    );
    let based = Selection {
        base: "out".into(),
        exclude: vec!["sub/**/*".into()],
        ..select(&["**/*"])
    };
    assert_eq!(all(based).await, [".hidden", "a.js"]);
    let flat = Selection {
        base: "out*".into(),
        discard_paths: true,
        ..select(&["**/*.js"])
    };
    assert_eq!(all(flat).await, ["a.js", "b.js", "c.js"]);
    for nothing in [select(&["none*"]), select(&["out"]), select(&[])] {
        let error = store.matching("w", &nothing).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
    }
}

#[tokio::test]
async fn what_leads_out_is_refused() {
    let (store, directory) = store().await;
    std::fs::write(directory.path().join("secret"), "s").unwrap();
    let plain = SimpleFileOptions::default();
    let names = ["../evil", "/tmp/evil", "a/../../evil"];
    for name in names {
        let hostile = archive(|it| {
            it.start_file(name, plain).unwrap();
            it.write_all(b"x").unwrap();
        });
        let error = store.unzip("w", Path::new(""), hostile).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{name}");
    }
    for target in ["../../secret", "/etc/passwd", "a/../../.."] {
        let hostile = archive(|it| it.add_symlink("link", target, plain).unwrap());
        let error = store.unzip("w", Path::new(""), hostile).await.unwrap_err();
        assert!(error.message.contains("leads out"), "{target}: {error}");
    }
    // Links that are harmless alone and lead out together.
    let hostile = archive(|it| {
        it.add_symlink("d/here", ".", plain).unwrap();
        it.add_symlink("d/up", "here/../../..", plain).unwrap();
    });
    let made = store.unzip("w", Path::new(""), hostile).await;
    assert!(made.is_err() || store.read("w", Path::new("d/up/secret"), 9).await.is_err());
    let place = store.path("w").await.unwrap();
    symlink(directory.path(), place.join("out")).unwrap();
    for path in ["out/secret", "../../secret", "/etc/passwd"] {
        assert!(store.read("w", Path::new(path), 9).await.is_err(), "{path}");
        let written = store.write("w", Path::new(path), b"x").await;
        assert!(written.is_err(), "{path}");
    }
    let error = store.zip("w", &select(&["out"])).await.err().unwrap();
    assert!(error.message.contains("leads out"), "{error}");
    assert!(
        store
            .unzip("w", Path::new("out"), archive(|_| ()))
            .await
            .is_err()
    );
    std::fs::create_dir(directory.path().join("inner")).unwrap();
    std::fs::write(directory.path().join("inner/name"), "s").unwrap();
    let based = Selection {
        base: "out/inner".into(),
        ..select(&["*"])
    };
    assert!(store.matching("w", &based).await.is_err());
    assert!(store.create("../x").await.is_err());
    assert_eq!(
        std::fs::read_to_string(directory.path().join("secret")).unwrap(),
        "s"
    );
}

#[tokio::test]
async fn what_is_no_file_is_not_read_and_what_is_large_is_not_taken() {
    let (store, _directory) = store().await;
    put(&store, &["a"]).await;
    let place = store.path("w").await.unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(store.read("w", Path::new("pipe"), 9).await.is_err());
    assert_eq!(store.matching("w", &select(&["*"])).await.unwrap(), ["a"]);
    put(&store, &["ten bytes!"]).await;
    assert!(store.read("w", Path::new("ten bytes!"), 9).await.is_err());
    assert_eq!(
        store
            .read("w", Path::new("ten bytes!"), 10)
            .await
            .unwrap()
            .len(),
        10
    );
    let garbage = store.unzip("w", Path::new(""), body(b"PK nonsense".to_vec()));
    assert_eq!(garbage.await.unwrap_err().fault, Fault::Invalid);
}
