//! The store through its port.

mod unused;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Digest, Fault, HealthCheck, ImageConfig, ImageName, Images, Layer, Reference, Repository,
};

use crate::{EmbeddedHosts, ImageStore};

fn open(root: &Path) -> ImageStore {
    let embedded = EmbeddedHosts::matching(|host| host.ends_with(".registry.test"));
    ImageStore::open(root.to_owned(), embedded, reach::Reach::default()).unwrap()
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

const SITE: &str = "one.registry.test/site:v1";

/// A layer with one file.
async fn layer(store: &ImageStore, scratch: &Path, path: &str, content: &str) -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, path, content.as_bytes())
        .unwrap();
    let file = scratch.join(content);
    fs::write(&file, tar.into_inner().unwrap()).unwrap();
    let layer = store.put_layer(&file).await.unwrap();
    assert!(!file.exists(), "the file was not taken over");
    layer
}

async fn site(store: &ImageStore, scratch: &Path) -> Digest {
    let repository = name(SITE).repository;
    store.create_repository(&repository).await.unwrap();
    let layers = [
        layer(store, scratch, "etc/a", "first").await,
        layer(store, scratch, "b", "second").await,
    ];
    let history = ["FROM scratch", "COPY a /etc/a", "COPY b /b"].map(str::to_owned);
    store
        .put_image(&config(), &layers, &history, Some(&name(SITE)))
        .await
        .unwrap()
}

fn config() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/bin/serve".to_owned()],
        cmd: vec!["-v".to_owned()],
        env: vec!["B=2".to_owned(), "A=1".to_owned()],
        working_dir: "/srv".to_owned(),
        user: "7:8".to_owned(),
        exposed_ports: vec!["80/tcp".to_owned()],
        volumes: vec!["/data".to_owned()],
        labels: [("k".to_owned(), "v".to_owned())].into(),
        stop_signal: Some("SIGINT".to_owned()),
        healthcheck: Some(HealthCheck {
            command: vec!["CMD".to_owned(), "true".to_owned()],
            interval_ms: 1500,
            timeout_ms: 2,
            start_period_ms: 3,
            start_interval_ms: 5,
            retries: 4,
        }),
        shell: vec!["/bin/bash".to_owned(), "-c".to_owned()],
        on_build: vec!["RUN a".to_owned()],
        author: Some("Some One".to_owned()),
    }
}

#[tokio::test]
async fn an_image_is_prepared_also_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let digest = site(&store, scratch.path()).await;
    assert_eq!(store.resolve(&name(SITE)).await.unwrap(), digest);
    drop(store);
    fs::write(root.path().join("uploads/left-behind"), "x").unwrap();
    let store = open(root.path());
    assert!(!root.path().join("uploads/left-behind").exists());
    let image = store.prepare(&name(SITE), None).await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(image.config, config());
    let read = |at: usize, path: &str| fs::read_to_string(image.directories[at].join(path));
    assert_eq!(read(0, "etc/a").unwrap(), "first");
    assert_eq!(read(1, "b").unwrap(), "second");
    assert_eq!(store.prepare_digest(&digest).await.unwrap(), image);
    // The same again gives the same.
    assert_eq!(site(&store, scratch.path()).await, digest);
    assert_eq!(
        store.manifests(&name(SITE).repository).await.unwrap().len(),
        1
    );
    let left = fs::read_dir(root.path().join("uploads")).unwrap().count();
    assert_eq!(left, 0, "temporary files were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_prepares_at_once_agree() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    site(&store, root.path()).await;
    let site_name = name(SITE);
    let all = (0..32).map(|_| store.prepare(&site_name, None));
    let all = futures_util::future::try_join_all(all).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    site(&store, root.path()).await;
    for missing in ["one.registry.test/site:v2", "two.registry.test/site:v1"] {
        let error = store.prepare(&name(missing), None).await.unwrap_err();
        assert_eq!(error.fault, Fault::NotFound, "{error}");
        assert!(error.to_string().contains(missing), "{error}");
    }
    let missing: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let error = store.prepare_digest(&missing).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
    assert_eq!(store.has_blob(&missing).await.unwrap(), None);
    // The embedded registry takes nothing for a repository that was not made.
    let error = store
        .put_image(&config(), &[], &[], Some(&name("two.registry.test/x:v1")))
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("store");
    let store = open(&root);
    let bad = [
        ("..", "x"),
        ("a.test", "../../x"),
        ("a.test", ".."),
        ("a.test", "a//b"),
        ("a.test", "/etc"),
        ("a.test", ""),
        ("", "a"),
        ("a.test", "_tags"),
        ("a.test", "a/_manifests/b"),
        ("a/b", "c"),
        ("a.test", "A"),
        ("a.test\0", "a"),
    ];
    for (host, path) in bad {
        let repository = Repository {
            host: host.to_owned(),
            path: path.to_owned(),
        };
        let error = store.create_repository(&repository).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid, "{host} {path}");
        assert!(store.delete_repository(&repository).await.is_err());
    }
    let tag = ImageName {
        repository: name(SITE).repository,
        reference: Reference::Tag("../../../../evil".to_owned()),
    };
    site(&store, outside.path()).await;
    let error = store.tag(&name(SITE), &tag).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    assert!(store.delete_manifest(&tag).await.is_err());
    assert!(store.resolve(&tag).await.is_err());
    let names: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "something was made outside: {names:?}");
}

#[tokio::test]
async fn tags_move_and_go() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let digest = site(&store, root.path()).await;
    let latest = name("one.registry.test/site:latest");
    store.tag(&name(SITE), &latest).await.unwrap();
    let stored = store.manifest(&latest).await.unwrap();
    assert_eq!(stored.tags, ["latest", "v1"]);
    assert!(stored.size_bytes > 2048);
    store.delete_manifest(&name(SITE)).await.unwrap();
    store.delete_manifest(&name(SITE)).await.unwrap();
    assert_eq!(store.manifest(&latest).await.unwrap().tags, ["latest"]);
    let by_digest = name(&format!("one.registry.test/site@{digest}"));
    store.delete_manifest(&by_digest).await.unwrap();
    assert!(store.resolve(&latest).await.is_err());
    assert!(
        store
            .manifests(&latest.repository)
            .await
            .unwrap()
            .is_empty()
    );
    store.delete_repository(&latest.repository).await.unwrap();
    store.delete_repository(&latest.repository).await.unwrap();
    let error = store.manifests(&latest.repository).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
}

#[tokio::test]
async fn a_manifest_with_missing_parts_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store
        .create_repository(&name(SITE).repository)
        .await
        .unwrap();
    let zeros = "0".repeat(64);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{zeros}","size":1}},"layers":[]}}"#
    );
    let site_name = name(SITE);
    let put = store.put_manifest(&site_name, "", manifest.as_bytes());
    let error = put.await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    assert!(error.to_string().contains(&zeros), "{error}");
    assert!(store.resolve(&name(SITE)).await.is_err());
    for bad in ["", "{}", r#"{"schemaVersion":1}"#, "[1]"] {
        let put = store.put_manifest(&site_name, "", bad.as_bytes());
        assert_eq!(put.await.unwrap_err().fault, Fault::Invalid, "{bad}");
    }
}

#[tokio::test]
async fn garbage_is_what_nothing_names() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let digest = site(&store, root.path()).await;
    let image = store.prepare(&name(SITE), None).await.unwrap();
    let stray = layer(&store, root.path(), "c", "stray").await;
    let collect = |grace: Duration| {
        let inner = store.inner.clone();
        inner.collect_garbage(grace).unwrap()
    };
    // Young things stay, named or not.
    assert_eq!(store.collect_garbage().await.unwrap(), 0);
    assert!(store.has_blob(&stray.diff_id).await.unwrap().is_some());
    // Old things go when nothing names them, and only then.
    assert_eq!(collect(Duration::ZERO), stray.blob.size_bytes);
    assert!(store.has_blob(&stray.diff_id).await.unwrap().is_none());
    assert_eq!(store.prepare(&name(SITE), None).await.unwrap(), image);
    // While nobody says which layers containers stand on, all stay; then those that they stand on.
    let in_use = Arc::new(Mutex::new(HashSet::from([image.directories[1].clone()])));
    let repository = name(SITE).repository;
    store.delete_repository(&repository).await.unwrap();
    assert!(collect(Duration::ZERO) > 0);
    assert!(image.directories.iter().all(|directory| directory.is_dir()));
    let asked = in_use.clone();
    store.ask_in_use(move || Ok(asked.lock().unwrap().clone()));
    assert_eq!(collect(Duration::ZERO), "first".len() as u64);
    assert!(!image.directories[0].exists() && image.directories[1].is_dir());
    in_use.lock().unwrap().clear();
    assert_eq!(collect(Duration::from_secs(60)), 0);
    assert_eq!(collect(Duration::ZERO), "second".len() as u64);
    assert!(!image.directories.iter().any(|directory| directory.exists()));
    assert!(store.has_blob(&digest).await.unwrap().is_none());
    assert_eq!(collect(Duration::ZERO), 0);
}

/// A disk of 256 MiB, in memory, mounted over a directory as long as this is held.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn over(directory: &Path) -> Self {
        let (kind, flags) = (Some("tmpfs"), nix::mount::MsFlags::empty());
        nix::mount::mount(kind, directory, kind, flags, Some("size=256m")).unwrap();
        Self(directory.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn an_upload_does_not_fill_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::over(root.path());
    let store = open(root.path());
    let mut writer = store.inner.blobs.writer().unwrap();
    let piece = vec![7; 1 << 20];
    let mut written = 0;
    let error = loop {
        match writer.write(&piece) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 256, "the disk was filled");
    };
    assert!(written > 200, "{written} MiB");
    let said = error.chain();
    assert!(said.starts_with("No space left on device"), "{said}");
    assert!(said.contains("none for a part of an image"), "{said}");
    // Records, which ask nobody, still find room, and so does an upload once this one is gone.
    fs::write(root.path().join("record"), "text").unwrap();
    drop(writer);
    store.inner.blobs.put(b"small").unwrap();
}
