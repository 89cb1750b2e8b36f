//! Spaces: what is named in one is named there alone, and a digest opens nothing.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use common::{HOST, Server, digest, manifest_of};
use engine::{
    Digest, Fault, ImageConfig, ImageName, Images, Layer, ReadGate, RegistryLogin, Repository,
};
use http::Request;
use hyper::body::Incoming;
use images::{EmbeddedHosts, ImageStore};
use serde_json::json;

/// Lets in whoever has a login.
struct Gate;

#[async_trait]
impl ReadGate for Gate {
    async fn may_read(&self, _: &Repository, login: Option<&RegistryLogin>) -> bool {
        login.is_some()
    }
}

fn login() -> Option<RegistryLogin> {
    Some(RegistryLogin {
        username: "AWS".to_owned(),
        password: "token".to_owned(),
    })
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

struct World {
    root: tempfile::TempDir,
    store: ImageStore,
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let repository = name(&format!("{HOST}/app")).repository;
        store.create_repository(&repository).await.unwrap();
        Self { root, store }
    }

    async fn space(&self, id: &str) -> Arc<dyn Images> {
        self.store.open_space(id, Arc::new(Gate)).await.unwrap()
    }

    fn file(&self, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.root.path().join(digest(bytes).replace(':', "-"));
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn open(root: &Path) -> ImageStore {
    let embedded = EmbeddedHosts::matching(|host| host == HOST);
    let reach = reach::Reach::new(vec!["127.0.0.1".parse().unwrap()], vec![]);
    ImageStore::open(root.join("images"), embedded, reach).unwrap()
}

fn tar_of(content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "greeting", content.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}

/// An image with one file, made by whoever has this view of the store.
async fn make(world: &World, images: &dyn Images, content: &str, called: &str) -> (Digest, Layer) {
    let layer = images
        .put_layer(&world.file(&tar_of(content)))
        .await
        .unwrap();
    let config = ImageConfig::default();
    let layers = [layer.clone()];
    let (history, called) = ([content.to_owned()], name(called));
    let made = images
        .put_image(&config, &layers, &history, Some(&called))
        .await;
    (made.unwrap(), layer)
}

async fn greeting(images: &dyn Images, called: &str) -> String {
    let image = images.prepare(&name(called), None).await.unwrap();
    std::fs::read_to_string(image.directories.last().unwrap().join("greeting")).unwrap()
}

#[tokio::test]
async fn what_is_named_in_a_space_is_named_there_alone() {
    let world = World::new().await;
    let (one, two) = (world.space("one").await, world.space("two").await);
    let store: &dyn Images = &world.store;
    let curated = "aws/codebuild/standard:7.0";
    let nginx = "public.ecr.aws/docker/library/nginx:latest";
    make(&world, store, "the owner's", curated).await;
    let (evil, _) = make(&world, &*one, "evil", nginx).await;
    one.tag(&name(nginx), &name(curated)).await.unwrap();
    one.tag(&name(nginx), &name("mine")).await.unwrap();

    assert_eq!(greeting(&*one, nginx).await, "evil");
    assert_eq!(greeting(&*one, curated).await, "evil");
    assert_eq!(greeting(store, curated).await, "the owner's");
    for other in [store, &*two] {
        for called in [nginx, "mine", &format!("mine@{evil}")] {
            let error = other.resolve(&name(called)).await.unwrap_err();
            assert_eq!(error.fault, Fault::NotFound, "{called}");
        }
    }
    assert_eq!(two.repositories().await.unwrap(), []);
    let owners = store.repositories().await.unwrap();
    assert!(owners.iter().all(|it| !it.host.contains('_')), "{owners:?}");
    let error = two.resolve(&name(curated)).await.unwrap_err();
    assert_eq!(
        error.fault,
        Fault::NotFound,
        "the owner's are not there either"
    );

    // Nor is there a name by which others could call it.
    let kept = Repository {
        host: "space_one_public.ecr.aws".into(),
        path: "docker/library/nginx".into(),
    };
    assert_eq!(world.store.manifests(&kept).await.unwrap().len(), 1);
    assert!(format!("{kept}:latest").parse::<ImageName>().is_err());
}

#[tokio::test]
async fn a_space_is_there_again_after_a_crash_and_ends_with_all_its_names() {
    let world = World::new().await;
    let one = world.space("one").await;
    make(&world, &*one, "kept", "mine:1").await;
    let World { root, store } = world;
    drop((store, one));
    let world = World {
        store: open(root.path()),
        root,
    };
    assert!(world.store.space("one").is_err(), "nobody has opened it");
    let one = world.space("one").await;
    assert_eq!(greeting(&*one, "mine:1").await, "kept");

    world.store.remove_space("one").await.unwrap();
    world.store.remove_space("one").await.unwrap();
    assert!(one.resolve(&name("mine:1")).await.is_err());
    let late = one
        .put_image(&ImageConfig::default(), &[], &[], Some(&name("late")))
        .await;
    assert!(late.is_err(), "whoever still has it makes no more names");
    let hosts: Vec<_> = std::fs::read_dir(world.root.path().join("images/repositories"))
        .unwrap()
        .collect();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    assert_eq!(world.space("one").await.repositories().await.unwrap(), []);
}

#[tokio::test]
async fn a_digest_opens_nothing() {
    let world = World::new().await;
    let (one, two) = (world.space("one").await, world.space("two").await);
    let (private, layer) = make(&world, &*one, "a secret", "private").await;
    let secret = &layer.blob.digest;
    assert!(two.has_blob(secret).await.unwrap().is_none());
    assert!(two.read_blob(secret).await.is_err());
    assert!(two.prepare_digest(&private).await.is_err());

    // A manifest that names it is not taken, nor one that an index leads to.
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [secret] } })
    .to_string();
    let (config_digest, _) = two.put_blob(&world.file(config.as_bytes())).await.unwrap();
    let stolen = manifest_of(
        (config_digest.as_str(), config.len()),
        &[(secret.as_str(), layer.blob.size_bytes as usize)],
    );
    let refused = two
        .put_manifest(&name("stolen"), "", stolen.as_bytes())
        .await
        .unwrap_err();
    assert_eq!(refused.fault, Fault::NotFound);
    let (as_blob, size) = two.put_blob(&world.file(stolen.as_bytes())).await.unwrap();
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": as_blob,
            "size": size, "platform": { "os": "linux", "architecture": "amd64" } }] })
    .to_string();
    two.put_manifest(&name("index"), "", index.as_bytes())
        .await
        .unwrap();
    assert!(two.prepare(&name("index"), None).await.is_err());
    // Also not by a process that opens the space again.
    let reopened = open(world.root.path());
    let two = reopened.open_space("two", Arc::new(Gate)).await.unwrap();
    assert!(two.prepare(&name("index"), None).await.is_err());
}

/// A layer is unpacked once, under the digest of its tar, which an image's author writes.
#[tokio::test]
async fn an_image_does_not_get_a_layer_by_saying_that_its_own_is_that_one() {
    let world = World::new().await;
    let (one, two) = (world.space("one").await, world.space("two").await);
    let (_, layer) = make(&world, &*one, "a secret", "private").await;
    assert_eq!(greeting(&*one, "private").await, "a secret");
    let (own, size) = two.put_blob(&world.file(&tar_of("mine"))).await.unwrap();
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] } })
    .to_string();
    let (config_digest, _) = two.put_blob(&world.file(config.as_bytes())).await.unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    let manifest = manifest_of(
        (config_digest.as_str(), config.len()),
        &[(own.as_str(), size as usize)],
    )
    .replace("application/vnd.oci.image.layer.v1.tar+gzip", media_type);
    two.put_manifest(&name("liar"), "", manifest.as_bytes())
        .await
        .unwrap();
    let error = two.prepare(&name("liar"), None).await.unwrap_err();
    assert!(
        error.message.contains("but the image's configuration says"),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_owner_offers_is_found_until_its_name_moves() {
    let world = World::new().await;
    let one = world.space("one").await;
    let store: &dyn Images = &world.store;
    // A port that nobody listens at stands for a registry that is not there.
    let base = "127.0.0.1:9/ruby:3";
    make(&world, store, "ruby", base).await;
    assert!(one.prepare(&name(base), None).await.is_err());
    store.offer(&name(base)).await.unwrap();
    assert_eq!(greeting(&*one, base).await, "ruby");
    one.pull(&name(base), None).await.unwrap();
    assert_eq!(
        one.resolve(&name(base)).await.unwrap(),
        store.resolve(&name(base)).await.unwrap()
    );

    let two = world.space("two").await;
    make(&world, store, "not offered", base).await;
    assert!(two.prepare(&name(base), None).await.is_err());
    assert_eq!(greeting(&*one, base).await, "ruby", "it has what it pulled");
}

#[tokio::test]
async fn the_embedded_registry_is_read_with_a_login_and_written_by_tags() {
    let world = World::new().await;
    let (one, two) = (world.space("one").await, world.space("two").await);
    let app = format!("{HOST}/app:1");
    make(&world, &*one, "pushed", "app:1").await;
    one.tag(&name("app:1"), &name(&app)).await.unwrap();
    assert_eq!(greeting(&world.store, &app).await, "pushed");
    assert_eq!(greeting(&*one, &app).await, "pushed", "it is its own");

    let error = two.prepare(&name(&app), None).await.unwrap_err();
    assert!(error.message.contains("pull access denied"), "{error}");
    assert!(two.pull(&name(&app), None).await.is_err());
    assert!(two.tag(&name(&app), &name("mine")).await.is_err());
    two.pull(&name(&app), login()).await.unwrap();
    assert_eq!(greeting(&*two, &app).await, "pushed");
    two.tag(&name(&app), &name("mine")).await.unwrap();
    for it in [
        two.put_manifest(&name(&app), "", b"{}").await.map(drop),
        two.delete_manifest(&name(&app)).await,
        two.delete_repository(&name(&app).repository).await,
    ] {
        assert!(it.is_err());
    }
}

/// A registry names a layer in a manifest that it does not have, and that is here.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_not_believed_to_have_what_it_names() {
    let world = World::new().await;
    let evil = Server::start().await;
    let (one, two) = (world.space("one").await, world.space("two").await);
    let (_, layer) = make(&world, &*one, "a secret", "private").await;
    let secret = layer.blob.digest.as_str();
    // The registry took the blob once, or its manifest would not be taken; then it is gone.
    evil.push_blob("site", &tar_of("a secret")).await;
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [secret] } })
    .to_string();
    let config_digest = evil.push_blob("site", config.as_bytes()).await;
    let manifest = manifest_of(
        (&config_digest, config.len()),
        &[(secret, layer.blob.size_bytes as usize)],
    )
    .replace(".tar+gzip", ".tar");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    evil.put_manifest("site", "v1", media_type, &manifest).await;
    let hex = secret.strip_prefix("sha256:").unwrap();
    let blob = evil
        .root
        .path()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    std::fs::remove_file(blob).unwrap();

    let wanted = name(&format!("127.0.0.1:{}/site:v1", evil.port));
    for images in [&*two, &world.store as &dyn Images] {
        assert!(images.prepare(&wanted, None).await.is_err());
        assert!(images.pull(&wanted, login()).await.is_err());
    }
    assert!(two.has_blob(&layer.blob.digest).await.unwrap().is_none());
}

/// What anybody may have is fetched once for all; what took a login is fetched by each.
#[tokio::test(flavor = "multi_thread")]
async fn public_content_is_fetched_once() {
    let blobs = Arc::new(AtomicUsize::new(0));
    let counted = blobs.clone();
    let server = Server::behind(Arc::new(move |request: &Request<Incoming>| {
        if request.method() == "GET" && request.uri().path().contains("/blobs/") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        None
    }))
    .await;
    server.push_image("site", "v1", "hello").await;
    server.push_image("other", "v1", "private").await;
    let world = World::new().await;
    let wanted = |repository: &str| name(&format!("127.0.0.1:{}/{repository}:v1", server.port));
    for id in ["one", "two"] {
        world
            .space(id)
            .await
            .prepare(&wanted("site"), None)
            .await
            .unwrap();
    }
    assert_eq!(
        blobs.swap(0, Ordering::SeqCst),
        2,
        "the configuration and the layer"
    );
    for id in ["one", "two"] {
        world
            .space(id)
            .await
            .prepare(&wanted("other"), login())
            .await
            .unwrap();
    }
    assert_eq!(blobs.load(Ordering::SeqCst), 4);
    assert!(
        world.store.resolve(&wanted("site")).await.is_err(),
        "the owner has not pulled it"
    );
}

#[tokio::test]
async fn a_space_has_so_many_images() {
    let world = World::new().await;
    let one = world.space("one").await;
    let put = async |number: usize| {
        let config = ImageConfig {
            user: number.to_string(),
            ..Default::default()
        };
        one.put_image(
            &config,
            &[],
            &[],
            Some(&name(&format!("i{}:1", number % 7))),
        )
        .await
    };
    for number in 0..300 {
        put(number).await.unwrap();
    }
    let error = put(300).await.unwrap_err();
    assert!(
        error.message.contains("a build may have 300 images"),
        "{error}"
    );
    assert!(
        world
            .store
            .open_space("../x", Arc::new(Gate))
            .await
            .is_err()
    );
}
