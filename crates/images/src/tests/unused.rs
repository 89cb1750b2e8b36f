//! What is given up when the disk is short of room, and what is not.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use engine::{Digest, ImageConfig, Images, PreparedImage, Reference, room_in};

use super::{SmallDisk, name, open};
use crate::{GivenUp, ImageStore};

const LAYER_MIB: u64 = 8;
const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);

/// An image of one layer that is like no other's, and prepared.
async fn image(store: &ImageStore, root: &Path, called: &str, mark: u8) -> PreparedImage {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(LAYER_MIB * MIB);
    header.set_mode(0o644);
    header.set_cksum();
    let content = vec![mark; (LAYER_MIB * MIB) as usize];
    tar.append_data(&mut header, "content", &content[..])
        .unwrap();
    let file = root.join("tar");
    fs::write(&file, tar.into_inner().unwrap()).unwrap();
    let layers = [store.put_layer(&file).await.unwrap()];
    let called = name(called);
    let config = ImageConfig::default();
    let put = store.put_image(&config, &layers, &[], Some(&called));
    put.await.unwrap();
    store.prepare(&called, None).await.unwrap()
}

fn mark_fetched(store: &ImageStore, called: &str) {
    let called = name(called);
    let Reference::Tag(tag) = &called.reference else {
        panic!("{called}")
    };
    let names = &store.inner.names;
    names.mark_fetched(&called.repository, tag).unwrap();
}

/// Everything below was used so long ago.
fn set_used(path: &Path, age: Duration) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            set_used(&entry.unwrap().path(), age);
        }
    } else {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

fn leave_free(root: &Path, mib: u64, filler: &str) {
    let free = room_in(root).unwrap().free_bytes;
    let fills = free.checked_sub(mib * MIB).expect("less is free already");
    fs::write(root.join(filler), vec![1; fills as usize]).unwrap();
}

const TAGGED: &str = "docker.io/library/tagged:v1";
const FETCHED: &str = "docker.io/library/fetched:v1";
const RUNNING: &str = "docker.io/library/running:v1";
const STOPPED: &str = "docker.io/library/stopped:v1";
const YOUNG: &str = "docker.io/library/young:v1";
const BUILT: &str = "docker.io/library/built:v1";
const PUSHED: &str = "one.registry.test/site:v1";

#[tokio::test]
async fn a_short_disk_is_given_what_can_be_had_again_the_longest_unused_first() {
    let root = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::over(root.path());
    let root = root.path();
    let store = open(root);
    let pushed = name(PUSHED).repository;
    store.create_repository(&pushed).await.unwrap();
    let all = [TAGGED, FETCHED, RUNNING, STOPPED, YOUNG, BUILT, PUSHED];
    let mut images = Vec::new();
    for (called, mark) in all.iter().zip(1..) {
        images.push(image(&store, root, called, mark).await);
    }
    // Built again: what had the name before has none.
    let nameless = images[5].clone();
    images[5] = image(&store, root, BUILT, 99).await;
    for called in [FETCHED, RUNNING, STOPPED, YOUNG] {
        mark_fetched(&store, called);
    }
    let has_copy = |it: &PreparedImage| it.directories[0].is_dir();
    for directory in ["blobs", "layers"] {
        set_used(&root.join(directory), 2 * HOUR);
    }
    let used = |it: &PreparedImage| {
        let hex = it.layers[0].diff_id.hex();
        root.join("layers").join(format!("{hex}.used"))
    };
    set_used(&used(&images[0]), 4 * HOUR);
    set_used(&used(&images[1]), 3 * HOUR);
    set_used(&used(&images[4]), Duration::ZERO);
    set_used(&store.inner.blobs.path(&images[4].digest), Duration::ZERO);
    let in_use = Arc::new(Mutex::new(HashSet::from(
        [images[2].directories[0].clone()],
    )));
    let needed: HashSet<Digest> = HashSet::from([images[3].digest.clone()]);
    let asked = in_use.clone();
    store.ask_in_use(move || Ok(asked.lock().unwrap().clone()));
    store.ask_needed(move || Ok(needed.clone()));

    // There is room: nothing goes.
    assert_eq!(store.collect_garbage().await.unwrap(), 0);
    assert!(images.iter().all(has_copy));

    // Short by the copies of two layers.
    leave_free(root, 36, "filler");
    assert_eq!(store.collect_garbage().await.unwrap(), 2 * LAYER_MIB * MIB);
    let left: Vec<bool> = images.iter().map(has_copy).collect();
    assert_eq!(left, [false, false, true, true, true, true, true]);
    let told = GivenUp::read(root).unwrap();
    assert_eq!((told.layers, told.images), (2, 0), "{told:?}");

    // Short by more than all copies.
    leave_free(root, 4, "more");
    store.collect_garbage().await.unwrap();
    let left: Vec<bool> = images.iter().map(has_copy).collect();
    assert_eq!(left, [false, false, true, false, true, false, false]);
    for (called, image) in all.iter().zip(&images) {
        let found = store.resolve(&name(called)).await;
        assert_eq!(found.is_ok(), *called != FETCHED, "{called}");
        let has_layer = store.has_blob(&image.layers[0].blob.digest).await.unwrap();
        assert_eq!(has_layer.is_some(), *called != FETCHED, "{called}");
    }
    let layer = &nameless.layers[0].blob.digest;
    assert_eq!(store.has_blob(layer).await.unwrap(), None);
    let told = GivenUp::read(root).unwrap();
    assert_eq!(told.images, 2, "{told:?}");
    assert!(told.names.iter().any(|it| it == FETCHED), "{told:?}");

    // What is there still is prepared again.
    fs::remove_file(root.join("more")).unwrap();
    assert!(has_copy(&store.prepare(&name(TAGGED), None).await.unwrap()));
    // Whoever names something keeps it.
    let (from, to) = (name(STOPPED), name("docker.io/library/mine:v1"));
    store.tag(&from, &to).await.unwrap();
    assert!(!store.inner.names.is_fetched(&to.repository, "v1").unwrap());
}
