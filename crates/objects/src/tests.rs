use std::io;
use std::path::Path;

use bytes::Bytes;
use engine::{ByteStream, Fault, Objects};
use futures_util::{StreamExt, stream};

use super::ObjectStore;

fn body(pieces: Vec<io::Result<Bytes>>) -> ByteStream {
    Box::pin(stream::iter(pieces))
}

fn whole(text: &str) -> ByteStream {
    body(vec![Ok(Bytes::copy_from_slice(text.as_bytes()))])
}

async fn read(store: &ObjectStore, id: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let mut pieces = store.get(id, range).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    bytes
}

fn files(root: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        count += if path.is_dir() { files(&path) } else { 1 };
    }
    count
}

fn open() -> (tempfile::TempDir, ObjectStore) {
    let root = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(root.path().to_owned()).unwrap();
    (root, store)
}

#[tokio::test]
async fn what_was_put_is_read_whole_and_in_ranges_settled_or_not() {
    let (_root, store) = open();
    let content = store.put(whole("hello world"), 11).await.unwrap();
    assert_eq!(content.size_bytes, 11);
    assert_eq!(content.md5, "5eb63bbbe01eeed093cb22bb8f5acdc3");
    for _ in 0..2 {
        assert_eq!(read(&store, &content.id, None).await, b"hello world");
        assert_eq!(read(&store, &content.id, Some(6..11)).await, b"world");
        assert_eq!(read(&store, &content.id, Some(3..3)).await, b"");
        store.settle(&content.id).await.unwrap();
        store.settle(&content.id).await.unwrap();
    }
    let Err(outside) = store.get(&content.id, Some(6..12)).await else {
        panic!("there is no byte 12")
    };
    assert_eq!(outside.fault, Fault::Invalid);
}

/// More than a batch and a piece, so that both loops turn.
#[tokio::test]
async fn a_large_body_arrives_whole() {
    let (_root, store) = open();
    let piece: Vec<u8> = (0..700_001u32).map(|it| it as u8).collect();
    let pieces = (0..5).map(|_| Ok(Bytes::from(piece.clone()))).collect();
    let content = store.put(body(pieces), 4_000_000).await.unwrap();
    assert_eq!(content.size_bytes, 3_500_005);
    assert_eq!(read(&store, &content.id, None).await, piece.repeat(5));
    let tail = read(&store, &content.id, Some(3_500_000..3_500_005)).await;
    assert_eq!(tail, piece[piece.len() - 5..]);
}

#[tokio::test]
async fn nothing_is_left_of_what_ends_early_or_is_too_large() {
    let (root, store) = open();
    let large = Bytes::from(vec![7; 2_000_000]);
    let cut = vec![Ok(large.clone()), Err(io::Error::other("gone"))];
    let error = store.put(body(cut), 9_000_000).await.unwrap_err();
    assert_eq!(error.fault, Fault::Invalid);
    let error = store.put(body(vec![Ok(large)]), 1_999_999).await;
    assert_eq!(error.unwrap_err().fault, Fault::Invalid);
    eventually_empty(root.path()).await;
}

#[tokio::test]
async fn nothing_is_left_of_what_nobody_waits_for() {
    let (root, store) = open();
    let (mut send, receive) = futures_util_channel();
    let putting = tokio::spawn(async move { store.put(receive, 9_000_000).await });
    send(Bytes::from(vec![7; 2_000_000]));
    while files(root.path()) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    putting.abort();
    eventually_empty(root.path()).await;
}

/// A body that stays open.
fn futures_util_channel() -> (impl FnMut(Bytes), ByteStream) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let pieces = stream::unfold(receive, |mut receive| async move {
        let piece: Bytes = receive.recv().await?;
        Some((Ok(piece), receive))
    });
    (
        move |piece| send.send(piece).expect("the body is read"),
        Box::pin(pieces),
    )
}

async fn eventually_empty(root: &Path) {
    for _ in 0..1000 {
        if files(root) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("something is left in `{}`", root.display());
}

#[tokio::test]
async fn parts_are_joined_and_stay() {
    let (_root, store) = open();
    let mut ids = Vec::new();
    for part in ["one ", "two ", "three"] {
        ids.push(store.put(whole(part), 9).await.unwrap().id);
    }
    let joined = store.join(&ids).await.unwrap();
    assert_eq!(joined.size_bytes, 13);
    assert_eq!(read(&store, &joined.id, None).await, b"one two three");
    assert_eq!(read(&store, &ids[0], None).await, b"one ");
    ids.push("0".repeat(32));
    assert_eq!(store.join(&ids).await.unwrap_err().fault, Fault::NotFound);
}

#[tokio::test]
async fn what_was_not_settled_is_named_after_opening_again() {
    let (root, store) = open();
    let kept = store.put(whole("kept"), 9).await.unwrap().id;
    let left = store.put(whole("left"), 9).await.unwrap().id;
    store.settle(&kept).await.unwrap();
    // This run knows what it has made itself.
    assert!(store.unsettled().await.unwrap().is_empty());
    let store = ObjectStore::open(root.path().to_owned()).unwrap();
    assert_eq!(
        store.unsettled().await.unwrap(),
        std::slice::from_ref(&left)
    );
    assert_eq!(read(&store, &left, None).await, b"left");
    store.delete(&left).await.unwrap();
    assert!(store.unsettled().await.unwrap().is_empty());
    store.delete(&kept).await.unwrap();
    store.delete(&kept).await.unwrap();
    assert_eq!(files(root.path()), 0);
}

#[tokio::test]
async fn what_is_being_read_is_read_to_its_end() {
    let (_root, store) = open();
    let id = store.put(whole("still there"), 99).await.unwrap().id;
    let mut pieces = store.get(&id, None).await.unwrap();
    store.delete(&id).await.unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "still there");
    let Err(gone) = store.get(&id, None).await else {
        panic!("it was deleted")
    };
    assert_eq!(gone.fault, Fault::NotFound);
}

#[tokio::test]
async fn ids_are_no_paths() {
    let (_root, store) = open();
    for id in ["../new", "", "/etc/passwd", "..", "0"] {
        assert!(store.get(id, None).await.is_err(), "{id}");
        assert!(store.delete(id).await.is_err(), "{id}");
    }
}

/// A client that goes away while its parts are joined leaves nothing behind.
#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_kept() {
    let (root, store) = open();
    let part = store.put(whole("text"), 4).await.unwrap();
    let ids = vec![part.id.clone(); 1000];
    {
        let joining = store.join(&ids);
        tokio::pin!(joining);
        // It begins, and is given up.
        tokio::select! {
            biased;
            _ = &mut joining => panic!("a thousand parts are not joined at once"),
            () = std::future::ready(()) => {}
        }
    }
    let mut count = 0;
    for _ in 0..500 {
        count = files(root.path());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(count, 1, "the part is left, and nothing else");
    let whole = store.join(&ids).await.unwrap();
    assert_eq!(whole.size_bytes, 4000);
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
async fn an_object_does_not_fill_the_disk_and_leaves_nothing_when_it_would() {
    let root = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::over(root.path());
    let store = ObjectStore::open(root.path().to_owned()).unwrap();
    let piece = Bytes::from(vec![7; 1 << 20]);
    let endless = || body((0..1000).map(|_| Ok(piece.clone())).collect());
    let error = store.put(endless(), 1 << 40).await.unwrap_err();
    assert_eq!(error.fault, Fault::Machine);
    let said = error.chain();
    assert!(
        said.starts_with("No space left on device: the machine's disk has"),
        "{said}"
    );
    assert!(said.contains("none for an object"), "{said}");
    assert_eq!(files(root.path()), 0);
    // What was given back can be had.
    store.put(whole("hello"), 5).await.unwrap();
}
