//! ADD of files that are elsewhere. Repositories are tested with Git's own program, from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use engine::{Downloaded, Downloads, EngineError, Result};

use super::World;
use super::archives::{good, gzip};
use crate::digests::{hex, sha256};

#[derive(Default)]
struct Elsewhere {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    downloads: AtomicUsize,
}

#[async_trait]
impl Downloads for Elsewhere {
    async fn download(&self, url: &str, into: &Path, _bytes_max: u64) -> Result<Downloaded> {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        let files = self.files.lock().unwrap();
        let missing = || EngineError::not_found(format!("`{url}` is not there"));
        std::fs::write(into, files.get(url).ok_or_else(missing)?).unwrap();
        Ok(Downloaded {
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)),
        })
    }
}

impl Elsewhere {
    fn put(&self, url: &str, bytes: &[u8]) {
        let mut files = self.files.lock().unwrap();
        files.insert(url.to_owned(), bytes.to_owned());
    }

    fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Relaxed)
    }
}

fn world() -> (World, Arc<Elsewhere>) {
    let mut world = World::with(&[("a.txt", "A"), (".dockerignore", "f.txt")]);
    let elsewhere = Arc::<Elsewhere>::default();
    elsewhere.put("https://x/d/f.txt?v=1", b"F");
    elsewhere.put("https://x/a.tar", &good());
    elsewhere.put("https://x/a.tgz", &gzip(&good()));
    let plain = world.builder;
    world.builder = plain.downloading(elsewhere.clone());
    (world, elsewhere)
}

async fn layer(instructions: &str) -> Vec<String> {
    let (world, _) = world();
    let built = world.build(&format!("FROM scratch\n{instructions}")).await;
    built.unwrap().layers.remove(0)
}

async fn refused(instructions: &str) -> String {
    let (world, _) = world();
    let built = world.build(&format!("FROM scratch\n{instructions}")).await;
    built.err().unwrap().message
}

#[tokio::test]
async fn a_file_lands_as_its_owners_alone() {
    assert_eq!(
        layer("ADD https://x/d/f.txt?v=1 /in/").await,
        ["dir 755 0:0 in", "file 600 0:0 in/f.txt = F"]
    );
    assert_eq!(
        layer("ARG WHERE=https://x/d\nADD --chown=5:6 --chmod=644 ${WHERE}/f.txt?v=1 /g").await,
        ["file 644 5:6 g = F"]
    );
    // Beside what is in the context.
    assert_eq!(
        layer("ADD a.txt https://x/d/f.txt?v=1 /in/").await,
        [
            "dir 755 0:0 in",
            "file 644 0:0 in/a.txt = A",
            "file 600 0:0 in/f.txt = F"
        ]
    );
}

#[tokio::test]
async fn an_archive_of_the_web_is_unpacked_only_when_asked() {
    let kept = layer("ADD https://x/a.tar /in/").await;
    assert!(kept[1].starts_with("file 600 0:0 in/a.tar = "), "{kept:?}");
    let unpacked = layer("ADD --unpack=true https://x/a.tgz /in").await;
    assert!(
        unpacked.contains(&"file 640 3:4 in/d/a = A".to_owned()),
        "{unpacked:?}"
    );
}

#[tokio::test]
async fn what_a_file_holds_decides_and_a_checksum_pins() {
    let (world, elsewhere) = world();
    let build = async |flags: &str| {
        let dockerfile = format!("FROM scratch\nADD {flags} https://x/d/f.txt?v=1 /");
        world.build(&dockerfile).await
    };
    assert_eq!(build("").await.unwrap().built.cached_steps, 0);
    // The same from another moment is the same, and is asked for to know.
    assert_eq!(build("").await.unwrap().built.cached_steps, 1);
    assert_eq!(elsewhere.downloads(), 2);
    // What is pinned to it is known without asking.
    let pin = format!("--checksum=sha256:{}", hex(&sha256(b"F")));
    assert_eq!(build(&pin).await.unwrap().built.cached_steps, 1);
    assert_eq!(elsewhere.downloads(), 2);
    elsewhere.put("https://x/d/f.txt?v=1", b"G");
    assert_eq!(build("").await.unwrap().built.cached_steps, 0);
    let other = format!("--checksum=sha256:{}", hex(&sha256(b"H")));
    let said = build(&other).await.err().unwrap().message;
    let found = format!("has the checksum `sha256:{}`, and not", hex(&sha256(b"G")));
    assert!(said.contains(&found), "{said}");
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused() {
    for (instruction, expected) in [
        ("ADD https://x/none /", "`https://x/none` is not there"),
        ("ADD ssh://x/y.git /", "`ssh://` is not supported"),
        ("ADD git@x:y.git /", "`git@` is not supported"),
        ("COPY https://x/f /", "COPY takes no address"),
        (
            "ADD --checksum=md5:1 https://x/f /",
            "64 hexadecimal digits",
        ),
        ("ADD --checksum=main https://x/f.git /", "of a commit"),
        ("ADD --checksum=sha256:1 a.txt /", "the source is none"),
        (
            "ADD --checksum=sha256:1 a.txt https://x/f /",
            "of one source",
        ),
        ("COPY --checksum=sha256:1 a.txt /", "not supported on COPY"),
        (
            "ADD --keep-git-dir=true https://x/f.git /",
            "`--keep-git-dir=true` is not supported",
        ),
    ] {
        let said = refused(instruction).await;
        assert!(said.contains(expected), "{instruction}: {said}");
    }
    // Without a way to fetch, nothing is.
    let world = World::new();
    let built = world.build("FROM scratch\nADD https://x/f /").await;
    let said = built.err().unwrap().message;
    assert!(said.contains("not supported here"), "{said}");
}
